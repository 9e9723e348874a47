"""Who is told of what, and when: the ladder climbs, ends with the take-over, and waits where nobody should be woken."""

import pytest

from server.notify.dispatch import Dispatcher
from server.notify.situation import Knowledge, load
from server.store.tables import Person, Room, Unit
from tests.duty.ladders import ten_minutes

HOUR = 3_600_000


def test_smoke_is_told_at_once_to_the_person_of_the_room_and_the_duty(line):
    alarm = line.desk.annunciate()
    line.run()
    expected = "【档案值守】特急：鼓楼东街01库于10:00烟感告警。请马上派人到门外查看，见烟见火打119，勿单人进入。编号"
    notes = line.desk.notes(alarm)
    assert {note.phone: note.state for note in notes} == {line.desk.phone("wang"): "sent", line.desk.phone("li"): "sent"}
    assert line.texts("wang") == line.texts("li") == [expected + notes[0].number]
    assert {note.provider_id for note in notes} == {message["sid"] for message in line.sms.messages()}
    assert line.desk.counts["sent"] == 2


def test_nothing_is_sent_twice_however_often_the_dispatcher_runs(line):
    line.desk.annunciate()
    for _ in range(5):
        line.run()
    assert len(line.sms.messages()) == 2


def test_escalation_climbs_until_somebody_takes_over(line):
    alarm = line.desk.annunciate()
    line.run(9.9)
    assert len(line.sms.messages()) == 2
    line.run(0.1)
    assert line.texts("wang")[1].startswith("【档案值守】再报：鼓楼东街01库的烟感告警已10分钟无人接手")
    assert line.texts("chen") == []
    line.run(10)
    assert [text[:30] for text in line.texts("chen")] == ["【档案值守】上报：鼓楼东街01库的烟感告警已20分钟无人接手"[:30]]
    assert line.texts("lin") == []
    line.run(20)
    assert len(line.texts("lin")) == len(line.texts("zheng")) == 1
    line.run(60)
    assert len(line.sms.messages()) == 7
    assert [note.reason for note in line.desk.notes(alarm)] == ["raised"] * 2 + ["escalated"] * 5


def test_a_take_over_ends_the_escalation_and_tells_the_others(line):
    alarm = line.desk.annunciate()
    line.run(10)
    line.desk.acknowledge(alarm, by="王仓")
    line.run(60)
    assert len(line.texts("wang")) == 2
    assert [text[6:9] for text in line.texts("li")] == ["特急：", "再报：", "接手："]
    assert line.texts("chen") == []
    assert {step.state for step in line.desk.steps(alarm)} == {"done", "cancelled"}


def test_a_take_over_that_was_undone_tells_nobody_and_the_due_instants_return(line):
    alarm = line.desk.annunciate()
    line.run(1)
    line.desk.acknowledge(alarm)
    line.run(0.1)
    line.desk.undo(alarm)
    line.run(8.9)
    assert [text[6:9] for text in line.texts("li")] == ["特急：", "再报："]


def test_recovery_reaches_everybody_who_was_called(line):
    alarm = line.desk.annunciate(rule="power_lost", quantity="power", level="urgent")
    line.run(21)
    line.desk.clear(alarm)
    line.run(30)
    for who in ("wang", "li", "chen"):
        assert line.texts(who)[-1].startswith("【档案值守】恢复：鼓楼东街01库的停电已于10:21恢复")
    assert line.texts("lin") == []


def test_at_night_only_the_one_who_took_over_hears_of_the_recovery(line):
    line.desk.now += 13 * HOUR
    alarm = line.desk.annunciate(rule="power_lost", quantity="power", level="urgent")
    line.run(1)
    line.desk.acknowledge(alarm, by="王仓")
    line.run(1)
    line.desk.clear(alarm)
    line.run(1)
    assert [text[6:8] for text in line.texts("wang")] == ["紧急", "恢复"]
    assert [text[6:8] for text in line.texts("li")] == ["紧急", "接手"]
    line.run(9 * 60, every_s=600)
    assert line.texts("li")[-1][6:8] == "恢复"


def test_climate_waits_for_the_morning_and_is_silent_if_it_is_over_by_then(line):
    line.desk.now += 13 * HOUR
    damp = {"rule": "humidity_high", "kind": "threshold", "quantity": "humidity", "level": "urgent", "value": 78.0}
    over = line.desk.annunciate(**damp)
    stays = line.desk.annunciate(**damp, key="2")
    line.run(60, every_s=60)
    line.desk.clear(over)
    line.run(7 * 60 + 29, every_s=60)
    assert line.sms.messages() == []
    line.run(1)
    assert {message["to"] for message in line.sms.messages()} == {line.desk.phone("wang"), line.desk.phone("li")}
    assert len(line.sms.messages()) == 2
    assert {note.alarm for note in line.desk.notes()} == {stays}
    assert "湿度78%，已超上限510分钟" in line.texts("wang")[0]


def test_a_digest_that_waits_for_the_provider_outlives_the_alarm_that_carries_it(line):
    """The other room is still damp, and its only message is the digest."""
    line.desk.now += 13 * HOUR
    damp = {"rule": "humidity_high", "kind": "threshold", "quantity": "humidity", "level": "urgent", "value": 78.0}
    for key in "12":
        line.desk.annunciate(**damp, key=key)
    line.run(8 * 60 + 29, every_s=60)
    for _ in range(4):
        line.sms.order("rate")
    line.run(1)
    [carrier] = {note.alarm for note in line.desk.notes() if note.state == "queued"}
    line.desk.clear(carrier)
    line.run(10, every_s=30)
    assert {message["to"] for message in line.sms.messages()} == {line.desk.phone("wang"), line.desk.phone("li")}


@pytest.mark.parametrize(
    ("rule", "kind", "quantity", "level"),
    [
        ("smoke", "state", "smoke", "critical"),
        ("leak", "state", "leak", "urgent"),
        ("door_forced", "state", "door", "urgent"),
        ("power_lost", "state", "power", "urgent"),
        ("gateway_offline", "stale", "gateway", "urgent"),
        ("room_blind", "stale", "room", "urgent"),
        ("temperature_rise", "rate", "temperature", "critical"),
    ],
)
def test_these_never_wait(line, rule, kind, quantity, level):
    line.desk.now += 16 * HOUR
    line.desk.annunciate(rule=rule, kind=kind, quantity=quantity, level=level)
    line.run()
    assert len(line.sms.messages()) == 2


def test_level_alarm_waits_fifteen_minutes_and_warn_for_ever(line):
    damp = {"rule": "humidity_high", "kind": "threshold", "quantity": "humidity", "value": 66.0}
    line.desk.annunciate(**damp, level="warn")
    line.desk.annunciate(**damp, level="alarm", key="2")
    line.run(14.9)
    assert line.sms.messages() == []
    line.run(0.1)
    assert len(line.sms.messages()) == 2
    assert "湿度66%，已超上限15分钟" in line.texts("wang")[0]
    line.run(10)
    assert len(line.sms.messages()) == 4


def test_the_minutes_of_a_first_call_include_the_on_delay(desk, sms, channel):
    dispatcher = Dispatcher(desk.db, [channel], ten_minutes(), knowledge=Knowledge(on_delays={("humidity_high", "urgent"): 600_000}))
    desk.annunciate(rule="humidity_high", kind="threshold", quantity="humidity", level="urgent", value=78.0)
    dispatcher.run_once(desk.now)
    dispatcher.close()
    assert "湿度78%，已超上限10分钟" in sms.messages()[0]["body"]


def test_the_battery_is_named_when_it_is_known(desk, sms, channel):
    minutes = {desk.ROOM: 90}
    dispatcher = Dispatcher(desk.db, [channel], ten_minutes(), knowledge=Knowledge(backup_minutes=minutes.get))
    desk.annunciate(rule="power_lost", quantity="power", level="urgent")
    dispatcher.run_once(desk.now)
    assert "备电约够90分钟" in sms.messages()[0]["body"]
    minutes.clear()
    desk.now += HOUR
    desk.annunciate(rule="power_lost", quantity="power", level="urgent")
    dispatcher.run_once(desk.now)
    dispatcher.close()
    assert any("备电时长未知" in message["body"] for message in sms.messages())


def test_nobody_at_the_unit_means_the_next_level_at_once(line):
    room = line.desk.add_room("350102020000-01", None, "西街02库")
    alarm = line.desk.annunciate(room=room)
    line.run()
    assert [message["to"] for message in line.sms.messages()] == [line.desk.phone("chen")]
    assert line.texts("chen")[0][6:9] == "特急："
    assert line.desk.counts["no_recipient"] == 2
    assert [(step.step, step.state) for step in line.desk.steps(alarm)] == [(0, "done"), (3, "pending")]
    line.run(10)
    assert len(line.texts("lin")) == 1


def test_an_alarm_that_reaches_nobody_at_all_is_counted_and_looks_for_somebody_until_there_is_one(line):
    for ident in range(1, 6):
        line.desk.set(Person, ident, phone=None)
    alarm = line.desk.annunciate()
    line.run(30)
    assert [step.state for step in line.desk.steps(alarm)] == ["pending"]
    assert 3 <= line.desk.counts["nobody"] <= 12, "rarer the longer it lasts"
    line.desk.set(Person, 2, phone=line.desk.phone("li"))
    line.run(15)
    assert line.texts("li")[0][6:9] == "特急："
    counted = line.desk.counts["nobody"]
    line.run(30)
    assert line.desk.counts["nobody"] == counted


def test_a_landline_is_not_a_recipient_but_the_duty_rooms_mobile_is(line):
    line.desk.set(Unit, line.desk.STATION, duty_phone="059187654321")
    line.desk.annunciate()
    line.run()
    assert len(line.sms.messages()) == 2
    line.desk.set(Unit, line.desk.STATION, duty_phone="13800000009")
    line.desk.annunciate(key="2", at=line.desk.now - line.desk.MINUTE)
    line.run()
    assert len(line.texts("+8613800000009")) == 1


def test_one_person_with_two_roles_gets_one_message(line):
    line.desk.set(Room, line.desk.ROOM, person=2)
    line.desk.annunciate(rule="leak", quantity="leak", level="urgent")
    line.run()
    assert len(line.texts("li")) == 1
    assert len(line.sms.messages()) == 1


def test_a_room_before_acceptance_troubles_only_its_person(line):
    line.desk.set(Room, line.desk.ROOM, stage="commissioning")
    line.desk.annunciate()
    line.run(60)
    assert [message["to"] for message in line.sms.messages()] == [line.desk.phone("wang")]


def test_help_is_called_from_above_although_somebody_has_taken_over(line):
    alarm = line.desk.annunciate()
    line.run()
    line.desk.acknowledge(alarm)
    line.run(1)
    line.desk.assist(alarm)
    line.run(60)
    assert [text[6:9] for text in line.texts("chen")] == ["求援："]
    assert len(line.sms.messages()) == 4


def test_a_drill_says_so_in_every_message(line):
    alarm = line.desk.annunciate(drill=True)
    line.run(25)
    line.desk.acknowledge(alarm)
    line.run(1)
    line.desk.clear(alarm)
    line.run(1)
    assert all(message["body"].startswith("【档案值守】演练：") for message in line.sms.messages())
    assert [len(line.texts(who)) for who in ("wang", "li", "chen")] == [1, 2, 2]


def test_a_worse_level_asks_anew_and_ends_the_milder_escalation(line):
    damp = {"rule": "humidity_high", "kind": "threshold", "quantity": "humidity"}
    alarm = line.desk.annunciate(**damp, level="alarm", value=66.0)
    line.run(16)
    line.desk.annunciate(alarm, **damp, level="urgent", value=76.0)
    line.run(1)
    assert [text[6:8] for text in line.texts("wang")] == ["一般", "紧急"]
    line.run(9)
    assert len(line.texts("wang")) == 3
    assert [(step.step, step.state) for step in line.desk.steps(alarm)] == [(0, "done"), (1, "cancelled"), (0, "done"), (1, "done"), (2, "pending")]


def test_an_alarm_that_comes_and_goes_does_not_keep_the_county_out(line):
    """Each return would otherwise begin the escalation from the start, and the county would never hear of it."""
    chatter = {"rule": "power_lost", "quantity": "power", "level": "urgent"}
    alarm = line.desk.annunciate(**chatter)
    for _ in range(3):
        line.run(4)
        line.desk.clear(alarm)
        line.run(4)
        line.desk.annunciate(alarm, **chatter)
    line.run(1)
    assert line.texts("chen")[0].startswith("【档案值守】上报：鼓楼东街01库的停电已4分钟无人接手")


def test_after_a_take_over_the_next_return_begins_from_the_start(line):
    chatter = {"rule": "power_lost", "quantity": "power", "level": "urgent"}
    alarm = line.desk.annunciate(**chatter)
    line.run(11)
    line.desk.acknowledge(alarm)
    line.run(1)
    line.desk.annunciate(alarm, **chatter)
    line.run(15)
    assert line.texts("chen") == []


def test_the_same_words_twice_within_a_minute_are_one_message(line):
    alarm = line.desk.annunciate()
    line.run()
    line.desk.annunciate(alarm)
    line.run()
    assert len(line.sms.messages()) == 2
    assert line.desk.counts["repeated"] == 2


def test_a_call_after_a_shelf_tells_the_value_of_its_level(line):
    """The end of a shelf measures nothing: the text speaks of the value with which the alarm came to its level, not of the first one."""
    damp = {"rule": "humidity_high", "kind": "threshold", "quantity": "humidity"}
    alarm = line.desk.annunciate(**damp, level="alarm", value=66.0)
    line.desk.now += 60_000
    line.desk.annunciate(alarm, **damp, level="urgent", value=78.0)
    line.desk.now += 60_000
    line.desk.annunciate(alarm, **damp, level="urgent")
    with line.desk.db.read() as session:
        assert load(session, line.desk.steps(alarm)[-1]).value == 78.0
