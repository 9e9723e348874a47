"""The rule kinds one by one: the number each of them judges, what it remembers, and when it has nothing to say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarms import conditions
from alarms.climate import SENSITIVE, MouldIndex, dew_point, mould_step
from alarms.conditions import Memory
from alarms.expression import compiled, inputs_of
from alarms.kinds import KINDS
from alarms.model import RuleError
from alarms.rules import parse_rules

S, M, H = 1000, 60_000, 3_600_000
MIDNIGHT = 1_790_006_400_000 - 1_790_006_400_000 % 86_400_000 - 8 * H
"""00:00 in Shanghai."""


def test_every_kind_of_the_file_format_exists() -> None:
    named = {"threshold", "rate", "swing", "dew_point", "mould", "stale", "stuck", "state", "camera", "expression"}
    assert set(KINDS) == named | {"heat", "step", "implausible", "off_hours", "forced", "deviation", "voting"}


def slope(points: list[tuple[int, float]], least: float = conditions.NO_LIMIT) -> float | None:
    memory: Memory = ()
    value: float | None = None
    for at, reading in points:
        memory, value = conditions.rate({"window": 60.0 * S, "least": least}, memory, at, "temperature", reading)
    return value


@given(st.floats(-10, 10), st.integers(2, 30), st.integers(1, 20))
def test_rate_of_a_straight_line_is_its_slope(per_minute: float, count: int, seconds: int) -> None:
    value = slope([(i * seconds * S, 20 + per_minute * i * seconds / 60) for i in range(count)])
    assert value == (pytest.approx(per_minute, abs=1e-6) if (count - 1) * seconds >= 30 else None)


def test_rate_of_a_slow_sensor_uses_its_last_two_readings_but_not_across_an_outage() -> None:
    assert slope([(0, 20), (2 * M, 30)]) == pytest.approx(5)
    assert slope([(0, 20), (2 * M, 30), (4 * M, 32)]) == pytest.approx(1)
    assert slope([(0, 20), (6 * M, 30)]) is None


def test_rate_below_its_least_value_costs_no_memory() -> None:
    memory: Memory = ()
    after, value = conditions.rate({"window": 60.0 * S, "least": 36.0}, memory, 0, "temperature", 22)
    assert after is memory
    assert value == 0


def stray(points: list[tuple[int, float]], around: float = conditions.NO_LIMIT, window: int = 1) -> float | None:
    memory: Memory = ()
    value: float | None = None
    for at, reading in points:
        memory, value = conditions.swing({"window": float(window), "every": 0.0, "around": around}, memory, at, "temperature", reading)
    return value


def test_swing_is_half_the_range_or_the_distance_from_the_set_point() -> None:
    day = [(MIDNIGHT + i * H, value) for i, value in enumerate([20, 23, 19, 21])]
    assert stray(day) == 2
    assert stray(day, around=22) == 3
    assert stray(day, around=19.5) == 3.5


def test_swing_begins_anew_at_midnight_in_shanghai() -> None:
    assert stray([(MIDNIGHT - H, 10), (MIDNIGHT, 20)]) == 0
    assert stray([(MIDNIGHT, 10), (MIDNIGHT + H, 20)]) == 5


def test_swing_ignores_one_spike() -> None:
    day = [(MIDNIGHT + i * 5 * M, 30.0 if i == 7 else 20.0) for i in range(20)]
    assert stray(day, window=15 * M) == 0


def test_stuck_counts_from_the_first_equal_reading_and_remembers_only_changes() -> None:
    memory, value = conditions.stuck({"every": 0.0}, (), 0, "humidity", 50)
    assert value == 0
    again, value = conditions.stuck({"every": 0.0}, memory, 5 * H, "humidity", 50)
    assert again is memory
    assert value == 5 * H
    moved, value = conditions.stuck({"every": 0.0}, again, 6 * H, "humidity", 50.1)
    assert (moved, value) == ((50.1, 6 * H), 0)


OPTIONS = {"surface": -6.0, "every": 5.0 * M, "within": 15.0 * M}


def test_dew_point_spread_needs_both_quantities_and_young_ones() -> None:
    memory, value = conditions.condensation(OPTIONS, (), 0, "temperature", 22)
    assert value is None
    memory, value = conditions.condensation(OPTIONS, memory, 1 * M, "humidity", 60)
    dew = dew_point(22, 60)
    assert dew is not None
    assert value == pytest.approx(16 - dew)
    same, value = conditions.condensation(OPTIONS, memory, 2 * M, "humidity", 99)
    assert same is memory
    assert value is None
    _, value = conditions.condensation(OPTIONS, memory, 17 * M, "humidity", 60)
    assert value is None


def test_mould_steps_by_the_hour_and_not_through_outages() -> None:
    options = {"every": 1.0 * H, "within": 2.0 * H}
    memory: Memory = ()
    value: float | None = None
    truth = MouldIndex()
    for hour in range(200):
        for quantity, reading in (("temperature", 25.0), ("humidity", 90.0)):
            memory, value = conditions.mould(options, memory, hour * H, quantity, reading)
    for _ in range(199):
        truth = mould_step(truth, 25, 90, material=SENSITIVE)
    assert value == pytest.approx(truth.value)
    kept, nothing = conditions.mould(options, memory, 199 * H + M, "humidity", 95.0)
    assert kept is memory
    assert nothing is None
    memory, _ = conditions.mould(options, memory, 900 * H, "temperature", 25.0)
    memory, value = conditions.mould(options, memory, 900 * H, "humidity", 90.0)
    assert value == pytest.approx(mould_step(truth, 25, 90, hours=3.0).value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("temperature > 36 && humidity < 30", 0),
        ("temperature > 36 || humidity < 30", 1),
        ("!(temperature > 36)", 1),
        ("temperature - humidity / 2 * 0.5 + 1", 16),
        ("-temperature", -20),
        ("max(temperature, humidity, 7) - min(temperature, 3) + abs(-2)", 23),
        ("temperature == 20", 1),
        ("temperature != 20 || temperature >= 20 && temperature <= 20", 1),
        ("temperature > 36 ? 1 : 2.5", 2.5),
        ("true || temperature > 36", 1),
    ],
)
def test_formulas(text: str, value: float) -> None:
    assert compiled(text)({"temperature": 20.0, "humidity": 20.0 if "min" not in text else 24.0}) == value


def test_a_formula_names_its_quantities() -> None:
    assert inputs_of("temperature > 36 && (smoke_density > 0.1 || temperature > 50)") == ("smoke_density", "temperature")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "names no quantity"),
        ("temperature >", "not a formula"),
        ("1 + 2", "names no quantity"),
        ("warmth > 3", "unknown quantity 'warmth'"),
        ("temperature > 3 and humidity > 3", "CEL writes"),
        ("temperature ** 9", "not a formula"),
        ("temperature // 2", "not allowed"),
        ("temperature % 2", "not allowed"),
        ("__import__('os').system('true') + temperature", "not allowed"),
        ("temperature.real", "not allowed"),
        ("temperature in [20]", "not allowed"),
        ("size(temperature)", "unknown quantity 'size'"),
        ("min() + temperature", "cannot be computed"),
        ("0 < temperature < 5", "cannot be computed"),
        ("temperature ? 1 : 2", "cannot be computed"),
        ("[temperature]", "not allowed"),
        ("'a' + temperature", "not allowed"),
        ("+temperature", "not a formula"),
        ("max + temperature", "cannot be computed"),
    ],
)
def test_what_is_no_formula_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        inputs_of(text)


def test_dividing_by_zero_gives_nothing_to_judge() -> None:
    options = {"expression": "humidity / temperature", "every": 1.0, "within": 1000.0}
    memory, _ = KINDS["expression"].evaluate(options, (), 0, "humidity", 5)
    assert KINDS["expression"].evaluate(options, memory, 1, "temperature", 0)[1] is None
    assert KINDS["expression"].evaluate(options, memory, 1, "temperature", 2)[1] == 2.5


RULES = """rules:
  - {name: a, kind: rate, quantity: temperature, window: 2m, least: 30, ladder: {critical: {above: 5}}}
  - {name: b, kind: swing, quantity: humidity, around: 52, ladder: {warn: {above: 5}}}
  - {name: c, kind: stuck, quantity: humidity, ladder: {warn: {above: 12h}}}
  - {name: d, kind: dew_point, surface: -4, ladder: {alarm: {below: 3}}}
  - {name: e, kind: mould, ladder: {alarm: {above: 1}}}
  - {name: f, kind: expression, expression: temperature > 36 && humidity < 30, every: 10s, ladder: {urgent: {equals: 1}}}
"""


def test_options_are_read_written_and_read_again() -> None:
    rules = parse_rules(RULES, "x")
    assert parse_rules(rules.canonical(), "y") == rules
    by_name = {rule.name: rule for rule in rules.rules}
    assert dict(by_name["a"].options) == {"window": 120_000, "least": 30}
    assert by_name["c"].ladder[0].limit == 12 * H
    assert by_name["f"].inputs == ("humidity", "temperature")
    assert {rule.name for rule in rules.for_room("paper", "", "R")} == {"d", "e", "f"}
    assert {rule.name for rule in rules.for_point("humidity", "paper", "", "R")} == {"b", "c"}


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("{name: f, kind: expression, ladder: {urgent: {equals: 1}}}", "expression is missing"),
        ("{name: f, kind: expression, expression: 'warmth > 1', ladder: {urgent: {equals: 1}}}", "unknown quantity 'warmth'"),
        ("{name: d, kind: dew_point, quantity: humidity, ladder: {alarm: {below: 3}}}", "takes no quantity"),
        ("{name: d, kind: dew_point, ladder: {alarm: {above: 3}}}", "unknown key 'above'"),
        ("{name: c, kind: stuck, quantity: humidity, ladder: {warn: {above: 12}}}", "not a duration"),
        ("{name: t, kind: threshold, quantity: humidity, window: 5m, ladder: {warn: {above: 60}}}", "unknown key 'window'"),
    ],
)
def test_mistakes_in_options_are_refused(rule: str, reason: str) -> None:
    with pytest.raises(RuleError, match=reason):
        parse_rules(f"rules:\n  - {rule}\n", "x")
