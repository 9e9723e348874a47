"""Kinds over several sensors, over the trust in one, and about doors; and that a kind is one row and one evaluator."""

import ast
from collections import Counter
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import alarms
from alarms import doors, sensors, timeline
from alarms.conditions import NO_LIMIT, Memory, Still, heat, next_look
from alarms.kinds import KINDS, Kind
from alarms.model import RuleError
from alarms.rules import default_rules, parse_rules
from contract.quantities import QUANTITIES

S, M, H = 1000, 60_000, 3_600_000


def beijing(text: str) -> int:
    return int(datetime.fromisoformat(text + "+08:00").timestamp() * 1000)


def test_a_heat_detector_is_ten_kelvin_ahead_while_it_rises_fast() -> None:
    options = {"window": 60.0 * S, "least": 36.0, "rise": 4.0, "ahead": 10.0}

    def felt(per_minute: float) -> float:
        memory: Memory = ()
        for second in range(0, 121, 10):
            memory, value = heat(options, memory, second * S, "temperature", 37 + per_minute * second / 60)
        assert value is not None
        return value

    assert felt(3.9) == pytest.approx(37 + 7.8)
    assert felt(4.1) == pytest.approx(37 + 8.2 + 10)
    assert heat(options, (), 0, "temperature", 35.9) == ((), 35.9)


DEVIATION = {"around": NO_LIMIT, "every": 0.0, "within": 15.0 * M}


def farthest(readings: list[tuple[int, int, float]], **options: float) -> float | None:
    memory: Memory = ()
    value: float | None = None
    for at, source, reading in readings:
        memory, value = sensors.deviation(DEVIATION | options, memory, at, "humidity", reading, source)
    return value


def test_deviation_needs_somebody_to_compare_with() -> None:
    assert farthest([(0, 1, 50)]) is None
    assert farthest([(0, 1, 50), (S, 2, 58)]) == 8
    assert farthest([(0, 1, 50), (S, 2, 51), (2 * S, 3, 65)]) == 14
    assert farthest([(0, 1, 50)], around=52) == 2


def test_deviation_forgets_a_sensor_that_fell_silent_and_looks_once_each_interval() -> None:
    assert farthest([(0, 1, 80), (16 * M, 2, 50)]) is None
    memory, _ = sensors.deviation(DEVIATION | {"every": 5.0 * M}, (), 0, "humidity", 50, 1)
    again, value = sensors.deviation(DEVIATION | {"every": 5.0 * M}, memory, M, "humidity", 99, 1)
    assert again is memory
    assert value is None


@given(every=st.sampled_from((1_000.0, 60_000.0, 300_000.0)), pace=st.integers(1, 90), source=st.integers(0, 1 << 40))
def test_a_sensor_is_looked_at_in_its_turn_never_later_than_agreed_and_then_evenly(every: float, pace: int, source: int) -> None:
    first, step = 1_790_000_000_123.0, every * pace / 100
    seen, due = [first], next_look(first, every, source)
    for at in (first + n * step for n in range(1, 400)):
        if at >= due:
            seen.append(at)
            due = next_look(at, every, source)
    gaps = [after - before for before, after in pairwise(seen)]
    assert 0 < next_look(first, every, source) - first <= every
    assert all(every - step <= gap < every + step for gap in gaps[1:])
    assert sum(gaps[1:]) == pytest.approx(every * len(gaps[1:]), abs=2 * step)  # no drift, whatever the pace of the readings


def test_sensors_that_first_speak_in_one_second_are_not_looked_at_in_one_second_ever_after() -> None:
    every, first = 60_000.0, 1_790_000_000_000.0
    turns = Counter(int((next_look(first, every, source) - first) // 1_000) for source in range(1, 30_001))
    assert max(turns.values()) < 2 * 30_000 / 60


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from([0.0, 1.0])), max_size=40))
def test_votes_are_the_sensors_whose_last_reading_was_beyond(readings: list[tuple[int, float]]) -> None:
    memory: Memory = ()
    last: dict[int, float] = {}
    for at, (source, reading) in enumerate(readings):
        memory, votes = sensors.voting({"least": 1.0}, memory, at, "smoke", reading, source)
        last[source] = reading
        assert votes == sum(value >= 1 for value in last.values())


VOTES = """rules:
  - {name: fire, kind: voting, quantity: smoke, least: 1, ladder: {urgent: {above: 0}, critical: {above: 1}}, latch: true}
tests:
  - name: the first detector raises at once, the second raises the level, silence takes nothing back
    interval: 10s
    series:
      - {room: R1, quantity: smoke, channel: a, values: '0x3 1x6 _x60'}
      - {room: R1, quantity: smoke, channel: b, values: '0x6 1x3 0x60'}
      - {room: R1, quantity: smoke, channel: c, values: '0x69'}
    expect:
      - {at: 29s, alarm: fire, state: normal}
      - {at: 30s, alarm: fire, state: active_unacked, level: urgent}
      - {at: 60s, alarm: fire, state: active_unacked, level: critical}
      - {at: 90s, alarm: fire, state: active_unacked, level: urgent}
      - {at: 680s, alarm: fire, state: active_unacked, level: urgent}
"""


def test_confirmation_never_delays_the_first_annunciation() -> None:
    assert [str(failure) for failure in timeline.run(VOTES, "votes.yaml")] == []


IMPLAUSIBLE = """rules:
  - {name: odd, kind: implausible, quantity: humidity, low: 1, high: 99.9, ladder: {warn: {above: 2}}}
tests:
  - name: three in a row, unusable or impossible
    interval: 1m
    series: [{room: R1, quantity: humidity, values: '50 badx2 50 bad 99.95 bad 100 50'}]
    expect:
      - {at: 3m, alarm: odd, state: normal}
      - {at: 5m, alarm: odd, state: normal}
      - {at: 6m, alarm: odd, state: active_unacked}
      - {at: 7m, alarm: odd, state: active_unacked}
      - {at: 8m, alarm: odd, state: cleared_unacked}
"""


def test_implausible_counts_rows() -> None:
    assert [str(failure) for failure in timeline.run(IMPLAUSIBLE, "odd.yaml")] == []


def test_a_jump_is_the_distance_from_the_reading_before() -> None:
    options = {"window": 15.0 * M, "every": 60.0 * S}
    memory, value = sensors.step(options, (), 0, "temperature", 20)
    assert value is None
    same, value = sensors.step(options, memory, 30 * S, "temperature", 23)
    assert (same is memory, value) == (True, None), "too early to be looked at"
    memory, value = sensors.step(options, memory, 61 * S, "temperature", 26)
    assert (memory, value) == ((61 * S, 26), 6)
    assert sensors.step(options, memory, 20 * M, "temperature", 60)[1] is None


FORCED = """rules:
  - {name: forced, kind: forced, within: 30s, ladder: {urgent: {equals: 1, on_delay: 2s}}, latch: true}
tests:
  - name: with a grant, without one, and a grant that comes a second late
    interval: 1s
    series:
      - {room: R1, quantity: grant, values: '0x5 1x2 0x100 0x35 1x2 0x60'}
      - {room: R1, quantity: door, values: '0x8 1x20 0x112 1x10 0x10'}
      - {room: R2, quantity: door, values: '0x8 1x20'}
    expect:
      - {at: 20s, alarm: forced, room: R1, state: normal}
      - {at: 150s, alarm: forced, room: R1, state: normal}
      - {at: 27s, alarm: forced, room: R2, state: normal}
  - name: opened with no grant for ten minutes
    interval: 1s
    series:
      - {room: R1, quantity: grant, values: '0x5 1 0x700'}
      - {room: R1, quantity: door, values: '0x605 1x20 0x20'}
    expect:
      - {at: 606s, alarm: forced, state: normal}
      - {at: 607s, alarm: forced, state: active_unacked, level: urgent}
      - {at: 630s, alarm: forced, state: latched_unacked}
  - name: each of two doors by its own opening, whatever the other one says
    interval: 10s
    series:
      - {room: R1, quantity: grant, values: '0x3 1 0x60'}
      - {room: R1, quantity: door, channel: front, values: '0x4 1x60'}
      - {room: R1, quantity: door, channel: back, values: '0x40 1x5 0x19'}
    expect:
      - {at: 390s, alarm: forced, state: normal}
      - {at: 403s, alarm: forced, state: active_unacked}
      - {at: 450s, alarm: forced, state: latched_unacked}
      - {at: 640s, alarm: forced, state: latched_unacked}
"""


def test_a_door_is_forced_when_nobody_was_let_in() -> None:
    assert [str(failure) for failure in timeline.run(FORCED, "forced.yaml")] == []


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        ("2026-09-28T08:00:00", True),  # a Monday
        ("2026-09-28T07:59:59", False),
        ("2026-09-28T18:00:00", False),
        ("2026-10-01T10:00:00", False),  # a holiday
        ("2026-10-10T10:00:00", True),  # a Saturday worked for it
        ("2026-10-11T10:00:00", False),
        ("2026-10-17T11:59:00", True),  # Saturday mornings
    ],
)
def test_working_hours_know_holidays_and_made_up_days(instant: str, expected: bool) -> None:
    hours = "mon-fri 08:00-18:00, sat 08:00-12:00"
    assert doors.working(beijing(instant), hours, "2026-10-01..2026-10-07", "2026-10-10") is expected


@pytest.mark.parametrize("text", ["mon-fri", "mon-fri 8:00-18:00", "mon-xxx 08:00-18:00", "mon-fri 18:00-08:00", "fri-mon 08:00-18:00"])
def test_hours_that_cannot_be_read_are_refused_with_the_file(text: str) -> None:
    with pytest.raises(RuleError, match="hours"):
        parse_rules(f'rules: [{{name: d, kind: off_hours, quantity: door, hours: "{text}", ladder: {{alarm: {{equals: 1}}}}}}]', "x")
    with pytest.raises(RuleError, match="holidays"):
        parse_rules("rules: [{name: d, kind: off_hours, quantity: door, holidays: soon, ladder: {alarm: {equals: 1}}}]", "x")


def test_off_hours_judges_the_door_by_the_clock_of_the_sample() -> None:
    options = {"hours": "mon-fri 08:00-18:00", "holidays": "china", "workdays": ""}
    assert doors.off_hours(options, (), beijing("2026-09-28T12:00:00"), "door", 1) == ((), 0)
    assert doors.off_hours(options, (), beijing("2026-09-28T18:00:00"), "door", 1) == ((), 1)
    assert doors.off_hours(options, (), beijing("2026-09-28T18:00:00"), "door", 0) == ((), 0)


@given(st.sampled_from(sorted(KINDS)), st.lists(st.tuples(st.floats(0, 90), st.integers(1, 4000 * S), st.integers(0, 2)), max_size=12), st.data())
def test_what_a_kind_says_it_leaves_alone_it_leaves_alone(name: str, readings: list[tuple[float, int, int]], data: st.DataObject) -> None:
    kind = KINDS[name]
    options = dict(kind.options) | ({"expression": "temperature - humidity"} if kind.inputs_of else {})
    options |= {"every": 60_000.0} if "every" in options else {}
    inputs = kind.inputs or (("humidity", "temperature") if kind.inputs_of else ("temperature",))
    memory: Memory = ()
    at = beijing("2026-09-28T08:00:00")
    for value, wait, source in readings:
        at += wait
        quantity = data.draw(st.sampled_from(inputs))
        still = kind.still(options, memory, inputs, quantity, source) if kind.still is not None else None
        after, judged = kind.evaluate(options, memory, at, quantity, value, source)
        if isinstance(still, Still) and still.low <= value <= still.high and at < still.until:
            assert after is memory
            assert judged == (value if not isinstance(still.judged, float | int | None) else still.judged)
        memory = after


def test_a_rule_kind_is_one_row_and_one_evaluator() -> None:
    """A kind's name may stand in the table and in rules, and nowhere else in the core: what is special about it is said by its row."""
    names = set(KINDS) - set(QUANTITIES) - {"step", "rate", "state", "heat", "expression"}
    for path in Path(alarms.__file__).parent.glob("*.py"):
        if path.name in ("kinds.py", "grouping.py", "builtin.py"):
            continue
        said = {node.value for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        assert not said & names, f"{path.name} knows a rule kind by name"


def test_a_new_kind_needs_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def doubled(_options: object, memory: Memory, _at: int, _quantity: str, value: float, _source: int = 0) -> tuple[Memory, float]:
        return memory, 2 * value

    monkeypatch.setattr("alarms.kinds.KINDS", KINDS | {"double": Kind(doubled, ("above",), derived=True)})
    for module in ("rules", "canonical", "lifecycle"):
        monkeypatch.setattr(f"alarms.{module}.KINDS", KINDS | {"double": Kind(doubled, ("above",), derived=True)})
    content = "rules: [{name: d, kind: double, quantity: humidity, ladder: {warn: {above: 110}}}]\n"
    expect = "expect: [{at: 1m, alarm: d, state: active_unacked}]"
    test = f"tests: [{{name: t, interval: 1m, series: [{{room: R, quantity: humidity, values: '50 56'}}], {expect}}}]"
    assert timeline.run(content + test, "double.yaml") == []
    assert parse_rules(parse_rules(content, "x").canonical(), "y") == parse_rules(content, "x")


def test_every_default_names_its_source() -> None:
    for rule in default_rules().rules:
        for variant in (rule, *(other for _, other in rule.by_medium if other is not None)):
            assert any(sign in variant.source for sign in ("本系统自定", "JGJ", "DA/T", "EN 54", "EBL128")), rule.name
