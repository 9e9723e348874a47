"""The product's own table at work: day and night, duty rooms on landlines, supervision line, digest, progress, groups."""

import pytest

from server.duty import load
from server.duty.escalation import default_escalation
from server.notify.channels import ChannelSettings, open_channel
from server.notify.dispatch import Dispatcher
from server.notify.lines import Broadcast
from server.notify.outage import outages
from server.store.tables import Notification, Person, Room, Unit
from server.store.tables_duty import Roster, UnitPair
from simulators.http_sink import HttpSink
from tests.notify.conftest import MINUTE, SENDER, Line, beijing

NIGHT, DAY = beijing("2026-11-24 02:00"), beijing("2026-11-23 10:00")
DESK = "059187654321"
DAMP = {"rule": "humidity_high", "kind": "threshold", "quantity": "humidity", "level": "urgent", "value": 78.0}
LEAK = {"rule": "leak", "quantity": "leak", "level": "urgent"}


class Night(Line):
    """A line with a voice channel and the default table."""

    def called(self, phone="+86" + DESK[1:]):
        return [call["said"][0] for call in self.sms.calls(to=phone)]

    def heads(self, who):
        return [text[6:8] for text in self.texts(who)]


@pytest.fixture
def night(desk, sms, channel):
    voice = open_channel("twilio_voice", ChannelSettings(account_sid=sms.account, token=sms.token, sender=SENDER, base_url=sms.url, timeout_s=3))
    made = Dispatcher(desk.db, [channel, voice], default_escalation(), count=desk.counts)
    desk.set(Unit, desk.STATION, duty_phone=DESK)
    desk.now = NIGHT
    yield Night(desk, sms, made, channel)
    made.close()


def test_at_night_the_duty_room_is_called_first_and_people_at_home_after_it(night):
    night.desk.annunciate(**LEAK)
    night.run(4.9)
    assert len(night.called()) == 1
    assert night.sms.messages() == []
    night.run(0.2)
    assert (night.heads("li"), night.heads("wang")) == (["上报"], ["上报"])
    night.run(10)
    assert night.texts("chen")[0][6:8] == "上报"


def test_critical_calls_both_at_once_by_text_and_voice(night):
    night.desk.annunciate()
    night.run(0.1)
    assert len(night.called()) == 1
    assert night.heads("li") == night.heads("wang") == ["特急"]
    assert len(night.called(night.desk.phone("li"))) == 1
    night.run(2)
    assert night.heads("chen")  # two minutes: the county


def test_by_day_the_duty_officer_first_then_who_is_in_charge_then_the_county(night):
    night.desk.now = DAY
    night.desk.annunciate(**LEAK)
    night.run(0.1)
    assert len(night.texts("li")) == 1
    night.run(14.5)
    assert night.texts("chen") == []
    night.run(0.6)
    assert len(night.texts("chen")) >= 1


def test_the_shift_of_the_roster_is_called_instead_of_the_duty_officers(night):
    with night.desk.db.write() as session:
        session.add(Person(id=50, code="zhou", name="周夜", phone="13800000050", unit=night.desk.STATION, duty=""))
        session.flush()
        session.add(Roster(unit=night.desk.STATION, name="夜班", starts_min=1080, minutes=840, anchor="2026-11-01", people=[50]))
    night.desk.annunciate(**LEAK)
    night.run(0.1)
    assert [text[6:8] for text in night.texts("+8613800000050")] == ["紧急"]
    night.run(6)
    assert night.texts("li") == []


def test_a_unit_without_anybody_is_watched_by_its_pair(night):
    lonely = night.desk.add_room("350102020000-01", None, "西街02库")
    night.desk.now = DAY
    with night.desk.db.write() as session:
        session.add(UnitPair(unit=lonely[:12], stand_in=night.desk.STATION))
    night.desk.annunciate(room=lonely)
    night.run(0.1)
    assert night.heads("li") == ["特急"]


def test_thirteen_hundred_damp_rooms_wake_nobody_and_come_as_one_message_each(night):
    for index in range(40):
        night.desk.annunciate(**DAMP, key=str(index))
    night.run(5 * 60 + 29, every_s=1800)
    assert (night.sms.messages(), night.called()) == ([], [])
    night.desk.now = beijing("2026-11-24 07:30")
    night.dispatcher.run_once(night.desk.now)
    assert [len(night.texts(who)) for who in ("li", "wang", "chen", "lin")] == [1, 1, 0, 0]
    assert "夜间有40条告警留到现在" in night.texts("li")[0]
    night.run(20)
    assert [len(night.texts(who)) for who in ("li", "wang", "chen", "lin")] == [1, 1, 1, 0]  # the county gets one as well
    states = [note.state for note in night.desk.notes(step=0, phone=night.desk.phone("li"))]
    assert (states.count("sent"), states.count("merged")) == (1, 39)


def test_smoke_leak_intrusion_power_and_blindness_never_wait(night):
    for number, (rule, quantity, kind) in enumerate(
        [("smoke", "smoke", "state"), ("leak", "leak", "state"), ("door_forced", "door", "state"), ("power_lost", "power", "state"),
         ("room_blind", "room", "stale"), ("gateway_offline", "gateway", "stale")]
    ):  # fmt: skip
        night.desk.annunciate(rule=rule, quantity=quantity, kind=kind, level="urgent", key=str(number))
    night.run(0.1)
    assert len(night.called()) == 6


def test_an_alarm_outside_of_working_hours_comes_in_the_morning(night):
    night.desk.now = beijing("2026-11-22 14:00")  # a Sunday
    night.desk.annunciate(rule="camera_fault", kind="camera", quantity="camera", level="alarm")
    night.run(60, every_s=300)
    assert night.sms.messages() == []
    night.desk.now = beijing("2026-11-23 07:30")
    night.dispatcher.run_once(night.desk.now)
    assert night.heads("li") == ["一般"]


def test_the_supervision_line_is_told_who_took_over_and_begins_again_when_it_runs_out(night):
    alarm = night.desk.annunciate()
    night.run(1.1)
    assert night.texts("lin")[0].startswith("【档案值守】上报：")  # the city: one minute, nobody has it
    night.desk.acknowledge(alarm, by="李班")
    night.run(0.5)
    assert (
        night.texts("lin")[-1]
        == f"【档案值守】报告：鼓楼东街01库的烟感告警已由值班员接手处置，供知悉；逾时没有进展将再报。编号{night.desk.notes(alarm)[0].number}"
    )
    assert "李班" not in night.texts("lin")[-1]
    heard = len(night.texts("lin"))
    night.run(9)
    assert night.texts("zheng")[-1][6:8] == "报告"  # the next step of that line was not silenced by the answer
    assert len(night.texts("lin")) == heard


def test_a_take_over_is_asked_for_progress_and_its_end_is_planned(night):
    alarm = night.desk.annunciate()
    night.run(0.2)
    night.desk.acknowledge(alarm, by="李班")
    night.run(10.1, every_s=30)
    assert "由你接手已10分钟，请回3到场" in night.texts("li")[-1]
    expiry = [step for step in night.desk.steps(alarm) if step.reason == "expire"]
    assert [(step.state, step.due - night.desk.now > 4 * MINUTE) for step in expiry] == [("pending", True)]


def test_groups_follow_what_happens_without_a_name(desk, sms, channel):
    with HttpSink() as sink:
        chat = open_channel("chat", ChannelSettings(name="wecom", token="wecombot://key", base_url=sink.url))
        groups = [Broadcast(channel="wecom", address="wecom", name="市局群", unit=desk.CITY)]
        made = Dispatcher(desk.db, [channel, chat], default_escalation(), broadcasts=groups)
        line = Line(desk, sms, made, channel)
        alarm = desk.annunciate()
        line.run(0.1)
        desk.acknowledge(alarm, by="王仓")
        line.run(0.5)
        made.close()
        texts = [str(posted.json) for posted in sink.posted]
    assert len(texts) == 2
    assert "烟感告警" in texts[0]
    assert "已有人接手处置" in texts[1]
    assert "王仓" not in "".join(texts)
    with desk.db.read() as session:
        burden = load.measure(session, None, desk.now - 60 * MINUTE, desk.now + MINUTE)
    assert {one.name for one in burden.people} == {"李班", "王仓"}, "a group is nobody who can be woken"


def test_a_text_that_was_not_delivered_is_followed_by_a_call(night):
    night.desk.now = DAY
    night.sms.order("undelivered", to=night.desk.phone("li"))
    night.desk.annunciate(**LEAK)
    night.run()
    for _ in range(3):
        night.desk.now += 30_000
        night.sms.core.run_once(night.desk.now)
        night.dispatcher.poll_receipts(night.desk.now)
        night.run()
    assert len(night.called(night.desk.phone("li"))) == 1
    assert night.called(night.desk.phone("wang")) == []


def test_a_gap_in_the_roster_is_told_to_who_can_name_a_stand_in(night):
    night.desk.annunciate(rule="duty_vacancy", kind="state", quantity="", level="alarm", room=None, note="18:00 11月24日夜班：请假且无替班")
    night.desk.now = beijing("2026-11-24 08:01")
    night.run(0.2)
    assert night.texts("wang")[0].startswith("【档案值守】提醒：东街从18:00起值班无人。")
    assert night.texts("li") == []


def test_a_provider_that_takes_nothing_is_seen(night):
    night.desk.now = DAY
    night.sms.order("rate", count=-1)
    night.desk.annunciate(**LEAK)
    night.run(1.5)
    with night.desk.db.read() as session:
        broken = outages(session, ("twilio_sms", "twilio_voice"), night.desk.now)
    assert set(broken) == {"twilio_sms", "twilio_voice"}
    night.sms.core.faults.clear()
    night.desk.annunciate(**LEAK, key="next")
    night.run(1.5)
    with night.desk.db.read() as session:
        assert outages(session, ("twilio_sms", "twilio_voice"), night.desk.now) == {}, "something was sent since"


def test_a_provider_that_takes_everything_and_keeps_it_is_seen(night):
    """Every text stays "queued" there: nothing is refused, nothing undelivered, and nobody hears of anything."""
    night.desk.now = DAY
    night.desk.annunciate(**LEAK)
    seen = {}
    for minute in range(30):
        night.run()
        with night.desk.db.read() as session:
            seen[minute] = set(outages(session, ["twilio_sms"], night.desk.now, tell=["twilio_sms"]))
        night.desk.now += 60_000
    assert (seen[9], seen[29]) == (set(), {"twilio_sms"})
    night.sms.core.run_once(night.desk.now)
    night.sms.core.run_once(night.desk.now + 60_000)
    night.desk.now += 120_000
    night.dispatcher.poll_receipts(night.desk.now)
    with night.desk.db.read() as session:
        assert outages(session, ["twilio_sms"], night.desk.now, tell=["twilio_sms"]) == {}


def test_a_provider_that_takes_everything_and_delivers_nothing_is_seen(night):
    night.desk.now = DAY
    night.sms.order("undelivered", count=-1)
    night.desk.annunciate(**LEAK)
    seen = []
    for _ in range(40):
        night.desk.now += 30_000
        night.sms.core.run_once(night.desk.now)
        night.dispatcher.poll_receipts(night.desk.now)
        night.run()
        with night.desk.db.read() as session:
            seen.append(set(outages(session, ["twilio_sms"], night.desk.now, tell=["twilio_sms"])))
    assert seen[0] == set()
    assert seen[-1] == {"twilio_sms"}
    with night.desk.db.write() as session:
        note = session.query(Notification).filter_by(channel="twilio_sms", state="undelivered").order_by(Notification.id.desc()).first()
        note.state, note.receipt, note.sent_at = "delivered", "delivered", night.desk.now
    with night.desk.db.read() as session:
        assert outages(session, ["twilio_sms"], night.desk.now, tell=["twilio_sms"]) == {}, "one has arrived"


def test_before_acceptance_nobody_above_is_told(night):
    night.desk.set(Room, night.desk.ROOM, stage="commissioning")
    alarm = night.desk.annunciate()
    night.run(20, every_s=60)
    assert {row.person for row in night.desk.notes(alarm)} == {1}
    assert [step.reason for step in night.desk.steps(alarm)].count("supervise") == 0


def test_a_telephone_has_one_call_in_doubt_at_a_time(night):
    """The provider's list of calls does not tell what was said: with two in doubt, one would be taken for the other."""
    night.sms.order("500", to="+86" + DESK[1:])
    for key in ("1", "2"):
        night.desk.annunciate(**LEAK, key=key)
    night.run(0.5)
    assert night.called() == []
    night.run(1)
    assert len(set(night.called())) == len(night.called()) == 2
