"""The screen proved against the plain core: whatever it keeps back would have changed nothing."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alarms.lifecycle import INITIAL, Acknowledge, AlarmState, Change, NotAllowedError, Reset, Seen, Shelve, Suppress, Tick, Unsuppress, advance, step
from alarms.model import Level, Rule, Rung
from alarms.quiet import quiet
from alarms.rules import parse_rules
from alarms.screen import Screen, ScreenedCore
from contract.sample import Quality

S = 1000
ALLOWED = 9 * S
LEVELS = [Level.WARN, Level.ALARM, Level.URGENT]
VALUES = st.sampled_from([0.0, 1.0, 2.0, 20.0, 35.0, 37.0, 39.0, 44.0, 50.0, 58.0, 58.5, 60.0, 60.0000000005, 61.0, 65.0, 66.0, 73.0, 76.0])


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    kind = draw(st.sampled_from(["threshold", "state", "stale", "rate", "heat", "swing", "stuck", "implausible", "step", "off_hours"]))
    delays = [draw(st.integers(0, 12)) * S for _ in range(3)]
    side = draw(st.sampled_from(["above", "below"]))
    rungs = tuple(
        Rung(level, side, limit, delay) for level, limit, delay in zip(LEVELS, [60, 65, 75] if side == "above" else [58, 44, 36], delays, strict=True)
    )
    options: tuple[tuple[str, float | str], ...] = ()
    if kind in ("state", "off_hours"):
        listed = draw(st.sampled_from([(1.0,), (0.0, 2.0), (1.0, 2.0)]))
        rungs = tuple(Rung(level, "equals", listed[0], delay, listed) for level, delay in zip(LEVELS, sorted(delays), strict=True))
        options = (("holidays", ""), ("hours", "mon-sun 08:00-08:10"), ("workdays", "")) if kind == "off_hours" else ()
    elif kind == "stale":
        rungs = tuple(Rung(level, "equals", 1, delay, (1.0,)) for level, delay in zip(LEVELS, sorted(delays), strict=True))
    elif kind == "rate":
        rungs, options = (replace(rungs[0], side="above", limit=4),), (("least", 36.0), ("window", 10.0 * S))
    elif kind == "heat":
        rungs, options = (replace(rungs[0], side="above", limit=46),), (("ahead", 10.0), ("least", 36.0), ("rise", 4.0), ("window", 10.0 * S))
    elif kind == "swing":
        rungs, options = (replace(rungs[0], side="above", limit=4),), (("around", -1e9), ("every", 5.0 * S), ("window", 20.0 * S))
    elif kind == "stuck":
        rungs, options = (replace(rungs[0], side="above", limit=15 * S),), (("every", 4.0 * S),)
    elif kind == "implausible":
        rungs, options = (replace(rungs[0], side="above", limit=1),), (("high", 65.0), ("low", 1.0))
    elif kind == "step":
        rungs, options = (replace(rungs[0], side="above", limit=10),), (("every", 4.0 * S), ("window", 30.0 * S))
    latch, off, re_alarm = draw(st.booleans()), draw(st.integers(0, 12)) * S, draw(st.sampled_from([None, 20 * S]))
    return Rule(kind, kind, "temperature", rungs, draw(st.sampled_from([0.0, 2.0])), off, latch, re_alarm, options=options)


SAMPLES = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 8), st.one_of(VALUES, st.none())), min_size=1, max_size=60
)  # (point, seconds since its last sample, value or None = unusable)


def timeline(samples: list[tuple[int, int, float | None]]) -> list[tuple[int, int, float | None]]:
    now, found = [1_790_000_000_000] * 3, []
    for point, wait, value in samples:
        now[point] += wait * S * (4 if wait == 8 else 1)  # now and then a silence longer than allowed
        found.append((point, now[point], value))
    return found


START = 1_790_000_000_000


def plainly(mine: list[Rule], samples: list[tuple[int, int, float | None]], end: int) -> dict[tuple[int, int], list[Change]]:
    """Every sample of every point through every rule, with the timers before it."""
    found: dict[tuple[int, int], list[Change]] = {}
    for point in range(3):
        for index, rule in enumerate(mine):
            state, changes, deadline = INITIAL, [], START + ALLOWED
            for who, at, value in samples:
                if who == point:
                    for result in (advance(rule, state, at, deadline),):
                        state, changes = result.state, changes + list(result.transitions)
                    result = step(rule, state, Seen(at, value, Quality.GOOD if value is not None else Quality.BAD, source=who), at)
                    state, changes = result.state, changes + list(result.transitions)
                    deadline = at + ALLOWED if value is not None else deadline
            result = advance(rule, state, end, deadline)
            found[point, index] = changes + list(result.transitions)
    return found


def screened(
    mine: list[Rule], samples: list[tuple[int, int, float | None]], end: int, cuts: int
) -> tuple[dict[tuple[int, int], list[Change]], ScreenedCore]:
    found: dict[tuple[int, int], list[Change]] = {(point, index): [] for point in range(3) for index in range(len(mine))}
    core = ScreenedCore([mine] * 3, [ALLOWED] * 3, lambda point, rule, change: found[point, mine.index(rule)].append(change), START)
    for begin in range(0, len(samples), cuts):
        part = samples[begin : begin + cuts]
        points, at = np.array([s[0] for s in part]), np.array([s[1] for s in part], np.int64)
        values = np.array([np.nan if s[2] is None else s[2] for s in part])
        core.feed(points, at, values, ~np.isnan(values))
    core.settle(end)
    return found, core


def distinct(mine: list[Rule]) -> list[Rule]:
    return [replace(rule, name=f"{rule.name}{index}") for index, rule in enumerate(mine)]


@given(st.lists(rules(), min_size=1, max_size=4).map(distinct), SAMPLES.map(timeline), st.integers(1, 25))
@settings(max_examples=150, deadline=None)
def test_screen_and_core_together_do_exactly_what_the_core_does(mine: list[Rule], samples: list[tuple[int, int, float | None]], cuts: int) -> None:
    end = max(at for _, at, _ in samples) + 60 * S
    assert screened(mine, samples, end, cuts)[0] == plainly(mine, samples, end)


@pytest.mark.soak
@given(st.lists(rules(), min_size=1, max_size=6).map(distinct), SAMPLES.map(timeline), st.integers(1, 25))
@pytest.mark.timeout(900)
@settings(max_examples=3_000, deadline=None)
def test_screen_and_core_together_at_length(mine: list[Rule], samples: list[tuple[int, int, float | None]], cuts: int) -> None:
    end = max(at for _, at, _ in samples) + 60 * S
    assert screened(mine, samples, end, cuts)[0] == plainly(mine, samples, end)


COMMANDS = st.sampled_from(["ack", "shelve", "suppress", "unsuppress", "reset", "tick"])
EVENTS = {
    "ack": lambda now: Acknowledge("li"),
    "shelve": lambda now: Shelve(now + 30 * S, "li", "因"),
    "suppress": lambda now: Suppress("m"),
    "unsuppress": lambda now: Unsuppress("m"),
    "reset": lambda now: Reset("li"),
    "tick": lambda now: Tick(True, now + ALLOWED),
}


@given(rules(), st.lists(st.tuples(st.integers(1, 8), VALUES, st.one_of(st.none(), COMMANDS)), max_size=25), VALUES, st.integers(1, 20))
@settings(max_examples=150, deadline=None)
def test_a_quiet_sample_gives_back_the_identical_state_whatever_was_done_before(
    rule: Rule, past: list[tuple[int, float, str | None]], value: float, wait: int
) -> None:
    state: AlarmState = INITIAL
    now, last = START, 50.0
    for seconds, reading, command in past:
        now += seconds * S
        state, last = step(rule, advance(rule, state, now, now + S).state, Seen(now, reading), now).state, reading
        if command is not None:
            try:
                state = step(rule, state, EVENTS[command](now), now).state
            except NotAllowedError:
                continue
    band = quiet(rule, state, last)
    at = now + wait * S
    if band.holds(at, value):
        result = step(rule, state, Seen(at, value), at)
        assert result.state is state
        assert result.transitions == ()
        assert rule.kind == "stale" or advance(rule, state, at, at + ALLOWED).state is state


def test_ordinary_samples_do_not_reach_the_core() -> None:
    shipped = parse_rules(
        "rules:\n"
        "  - {name: damp, kind: threshold, quantity: humidity, ladder: {warn: {above: 60, on_delay: 30m}, alarm: {above: 65}}, deadband: 2}\n"
        "  - {name: stale, kind: stale, quantity: any, ladder: {warn: {on_delay: 0s}}}\n",
        "x",
    )
    mine = list(shipped.for_point("humidity", "paper", "", "R"))
    samples = [(0, START + i * 5 * S, 55.0 if i < 50 else 61.0 if i < 100 else 66.0) for i in range(150)]
    found, core = screened(mine, samples, START + 751 * S, 10)
    assert [change.name for change in found[0, 0]] == ["raised"]
    assert core.steps < 40


def test_a_sample_that_is_not_newer_goes_to_the_core() -> None:
    screen = Screen(2)
    screen.set(0, [])
    screen.set(1, [])

    def split(*samples: tuple[int, int]) -> list[int]:
        points, at = np.array([p for p, _ in samples]), np.array([t for _, t in samples], np.int64)
        return list(screen.split(points, at, np.full(len(at), 5.0), np.ones(len(at), bool)))

    assert split((0, 10), (1, 10), (0, 20)) == []
    assert split((0, 20), (1, 11)) == [0]
    assert split((0, 30), (1, 9), (1, 12), (0, 29), (0, 31)) == [1, 2, 3, 4]
    assert list(screen.last_at) == [30, 11]


def test_unusable_samples_are_quiet_unless_a_rule_judges_them() -> None:
    screen = Screen(2)
    screen.set(0, [])
    screen.set(1, [], judges_bad=True)
    nothing = np.full(2, np.nan)
    assert list(screen.split(np.array([0, 1]), np.array([5, 5]), nothing, np.zeros(2, bool))) == [1]
    assert list(screen.last_usable_at) == [-1, -1]


def test_a_new_point_is_never_quiet() -> None:
    assert list(Screen(1).split(np.array([0]), np.array([5]), np.array([1.0]), np.ones(1, bool))) == [0]
