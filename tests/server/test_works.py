"""维护 of a room: at once or announced. It begins and ends by time alone, smoke stays heard unless two people said otherwise."""

import pytest

from server.store import audit
from server.store.tables import Alarm, AuditEntry, CoverageSpan
from server.store.tables_watch import Work
from server.watch import commands
from server.watch.works import AHEAD_MS, LONGEST_MS

MINUTE = 60_000
TWO = """
  - {name: heat, kind: threshold, quantity: temperature, ladder: {critical: {above: 50}}, two_persons: true}
"""


def plan(slice_, after_s=60, last_s=60, **changes):
    since = slice_.now + after_s * 1000
    values = {"room": slice_.ROOM, "since": since, "until": since + last_s * 1000, "reason": "消杀", "person": "王工", "by": "林一"} | changes
    return slice_.order(commands.PlanWork(**values))


def works(slice_):
    return [(row.state, row.ended_by) for row in slice_.rows(Work)]


def states(slice_):
    return {alarm.rule: alarm.state for alarm in slice_.rows(Alarm) if alarm.rule in ("humidity_high", "smoke", "heat")}


def spell(slice_, seconds, *readings):
    """Readings each ten seconds for so long, the last one at its end."""
    for _ in range(seconds // 10):
        slice_.run(10)
        slice_.send(*readings)


DAMP = (("th1/humidity", 80.0), ("th1/temperature", 20.0), ("smoke1/smoke", 0))
FIRE = (("th1/humidity", 80.0), ("th1/temperature", 60.0), ("smoke1/smoke", 1))


def test_it_ends_also_when_a_message_comes_between_its_end_and_the_tick(slice_):
    slice_.birth()
    slice_.order(commands.Maintenance(room=slice_.ROOM, until=slice_.now + MINUTE, reason="消杀", person="王工", by="林一"))
    spell(slice_, 60 - 10, *DAMP)
    slice_.now += 10_100  # its end is passed by a message, not by a tick
    slice_.send(*DAMP)
    spell(slice_, 20, *DAMP)
    assert states(slice_) == {"humidity_high": "active_unacked"}


def test_announced_work_begins_and_ends_by_itself_and_smoke_stays_heard(slice_):
    slice_.birth()
    assert plan(slice_).state == "planned"
    slice_.send(*DAMP)
    spell(slice_, 50, *DAMP)
    assert states(slice_) == {"humidity_high": "active_unacked"}, "before it begins nothing is paused"
    slice_.now += 10_100  # also its beginning may be passed by a message
    slice_.send(*FIRE)
    assert (states(slice_), works(slice_)) == ({"humidity_high": "suppressed", "smoke": "active_unacked"}, [("running", "")])
    spell(slice_, 70, *FIRE)
    assert states(slice_) == {"humidity_high": "active_unacked", "smoke": "active_unacked"}
    assert works(slice_) == [("over", "")]


def test_smoke_and_fast_heat_are_paused_by_two_people_only_and_not_longer_than_they_said(slice_):
    slice_.rules = slice_.rules.replace("latch: true", "latch: true\n    two_persons: true") + TWO
    slice_.start()
    slice_.birth()
    assert plan(slice_, second="林一").code == "not_allowed"
    assert plan(slice_, second="陈二").ok
    slice_.run(60)
    slice_.send(*FIRE)
    assert states(slice_) == {"smoke": "suppressed", "heat": "suppressed"}
    longer = commands.Maintenance(room=slice_.ROOM, until=slice_.now + 10 * MINUTE, reason="还没完", person="王工", by="林一")
    assert slice_.order(longer).ok
    assert states(slice_) == {"smoke": "active_unacked", "heat": "active_unacked"}, "one of them alone cannot prolong it"
    assert slice_.order(commands.Maintenance(**{**vars_of(longer), "second": "陈二"})).ok
    assert states(slice_) == {"smoke": "suppressed", "heat": "suppressed"}
    slice_.start()  # and a restart forgets neither that nor its end
    assert states(slice_) == {"smoke": "suppressed", "heat": "suppressed"}
    spell(slice_, 610, *FIRE)
    assert states(slice_) == {"smoke": "active_unacked", "heat": "active_unacked", "humidity_high": "active_unacked"}


def vars_of(command):
    return {name: getattr(command, name) for name in ("room", "until", "reason", "person", "by")}


def test_the_ledger_says_planned_to_the_millisecond_of_the_plan(slice_):
    slice_.birth([("th1/humidity", slice_.ROOM), ("th1/temperature", slice_.ROOM)])
    slice_.send(*DAMP[:2])
    assert plan(slice_, 50.1, 20).ok
    slice_.run(90)
    spans = [(row.state, row.cause, row.since - slice_.T0) for row in slice_.rows(CoverageSpan, room=slice_.ROOM)]
    assert spans[-3:] == [("blind", "sensor", 30_000), ("blind", "planned", 50_100), ("blind", "sensor", 70_100)]


def test_a_restart_before_during_and_after_loses_no_plan(slice_):
    slice_.birth()
    for after, last in ((60, 60), (300, 30), (600, 60)):
        assert plan(slice_, after, last).ok
    slice_.start()
    slice_.run(61)
    assert works(slice_) == [("running", ""), ("planned", ""), ("planned", "")]
    slice_.start()
    slice_.run(60)
    slice_.now += 260_000  # the server was away during all of the second one
    slice_.start()
    slice_.run(0)
    assert works(slice_) == [("over", ""), ("missed", ""), ("planned", "")]
    slice_.run(220)
    assert works(slice_)[2] == ("running", "")


def test_what_is_refused_says_why(slice_):
    slice_.birth()
    assert plan(slice_).ok
    refused = [
        plan(slice_, room="nowhere"), plan(slice_, reason=" "), plan(slice_, since=slice_.now), plan(slice_, 0, 0),
        plan(slice_, last_s=LONGEST_MS // 1000 + 1), plan(slice_, AHEAD_MS // 1000 + 1), plan(slice_, 90),
    ]  # fmt: skip
    assert [outcome.code for outcome in refused] == ["not_found", *["not_allowed"] * 5, "conflict"]
    assert all(outcome.sentence for outcome in refused)
    for_ever = commands.Maintenance(room=slice_.ROOM, until=slice_.now + 10 * LONGEST_MS, reason="x", person="x", by="林一")
    assert slice_.order(for_ever).code == "not_allowed", "a pause without an end would be a room that nobody watches"


@pytest.mark.parametrize("running", [False, True])
def test_a_plan_is_cancelled_once_and_everything_is_on_the_record(slice_, running):
    slice_.birth()
    assert plan(slice_).ok
    if running:
        slice_.run(61)
    cancel = commands.CancelWork(room=slice_.ROOM, work=1, by="陈二")
    assert slice_.order(commands.CancelWork(room=slice_.OTHER, work=1, by="陈二")).code == "not_found"
    assert slice_.order(cancel).ok
    assert slice_.order(cancel).code == "conflict"
    assert works(slice_) == [("over" if running else "cancelled", "陈二")]
    slice_.send(*DAMP)
    spell(slice_, 70, *DAMP)
    assert states(slice_) == {"humidity_high": "active_unacked"}
    with slice_.db.read() as session:
        assert [row.action for row in session.query(AuditEntry)] == ["maintenance.plan", "maintenance.cancel"]
        assert audit.verify(session) is None
