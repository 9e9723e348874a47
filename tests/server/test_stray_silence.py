"""Nothing stays silent because the reason for its silence was lost on the way: shelves, works, moves of points, other rules, doors and heat."""

import pytest
from sqlalchemy import update

from alarms.rules import parse_rules
from contract.batch import Outbox
from contract.sample import PointKey, Quality, Sample
from server.store.tables import Alarm, AuditEntry, CoverageSpan, EscalationStep, Notification, Point, Room, Transition
from server.store.tables_watch import RoomReport
from server.watch import commands
from server.watch.commands import NewRules, Reload
from server.watch.inputs import GatewayData, GatewayDeath

COUNTY, GATEWAY = "350102000000", "GW-350102-01"
MINUTE = 60_000
DAMP = (("th1/humidity", 80.0), ("th1/temperature", 20.0), ("smoke1/smoke", 0))
FORCED = """
  - {name: door_forced, kind: forced, ladder: {urgent: {equals: 1, on_delay: 2s}}, latch: true}
"""
ONLY_SMOKE = "rules: [{name: smoke, kind: state, quantity: smoke, ladder: {critical: {equals: 1}}, latch: true}]"
HEAT = """
  - {name: heat, kind: heat, quantity: temperature, window: 60s, least: 36, ladder: {urgent: {above: 46, on_delay: 20s}, critical: {above: 54}}}
"""


def spell(made, seconds, *readings):
    for _ in range(seconds // 10):
        made.run(11)  # in steps of a second
        made.send(*readings)


def states(made, rule):
    return [alarm.state for alarm in made.rows(Alarm, rule=rule)]


def asked(made, alarm):
    return [step.reason for step in made.rows(EscalationStep, alarm=alarm) if step.reason == "raised"]


def adopt(made, text):
    return made.order(NewRules(by="", rules=parse_rules(text, "other.yaml")))


def assign(made, room, **wanted):
    with made.db.write() as session:
        point = session.query(Point).filter_by(**wanted).one()
        point.room, ident = room, point.id
    made.order(Reload(by="x", points=(ident,)))


@pytest.mark.parametrize("restart", [False, True])
def test_the_shelf_of_a_condition_ends(slice_, restart):
    gap = commands.Condition(subject=f"unit:{COUNTY}", rule="duty_vacancy", unit=COUNTY, active=True, by="system")
    alarm = slice_.order(gap).alarm
    assert slice_.order(commands.Shelve(alarm=alarm, by="林一", until=slice_.now + MINUTE, reason="调班")).state == "shelved"
    if restart:
        slice_.now += 2 * MINUTE
        slice_.start()
    slice_.run(61)
    assert states(slice_, "duty_vacancy") == ["active_unacked"]
    assert asked(slice_, alarm) == ["raised", "raised"]


def test_the_shelf_of_a_group_ends_after_its_members_have_gone_and_the_next_cut_is_told(county):
    def born():
        for n, first in ((2, 3), (3, 5), (4, 7)):
            county.birth([("th/humidity", f"{COUNTY}-{first:02}"), ("th2/humidity", f"{COUNTY}-{first + 1:02}")], gateway=f"GW-{n}")

    def cut():
        born()
        county.run(20)
        for n in (2, 3, 4):
            county.watch.offer(GatewayDeath(gateway=f"GW-{n}", at=county.now))
        county.run(6)

    cut()
    [group] = county.rows(Alarm, kind="group")
    county.order(commands.Shelve(alarm=group.id, by="林一", until=county.now + MINUTE, reason="运营商割接"))
    born()
    county.run(61)
    assert states(county, "group_offline") == ["normal"], "who shelved it had seen it"
    cut()
    assert [alarm.state for alarm in county.rows(Alarm, kind="group")][-1] == "active_unacked"


def test_work_in_the_room_that_a_sensor_has_left_does_not_silence_it_for_ever(slice_):
    slice_.birth()
    slice_.send(*DAMP)
    slice_.order(commands.Maintenance(room=slice_.ROOM, until=slice_.now + MINUTE, reason="消杀", person="王工", by="林一"))
    assign(slice_, slice_.OTHER, quantity="humidity")
    spell(slice_, 90, *DAMP)
    assert [(alarm.state, alarm.room) for alarm in slice_.rows(Alarm, rule="humidity_high")] == [("active_unacked", slice_.OTHER)]


@pytest.mark.parametrize("restart", [False, True])
def test_rules_that_were_away_when_the_work_ended_are_heard_again(slice_, restart):
    slice_.birth()
    slice_.order(commands.Maintenance(room=slice_.ROOM, until=slice_.now + MINUTE, reason="消杀", person="王工", by="林一"))
    first = slice_.rules
    adopt(slice_, ONLY_SMOKE)
    spell(slice_, 70, *DAMP)
    if restart:
        slice_.start()
    else:
        adopt(slice_, first)
    spell(slice_, 40, *DAMP)
    assert states(slice_, "humidity_high") == ["active_unacked"]


def test_a_silent_sensor_that_is_given_a_room_is_missed_there(slice_):
    slice_.birth([("th1/humidity", ""), ("smoke1/smoke", slice_.ROOM)])
    spell(slice_, 60, ("smoke1/smoke", 0))
    assign(slice_, slice_.ROOM, quantity="humidity")
    spell(slice_, 60, ("smoke1/smoke", 0))
    assert states(slice_, "sensor_stale") == ["active_unacked"]


def test_a_room_that_an_import_brings_into_use_misses_its_silent_sensors(slice_):
    with slice_.db.write() as session:
        session.execute(update(Room).where(Room.code == slice_.OTHER).values(stage="not_connected"))
    slice_.start()
    slice_.birth([("th1/humidity", slice_.OTHER), ("smoke1/smoke", slice_.ROOM)])
    spell(slice_, 60, ("smoke1/smoke", 0))
    with slice_.db.write() as session:
        session.execute(update(Room).where(Room.code == slice_.OTHER).values(stage="in_use"))
    slice_.order(Reload(by="x", rooms=(slice_.OTHER,)))
    spell(slice_, 60, ("smoke1/smoke", 0))
    assert states(slice_, "sensor_stale") == ["active_unacked"]


def test_a_new_rule_about_silence_misses_who_is_silent_already(slice_):
    rules = slice_.rules
    slice_.rules = rules.replace("quantity: any", "quantity: smoke")
    slice_.start()
    slice_.birth()
    spell(slice_, 60, ("smoke1/smoke", 0))
    adopt(slice_, rules)
    spell(slice_, 40, ("smoke1/smoke", 0))
    assert states(slice_, "sensor_stale") == ["active_unacked"] * 2


def test_a_forced_door_then_silence_is_critical(slice_):
    slice_.rules += FORCED
    slice_.start()
    slice_.birth([("door1/door", slice_.ROOM), ("reader1/grant", slice_.ROOM)])
    slice_.run(60)
    slice_.send(("door1/door", 0), ("reader1/grant", 0))
    slice_.run(5)
    slice_.send(("door1/door", 1))
    slice_.run(5)
    assert states(slice_, "door_forced") == ["active_unacked"]
    slice_.watch.offer(GatewayDeath(gateway=slice_.GATEWAY, at=slice_.now))
    slice_.run(1)
    assert states(slice_, "smoke_lost") == ["active_unacked"]


def test_what_a_heat_detector_feels_is_fast_heat_at_every_level(slice_):
    slice_.rules += HEAT
    slice_.start()
    slice_.birth()
    spell(slice_, 40, ("th1/temperature", 47.0))
    assert states(slice_, "heat") == ["active_unacked"]
    slice_.watch.offer(GatewayDeath(gateway=slice_.GATEWAY, at=slice_.now))
    slice_.run(1)
    assert states(slice_, "smoke_lost") == ["active_unacked"]


def test_the_second_fire_that_comes_late_is_told_although_the_first_still_waits_for_its_reset(slice_):
    slice_.birth()
    slice_.send(("smoke1/smoke", 1))
    slice_.run(5)
    slice_.send(("smoke1/smoke", 0))
    [alarm] = slice_.rows(Alarm, rule="smoke")
    slice_.order(commands.Acknowledge(alarm=alarm.id, by="林一"))
    assert states(slice_, "smoke") == ["latched_acked"]
    spell(slice_, 120, ("smoke1/smoke", 0))
    for ago, value in ((70, 0), (60, 1), (50, 1), (40, 0)):
        slice_.send(("smoke1/smoke", value), ago=ago, historical=True)
    assert states(slice_, "smoke") == ["latched_unacked"]
    assert asked(slice_, alarm.id) == ["raised", "raised"]


def test_an_alarm_whose_rule_was_taken_away_can_still_be_answered(slice_):
    slice_.birth()
    spell(slice_, 40, *DAMP)
    [alarm] = slice_.rows(Alarm, rule="humidity_high")
    adopt(slice_, ONLY_SMOKE)
    spell(slice_, 10, *DAMP)
    assert states(slice_, "humidity_high") == ["cleared_unacked"]
    assert [row.name for row in slice_.rows(Transition, alarm=alarm.id)][-1] == "withdrawn"
    slice_.order(commands.Shelve(alarm=alarm.id, by="林一", until=slice_.now + MINUTE, reason="明早再看"))
    slice_.start()
    slice_.run(61)
    assert states(slice_, "humidity_high") == ["normal"], "who shelved it had seen it"
    adopt(slice_, slice_.rules)
    spell(slice_, 40, *DAMP)
    assert states(slice_, "humidity_high") == ["normal", "active_unacked"]


def test_smoke_whose_sensor_was_taken_away_asks_on_and_wants_its_reset(slice_):
    slice_.birth()
    slice_.send(("smoke1/smoke", 1))
    [alarm] = slice_.rows(Alarm, rule="smoke")
    assign(slice_, None, quantity="smoke")
    assert states(slice_, "smoke") == ["latched_unacked"]
    assert [(step.reason, step.state) for step in slice_.rows(EscalationStep, alarm=alarm.id)] == [("raised", "pending")]
    assert slice_.order(commands.Acknowledge(alarm=alarm.id, by="林一")).state == "latched_acked"
    assert slice_.order(commands.Reset(alarm=alarm.id, by="林一")).state == "normal"


@pytest.mark.parametrize("restart", [False, True])
def test_a_clock_that_is_put_back_hides_neither_smoke_nor_silence_nor_a_delay_that_runs(slice_, restart):
    slice_.rules += "  - {name: fast, kind: rate, quantity: temperature, ladder: {urgent: {above: 4}}}\n"
    slice_.now += 3_600_000
    slice_.start()
    slice_.birth()
    spell(slice_, 30, ("th1/humidity", 50.0), ("th1/temperature", 20.0), ("smoke1/smoke", 0))
    slice_.send(("th1/humidity", 80.0))
    slice_.now -= 3_600_000
    if restart:
        slice_.start()
    slice_.run(1)
    slice_.send(("smoke1/smoke", 1), ("th1/humidity", 80.0))
    assert [(alarm.state, alarm.known_late) for alarm in slice_.rows(Alarm, rule="smoke")] == [("active_unacked", False)]
    for step in range(6):
        slice_.run(10)
        slice_.send(("th1/humidity", 80.0), ("th1/temperature", 20.0 + step))
    assert states(slice_, "humidity_high") == ["active_unacked"]
    assert states(slice_, "fast") == ["active_unacked"]
    assert states(slice_, "sensor_stale") == ["active_unacked"], "the detector has fallen silent"


@pytest.mark.parametrize("restart", [False, True])
def test_the_ledger_counts_the_time_after_a_clock_was_put_back_once_and_as_it_was(slice_, restart):
    hour, began = 3_600_000, slice_.now
    slice_.now += hour
    slice_.start()
    slice_.birth()
    spell(slice_, 40, ("th1/humidity", 50.0), ("th1/temperature", 20.0), ("smoke1/smoke", 0))
    slice_.run(120)
    slice_.order(commands.Report(room=slice_.ROOM, by="林一", note="看过"))
    slice_.now = began + 10_000
    if restart:
        slice_.start()
    slice_.run(40)
    spell(slice_, 40, ("th1/humidity", 50.0), ("th1/temperature", 20.0), ("smoke1/smoke", 0))
    slice_.run(120)
    spans = sorted(slice_.rows(CoverageSpan, room=slice_.ROOM), key=lambda span: span.since)
    assert [span.until for span in spans] == [*(span.since for span in spans[1:]), None]
    assert spans[-1].since <= slice_.now
    lived = [(span.state, span.until - span.since) for span in spans if span.until is not None]
    assert lived == [("manual", 51_000), ("watched", 63_000), ("manual", 61_000)], "nothing became fresh by it, what was watched is in it"
    assert all(report.until <= slice_.now + hour for report in slice_.rows(RoomReport))
    assert len(slice_.rows(AuditEntry, action="clock_put_back")) == 1


@pytest.mark.parametrize("restart", [False, True])
def test_when_the_clock_is_put_back_nobody_waits_to_be_called_until_it_is_there_again(slice_, restart):
    hour, minute = 3_600_000, MINUTE
    slice_.now += hour
    slice_.start()
    slice_.birth()
    slice_.send(("smoke1/smoke", 1))
    [first] = slice_.rows(EscalationStep)
    rows = {"state": "done"}, {"step": 1, "due": slice_.now + 2 * minute}, {"step": 2, "due": slice_.now + 5 * minute, "held": True}
    with slice_.db.write() as session:
        session.execute(update(EscalationStep).values(**rows[0]))
        session.add_all(EscalationStep(alarm=first.alarm, annunciation=first.annunciation, reason="raised", **row) for row in rows[1:])
        session.flush()
        call = {
            "alarm": first.alarm,
            "escalation_step": first.id,
            "step": 0,
            "reason": "raised",
            "channel": "sms",
            "number": "100001",
            "text": "烟感",
        }
        call["created_at"] = slice_.now
        session.add(Notification(phone="+8613900000001", state="queued", due=slice_.now + minute, **call))
        session.add(Notification(phone="+8613900000002", state="claimed", due=slice_.now, claimed_until=slice_.now + minute, **call))
    slice_.now -= hour
    if restart:
        slice_.start()
    slice_.run(1)
    put_back = slice_.now - 1_000
    assert [step.due - put_back for step in slice_.rows(EscalationStep)] == [hour, 2 * minute, hour + 5 * minute]
    assert [call.due - put_back for call in slice_.rows(Notification)] == [minute, hour]
    assert slice_.rows(Notification)[1].claimed_until - put_back == minute
    slice_.send(("smoke1/smoke", 1))
    slice_.start()
    slice_.run(1)
    assert slice_.rows(EscalationStep)[1].due - put_back == 2 * minute, "put back once, not again by each start"


def test_of_a_clock_that_is_ahead_the_last_reading_of_a_message_is_the_newest(slice_):
    slice_.birth()
    slice_.send(("smoke1/smoke", 0))
    slice_.run(10)
    ahead = [Sample(PointKey.of(GATEWAY, "smoke1/smoke"), slice_.now + 1_000 + n, float(n), Quality.GOOD) for n in range(2)]
    slice_.watch.offer(GatewayData(gateway=GATEWAY, received_at=slice_.now, samples=tuple(ahead), outbox=Outbox(77, 2, 3)))
    slice_.run()
    assert [(alarm.state, alarm.known_late) for alarm in slice_.rows(Alarm, rule="smoke")] == [("active_unacked", False)]


@pytest.mark.parametrize("stage", ["retired", "in_use"])
def test_what_went_out_of_service_with_its_room_is_back_in_another(slice_, stage):
    slice_.birth()
    spell(slice_, 40, *DAMP)
    slice_.order(commands.SetStage(room=slice_.ROOM, stage="retired", reason="腾空", by="林一", second="王二"))
    assert states(slice_, "humidity_high") == ["out_of_service"]
    with slice_.db.write() as session:
        session.execute(update(Room).where(Room.code == slice_.OTHER).values(stage=stage))
    slice_.order(Reload(by="x", rooms=(slice_.OTHER,)))
    assign(slice_, slice_.OTHER, quantity="humidity")
    assert states(slice_, "humidity_high") == ["active_unacked" if stage == "in_use" else "out_of_service"]
