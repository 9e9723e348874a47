"""Silence: the bound on telling it, through restarts and flapping links; silence after smoke; the server's own absence."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.store.tables import Alarm, CoverageSpan, EscalationStep, Transition
from server.watch import commands
from server.watch.inputs import GatewayDeath

LIMIT_S, HOLDOFF_S, BOUND_S = 30, 10, 2


def die(made):
    made.watch.offer(GatewayDeath(gateway=made.GATEWAY, at=made.now))


def lost(made):
    return made.rows(Alarm, rule="smoke_lost")


def told(made, alarm):
    return [(step.reason, step.state) for step in made.rows(EscalationStep, alarm=alarm)]


def advance(made, seconds):
    """Time passes in whole seconds; the gateway stays alive although its sensor is dead."""
    for _ in range(seconds):
        made.now += 1000
        made.send(("alive/temperature", 20.0))


HISTORY = st.lists(st.tuples(st.sampled_from(["run", "restart"]), st.integers(1, 25)), min_size=1, max_size=6)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HISTORY)
def test_silence_is_told_within_limit_and_two_seconds_through_restarts(slice_, history):
    """Time in which the server did not run does not count, and a restart gives at most the hold-off."""
    slice_.birth([("th1/humidity", slice_.ROOM), ("alive/temperature", slice_.ROOM)])
    slice_.now += 60_000
    slice_.send(("th1/humidity", 50.0), ("alive/temperature", 20.0))
    last = restarted = slice_.now
    before = {alarm.id for alarm in slice_.rows(Alarm, rule="sensor_stale")}
    absent = 0
    for what, seconds in [*history, ("run", LIMIT_S + HOLDOFF_S + BOUND_S)]:
        if what == "restart":
            slice_.now += seconds * 1000
            if seconds > BOUND_S:
                absent += seconds * 1000
            slice_.start()
            restarted = slice_.now
        else:
            advance(slice_, seconds)
        bound = max(last + LIMIT_S * 1000 + absent, restarted + HOLDOFF_S * 1000)
        stale = [alarm for alarm in slice_.rows(Alarm, rule="sensor_stale") if alarm.id not in before and alarm.quantity == "humidity"]
        if slice_.now > bound + BOUND_S * 1000:
            assert len(stale) == 1
            assert stale[0].closed_at is None
        elif slice_.now < last + LIMIT_S * 1000:
            assert stale == []
    slice_.now += 1000
    slice_.send(("th1/humidity", 50.0))
    for alarm in slice_.rows(Alarm, rule="sensor_stale"):
        if alarm.closed_at is None:
            slice_.order(commands.Acknowledge(alarm=alarm.id, by="林一"))


def test_a_restart_alone_raises_nothing_while_everybody_reports_again(slice_):
    slice_.birth()
    slice_.send(("th1/humidity", 50.0), ("th1/temperature", 20.0), ("smoke1/smoke", 0))
    slice_.run(5)
    slice_.now += 600_000
    slice_.start()
    slice_.run(9)
    slice_.send(("th1/humidity", 50.0), ("th1/temperature", 20.0), ("smoke1/smoke", 0))
    slice_.run(20)
    assert slice_.rows(Alarm) == []


def test_a_link_that_flaps_flaps_neither_the_alarms_of_its_points_nor_its_own(slice_):
    slice_.birth([("th1/humidity", slice_.ROOM), ("th1/temperature", slice_.ROOM)])
    for _ in range(5):
        slice_.send(("th1/temperature", 20.0))
        slice_.run(8)
    assert [a.quantity for a in slice_.rows(Alarm)] == ["humidity"]
    for _ in range(6):
        die(slice_)
        slice_.run(8)
        slice_.birth([("th1/humidity", slice_.ROOM), ("th1/temperature", slice_.ROOM)])
        slice_.send(("th1/temperature", 20.0))
        slice_.run(8)
    asked = [(row.alarm, row.name) for row in slice_.rows(Transition) if row.id in slice_.asked()]
    stale, offline = (slice_.rows(Alarm, rule=rule)[0] for rule in ("sensor_stale", "gateway_offline"))
    assert [name for ident, name in asked if ident == stale.id] == ["raised"]
    assert len([name for ident, name in asked if ident == offline.id]) <= 3
    assert offline.state == "active_unacked"  # it flaps: it stands until the link has held
    for _ in range(61):
        slice_.run(5)
        slice_.send(("th1/temperature", 20.0))
    assert slice_.rows(Alarm, rule="gateway_offline")[0].state == "cleared_unacked"
    assert stale.id in {a.id for a in slice_.rows(Alarm, state="active_unacked")}


@pytest.mark.parametrize("way", ["gateway", "point", "flicker"])
def test_smoke_then_silence_is_critical_at_once_and_one_level_higher_is_told(slice_, way):
    slice_.birth([("smoke1/smoke", slice_.ROOM), ("th1/humidity", slice_.ROOM)])
    slice_.send(("smoke1/smoke", 1), ("th1/humidity", 50.0))
    if way == "flicker":
        slice_.run(5)
        slice_.send(("smoke1/smoke", 0))
        slice_.run(20)
    slice_.run(1)
    assert lost(slice_) == []
    if way == "point":
        for _ in range(4):
            slice_.run(8)
            slice_.send(("th1/humidity", 50.0))
    else:
        die(slice_)
        slice_.run()
    [alarm] = lost(slice_)
    assert (alarm.level, alarm.state, alarm.room, alarm.group_alarm, alarm.kind) == ("critical", "active_unacked", slice_.ROOM, None, "lost")
    assert told(slice_, alarm.id) == [("raised", "pending"), ("assist", "pending")]
    slice_.start()
    slice_.run(2)
    assert lost(slice_)[0].state == "active_unacked"
    slice_.birth([("smoke1/smoke", slice_.ROOM), ("th1/humidity", slice_.ROOM)])
    for _ in range(7):
        slice_.send(("smoke1/smoke", 0))
        slice_.run(9)
    assert lost(slice_)[0].state == "latched_unacked"


def test_a_link_that_flaps_after_smoke_is_one_silence_told_once(slice_):
    slice_.birth([("smoke1/smoke", slice_.ROOM)])
    slice_.send(("smoke1/smoke", 1))
    slice_.run(1)
    for _ in range(4):
        die(slice_)
        slice_.run(6)
        slice_.birth([("smoke1/smoke", slice_.ROOM)])
        slice_.send(("smoke1/smoke", 1))
        slice_.run(6)
    [alarm] = lost(slice_)
    assert [row.name for row in slice_.rows(Transition, alarm=alarm.id) if row.id in slice_.asked()] == ["raised"]
    assert alarm.state == "active_unacked", "it stands until the link has held for a minute"
    for _ in range(7):
        slice_.run(9)
        slice_.send(("smoke1/smoke", 1))
    slice_.run(1)
    assert lost(slice_)[0].state == "latched_unacked"


def test_smoke_long_ago_and_silence_without_smoke_are_ordinary(slice_):
    slice_.birth([("smoke1/smoke", slice_.ROOM)])
    slice_.send(("smoke1/smoke", 1))
    slice_.run(1)
    slice_.send(("smoke1/smoke", 0))
    for _ in range(62):
        slice_.now += 10_000
        slice_.send(("smoke1/smoke", 0))
    die(slice_)
    slice_.run(1)
    assert lost(slice_) == []


# -- the ledger -----------------------------------------------------------------------------------------------------------------------------


def spans(made, room=None):
    rows = made.rows(CoverageSpan, room=room or made.ROOM)
    return [(s.state, s.cause, s.since - made.T0, None if s.until is None else s.until - made.T0) for s in rows if s.since >= made.T0]


def both(made):
    made.send(("th1/humidity", 50.0), ("th1/temperature", 20.0))


def start(made):
    made.birth([("th1/humidity", made.ROOM), ("th1/temperature", made.ROOM)])
    both(made)


def test_the_servers_absence_is_blind_with_cause_server_to_the_second(slice_):
    start(slice_)
    slice_.run(12)
    slice_.now += 100_000
    slice_.start()
    slice_.run(3)
    both(slice_)
    slice_.run(1)
    assert spans(slice_) == [("watched", "", 0, 12_000), ("blind", "server", 12_000, 115_000), ("watched", "", 115_000, None)]


def test_a_short_restart_leaves_no_trace_and_a_gap_during_it_begins_at_the_deadline(slice_):
    start(slice_)
    slice_.run(29)
    slice_.now += 2_000
    slice_.start()
    slice_.run(1)
    assert spans(slice_)[:2] == [("watched", "", 0, 30_000), ("blind", "sensor", 30_000, None)]


def test_late_data_never_make_the_past_watched(slice_):
    start(slice_)
    slice_.run(90)
    both(slice_)
    told_before = spans(slice_)
    for ago in range(80, 10, -10):
        slice_.send(("th1/humidity", 50.0), ("th1/temperature", 20.0), ago=ago, historical=True)
    assert spans(slice_) == told_before == [("watched", "", 0, 30_000), ("blind", "sensor", 30_000, 90_000), ("watched", "", 90_000, None)]


def test_a_dead_gateway_a_bus_and_a_sensor_are_told_apart(slice_):
    slice_.birth([("a/humidity", slice_.ROOM), ("b/temperature", slice_.ROOM), ("c/smoke", slice_.OTHER), ("c/humidity", slice_.OTHER)])
    slice_.send(("a/humidity", 50.0), ("b/temperature", 20.0), ("c/humidity", 50.0))
    for _ in range(4):
        slice_.run(9)
        slice_.send(("c/humidity", 50.0))
    assert spans(slice_)[-1][:2] == ("blind", "bus")
    for _ in range(12):
        slice_.now += 9_000
        slice_.send(("c/humidity", 50.0))
    slice_.run(40)
    assert slice_.rows(CoverageSpan, room=slice_.OTHER)[-1].cause == "sensor"
    die(slice_)
    slice_.run(1)
    assert spans(slice_)[-1][:2] == ("blind", "gateway")


def test_planned_work_is_blind_by_plan_and_ends_by_itself(slice_):
    start(slice_)
    slice_.run(40)
    slice_.order(commands.Maintenance(room=slice_.ROOM, until=slice_.now + 20_000, reason="换探头", person="林一", by="林一"))
    slice_.run(30)
    assert [(s[0], s[1], s[2]) for s in spans(slice_)[1:]] == [("blind", "sensor", 30_000), ("blind", "planned", 40_000), ("blind", "sensor", 60_000)]


def test_a_persons_report_makes_a_blind_room_manual_for_an_hour_and_survives_a_restart(slice_):
    start(slice_)
    slice_.run(40)
    assert slice_.order(commands.Report(room=slice_.ROOM, by="林一", note="库内正常")).state == "manual"
    slice_.run(5)
    slice_.now += 600_000
    slice_.start()
    slice_.run(1)
    assert spans(slice_)[-1][:3] == ("manual", "server", 45_000)
    slice_.now = slice_.T0 + 40_000 + 3_600_000
    slice_.run(1)
    assert spans(slice_)[-1][0] == "blind"
    assert spans(slice_)[-1][2] == 3_640_000


def test_progress_on_site_is_a_report_too(slice_):
    slice_.birth()
    slice_.send(("smoke1/smoke", 1))
    [alarm] = slice_.rows(Alarm)
    slice_.order(commands.Acknowledge(alarm=alarm.id, by="林一"))
    slice_.order(commands.Progress(alarm=alarm.id, by="林一", note="到场"))
    assert spans(slice_)[-1][0] == "manual"


def test_a_room_that_stays_blind_becomes_an_alarm_of_its_own_and_clears_with_data(slice_):
    slice_.settings = slice_.settings.model_copy(update={"room_blind_s": 60, "room_blind_urgent_s": 120})
    slice_.start()
    start(slice_)
    slice_.run(85)
    assert slice_.rows(Alarm, rule="room_blind") == []
    slice_.run(6)
    [alarm] = slice_.rows(Alarm, rule="room_blind")
    assert (alarm.raised_at - slice_.T0, alarm.level, alarm.room) == (90_000, "alarm", slice_.ROOM)
    slice_.start()
    slice_.run(60)
    assert slice_.rows(Alarm, rule="room_blind")[0].level == "urgent"
    both(slice_)
    assert slice_.rows(Alarm, rule="room_blind")[0].state == "cleared_unacked"


def test_stages_decide_what_is_expected_and_counted_and_are_audited(slice_):
    start(slice_)
    slice_.run(40)
    refused = slice_.order(commands.SetStage(room=slice_.ROOM, stage="retired", by="林一", reason=""))
    assert refused.code == "not_allowed"
    assert slice_.order(commands.SetStage(room=slice_.ROOM, stage="trial", by="林一", reason="复验")).ok
    [*_, span] = slice_.rows(CoverageSpan, room=slice_.ROOM)
    assert (span.counted, span.state, span.since - slice_.T0) == (False, "blind", 40_000)
    assert slice_.order(commands.SetStage(room=slice_.ROOM, stage="retired", by="林一", reason="搬迁")).ok
    assert slice_.rows(CoverageSpan, room=slice_.ROOM)[-1].until == slice_.now
    assert {a.state for a in slice_.rows(Alarm)} == {"out_of_service"}
    slice_.run(1)
    slice_.send(("th1/humidity", 95.0))
    slice_.start()
    slice_.run(60)
    assert slice_.rows(Alarm, rule="humidity_high") == []
    assert slice_.order(commands.SetStage(room=slice_.ROOM, stage="in_use", by="林一", reason="启用")).ok
    slice_.run(1)
    both(slice_)
    assert slice_.rows(CoverageSpan, room=slice_.ROOM)[-1].state == "watched"
    assert "out_of_service" not in {a.state for a in slice_.rows(Alarm)}


# -- the late lane --------------------------------------------------------------------------------------------------------------------------


def test_a_late_event_that_goes_on_after_its_record_was_closed_opens_no_second_one(slice_):
    slice_.birth([("th1/humidity", slice_.ROOM)])
    slice_.now += 200_000
    slice_.run()
    slice_.send(("th1/humidity", 50.0))
    for ago in range(190, 140, -10):
        slice_.send(("th1/humidity", 63.0), ago=ago, historical=True)
    slice_.run(61)
    [record] = slice_.rows(Alarm, rule="humidity_high")
    assert (record.known_late, record.level, record.state) == (True, "warn", "normal")
    for ago in range(201, 141, -10):
        slice_.send(("th1/humidity", 80.0), ago=ago, historical=True)
    [record] = slice_.rows(Alarm, rule="humidity_high")
    assert (record.level, record.limit) == ("urgent", 75.0), "the worst of it is what the list shows"
    assert [row.name for row in slice_.rows(Transition, alarm=record.id)].count("known_late") >= 2


def test_the_late_lane_goes_on_where_it_stood_before_a_restart(slice_):
    slice_.birth([("th1/humidity", slice_.ROOM)])
    slice_.now += 200_000
    slice_.run()
    slice_.send(("th1/humidity", 50.0))
    for ago in (190, 180):
        slice_.send(("th1/humidity", 63.0), ago=ago, historical=True)
    slice_.start()
    for ago in (170, 160):
        slice_.send(("th1/humidity", 63.0), ago=ago, historical=True)
    raised = slice_.now - 160_000
    slice_.start()
    slice_.run(61)
    [record] = slice_.rows(Alarm, rule="humidity_high")
    assert record.raised_at == raised


def test_late_smoke_is_urgent_and_becomes_critical_with_its_true_start_if_it_still_burns(slice_):
    slice_.birth([("smoke1/smoke", slice_.ROOM)])
    slice_.run(60)
    for ago in (40, 25, 10):
        slice_.send(("smoke1/smoke", 1), ago=ago, historical=True)
    [record] = slice_.rows(Alarm, rule="smoke")
    assert (record.known_late, record.level, record.state) == (True, "urgent", "latched_unacked")
    slice_.send(("smoke1/smoke", 1))
    [alarm] = slice_.rows(Alarm, rule="smoke")
    assert (alarm.known_late, alarm.level, alarm.state, alarm.raised_at - slice_.T0) == (False, "critical", "active_unacked", 20_000)
