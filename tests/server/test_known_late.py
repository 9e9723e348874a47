"""补记 with real back-fill: the edge's own spool and uplink, Sparkplug bytes, the server's ingest and watch, one clock that the test moves.

The line is cut, things happen in the room, the line comes back. Nothing of what is sent late is said by hand.
"""

import pytest
from sqlalchemy import select

from server.store.tables import Alarm, EscalationStep, Transition
from server.store.tables_watch import LateMemory
from server.watch import commands
from tests.server.station import Station


@pytest.fixture
def station(slice_, tmp_path):
    made = Station.on_line(slice_, tmp_path / "edge")
    yield made
    made.spool.close()


def alarms(station, rule):
    return station.made.rows(Alarm, rule=rule)


def judged_late(station):
    """Whether late samples have led to something that waits to be listed."""
    with station.made.db.read() as session:
        return any("worst" in row.body for row in session.scalars(select(LateMemory)))


def told(station, alarm):
    return [step.reason for step in station.made.rows(EscalationStep, alarm=alarm.id)]


def settled(station):
    station.live(60)
    assert station.owed() <= 3, "everything owed has been sent and acknowledged"


def test_smoke_that_was_over_before_the_line_came_back_is_urgent_go_and_look(station):
    station.cut()
    station.live(60)
    station.smoke, began = 1, station.made.now + 1000
    station.live(30)
    station.smoke = 0
    station.live(60)
    assert alarms(station, "smoke") == []
    station.back()
    settled(station)
    [record] = alarms(station, "smoke")
    assert (record.known_late, record.level, record.state, record.raised_at) == (True, "urgent", "latched_unacked", began)
    assert "raised" in told(station, record)
    [asked] = [row for row in station.made.rows(Transition, alarm=record.id) if row.id in station.made.asked()]
    assert asked.name == "known_late"
    assert station.made.order(commands.Acknowledge(alarm=record.id, by="林一")).ok
    assert station.made.order(commands.Reset(alarm=record.id, by="林一")).ok
    station.live(30)
    assert [row.state for row in alarms(station, "smoke")] == ["normal"], "samples of what is over open nothing anew"


def test_smoke_that_still_holds_when_the_line_comes_back_is_one_critical_alarm_since_its_true_start(station):
    station.cut()
    station.live(60)
    station.smoke, began = 1, station.made.now + 1000
    station.live(60)
    station.back()
    settled(station)
    [alarm] = alarms(station, "smoke")
    assert (alarm.known_late, alarm.level, alarm.state, alarm.raised_at) == (False, "critical", "active_unacked", began)
    assert told(station, alarm).count("raised") >= 1


def test_climate_found_late_is_listed_and_never_sounded(station):
    """It is a record from the first: nobody is called, and nobody need answer."""
    station.cut()
    station.humidity = 70.0
    station.live(120)
    station.humidity = 50.0
    station.live(60)
    over = station.made.now
    station.back()
    settled(station)
    [record] = alarms(station, "humidity_high")
    assert (record.known_late, record.state, record.level, record.open_key) == (True, "normal", "alarm", None)
    assert record.closed_at > record.cleared_at > record.raised_at
    assert record.cleared_at <= over
    assert told(station, record) == []
    [found] = station.made.rows(Transition, alarm=record.id)
    assert (found.name, found.limit, found.rule_set != "") == ("known_late", 65.0, True), "explained by the limits of then"
    assert found.id not in station.made.asked()
    assert not station.made.order(commands.Acknowledge(alarm=record.id, by="林一")).ok, "there is nothing to take over"


@pytest.mark.parametrize(("holds", "restart"), [(False, True), (True, False), (True, True)])
def test_one_event_of_the_climate_is_one_record_or_one_live_alarm(station, holds, restart):
    """The server may restart in the middle of the back-fill. What still holds is the live alarm's and no record beside it."""
    station.cut()
    station.humidity, began = 70.0, station.made.now
    station.live(240)
    station.humidity = 70.0 if holds else 50.0
    station.back()
    while not judged_late(station):
        station.live(1)
    assert station.owed() > 10, "the back-fill goes on"
    station.live(60, restart_at=0 if restart else None)
    assert station.owed() <= 3, "everything owed has been sent and acknowledged"
    station.live(70)
    [alarm] = alarms(station, "humidity_high")
    assert (alarm.known_late, alarm.state) == ((False, "active_unacked") if holds else (True, "normal"))
    assert 0 < alarm.raised_at - began <= 45_000


def test_a_breach_that_the_late_data_end_in_is_listed_after_a_minute(slice_):
    """Its end is not in them, and the live samples do not go on with it; another live alarm of the same rule takes nothing from it."""
    slice_.birth([("th1/humidity", slice_.ROOM)])
    slice_.now += 400_000
    slice_.run()
    slice_.send(("th1/humidity", 50.0))
    for ago in range(390, 330, -10):
        slice_.send(("th1/humidity", 80.0), ago=ago, historical=True)
    for _ in range(5):
        slice_.run(10)
        slice_.send(("th1/humidity", 70.0))
    assert [(alarm.known_late, alarm.state) for alarm in slice_.rows(Alarm, rule="humidity_high")] == [(False, "active_unacked")]
    slice_.run(20)
    live, record = slice_.rows(Alarm, rule="humidity_high")
    assert (live.known_late, live.state) == (False, "active_unacked")
    assert (record.known_late, record.state, record.level) == (True, "normal", "urgent")


FORCED = """
  - name: door_forced
    kind: forced
    ladder: {urgent: {equals: 1, on_delay: 2s}}
    latch: true
"""


@pytest.fixture
def guarded(slice_):
    """A room with a door, a card reader and a smoke detector, heard for a minute."""
    slice_.rules += FORCED
    slice_.start()
    slice_.birth([("door1/door", slice_.ROOM), ("reader1/grant", slice_.ROOM), ("smoke1/smoke", slice_.ROOM), ("th1/humidity", slice_.ROOM)])
    slice_.run(60)
    slice_.send(("door1/door", 0), ("reader1/grant", 0), ("smoke1/smoke", 0), ("th1/humidity", 50.0))
    return slice_


def test_a_forced_door_is_found_in_late_samples_of_two_devices(guarded):
    """Room rules are judged late as well: door and reader are two points."""
    for ago, opened in ((55, 0), (50, 1), (45, 1), (40, 0)):
        guarded.send(("reader1/grant", 0), ("door1/door", opened), ago=ago, historical=True)
    [record] = guarded.rows(Alarm, rule="door_forced")
    assert (record.subject, record.known_late, record.state, record.level) == (f"room:{guarded.ROOM}", True, "latched_unacked", "urgent")
    assert record.raised_at == guarded.now - 45_000
    assert [step.reason for step in guarded.rows(EscalationStep, alarm=record.id)] == ["raised"]


def test_a_record_leaves_what_the_live_machine_knows_alone(guarded):
    """A suppression by design stays on, nobody is told, and the alarm tells its story when the maintenance ends."""
    order = commands.Maintenance(room=guarded.ROOM, until=guarded.now + 60_000, reason="换门锁", person="林一", by="林一")
    assert guarded.order(order).ok
    for ago, opened in ((55, 0), (50, 1), (45, 1)):
        guarded.send(("reader1/grant", 0), ("door1/door", opened), ago=ago, historical=True)
    [record] = guarded.rows(Alarm, rule="door_forced")
    assert (record.known_late, record.state) == (True, "suppressed")
    assert guarded.rows(EscalationStep, alarm=record.id) == []
    guarded.run(61)
    [record] = guarded.rows(Alarm, rule="door_forced")
    assert record.state == "latched_unacked"
    assert [step.reason for step in guarded.rows(EscalationStep, alarm=record.id)] == ["raised"]


def test_a_record_does_not_stop_a_delay_that_runs(guarded):
    """The live breach began before late samples told of another: its delay of 30 s goes on, and the alarm is due when it would have been."""
    guarded.run(1)
    guarded.send(("th1/humidity", 61.0))
    began = guarded.now
    guarded.run(1)
    for ago in (100, 80, 60):
        guarded.send(("th1/humidity", 61.0), ago=ago, historical=True)
    for _ in range(3):
        guarded.run(10)
        guarded.send(("th1/humidity", 61.0))
    [alarm] = guarded.rows(Alarm, rule="humidity_high")
    assert (alarm.known_late, alarm.state) == (False, "active_unacked")
    with_name = {row.name: row.at for row in guarded.rows(Transition, alarm=alarm.id)}
    assert with_name["raised"] == began + 30_000


def test_a_room_that_comes_into_use_is_judged_as_a_whole_from_then_on(guarded):
    """Rules about the room follow its stage without a restart, in both directions."""
    for stage, known in (("not_connected", 0), ("in_use", 1)):
        assert guarded.order(commands.SetStage(room=guarded.ROOM, stage=stage, by="林一", second="陈二", reason="搬迁")).ok
        guarded.send(("reader1/grant", 0), ("door1/door", 0))
        guarded.run(5)
        guarded.send(("door1/door", 1))
        guarded.run(5)
        assert len(guarded.rows(Alarm, rule="door_forced")) == known
