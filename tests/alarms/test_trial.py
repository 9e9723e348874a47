"""Rule sets on trial: the pure machines and the comparison."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from alarms.model import Level
from alarms.replay import Reading, Track, walk
from alarms.rules import parse_rules
from alarms.trial import Occurrence, Trial, compare, occurrences

T0, ROOM = 1_790_000_000_000, "350102000000-01"
RULES = parse_rules(
    """rules:
  - name: h
    kind: threshold
    quantity: humidity
    ladder: {warn: {above: 60, on_delay: 30s}, alarm: {above: 65, on_delay: 20s}}
    deadband: 2
    off_delay: 20s
  - {name: votes, kind: voting, quantity: smoke, ladder: {urgent: {above: 0}, critical: {above: 1}}, latch: true}
  - {name: gone, kind: stale, quantity: any, ladder: {warn: {on_delay: 0s}}}
""",
    "x",
)
ROOMS = [(ROOM, "paper", ("350000000000",), [(1, "humidity", 60_000), (2, "smoke", 60_000), (3, "smoke", 60_000)])]


def trial() -> Trial:
    made = Trial(T0)
    made.furnish(RULES, ROOMS)
    return made


def one(level: Level, raised: int, cleared: int | None, rule: str = "h", subject: str = "point:1") -> Occurrence:
    return Occurrence(subject, rule, ROOM, level, raised, cleared)


def test_silence_is_left_out_and_old_samples_say_nothing_about_now() -> None:
    made = trial()
    assert made.knows(1)
    assert not made.knows(9)
    assert made.settle(T0 + 3_600_000) == []
    assert [o.change.name for o in made.see(2, T0 + 10, 1.0)] == ["raised"]
    assert made.see(2, T0 + 10, 0.0) == []
    assert made.see(2, T0 + 5, 0.0) == []
    assert [(o.subject, o.change.name) for o in made.see(3, T0 + 20, 1.0)] == [(f"room:{ROOM}", "escalated")]


def test_time_alone_raises_when_a_delay_has_run_out() -> None:
    made = trial()
    made.see(1, T0, 61.0)
    assert made.settle(T0 + 29_000) == []
    [outcome] = made.settle(T0 + 31_000)
    assert (outcome.rule, outcome.change.name, outcome.change.at, outcome.change.level) == ("h", "raised", T0 + 30_000, Level.WARN)


def test_other_rules_and_rooms_take_the_states_over() -> None:
    made = trial()
    made.see(1, T0, 61.0)
    made.settle(T0 + 31_000)
    made.furnish(RULES, ROOMS)
    made.see(1, T0 + 40_000, 50.0)
    assert [o.change.name for o in made.settle(T0 + 60_000)] == ["cleared"]
    made.furnish(RULES, [])
    assert not made.knows(1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.sampled_from([1, 2, 3]), st.sampled_from([None, 0.0, 1.0, 58.0, 61.0, 66.0])), max_size=40),
    st.integers(0, 40),
    st.integers(1, 7),
)
def test_restarts_anywhere_come_to_what_the_plain_core_says(steps: list[tuple[int, int, float | None]], cut: int, every: int) -> None:
    made, found, readings, now = trial(), [], {1: [], 2: [], 3: []}, T0
    for number, (seconds, point, value) in enumerate(steps):
        now += seconds * 1000
        if number == cut:
            made = Trial.recalled(json.loads(json.dumps(made.remembered())), 0)
            made.furnish(RULES, ROOMS)
        readings[point].append(Reading(now, value))
        found += made.see(point, now, value)
        if number % every == 0:
            found += made.settle(now)
    found += made.settle(now)
    rule = RULES.effective("h", "paper", "350000000000", ROOM)
    assert rule is not None
    plain = walk(rule, [Track(1, "humidity", 60_000, readings[1], T0)], now)
    assert [o.change for o in found if o.rule == "h"] == plain


def test_occurrences_carry_their_worst_level() -> None:
    changes = [
        ("raised", 1, Level.WARN),
        ("acknowledged", 2, Level.WARN),
        ("escalated", 3, Level.URGENT),
        ("deescalated", 4, Level.WARN),
        ("cleared", 5, Level.WARN),
        ("re_raised", 8, Level.ALARM),
    ]
    assert list(occurrences("point:1", "h", ROOM, changes)) == [one(Level.URGENT, 1, 5), one(Level.ALARM, 8, None)]


def test_alarms_are_paired_by_subject_rule_and_time() -> None:
    now = [one(Level.WARN, 10, 20), one(Level.WARN, 30, None), one(Level.WARN, 10, 20, "q")]
    new = [one(Level.WARN, 12, 18), one(Level.ALARM, 35, 40), one(Level.WARN, 10, 20, "h", "point:2")]
    found = compare(now, new)
    assert dict(found.rules) == {"h": (2, 3), "q": (1, 0)}
    assert [(d.now and d.now.raised_at, d.trial and (d.trial.subject, d.trial.raised_at)) for d in found.differences] == [
        (10, None), (None, ("point:2", 10)), (30, ("point:1", 35)),
    ]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(["h", "q"]), st.integers(0, 50), st.integers(0, 10)), max_size=12))
def test_a_set_of_alarms_never_differs_from_itself(alarms: list[tuple[str, int, int]]) -> None:
    mine = [one(Level.WARN, at, at + length, rule) for rule, at, length in alarms]
    apart = [
        a for n, a in enumerate(mine) if not any(b.rule == a.rule and b.raised_at <= a.cleared_at and a.raised_at <= b.cleared_at for b in mine[:n])
    ]
    assert compare(apart, apart).differences == ()
