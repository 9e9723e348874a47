"""step() against a naive second machine, which keeps the whole history and looks at every second anew; and properties of time."""

import json
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from alarms.lifecycle import (
    INITIAL,
    Acknowledge,
    AlarmState,
    Change,
    Event,
    NotAllowedError,
    OutOfService,
    Reset,
    ReturnToService,
    Seen,
    Shelve,
    Suppress,
    Tick,
    Unacknowledge,
    Unshelve,
    Unsuppress,
    advance,
    step,
)
from alarms.model import Level, Rule, Rung
from contract.sample import Quality

S = 1000
ALLOWED = 8
LEVELS = [Level.WARN, Level.ALARM, Level.URGENT]
LIMITS = [60.0, 65.0, 75.0]
ON = [7, 4, 2]
DEADBAND, OFF, RE_ALARM, SHELVE_MAX = 2.0, 5, 20, 60


def make_rule(latch: bool = False, on: Sequence[int] = ON, off: int = OFF, kind: str = "threshold") -> Rule:
    rungs = [Rung(level, "above", limit, delay * S) for level, limit, delay in zip(LEVELS, LIMITS, on, strict=True)]
    if kind == "stale":
        rungs = [Rung(level, "equals", 1, delay * S, (1,)) for level, delay in zip(LEVELS, sorted(on), strict=True)]
    return Rule("r", kind, "humidity", tuple(rungs), DEADBAND, off * S, latch, RE_ALARM * S, SHELVE_MAX * S)


class Naive:
    """The specification said slowly, in whole seconds."""

    def __init__(self, latch: bool) -> None:
        self.latch = latch
        self.samples: list[tuple[int, float]] = []
        self.level = -1  # index of the rung, -1 = not tripped
        self.acked, self.latched, self.told = True, False, False
        self.acked_at, self.acked_by = -1, ""
        self.shelf: int | None = None
        self.one_shot = False
        self.causes: set[str] = set()
        self.retired = False
        self.calls: list[tuple[int, int]] = []
        self.occurrence = 0

    @property
    def inhibited(self) -> bool:
        return self.retired or bool(self.causes) or self.shelf is not None

    @property
    def state(self) -> str:
        if self.retired:
            return "out_of_service"
        if self.causes:
            return "suppressed"
        if self.shelf is not None:
            return "shelved"
        ack = "acked" if self.acked else "unacked"
        if self.level >= 0:
            return f"active_{ack}"
        if self.latched:
            return f"latched_{ack}"
        return "normal" if self.acked else "cleared_unacked"

    @property
    def open(self) -> bool:
        return self.level >= 0 or self.latched or not self.acked

    def run_since(self, holds: Sequence[bool]) -> int | None:
        """When the unbroken run at the end of the samples began."""
        since = None
        for (at, _), true in zip(reversed(self.samples), reversed(holds), strict=True):
            if not true:
                break
            since = at
        return since

    def lasted(self, holds: Sequence[bool], delay: int, now: int) -> bool:
        since = self.run_since(holds)
        return since is not None and now - since >= delay

    def second(self, now: int, sample: float | None) -> None:
        """One second: its sample, then the delays, then the clocks."""
        if sample is not None:
            self.samples.append((now, sample))
        if self.samples and now <= self.samples[-1][0] + ALLOWED:
            self.condition(now)
        if self.shelf is not None and now >= self.shelf:
            self.unshelve(now)
        if self.level >= 0 and self.acked and now >= self.acked_at + RE_ALARM:
            self.acked = False
            self.call(now)

    def condition(self, now: int) -> None:
        up = [i for i in range(self.level + 1, 3) if self.lasted([v > LIMITS[i] for _, v in self.samples], ON[i], now)]
        if up:
            if self.level < 0:
                if not self.open:
                    self.occurrence, self.told, self.acked_by = 0, False, ""
                self.occurrence += 1
            self.level, self.acked, self.latched = max(up), False, False
            self.call(now)
            return
        held = [i for i in range(self.level + 1) if not self.lasted([v <= LIMITS[i] - DEADBAND for _, v in self.samples], OFF, now)]
        if self.level >= 0 and not held:
            self.level, self.latched = -1, self.latch
            if not self.told and not self.latch:
                self.acked = True
            if self.one_shot and self.shelf is not None:
                self.unshelve(now)
        elif held:
            self.level = max(held)

    def call(self, now: int) -> None:
        if not self.inhibited:
            self.calls.append((now, self.level))
            self.told = True

    def lifted(self, now: int, by_person: bool) -> None:
        if self.inhibited:
            return
        if self.level >= 0 or (self.latched and not self.acked):
            self.acked = False
            self.call(now)
        elif not self.latched and by_person:
            self.acked = True

    def unshelve(self, now: int) -> None:
        if self.shelf is not None:
            self.shelf, self.one_shot = None, False
            self.lifted(now, True)

    def acknowledge(self, now: int, by: str) -> bool:
        if not self.open:
            return False
        if not self.acked:
            self.acked, self.acked_at, self.acked_by = True, now, by
        return True

    def unacknowledge(self, now: int, by: str) -> bool:
        if not self.acked:
            return True
        if self.acked_by != by or now - self.acked_at > 10:
            return False
        self.acked, self.acked_by = False, ""
        return True

    def reset(self) -> bool:
        breach = [v > LIMITS[0] for _, v in self.samples]
        if self.level >= 0 or not self.latched or not self.acked or (breach and breach[-1]):
            return False
        self.latched, self.acked_by = False, ""
        return True


class Lifecycle(RuleBasedStateMachine):
    latch = False

    def __init__(self) -> None:
        super().__init__()
        self.rule = make_rule(self.latch)
        self.now, self.last = 0, -100
        self.state: AlarmState = INITIAL
        self.due: int | None = None
        self.changes: list[Change] = []
        self.naive = Naive(self.latch)

    def apply(self, event: Event, now: int) -> None:
        result = step(self.rule, self.state, event, now * S)
        assert (result.state == self.state) == (result.state is self.state)
        self.state, self.due = result.state, result.due
        self.changes += result.transitions

    def tick(self, now: int) -> None:
        self.apply(Tick(now <= self.last + ALLOWED, (self.last + ALLOWED) * S), now)

    def elapse(self, seconds: int, sample: float | None = None, quality: Quality = Quality.GOOD) -> None:
        """The real one wakes only when it asked to be woken; the naive one looks every second."""
        until = self.now + seconds
        while self.due is not None and self.due < until * S:
            self.tick(-(-self.due // S))
        self.now = until
        for second in range(until - seconds + 1, until):
            self.naive.second(second, None)
        if sample is not None:
            if quality is not Quality.BAD:
                self.last = until
            self.apply(Seen(until * S, None if quality is Quality.BAD else sample, quality), until)
        self.tick(until)
        self.naive.second(until, None if quality is Quality.BAD else sample)

    @rule(seconds=st.integers(1, 6), value=st.sampled_from([50.0, 58.0, 58.5, 60.0, 61.0, 63.0, 64.0, 66.0, 73.0, 74.0, 76.0]))
    def sample(self, seconds: int, value: float) -> None:
        self.elapse(seconds, value)

    @rule(value=st.sampled_from([50.0, 61.0, 66.0, 76.0]), count=st.integers(2, 9))
    def steady(self, value: float, count: int) -> None:
        for _ in range(count):
            self.elapse(1, value)

    @rule(seconds=st.integers(1, 5), quality=st.sampled_from([Quality.UNCERTAIN, Quality.BAD]))
    def doubtful_sample(self, seconds: int, quality: Quality) -> None:
        self.elapse(seconds, 66.0, quality)

    @rule(seconds=st.integers(1, 40))
    def silence(self, seconds: int) -> None:
        self.elapse(seconds)

    def command(self, event: Event, allowed: bool) -> None:
        try:
            self.apply(event, self.now)
        except NotAllowedError:
            assert not allowed
        else:
            assert allowed

    @precondition(lambda self: self.state.open)
    @rule(by=st.sampled_from(["li", "wang"]))
    def acknowledge(self, by: str) -> None:
        self.command(Acknowledge(by), self.naive.acknowledge(self.now, by))

    @precondition(lambda self: self.state.acked_at is not None)
    @rule(by=st.sampled_from(["li", "li", "wang"]))
    def unacknowledge(self, by: str) -> None:
        self.command(Unacknowledge(by), self.naive.unacknowledge(self.now, by))

    @rule(seconds=st.integers(1, SHELVE_MAX + 5), one_shot=st.booleans())
    def shelve(self, seconds: int, one_shot: bool) -> None:
        if seconds <= SHELVE_MAX:
            self.naive.shelf, self.naive.one_shot = self.now + seconds, one_shot
        self.command(Shelve((self.now + seconds) * S, "li", "原因", one_shot), seconds <= SHELVE_MAX)

    @precondition(lambda self: self.state.shelved_until is not None)
    @rule()
    def unshelve(self) -> None:
        self.naive.unshelve(self.now)
        self.command(Unshelve("li"), True)

    @precondition(lambda self: self.state.latched)
    @rule()
    def reset(self) -> None:
        self.command(Reset("li"), self.naive.reset())

    @rule(cause=st.sampled_from(["a", "b"]))
    def suppress(self, cause: str) -> None:
        self.naive.causes.add(cause)
        self.command(Suppress(cause), True)

    @precondition(lambda self: self.state.suppressed)
    @rule(cause=st.sampled_from(["a", "b"]))
    def unsuppress(self, cause: str) -> None:
        if cause in self.naive.causes:
            self.naive.causes.discard(cause)
            self.naive.lifted(self.now, False)
        self.command(Unsuppress(cause), True)

    @rule()
    def retire(self) -> None:
        self.naive.retired = True
        self.command(OutOfService("li", "送检"), True)

    @precondition(lambda self: self.state.out_of_service)
    @rule()
    def give_back(self) -> None:
        self.naive.retired = False
        self.naive.lifted(self.now, True)
        self.command(ReturnToService("li"), True)

    @invariant()
    def same_state(self) -> None:
        assert self.state.isa == self.naive.state
        assert self.state.open == self.naive.open
        if self.naive.level >= 0:
            assert self.state.level is LEVELS[self.naive.level]
        if self.naive.open:
            assert self.state.occurrence == self.naive.occurrence

    @invariant()
    def same_calls(self) -> None:
        calls = [change for change in self.changes if change.annunciate]
        assert [change.at for change in calls] == [at * S for at, _ in self.naive.calls]
        assert [c.level for c, (_, n) in zip(calls, self.naive.calls, strict=True) if n >= 0] == [LEVELS[n] for _, n in self.naive.calls if n >= 0]

    @invariant()
    def survives_a_restart(self) -> None:
        assert AlarmState.from_dict(json.loads(json.dumps(self.state.to_dict()))) == self.state


class LatchedLifecycle(Lifecycle):
    latch = True


TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLatchedLifecycle = LatchedLifecycle.TestCase
TestLatchedLifecycle.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


TIMED_VALUES = st.lists(st.tuples(st.integers(1, 12), st.sampled_from([50.0, 58.5, 61.0, 66.0, 76.0])), min_size=1, max_size=15)
RULES = st.builds(
    make_rule, st.booleans(), st.tuples(*[st.integers(0, 12)] * 3), st.integers(0, 12), st.sampled_from(["threshold", "threshold", "stale"])
)


def replay(rule_: Rule, values: list[tuple[int, float]], extra: set[int]) -> tuple[AlarmState, list[Change]]:
    """Samples with the least ticks that are needed, and `extra` ones anywhere between (seconds)."""
    state, changes, now, last = INITIAL, [], 0, 0
    for wait, value in [*values, (40, 50.0)]:
        for second in range(now + 1, now + wait):
            if second in extra:
                result = step(rule_, state, Tick(second <= last + ALLOWED, (last + ALLOWED) * S), second * S)
                state, changes = result.state, changes + list(result.transitions)
        now += wait
        for result in (advance(rule_, state, now * S, (last + ALLOWED) * S),):
            state, changes = result.state, changes + list(result.transitions)
        result = step(rule_, state, Seen(now * S, value), now * S)
        state, changes, last = result.state, changes + list(result.transitions), now
    return state, changes


@given(RULES, TIMED_VALUES, st.sets(st.integers(1, 200)))
def test_more_ticks_never_change_the_outcome(rule_: Rule, values: list[tuple[int, float]], extra: set[int]) -> None:
    assert replay(rule_, values, extra) == replay(rule_, values, set())


@given(RULES, TIMED_VALUES)
def test_waking_only_when_due_is_enough(rule_: Rule, values: list[tuple[int, float]]) -> None:
    every = replay(rule_, values, set(range(400)))
    state, changes, now, last = INITIAL, [], 0, 0
    due: int | None = None
    for wait, value in [*values, (40, 50.0)]:
        now += wait
        # A silence rule is woken at the point's deadline as well; nobody else needs that.
        wakes = [(last + ALLOWED) * S] if rule_.kind == "stale" and last + ALLOWED < now else []
        while wakes or (due is not None and due < now * S):
            at = min([*wakes, *([due] if due is not None else [])])
            wakes = [wake for wake in wakes if wake > at]
            result = step(rule_, state, Tick(at <= (last + ALLOWED) * S, (last + ALLOWED) * S), at)
            state, changes, due = result.state, changes + list(result.transitions), result.due
        result = step(rule_, state, Seen(now * S, value), now * S)
        state, changes, due, last = result.state, changes + list(result.transitions), result.due, now
    assert (state, changes) == every


@given(RULES, TIMED_VALUES, st.sampled_from([50.0, 58.5, 61.0, 76.0]))
def test_a_sample_that_changes_no_fact_returns_the_identical_state(rule_: Rule, values: list[tuple[int, float]], value: float) -> None:
    state, _ = replay(rule_, values, set())
    for second in range(400, 420):
        result = step(rule_, state, Seen(second * S, value), second * S)
        assert (result.state is state) == (result.state == state)
        state = result.state
    settled = step(rule_, state, Seen(430 * S, value), 430 * S)
    assert settled.state is state
    assert settled.transitions == ()


def test_an_unknown_key_in_a_stored_state_is_ignored() -> None:
    assert AlarmState.from_dict({"tripped": True, "from_the_future": 1}) == AlarmState(tripped=True)
    assert INITIAL.to_dict() == {}
