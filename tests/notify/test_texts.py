import re
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarms.rules import default_rules
from contract.quantities import QUANTITIES
from server.duty.routing import BEIJING
from server.duty.words import place
from server.notify import texts
from server.notify.texts import AlarmFacts, TextError, clock, default_texts, load_texts, segments, utf16

TEXTS = default_texts()
VARIABLE = re.compile(r"\{([^{}]*)\}")
# language.md 3.3: longest filling / with the reply hint
SPECIFIED = {
    "S1": (63, 70), "S2": (61, 68), "S3": (62, 69), "S4": (63, 70), "S6": (63, 70), "S7": (63, 70), "S8": (61, 68),
    "S9": (63, 70), "S10": (63, 70), "S11": (59, 66), "S12": (62, 69), "S13": (59, 66), "S14": (56, 63), "S15": (56, 63), "S16": (63, 70),
}  # fmt: skip


def at(hour, minute):
    return int(datetime(2026, 11, 22, hour, minute, tzinfo=BEIJING).timestamp() * 1000)


BASE = {
    "level": "urgent", "rule": "humidity_high", "kind": "threshold", "quantity": "humidity", "place": "鼓楼东街01库", "number": "483925",
    "at": at(19, 23), "since": at(19, 6), "value": 68.0, "minutes": 20,
}  # fmt: skip


def facts(**changes):
    return AlarmFacts(**{**BASE, **changes})


def changed(folder, old, new):
    """The product's file with one change."""
    path = folder / "sms.yaml"
    original = (Path(texts.__file__).with_name("templates") / "sms.yaml").read_text("utf-8")
    assert old in original
    path.write_text(original.replace(old, new), "utf-8")
    return path


@pytest.mark.parametrize("name", TEXTS.texts)
def test_every_text_is_one_message_at_its_longest_with_the_hint(name):
    assert utf16(TEXTS.longest(TEXTS.texts[name], reply_hint=True)) <= 70
    assert segments(TEXTS.longest(TEXTS.texts[name], reply_hint=True)) == 1


@pytest.mark.parametrize(("name", "lengths"), SPECIFIED.items())
def test_the_registered_texts_have_the_lengths_of_the_specification(name, lengths):
    text = TEXTS.texts[name]
    assert (utf16(TEXTS.longest(text)), utf16(TEXTS.longest(text, reply_hint=True))) == lengths


@pytest.mark.parametrize("name", TEXTS.texts)
def test_the_rules_of_language(name):
    text = TEXTS.texts[name]
    found = VARIABLE.findall(text)
    assert text.startswith("【档案值守】")
    assert text.endswith("编号{编号}")
    assert len(found) == len(set(found))
    assert "}{" not in text
    assert not re.search(r"公安|派出所|分局|报警|必须|http|www", text)


def test_the_examples_of_the_specification():
    smoke = facts(level="critical", rule="smoke", kind="state", quantity="smoke", value=1.0)
    assert TEXTS.first(smoke) == "【档案值守】特急：鼓楼东街01库于19:23烟感告警。请马上派人到门外查看，见烟见火打119，勿单人进入。编号483925"
    assert TEXTS.first(facts(level="alarm")) == "【档案值守】一般：鼓楼东街01库湿度68%，已超上限20分钟。请关好门窗、开除湿机，1小时后复看。编号483925"
    assert TEXTS.follow_up("escalated", smoke).startswith("【档案值守】上报：鼓楼东街01库的烟感告警已20分钟无人接手")
    assert TEXTS.follow_up("cleared", facts()).startswith("【档案值守】恢复：鼓楼东街01库的湿度过高已于19:23恢复")
    door = facts(rule="door_held", kind="state", quantity="door", since=BASE["at"] - 3 * 60_000)
    assert "已于19:23恢复" in TEXTS.follow_up("cleared", door), "when it was over, not since when it had stood"


def test_the_reply_hint_stands_before_the_number():
    assert TEXTS.first(facts(), reply_hint=True).endswith("复看。回1接手2转交编号483925")


@pytest.mark.parametrize(("level", "word"), [("critical", "特急"), ("urgent", "紧急"), ("alarm", "一般"), ("warn", "提示")])
def test_level_words(level, word):
    assert TEXTS.first(facts(level=level))[6:9] == word + "："


@pytest.mark.parametrize(
    ("rule", "kind", "quantity", "words"),
    [
        ("smoke", "state", "smoke", "于19:23烟感告警"),
        ("smoke_then_silence", "stale", "smoke", "全部失联，按火情处置"),
        ("leak", "state", "leak", "发现漏水"),
        ("door_forced", "state", "door", "门被打开，无授权记录"),
        ("door_held", "state", "door", "库门自19:06起一直未关"),
        ("motion", "state", "motion", "无授权有人活动"),
        ("humidity_high", "threshold", "humidity", "湿度68%，已超上限20分钟"),
        ("humidity_low", "threshold", "humidity", "湿度68%，低于下限20分钟"),
        ("temperature_high", "threshold", "temperature", "温度68℃，已超上限20分钟"),
        ("temperature_low", "threshold", "temperature", "温度68℃，已低于下限20分钟"),
        ("temperature_rise", "rate", "temperature", "温度快速升高"),
        ("power_lost", "state", "power", "停电，备电时长未知"),
        ("camera_fault", "camera", "camera", "摄像机于19:23异常"),
        ("sensor_stale", "stale", "humidity", "湿度测点自19:06起没有数据"),
        ("sensor_stuck", "stuck", "temperature", "温度测点自19:06起数值不变"),
        ("gateway_offline", "stale", "gateway", "网关自19:06起离线"),
        ("room_blind", "stale", "", "自19:06起值守中断"),
        ("mould", "mould", "humidity", "霉变风险自19:06起偏高"),
        ("condensation", "dew_point", "dew_point", "将要结露"),
        ("co2_high", "threshold", "co2", "出现空气异常"),
        ("a_rule_of_their_own", "expression", "runtime", "出现异常"),
    ],
)
def test_what_is_said_about_what(rule, kind, quantity, words):
    assert words in TEXTS.first(facts(rule=rule, kind=kind, quantity=quantity))


def test_every_rule_of_the_product_has_its_own_words():
    for rule in default_rules().rules:
        quantity = "gateway" if rule.subject == "gateway" else {"any": "humidity"}.get(rule.quantity, rule.quantity)
        assert TEXTS.matter(facts(rule=rule.name, kind=rule.kind, quantity=quantity)) != "异常"


def test_a_number_that_the_rule_did_not_read_is_not_shown_as_a_reading():
    assert "5.2" not in TEXTS.first(facts(rule="temperature_rise", kind="rate", quantity="temperature", value=5.2))


def test_without_a_value_the_general_words_are_used():
    assert "于19:23出现湿度过高" in TEXTS.first(facts(value=None))


def test_the_battery_time_belongs_to_the_first_message_only():
    power = facts(rule="power_lost", kind="state", quantity="power", backup_minutes=90)
    assert "备电约够90分钟" in TEXTS.first(power)
    assert "已20分钟无人接手" in TEXTS.follow_up("escalated", power)


def test_a_drill_never_looks_like_an_alarm():
    assert TEXTS.first(facts(drill=True)).startswith("【档案值守】演练：这不是真实险情")


def test_an_alarm_over_many_rooms_tells_how_many():
    text = TEXTS.first(facts(rule="mass_offline", kind="group", quantity="", value=40.0, place="台江片区"))
    assert text.startswith("【档案值守】紧急：台江片区自19:06起40间库房同时离线")


@given(
    place=st.text(max_size=60), value=st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32),
    minutes=st.none() | st.integers(-5, 100_000), quantity=st.sampled_from(["", "gateway", "?", *QUANTITIES]),
    rule=st.sampled_from([rule.name for rule in default_rules().rules]),
    kind=st.sampled_from(["threshold", "state", "stale", "rate", "stuck", "group"]), drill=st.booleans(), hint=st.booleans(),
)  # fmt: skip
def test_whatever_comes_in_one_clean_message_goes_out(place, value, minutes, quantity, rule, kind, drill, hint):
    about = facts(place=place, value=value, minutes=minutes, quantity=quantity, rule=rule, kind=kind, drill=drill)
    for text in (TEXTS.first(about, reply_hint=hint), TEXTS.follow_up("cleared", about, reply_hint=hint)):
        assert utf16(text) <= 70
        assert text.endswith("编号483925")
        assert "{" not in text
        assert text.isprintable()


@pytest.mark.parametrize(
    ("dirty", "width", "kept"),
    [("鼓楼东街\n01库", 9, "鼓楼东街01库"), ("http://t.cn/x", 9, "httptcnx"), ("🔥东街库🔥", 9, "东街库"),
     ("一二三四五六七八九十", 9, "一二三四五六七八九"), ("A-01·B#2", 9, "A-01·B#2"),
     ("鼓楼公安分局01库", 9, "鼓楼01库"), ("公派出所安局02库", 9, "02库")],
)  # fmt: skip
def test_names_are_cleaned(dirty, width, kept):
    assert place(dirty, width) == kept


def test_lengths_are_counted_as_the_network_counts():
    assert (utf16("库"), utf16("🔥")) == (1, 2)
    assert [segments("库" * length) for length in (70, 71, 134, 135)] == [1, 2, 2, 3]


@pytest.mark.parametrize(
    ("waited_h", "words"),
    [(0, "自12:09起"), (11, "自12:09起"), (12, "自昨日12时起"), (35, "自昨日12时起"), (36, "自2天前起"), (24 * 1200, "自999天前起")],
)
def test_an_hour_of_another_day_is_not_taken_for_one_of_today(waited_h, words):
    since = at(12, 9)
    text = default_texts().first(facts(rule="room_blind", kind="stale", quantity="", since=since, now=since + waited_h * 3_600_000))
    assert words in text
    assert utf16(text) <= 70


def test_times_are_beijing_times():
    assert clock(0) == "08:00"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("请派人到场查看原因，处理后登记。", "请派人到场查看原因，处理后登记，并拍照留存备查，谢谢配合。", "S28: 77 units at its longest"),
        ('S28: "【档案值守】', 'S28: "', "S28: does not begin with"),
        ("处理后登记。编号{编号}", "处理后登记。", "S28: does not end with"),
        ("出现{事项}。", "出现{事由}。", "S28: names an unknown variable"),
        ("于{时间}出现", "{时间}出现", "S28: two variables stand side by side"),
        ("于{时间}出现", "于{地点}出现", "S28: a variable stands twice"),
        ("处理后登记。", "详见t.cn。", "S28: carries a link"),
        ("matter: 设备被拆", "matter: 设备被人拆走了", "longer than 事项"),
        ("text: S25", "text: S99", "there is no text S99"),
        ("assist: S30, ", "", "follow must name a text for assist"),
        ("tail: 编号{编号}", "tail: [", "sms.yaml:12: "),
    ],
)
def test_a_text_that_breaks_a_rule_is_refused(tmp_path, old, new, reason):
    with pytest.raises(TextError, match=re.escape(reason)):
        load_texts(changed(tmp_path, old, new))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(TextError, match="No such file"):
        load_texts(tmp_path / "none.yaml")
