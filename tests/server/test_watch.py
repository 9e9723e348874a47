import pytest
from sqlalchemy import func, select

from contract.batch import Outbox, read_command
from contract.sample import Quality
from contract.sparkplug import decode
from server.ingest.downlink import Downlink
from server.live.facts import AlarmFact, ReadingFact
from server.store import audit, journal
from server.store import steps as intervals
from server.store.steps import Stretch
from server.store.tables import Alarm, CoverageSpan, EscalationStep, Gateway, GatewayCommand, Journal, Point, Transition
from server.watch import commands
from server.watch.inputs import GatewayDeath, Receipt


def steps(made, **wanted):
    return [(step.reason, step.state) for step in made.rows(EscalationStep, **wanted)]


def names(made):
    return [row.name for row in made.rows(Transition)]


def test_a_birth_declares_points_inside_the_gateways_unit_only(slice_):
    assert slice_.birth([("th1/humidity", slice_.ROOM), ("th2/humidity", "350200000000-01"), ("x/humidity", "")]) == Receipt(77, 0)
    assert [(p.device, p.room, p.interval_ms) for p in slice_.rows(Point)] == [
        ("th1", slice_.ROOM, 10_000),
        ("th2", None, 10_000),
        ("x", None, 10_000),
    ]


def test_an_unclaimed_gateway_is_listed_and_never_acknowledged(slice_):
    assert slice_.birth(gateway="GW-STRANGER") == Receipt(claimed=False)
    with slice_.db.read() as session:
        assert session.get(Gateway, "GW-STRANGER").unit is None
    assert slice_.rows(Point) == []


def test_a_batch_is_journaled_acknowledged_and_a_repeat_is_not_stored_again(slice_):
    slice_.birth()
    assert slice_.send(("th1/humidity", 55.0), ("th1/temperature", 20.0)) == Receipt(77, 2)
    slice_.sequence = 0
    assert slice_.send(("th1/humidity", 55.0), ("th1/temperature", 20.0)) == Receipt(77, 2)
    with slice_.db.read() as session:
        assert session.scalar(select(func.sum(Journal.count))) == 2


def test_a_live_batch_behind_a_backlog_does_not_move_the_watermark(slice_):
    slice_.birth()
    slice_.sequence = 10
    assert slice_.send(("th1/humidity", 55.0)) == Receipt(77, 0)
    slice_.sequence = 0
    assert slice_.send(*[("th1/humidity", 50.0)] * 10, ago=60, historical=True) == Receipt(77, 11)


def test_smoke_raises_at_once_with_one_escalation_and_one_number(slice_):
    slice_.birth()
    slice_.send(("smoke1/smoke", 1))
    [alarm] = slice_.rows(Alarm)
    assert (alarm.state, alarm.level, alarm.room, alarm.raised_at, len(alarm.number)) == ("active_unacked", "critical", slice_.ROOM, slice_.T0, 6)
    assert steps(slice_) == [("raised", "pending")]
    [fact] = [f for f in slice_.facts if isinstance(f, AlarmFact)]
    assert fact.annunciate


def test_humidity_climbs_the_ladder_by_timers_and_asks_anew_at_each_level(slice_):
    slice_.birth([("th1/humidity", slice_.ROOM)])
    for _ in range(5):
        slice_.send(("th1/humidity", 70.0))
        slice_.run(10)
    [alarm] = slice_.rows(Alarm)
    assert (alarm.level, alarm.raised_at - slice_.T0) == ("alarm", 20_000)
    slice_.order(commands.Acknowledge(alarm=alarm.id, by="林一", note="已开除湿机"))
    for _ in range(3):
        slice_.send(("th1/humidity", 80.0))
        slice_.run(10)
    [alarm] = slice_.rows(Alarm)
    assert (alarm.state, alarm.level) == ("active_unacked", "urgent")
    assert names(slice_) == ["raised", "acknowledged", "escalated"]


def test_a_timer_fires_between_samples_but_not_on_stale_data(slice_):
    slice_.birth()
    slice_.send(("th1/humidity", 62.0))
    slice_.run(29.75)
    assert slice_.rows(Alarm) == []
    slice_.run(40)
    humidity = [alarm for alarm in slice_.rows(Alarm) if alarm.rule == "humidity_high"]
    assert [alarm.raised_at - slice_.T0 for alarm in humidity] == [30_000]


def test_acknowledge_stops_the_escalation_and_undo_gives_it_back(slice_):
    slice_.birth()
    slice_.send(("smoke1/smoke", 1))
    [alarm] = slice_.rows(Alarm)
    outcome = slice_.order(commands.Acknowledge(alarm=alarm.id, by="林一", note="已到场查看", via="page"))
    assert (outcome.ok, outcome.state) == (True, "active_acked")
    assert steps(slice_) == [("raised", "cancelled"), ("taken", "pending")]
    assert slice_.order(commands.Unacknowledge(alarm=alarm.id, by="别人")).code == "not_allowed"
    slice_.run(5)
    assert slice_.order(commands.Unacknowledge(alarm=alarm.id, by="林一")).ok
    assert steps(slice_) == [("raised", "pending"), ("taken", "cancelled")]
    slice_.order(commands.Acknowledge(alarm=alarm.id, by="林一"))
    slice_.run(11)
    late = slice_.order(commands.Unacknowledge(alarm=alarm.id, by="林一"))
    assert (late.code, "10 秒" in late.sentence) == ("not_allowed", True)


def test_a_latched_alarm_needs_reset_after_acknowledgement(slice_):
    slice_.birth()
    slice_.send(("smoke1/smoke", 1))
    slice_.run(5)
    slice_.send(("smoke1/smoke", 0))
    [alarm] = slice_.rows(Alarm)
    assert alarm.state == "latched_unacked"
    assert slice_.order(commands.Reset(alarm=alarm.id, by="林一")).code == "not_allowed"
    slice_.order(commands.Acknowledge(alarm=alarm.id, by="林一"))
    assert slice_.order(commands.Reset(alarm=alarm.id, by="林一")).ok
    [alarm] = slice_.rows(Alarm)
    assert (alarm.state, alarm.open_key, alarm.closed_at) == ("normal", None, slice_.now)
    slice_.run(1)
    slice_.send(("smoke1/smoke", 1))
    assert [a.state for a in slice_.rows(Alarm)] == ["normal", "active_unacked"]


def test_shelving_is_silent_and_ends_by_itself_even_after_a_restart(slice_):
    slice_.birth([("th1/humidity", slice_.ROOM)])
    slice_.send(("th1/humidity", 62.0))
    for _ in range(3):
        slice_.run(10)
        slice_.send(("th1/humidity", 62.0))
    [alarm] = slice_.rows(Alarm)
    assert slice_.order(commands.Shelve(alarm=alarm.id, by="林一", until=slice_.now + 60_000, reason="")).code == "not_allowed"
    assert slice_.order(commands.Shelve(alarm=alarm.id, by="林一", until=slice_.now + 60_000, reason="除尘")).state == "shelved"
    assert steps(slice_, alarm=alarm.id) == [("raised", "cancelled")]
    slice_.start()
    slice_.run(59)
    assert slice_.rows(Alarm, id=alarm.id)[0].state == "shelved"
    slice_.run(2)
    assert slice_.rows(Alarm, id=alarm.id)[0].state == "active_unacked"
    assert steps(slice_, alarm=alarm.id) == [("raised", "cancelled"), ("raised", "pending")]


def test_nothing_is_forgotten_over_a_restart(slice_):
    slice_.birth()
    slice_.send(("th1/humidity", 62.0))
    slice_.run(15)
    slice_.send(("th1/humidity", 62.0))
    slice_.facts.clear()
    slice_.start()
    readings = [fact for fact in slice_.facts if isinstance(fact, ReadingFact)]
    assert [(fact.value, fact.taken_at - slice_.T0) for fact in readings] == [(62.0, 15_000)]
    slice_.run(15.5)
    assert [alarm.raised_at - slice_.T0 for alarm in slice_.rows(Alarm, rule="humidity_high")] == [30_000]


def test_a_silent_point_is_said_at_its_deadline_and_clears_with_its_next_sample(slice_):
    slice_.birth([("th1/humidity", slice_.ROOM), ("th1/temperature", slice_.ROOM)])
    slice_.send(("th1/humidity", 55.0), ("th1/temperature", 20.0))
    for _ in range(5):
        slice_.run(8)
        slice_.send(("th1/temperature", 20.0))
    [alarm] = slice_.rows(Alarm)
    assert (alarm.rule, alarm.quantity, alarm.raised_at - slice_.T0) == ("sensor_stale", "humidity", 30_000)
    slice_.send(("th1/humidity", 55.0))
    assert slice_.rows(Alarm)[0].state == "cleared_unacked"


def test_a_point_that_never_spoke_is_said_too(slice_):
    slice_.birth([("th1/humidity", slice_.ROOM), ("th1/temperature", slice_.ROOM)])
    for _ in range(5):
        slice_.send(("th1/temperature", 20.0))
        slice_.run(8)
    assert [(alarm.quantity, alarm.rule) for alarm in slice_.rows(Alarm)] == [("humidity", "sensor_stale")]


def test_a_dead_gateway_is_one_alarm_and_silences_its_points(slice_):
    slice_.birth()
    slice_.send(("th1/humidity", 55.0), ("th1/temperature", 20.0), ("smoke1/smoke", 0))
    slice_.watch.offer(GatewayDeath(gateway=slice_.GATEWAY, at=slice_.now))
    slice_.run(60)
    [alarm] = slice_.rows(Alarm)
    assert (alarm.rule, alarm.subject, alarm.raised_at - slice_.T0) == ("gateway_offline", f"gateway:{slice_.GATEWAY}", 5_000)
    slice_.birth()
    slice_.send(("th1/humidity", 55.0), ("th1/temperature", 20.0), ("smoke1/smoke", 0))
    assert [alarm.state for alarm in slice_.rows(Alarm)] == ["cleared_unacked"]


def test_a_gateway_that_vanishes_without_a_death_is_noticed(slice_):
    slice_.birth()
    slice_.run(96)
    assert "gateway_offline" in {alarm.rule for alarm in slice_.rows(Alarm)}


def test_an_acknowledgement_that_closed_an_alarm_can_be_undone(slice_):
    slice_.birth([("th1/humidity", slice_.ROOM)])
    for value in (80.0, 80.0, 50.0, 50.0, 50.0):
        slice_.send(("th1/humidity", value))
        slice_.run(10)
    [alarm] = slice_.rows(Alarm)
    assert alarm.state == "cleared_unacked"
    assert slice_.order(commands.Acknowledge(alarm=alarm.id, by="林一")).ok
    assert slice_.rows(Alarm)[0].closed_at is not None
    slice_.run(5)
    assert slice_.order(commands.Unacknowledge(alarm=alarm.id, by="林一")).ok
    [alarm] = slice_.rows(Alarm)
    assert (alarm.state, alarm.closed_at, alarm.open_key is None) == ("cleared_unacked", None, False)


def test_a_gateway_that_came_back_clears_after_its_off_delay(tmp_path, slice_):
    slice_.rules = slice_.rules.replace("ladder: {urgent: {on_delay: 5s}}", "ladder: {urgent: {on_delay: 5s}}\n    off_delay: 30s")
    slice_.start()
    slice_.birth()
    slice_.watch.offer(GatewayDeath(gateway=slice_.GATEWAY, at=slice_.now))
    slice_.run(20)
    slice_.birth()
    slice_.run(29)
    assert slice_.rows(Alarm, rule="gateway_offline")[0].state == "active_unacked"
    slice_.run(2)
    assert slice_.rows(Alarm, rule="gateway_offline")[0].state == "cleared_unacked"


def test_rules_about_the_room_as_a_whole_are_fed_by_all_their_quantities(slice_):
    slice_.rules += """
  - name: dew
    kind: dew_point
    surface: -3
    ladder: {alarm: {below: 3, on_delay: 5s}}
"""
    slice_.start()
    slice_.birth([("th1/humidity", slice_.ROOM), ("th1/temperature", slice_.ROOM)])
    for _ in range(3):
        slice_.send(("th1/humidity", 95.0), ("th1/temperature", 20.0))
        slice_.run(5)
    assert [alarm.subject for alarm in slice_.rows(Alarm, rule="dew")] == [f"room:{slice_.ROOM}"]


def test_a_claimed_gateway_that_never_spoke_is_said(slice_):
    slice_.run(96)
    assert [(alarm.rule, alarm.raised_at - slice_.T0) for alarm in slice_.rows(Alarm)] == [("gateway_offline", 95_000)]
    slice_.birth()
    assert [alarm.state for alarm in slice_.rows(Alarm)] == ["cleared_unacked"]


def test_bad_samples_are_journaled_raise_nothing_and_count_as_silence(slice_):
    slice_.birth([("th1/humidity", slice_.ROOM)])
    slice_.send(("th1/humidity", 55.0))
    for _ in range(8):
        slice_.run(5)
        slice_.send(("th1/humidity", None, Quality.BAD))
    assert [alarm.rule for alarm in slice_.rows(Alarm)] == ["sensor_stale"]


def test_coverage_turns_at_the_exact_deadline_and_adds_up(slice_):
    slice_.birth([("th1/humidity", slice_.ROOM), ("th1/temperature", slice_.ROOM)])
    slice_.send(("th1/humidity", 55.0), ("th1/temperature", 20.0))
    slice_.run(10)
    slice_.send(("th1/humidity", 55.0))
    slice_.run(60)
    spans = [
        (s.state, s.since - slice_.T0, None if s.until is None else s.until - slice_.T0, s.detail)
        for s in slice_.rows(CoverageSpan, room=slice_.ROOM)
    ]
    assert [span for span in spans if span[1] >= 0 and span[1] != span[2]] == [
        ("watched", 0, 30_000, ""),
        ("degraded", 30_000, 40_000, "temperature"),
        ("blind", 40_000, None, "temperature,humidity"),
    ]


def test_a_wrong_clock_is_corrected_on_the_alarm_axis_and_kept_in_the_key(slice_):
    slice_.birth()
    slice_.send(("smoke1/smoke", 1), ago=3600, offset_ms=3_600_000)
    assert slice_.rows(Alarm)[0].raised_at == slice_.T0
    with slice_.db.read() as session:
        [entry] = journal.walk_back(session)
    assert [row.taken_at for row in entry.columns().rows()] == [slice_.T0 - 3_600_000]


def test_samples_from_the_future_are_clamped_to_their_receipt(slice_):
    slice_.birth()
    slice_.send(("smoke1/smoke", 1), ago=-500)
    assert slice_.rows(Alarm)[0].raised_at == slice_.T0


def test_late_smoke_is_a_known_late_alarm_that_somebody_must_look_at(slice_):
    slice_.birth([("smoke1/smoke", slice_.ROOM)])
    slice_.run(60)
    slice_.send(("smoke1/smoke", 0))
    slice_.send(("smoke1/smoke", 1), ago=40, historical=True)
    slice_.send(("smoke1/smoke", 1), ago=35, historical=True)
    slice_.send(("smoke1/smoke", 0), ago=30, historical=True)
    [alarm] = slice_.rows(Alarm, rule="smoke")
    assert (alarm.known_late, alarm.state, alarm.raised_at - slice_.T0) == (True, "latched_unacked", 20_000)
    assert steps(slice_, alarm=alarm.id) == [("raised", "pending")]


def test_late_climate_is_listed_and_wakes_nobody(slice_):
    slice_.birth()
    slice_.run(120)
    slice_.send(("th1/humidity", 55.0))
    for ago in range(100, 40, -10):
        slice_.send(("th1/humidity", 70.0), ago=ago, historical=True)
    slice_.send(("th1/humidity", 55.0), ago=40, historical=True)
    slice_.run(61)
    [alarm] = [alarm for alarm in slice_.rows(Alarm) if alarm.rule == "humidity_high"]
    assert (alarm.known_late, alarm.state, alarm.level) == (True, "normal", "alarm")
    assert steps(slice_, alarm=alarm.id) == []


def test_late_smoke_that_still_burns_becomes_live_with_its_true_start(slice_):
    slice_.birth([("smoke1/smoke", slice_.ROOM)])
    slice_.run(60)
    slice_.send(("smoke1/smoke", 1))
    for ago, start in ((40, 60_000), (20, 20_000)):
        slice_.send(("smoke1/smoke", 1), ago=ago, historical=True)
        [alarm] = slice_.rows(Alarm, rule="smoke")
        assert (alarm.state, alarm.raised_at - slice_.T0, alarm.known_late) == ("active_unacked", start, False), "nothing may lie between"


def test_maintenance_suppresses_climate_but_not_smoke_and_ends_by_itself(slice_):
    slice_.birth([("th1/humidity", slice_.ROOM), ("smoke1/smoke", slice_.ROOM)])
    order = commands.Maintenance(room=slice_.ROOM, until=slice_.now + 60_000, reason="消杀", person="林一", by="林一")
    assert slice_.order(order).ok
    for _ in range(3):
        slice_.send(("th1/humidity", 80.0), ("smoke1/smoke", 1))
        slice_.run(10)
    assert {alarm.rule: alarm.state for alarm in slice_.rows(Alarm)} == {"humidity_high": "suppressed", "smoke": "active_unacked"}
    for _ in range(4):
        slice_.send(("th1/humidity", 80.0), ("smoke1/smoke", 1))
        slice_.run(10)
    assert {alarm.rule: alarm.state for alarm in slice_.rows(Alarm)} == {"humidity_high": "active_unacked", "smoke": "active_unacked"}


def test_commands_on_nothing_say_so(slice_):
    assert slice_.order(commands.Acknowledge(alarm=99, by="林一")).code == "not_found"
    assert slice_.order(commands.Maintenance(room="nowhere", until=slice_.now, reason="", person="", by="")).code == "not_found"


def test_decline_calls_the_next_and_everything_is_audited(slice_):
    slice_.birth()
    slice_.send(("smoke1/smoke", 1))
    [alarm] = slice_.rows(Alarm)
    with slice_.db.write() as session:
        session.add(EscalationStep(alarm=alarm.id, annunciation=1, reason="raised", step=1, due=slice_.now + 600_000, state="pending"))
        session.get_one(EscalationStep, 1).state = "done"
    assert slice_.order(commands.Decline(alarm=alarm.id, by="林一")).ok
    assert [step.due for step in slice_.rows(EscalationStep, step=1)] == [slice_.now]
    slice_.order(commands.Comment(alarm=alarm.id, by="林一", note="已打电话"))
    assert names(slice_) == ["raised", "decline", "comment"]
    with slice_.db.read() as session:
        assert audit.verify(session) is None


def test_a_failed_commit_acknowledges_nobody_and_forgets_nothing(slice_):
    slice_.birth()
    slice_.send(("th1/humidity", 55.0))
    with slice_.db.write() as session:
        session.connection().exec_driver_sql("ALTER TABLE journal RENAME TO journal_away")
    _, future = slice_.send(("smoke1/smoke", 1), wait=False)
    with pytest.raises(Exception, match="journal"):
        slice_.run()
    with pytest.raises(Exception, match="journal"):
        future.result(0)
    with slice_.db.write() as session:
        session.connection().exec_driver_sql("ALTER TABLE journal_away RENAME TO journal")
    slice_.watch.open(slice_.now)
    assert slice_.rows(Alarm) == []
    slice_.sequence = 1
    assert slice_.send(("smoke1/smoke", 1)) == Receipt(77, 2)
    assert [alarm.state for alarm in slice_.rows(Alarm)] == ["active_unacked"]


def test_a_new_spool_of_the_same_gateway_has_its_own_watermark(slice_):
    slice_.birth()
    slice_.send(("th1/humidity", 55.0))
    slice_.sequence = 0
    assert slice_.birth(outbox=Outbox(78, 1, 0)) == Receipt(78, 0)
    assert slice_.send(("th1/humidity", 56.0), epoch=78) == Receipt(78, 1)


def test_gateway_commands_are_sent_once_to_gateways_that_are_online_and_expire(slice_):
    sent = []
    downlink = Downlink(slice_.db, lambda topic, payload: sent.append((topic, read_command(decode(payload)).rebirth)))
    with slice_.db.write() as session:
        for expires in (slice_.now + 60_000, slice_.now - 1):
            session.add(GatewayCommand(gateway=slice_.GATEWAY, kind="rebirth", created_at=slice_.now, expires_at=expires))
        session.add(GatewayCommand(gateway=slice_.GATEWAY, kind="nonsense", created_at=slice_.now, expires_at=slice_.now + 60_000))
    assert downlink.run_once(slice_.now) == 0
    assert [row.state for row in slice_.rows(GatewayCommand)] == ["pending", "expired", "unknown"]
    slice_.birth()
    assert downlink.run_once(slice_.now) == 1
    assert downlink.run_once(slice_.now) == 0
    assert sent == [(f"spBv1.0/350100/NCMD/{slice_.GATEWAY}", True)]


def test_the_interval_of_the_past_is_kept_when_a_birth_changes_it(slice_):
    slice_.birth()
    slice_.send(("th1/humidity", 50.0))
    changed_at = slice_.now
    slice_.birth(bd_seq=1, interval_s=60)
    slice_.birth(bd_seq=2, interval_s=60)
    with slice_.db.read() as session:
        (point,) = session.scalars(select(Point).where(Point.quantity == "humidity"))
        assert intervals.of(session) == {point.id: [Stretch(point.id, 0, changed_at, 10_000)]}, "points that never spoke have no past"


def test_whoever_gets_an_answer_finds_its_outcome_on_the_board(slice_):
    slice_.birth()
    published, publish = [], slice_.watch.publish
    slice_.watch.publish = lambda facts, now: (published.extend(facts), publish(facts, now))
    _, future = slice_.send(("smoke1/smoke", 1), wait=False)
    seen = []
    future.add_done_callback(lambda _: seen.extend(fact for fact in published if isinstance(fact, AlarmFact)))
    slice_.run()
    assert [fact.level for fact in seen] == ["critical"]
