"""Faults that meet: other rules under a known name, a clock that is put back before a restart, sensors that move while their alarm stands."""

import json

import pytest

from alarms.rules import parse_rules
from server.live.board import Board
from server.store.tables import Alarm, Point, Transition
from server.store.tables_watch import Work
from server.watch import commands
from server.watch.commands import NewRules, Reload
from server.watch.inputs import GatewayDeath
from tests.server.conftest import RULES

HOUR, DAY = 3_600_000, 86_400_000
CALM = (("th1/humidity", 50.0), ("th1/temperature", 20.0), ("smoke1/smoke", 0))
DAMP = (("th1/humidity", 80.0), *CALM[1:])
ALONE = CALM[1:2]
KINDS = [
    {"kind": "expression", "expression": "humidity > 50 && temperature > 10", "every": "10s", "ladder": {"warn": {"equals": 1}}},
    {"kind": "expression", "expression": "humidity + temperature + smoke > 70", "every": "10s", "ladder": {"warn": {"equals": 1}}},
    {"kind": "expression", "expression": "humidity > 55", "every": "10s", "ladder": {"warn": {"equals": 1}}},
    {"kind": "mould", "every": "10s", "ladder": {"warn": {"above": 1}}},
    {"kind": "swing", "quantity": "humidity", "window": "1m", "ladder": {"warn": {"above": 2}}},
    {"kind": "step", "quantity": "humidity", "every": "7s", "window": "1m", "ladder": {"warn": {"above": 5}}},
    {"kind": "dew_point", "surface": -3, "every": "10s", "ladder": {"warn": {"below": 3}}},
    {"kind": "voting", "quantity": "smoke", "ladder": {"warn": {"above": 0.5}}},
    {"kind": "stuck", "quantity": "humidity", "ladder": {"warn": {"above": "60s"}}},
    {"kind": "deviation", "quantity": "humidity", "ladder": {"warn": {"above": 5}}},
]


def spell(made, rounds, *readings):
    for _ in range(rounds):
        made.now += 11_000
        made.send(*readings)


def states(made, rule):
    return [alarm.state for alarm in made.rows(Alarm, rule=rule)]


def tile(made, room=None):
    board = Board()
    board.apply(made.facts)
    return board.room(room or made.ROOM, made.now).state


def assign(made, room, **wanted):
    with made.db.write() as session:
        point = session.query(Point).filter_by(**wanted).one()
        point.room, ident = room, point.id
    made.order(Reload(by="x", points=(ident,)))


def ahead(made, by=HOUR):
    """A server that starts with its clock ahead and hears everybody."""
    made.now += by
    made.start()
    made.birth()
    spell(made, 3, *CALM)


@pytest.mark.parametrize("restart", [False, True])
def test_a_rule_that_becomes_another_kind_under_its_name_is_judged_from_its_own_readings(slice_, restart):
    """Read as its own, the memory of the one before made every batch of the gateway fail, and with it all of its rooms."""
    slice_.birth()
    for body in (*KINDS, *KINDS[::3], *KINDS[::-1]):
        slice_.rules = RULES + "  - " + json.dumps({"name": "other", **body}) + "\n"
        if restart:
            slice_.start()
        else:
            slice_.order(NewRules(by="", rules=parse_rules(slice_.rules, "other.yaml")))
        for damp in (52.0, 58.0):
            slice_.now += 11_000
            slice_.send(("th1/humidity", damp), ("th1/temperature", 20.0), ("smoke1/smoke", 0))
            slice_.send(("th1/humidity", damp), ("th1/temperature", 20.0), ago=5, historical=True)
    assert "active_unacked" in states(slice_, "other")
    assert tile(slice_) != "blind"


def test_rules_that_changed_while_their_room_was_not_in_use_are_judged_from_their_own_readings_too(slice_):
    def adopt(kind):
        slice_.rules = RULES + f"  - {{name: other, kind: {kind}, quantity: humidity, ladder: {{warn: {{above: 1.5}}}}}}\n"
        slice_.order(NewRules(by="", rules=parse_rules(slice_.rules, "other.yaml")))

    def turn(stage):
        slice_.order(commands.SetStage(room=slice_.ROOM, stage=stage, reason="变动", by="林一", second="王二"))

    adopt("deviation")
    slice_.birth()
    spell(slice_, 2, *CALM)
    turn("retired")
    adopt("voting, least: 60")
    turn("in_use")
    spell(slice_, 2, *CALM)
    assert states(slice_, "other") == [], "an instant and a value are no votes"


@pytest.mark.parametrize("restart", [False, True])
def test_what_was_heard_while_the_clock_was_ahead_delays_nothing_after_a_later_start(slice_, restart):
    ahead(slice_)
    slice_.send(*DAMP[:1])
    slice_.now -= HOUR
    slice_.run(1)
    slice_.send(*ALONE)
    if restart:
        slice_.now += 1_000
        slice_.start()
    spell(slice_, 6, DAMP[0], *ALONE)
    assert states(slice_, "humidity_high") == ["active_unacked"]
    assert states(slice_, "sensor_stale") == ["active_unacked"], "the detector has fallen silent"


def test_a_clock_that_is_put_back_keeps_no_tile_green_and_no_reading_off_the_board(slice_):
    ahead(slice_)
    assert tile(slice_) == "normal"
    slice_.now -= HOUR
    slice_.run(1)
    slice_.send(("th1/temperature", 27.0))
    board = Board()
    board.apply(slice_.facts)
    board.tick(slice_.now)
    assert [view.value for view in board.room(slice_.ROOM, slice_.now).points if view.quantity == "temperature"] == [27.0]
    assert slice_.ROOM in board.tick(slice_.now + 31_000), "viewers are told when it turns"
    assert board.room(slice_.ROOM, slice_.now + 31_000).state == "blind"


def test_an_absence_that_the_clock_invented_excuses_nobody(slice_):
    slice_.birth()
    slice_.send(*CALM)
    ahead(slice_, DAY)
    slice_.now -= DAY
    slice_.run(1)
    slice_.send(*CALM)
    slice_.now += 1_000
    slice_.start()
    spell(slice_, 6, *CALM[:2])
    assert states(slice_, "sensor_stale") == ["active_unacked"]


@pytest.mark.parametrize("restart", [False, True])
def test_a_shelf_and_a_work_of_the_time_that_was_taken_back_last_as_long_as_was_said(slice_, restart):
    ahead(slice_, DAY)
    spell(slice_, 4, *DAMP)
    [alarm] = slice_.rows(Alarm, rule="humidity_high")
    slice_.order(commands.Shelve(alarm=alarm.id, by="林一", until=slice_.now + HOUR, reason="调班"))
    slice_.order(commands.Maintenance(room=slice_.OTHER, by="林一", until=slice_.now + HOUR, reason="换线", person="林一"))
    slice_.now -= DAY
    slice_.run(1)
    slice_.send(*DAMP)
    if restart:
        slice_.start()
    slice_.now += HOUR - 2_000
    slice_.send(*DAMP)
    assert states(slice_, "humidity_high") == ["shelved"]
    assert [work.state for work in slice_.rows(Work)] == ["running"]
    slice_.now += 2_000
    slice_.send(*DAMP)
    assert states(slice_, "humidity_high") == ["active_unacked"]
    assert [work.state for work in slice_.rows(Work)] == ["over"]


@pytest.mark.parametrize("quantity", ["smoke", "humidity"])
def test_the_alarm_of_a_sensor_that_moves_is_seen_where_the_sensor_is(slice_, quantity):
    slice_.birth([(metric, slice_.ROOM) for metric, _ in CALM] + [("b/humidity", slice_.OTHER), ("b/temperature", slice_.OTHER)])
    readings = (*DAMP[:2], ("smoke1/smoke", int(quantity == "smoke")), ("b/humidity", 50.0), ("b/temperature", 20.0))
    spell(slice_, 4, *readings)
    assert tile(slice_, slice_.OTHER) == "normal"
    rule = "smoke" if quantity == "smoke" else "humidity_high"
    [alarm] = slice_.rows(Alarm, rule=rule)
    slice_.order(commands.Acknowledge(alarm=alarm.id, by="林一"))
    assign(slice_, slice_.OTHER, quantity=quantity, device="smoke1" if quantity == "smoke" else "th1")
    [moved] = slice_.rows(Alarm, rule=rule)
    assert (moved.room, moved.state) == (slice_.OTHER, "active_unacked"), "who is in charge there has not heard of it"
    assert tile(slice_, slice_.OTHER) == alarm.level
    assert tile(slice_) != alarm.level


def test_silence_after_smoke_ends_when_its_detector_is_taken_out_of_the_room(slice_):
    slice_.birth()
    slice_.send(*CALM[:2], ("smoke1/smoke", 1))
    spell(slice_, 4, *CALM[:2])
    assert states(slice_, "smoke_lost") == ["active_unacked"]
    slice_.start()
    spell(slice_, 8, *CALM[:2])
    assert states(slice_, "smoke_lost") == ["active_unacked"], "other sensors of the room prove nothing"
    assign(slice_, slice_.OTHER, quantity="smoke")
    [lost] = slice_.rows(Alarm, rule="smoke_lost")
    assert lost.state == "latched_unacked", "it could never clear otherwise"
    slice_.order(commands.Acknowledge(alarm=lost.id, by="林一"))
    assert slice_.order(commands.Reset(alarm=lost.id, by="林一")).state == "normal"


@pytest.mark.parametrize("others", [True, False])
def test_the_vote_of_a_sensor_that_has_left_keeps_no_alarm_up(slice_, others):
    slice_.rules += "  - {name: vote, kind: voting, quantity: smoke, least: 1, ladder: {urgent: {above: 0.5}}}\n"
    slice_.start()
    slice_.birth([(f"{device}/smoke", slice_.ROOM) for device in ("a", "b") if others or device == "a"])
    calm = [("b/smoke", 0)] if others else []
    spell(slice_, 1, ("a/smoke", 1), *calm)
    assert states(slice_, "vote") == ["active_unacked"]
    assign(slice_, slice_.OTHER, device="a")
    spell(slice_, 2, ("a/smoke", 1), *calm)
    assert [(alarm.room, alarm.state) for alarm in slice_.rows(Alarm, rule="vote")] == [
        (slice_.ROOM, "cleared_unacked" if others else "latched_unacked"), (slice_.OTHER, "active_unacked"),
    ]  # fmt: skip


def test_a_link_that_falls_ever_so_often_does_not_put_off_for_ever_that_a_sensor_is_dead(slice_):
    """Its points had their whole deadline anew after each return: the alarm of one that reports every ten minutes was suppressed for ever."""
    points = [("th1/humidity", slice_.ROOM), ("th1/temperature", slice_.ROOM)]
    slice_.birth(points, interval_s=600)  # silent after half an hour
    slice_.send(*CALM[:2])
    seen = []
    for minute in range(1, 130):
        slice_.now += 60_000
        slice_.send(*ALONE)
        if minute % 20 == 0:
            slice_.watch.offer(GatewayDeath(gateway=slice_.GATEWAY, at=slice_.now))
            slice_.run()
            slice_.birth(points, interval_s=600)
        seen += states(slice_, "sensor_stale")
    assert seen.count("active_unacked") > 25


def test_a_vote_that_lasted_is_told_though_the_next_reading_ends_it_before_the_writer_looks(slice_):
    slice_.rules += (
        "  - {name: vote, kind: voting, quantity: humidity, least: 70,"
        " ladder: {warn: {above: 0.5, on_delay: 2s}, alarm: {above: 0.6, on_delay: 4s}}}\n"
    )
    slice_.start()
    slice_.birth([("th1/humidity", slice_.ROOM)])
    slice_.send(("th1/humidity", 75.0))
    slice_.now += 5_000  # the writer stood still meanwhile
    slice_.send(("th1/humidity", 50.0))
    [alarm] = slice_.rows(Alarm, rule="vote")
    changes = [(one.name, one.level, one.at - slice_.T0) for one in slice_.rows(Transition, alarm=alarm.id)]
    assert changes[:2] == [("raised", "warn", 2_000), ("escalated", "alarm", 4_000)]


@pytest.mark.parametrize("meanwhile", ["other rules", "restart without them", "out of use"])
def test_a_vote_kept_while_its_rule_did_not_hold_is_forgotten_with_the_sensor(slice_, meanwhile):
    """Nothing would ever take the vote of a sensor back that stands in another room by now."""
    bare, voting = slice_.rules, "  - {name: vote, kind: voting, quantity: humidity, least: 70, ladder: {warn: {above: 0.5}}}\n"

    def hold(rules):
        slice_.rules = rules
        if meanwhile == "other rules":
            slice_.order(NewRules(by="", rules=parse_rules(rules, "x.yaml")))
        elif meanwhile == "restart without them":
            slice_.start()
        else:
            stage = "in_use" if "vote" in rules else "retired"
            slice_.order(commands.SetStage(room=slice_.ROOM, stage=stage, by="林一", reason="变动", second="王二"))

    hold(bare + voting)
    slice_.start()
    slice_.birth([("a/humidity", slice_.ROOM), ("b/humidity", slice_.ROOM)])
    spell(slice_, 1, ("a/humidity", 80.0), ("b/humidity", 50.0))
    assert states(slice_, "vote") == ["active_unacked"]
    hold(bare)
    assign(slice_, slice_.OTHER, device="a")
    spell(slice_, 1, ("b/humidity", 50.0))
    hold(bare + voting)
    spell(slice_, 2, ("b/humidity", 50.0))
    assert [alarm.state for alarm in slice_.rows(Alarm, rule="vote") if alarm.room == slice_.ROOM and alarm.state.startswith("active")] == []


def test_the_alarm_of_a_link_that_flapped_ends_also_when_memory_was_read_back_meanwhile(slice_):
    """Nothing else would end it: the gateway is here, and nobody asks it for a birth when a transaction has failed."""
    slice_.birth()
    for _ in range(4):
        slice_.watch.offer(GatewayDeath(gateway=slice_.GATEWAY, at=slice_.now))
        slice_.run(20)
        slice_.birth()
        spell(slice_, 1, *CALM)
    assert states(slice_, "gateway_offline") == ["active_unacked"], "it must hold for a while first"
    slice_.start()
    spell(slice_, 30, *CALM)
    assert states(slice_, "gateway_offline") == ["cleared_unacked"]
