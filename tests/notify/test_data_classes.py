"""Holdings, plans, stills, names of persons and words of units never leave by SMS, call, e-mail or chat, whatever is in the database."""

import itertools

import pytest

from server.duty.escalation import default_escalation
from server.notify.channels import ChannelSettings, Message, open_channel
from server.notify.channels.twilio_voice import spoken
from server.notify.dispatch import Dispatcher
from server.notify.lines import Broadcast
from server.notify.texts import AlarmFacts, default_texts, segments
from server.store.tables import Alarm, Person, Room, Unit
from server.store.tables_org import Holding
from simulators.http_sink import HttpSink
from tests.notify.conftest import SENDER, Line

SECRETS = ("王仓", "李班", "公安", "派出所", "鼓楼分局", "绝密全宗", "平面图", "http://x.cn/a.jpg", "13800000001", "1号库房")
HOSTILE = "鼓楼\n库😀http://evil.cn/{地点}编号999999' OR 1=1--"


def test_every_template_filled_with_hostile_data_stays_one_message_without_a_link_or_a_line_break():
    texts = default_texts()
    facts = AlarmFacts(
        level="urgent", rule="humidity_high", kind="threshold", quantity="humidity", place=HOSTILE, number="483925", at=0, since=0, value=1e12,
        minutes=10**9, time="23:41", post="值班员", count=10**9, over=10**9,
    )  # fmt: skip
    rules = [(choice.when.rule or ("x",), choice.when.kind or ("threshold",), choice.when.quantity or ("humidity",)) for choice in texts.choose]
    said = [texts.follow_up(key, facts) for key in texts.follow if key not in ("look", "test", "verify")]
    for rule, kind, quantity in (cell for parts in rules for cell in itertools.product(*parts)):
        for drill in (False, True):
            changed = {"rule": rule.replace("*", ""), "kind": kind.replace("*", "state"), "quantity": quantity.replace("*", "smoke"), "drill": drill}
            said.append(texts.first(AlarmFacts(**{**{f: getattr(facts, f) for f in facts.__slots__}, **changed}), reply_hint=True))
    for text in said:
        assert segments(text) == 1, text
        assert not any(bad in text for bad in ("://", ".cn", "\n", "😀", "{", "}", "'", "=")), text
        assert text.endswith("编号483925")
        assert "://" not in spoken(text, "483925")


@pytest.mark.parametrize("level", ["critical", "urgent"])
def test_nothing_that_is_kept_inside_leaves_by_any_channel(desk, sms, channel, level):
    with desk.db.write() as session:
        session.get_one(Unit, desk.STATION).name = "福州市公安局鼓楼分局东街派出所"
        session.get_one(Room, desk.ROOM).name = "1号库房"
        session.add(Holding(room=desk.ROOM, fonds="J001", name="绝密全宗"))
        session.get_one(Person, 1).email = "wang@example.org"
    with HttpSink() as sink:
        others = [
            open_channel("twilio_voice", ChannelSettings(account_sid=sms.account, token=sms.token, sender=SENDER, base_url=sms.url)),
            open_channel("chat", ChannelSettings(name="chat", token="dingtalk://token1", base_url=sink.url)),
            open_channel("webhook", ChannelSettings(name="hook", base_url=f"{sink.url}/hook")),
        ]
        groups = [Broadcast(channel=name, address=name, name=name) for name in ("chat", "hook")]
        made = Dispatcher(desk.db, [channel, *others], default_escalation(), broadcasts=groups)
        line = Line(desk, sms, made, channel)
        alarm = desk.annunciate(level=level, note="王仓：绝密全宗在3号架，见平面图")
        line.run(16, every_s=30)
        desk.acknowledge(alarm, by="李班（王仓代为接手）")
        line.run(1)
        desk.set(Alarm, alarm, note="http://x.cn/a.jpg")
        desk.clear(alarm)
        line.run(1)
        made.close()
        left = [message["body"] for message in sms.messages()] + [str(call["said"]) for call in sms.calls()]
        left += [posted.body.decode() for posted in sink.posted]
    assert len(left) > 6
    for text in left:
        assert not [secret for secret in SECRETS if secret in text], text


def test_a_letter_carries_the_text_and_nothing_else():
    mail = open_channel("email", ChannelSettings(sender="aw@example.org"))
    text = "【档案值守】特急：鼓楼东街01库于23:41烟感告警。编号483925"
    letter = mail._letter(Message(id=1, phone="a@example.org", text=text, number="483925", since=0, validity_s=1))
    assert letter.get_content().strip() == text
    assert text.startswith(str(letter["Subject"]).split("。")[0][:10])
