"""What the outbox does with steps and messages that are late, held back, given up, or break the program."""

import pytest

from server.duty.escalation import parse_escalation
from server.notify.claims import SendSettings
from server.notify.dispatch import Dispatcher, DispatchSettings
from server.notify.throttle import Cap
from server.store.tables import Alarm, Transition
from server.store.tables import Notification as Note
from tests.duty.ladders import ten_minutes
from tests.notify.conftest import beijing

HOUR = 3_600_000
SHORT = "levels: {critical: [{after: 0s, to: [unit_duty]}], urgent: [{after: 0s, to: [unit_duty]}], alarm: [], warn: []}"


def test_a_dispatcher_that_was_down_gives_people_their_time(line):
    """Steps that became due meanwhile do not fire in one burst: who is told first has ten minutes to answer."""
    line.desk.annunciate()
    line.desk.now += 2 * HOUR
    line.run(9.9)
    assert len(line.sms.messages()) == 2
    line.run(0.2)
    assert len(line.sms.messages()) == 4


def test_a_known_late_smoke_is_told_with_its_true_time(line):
    alarm = line.desk.annunciate(known_late=True, at=line.desk.now - HOUR)
    line.desk.set(Alarm, alarm, state="cleared_unacked")
    line.run()
    assert "于09:00烟感告警" in line.texts("wang")[0]


@pytest.mark.parametrize("state", ["shelved", "suppressed", "out_of_service", "cleared_unacked", "active_acked", "latched_acked"])
def test_an_alarm_that_asks_nobody_tells_nobody(line, state):
    alarm = line.desk.annunciate()
    line.desk.set(Alarm, alarm, state=state)
    line.run(60, every_s=60)
    assert line.sms.messages() == []
    assert [step.state for step in line.desk.steps(alarm)] == ["cancelled"]


def test_a_gateway_alarm_names_the_unit(line):
    line.desk.annunciate(rule="gateway_offline", kind="stale", quantity="gateway", level="urgent", room=None)
    line.run()
    assert "东街网关自10:00起离线" in line.texts("li")[0]


def test_the_cap_holds_messages_back_but_never_smoke(desk, sms, channel):
    dispatcher = Dispatcher(desk.db, [channel], parse_escalation(SHORT, "short.yaml"), throttle=Cap(2, 600_000))
    for minute in range(4):
        desk.annunciate(rule="leak", quantity="leak", level="urgent", at=desk.now - minute * desk.MINUTE, key=str(minute))
        dispatcher.run_once(desk.now)
    assert len(sms.messages(to=desk.phone("li"))) == 2
    desk.annunciate()
    dispatcher.run_once(desk.now)
    assert "烟感" in sms.messages(to=desk.phone("li"))[-1]["body"]
    dispatcher.run_once(desk.now + 599_000)
    assert len(sms.messages(to=desk.phone("li"))) == 3
    dispatcher.run_once(desk.now + 600_000)
    assert "近10分钟另有2条告警未逐条发送，其中无特急" in sms.messages(to=desk.phone("li"))[-1]["body"]
    assert len(sms.messages(to=desk.phone("li"))) == 4
    assert [note.state for note in desk.notes() if note.reason == "raised" and note.state == "merged"] == ["merged"]
    dispatcher.close()


def test_what_was_never_sent_in_its_time_is_given_up_and_handed_on(desk, sms, channel):
    settings = DispatchSettings(send=SendSettings(validity_ms=60_000))
    dispatcher = Dispatcher(desk.db, [channel], ten_minutes(), settings=settings, count=desk.counts)
    sms.order("rate", count=-1, to=desk.phone("wang"))
    sms.order("rate", count=-1, to=desk.phone("li"))
    alarm = desk.annunciate()
    for second in range(0, 240, 5):
        dispatcher.run_once(desk.now + second * 1000)
    dispatcher.close()
    assert {note.state for note in desk.notes(alarm) if note.step == 0} == {"failed"}
    assert sms.messages(to=desk.phone("chen")) != []


def test_messages_of_a_channel_that_was_taken_away_go_by_the_new_one(desk, sms, channel):
    old = Dispatcher(desk.db, [desk.file_channel()], ten_minutes())
    alarm = desk.annunciate()
    assert old._steps.run_once(desk.now) == 1
    old.close()
    new = Dispatcher(desk.db, [channel], ten_minutes())
    new.run_once(desk.now)
    new.close()
    assert len(sms.messages()) == 2
    assert {(note.channel, note.state) for note in desk.notes(alarm)} == {("outbox_file", "failed"), ("twilio_sms", "sent")}


def test_a_step_that_breaks_the_program_holds_up_nobody(desk, sms, channel):
    dispatcher = Dispatcher(desk.db, [channel], parse_escalation(SHORT, "short.yaml"), count=desk.counts)
    broken = desk.annunciate()
    desk.set(Alarm, broken, level="unheard-of")
    with desk.db.write() as session:
        session.query(Transition).filter_by(alarm=broken).update({"level": "unheard-of"})
    desk.annunciate(key="2", rule="leak", quantity="leak", level="urgent")
    dispatcher.run_once(desk.now)
    dispatcher.close()
    assert len(sms.messages()) == 1
    assert desk.counts["broken"] == 1
    assert [step.state for step in desk.steps(broken)] == ["pending"]


def test_a_step_of_the_morning_that_breaks_the_program_holds_up_nobody_s_digest(line):
    desk, damp = line.desk, {"rule": "humidity_high", "kind": "threshold", "quantity": "humidity", "level": "urgent", "value": 80.0}
    desk.now = beijing("2026-11-23 23:00")
    broken, sound = desk.annunciate(**damp), desk.annunciate(key="2", **damp)
    line.run()
    with desk.db.write() as session:
        session.query(Transition).filter_by(alarm=broken).update({"level": "unheard-of"})
    desk.now = beijing("2026-11-24 07:31")
    smoke = desk.annunciate()
    line.run(minutes=0.5)
    assert {note.alarm for note in desk.notes(state="sent")} == {smoke, sound}
    assert [step.state for step in desk.steps(broken)] == ["pending"]


def test_the_oldest_message_that_should_have_left(line):
    assert line.dispatcher.oldest_waiting_ms(line.desk.now) == 0
    line.sms.order("rate", count=-1)
    line.desk.annunciate()
    line.run()
    assert line.dispatcher.oldest_waiting_ms(line.desk.now + 30_000) > 20_000


def test_no_channel_no_dispatcher(desk):
    with pytest.raises(ValueError, match="at least one channel"):
        Dispatcher(desk.db, [], ten_minutes())


def test_every_message_fits_into_one_and_carries_no_name(line):
    line.desk.annunciate()
    line.desk.annunciate(rule="humidity_high", kind="threshold", quantity="humidity", level="urgent", value=88.8, key="2")
    line.run(45)
    texts = [note.text for note in line.desk.notes()]
    assert len(texts) == 14
    assert all(message["segments"] == 1 for message in line.sms.messages())
    assert not any(name in text for text in texts for name in ("王仓", "李班", "http"))
    assert all(len(note.text) <= Note.text.type.length for note in line.desk.notes())
