"""The delays of an alarm: how one value starts and cancels them, when they end, and what the alarm does then.

Each rung above the present level waits for its on-delay (Onset), each rung up to it for its off-delay (Release). Beside them run the clocks of shelf
and re-alarm, whether samples come or not.
"""

from collections.abc import Callable
from dataclasses import replace

from alarms.inhibits import Moved, changed, lift
from alarms.model import Level, Rule, Rung
from alarms.state import AlarmState, Change, Onset, Release


def judge(rule: Rule, state: AlarmState, value: float, at: int) -> AlarmState:
    """Start and cancel the on- and off-delays by one value. Returns the same object when none starts or ends."""
    if not state.tripped and not state.onsets and not rule.ladder[0].breached(value):
        return state  # the first rung is the widest: nearly every sample ends here
    onsets, releases = [], []
    for rung in rule.ladder:
        if held(state, rung):
            if rung.cleared(value, rule.deadband):
                releases.append(_release(state, rung.level) or Release(rung.level, at))
        elif rung.breached(value):
            onsets.append(_onset(state, rung.level) or Onset(rung.level, at, value))
    if tuple(onsets) == state.onsets and tuple(releases) == state.releases:
        return state
    return state._replace(onsets=tuple(onsets), releases=tuple(releases))


def held(state: AlarmState, rung: Rung) -> bool:
    """Whether a rung is reached now (it or a worse one)."""
    return state.tripped and state.level is not None and rung.level <= state.level


def _onset(state: AlarmState, level: Level) -> Onset | None:
    for onset in state.onsets:
        if onset.level == level:
            return onset
    return None


def _release(state: AlarmState, level: Level) -> Release | None:
    for release in state.releases:
        if release.level == level:
            return release
    return None


def settle(rule: Rule, state: AlarmState, at: int, value: float | None) -> Moved:
    """Let the delays that have lasted until `at` take effect."""
    reached = [rung.level for rung in rule.ladder if _lasted(_onset(state, rung.level), rung.on_delay_ms, at)]
    if reached:
        return _raise(state, max(reached), at, value)
    if not state.tripped:
        return state, ()
    holding = [rung.level for rung in rule.ladder if held(state, rung) and not _lasted(_release(state, rung.level), rule.off_delay_ms, at)]
    if not holding:
        return clear(rule, state, at, value)
    if max(holding) == state.level:
        return state, ()
    level = max(holding)
    after = state._replace(level=level, releases=tuple(release for release in state.releases if release.level <= level))
    return after, (changed("deescalated", state, after, at, value=value),)


def _lasted(delay: Onset | Release | None, duration: int, at: int) -> bool:
    return delay is not None and delay.since + duration <= at


def _raise(state: AlarmState, level: Level, at: int, value: float | None) -> Moved:
    onset = _onset(state, level)
    seen = value if value is not None or onset is None else onset.value
    name = "escalated" if state.tripped else "re_raised" if state.open else "raised"
    told = not state.inhibited
    after = state._replace(
        tripped=True,
        level=level,
        acknowledged=False,
        latched=False,
        announced=told or (state.announced and state.open),
        onsets=tuple(onset for onset in state.onsets if onset.level > level),
        releases=(),
    )
    if name != "escalated":
        after = after._replace(raised_at=at, raised_value=seen, cleared_at=None, occurrence=state.occurrence + 1 if state.open else 1)
    if name == "raised":
        after = after._replace(acked_at=None, acked_by="")
    return after, (changed(name, state, after, at, value=seen, annunciate=told),)


def clear(rule: Rule, state: AlarmState, at: int, value: float | None, name: str = "") -> Moved:
    """The condition is gone: what nobody was told about closes, what people have seen too; the rest waits for them. `name`: another than its own."""
    after = state._replace(
        tripped=False,
        latched=rule.latch,
        acknowledged=state.acknowledged or not (state.announced or rule.latch),
        cleared_at=at,
        onsets=(),
        releases=(),
    )
    changes: tuple[Change, ...] = (changed(name or ("latched" if rule.latch else "cleared"), state, after, at, value=value),)
    if after.shelve_one_shot:
        after, more = lift(after, after._replace(shelved_until=None, shelve_one_shot=False), "shelf_expired", at)
        changes += more
    return after, changes


def run(rule: Rule, state: AlarmState, horizon: int, now: int) -> Moved:
    """Fire every timer up to `now` (delays: up to `horizon`) at its own instant, in time order: rare ticks and frequent ones come to the same."""
    changes: tuple[Change, ...] = ()
    while not state.timeless:
        delay = min((instant for instant in delays(rule, state) if instant <= horizon), default=None)
        clock = min((entry for entry in clocks(rule, state) if entry[0] <= now), default=None, key=lambda entry: entry[0])
        if delay is not None and (clock is None or delay <= clock[0]):
            state, more = settle(rule, state, delay, None)
        elif clock is not None:
            state, more = clock[1](state, clock[0])
        else:
            break
        changes += more
    return state, changes


def rewound(state: AlarmState, now: int) -> AlarmState:
    """After a clock that was ahead has been put back to `now`: delays that run have begun by now, and readings from the future are forgotten."""
    return state._replace(
        onsets=tuple(replace(onset, since=min(onset.since, now)) for onset in state.onsets),
        releases=tuple(replace(release, since=min(release.since, now)) for release in state.releases),
        cleared_at=None if state.cleared_at is None else min(state.cleared_at, now),
        acked_at=None if state.acked_at is None else min(state.acked_at, now),
        memory=() if max(state.memory, default=0) > now else state.memory,
    )


def delays(rule: Rule, state: AlarmState) -> list[int]:
    """Ends of the delays that can change the level: on-delays above it, and off-delays up to it."""
    ends: list[int] = []
    if not state.onsets and not state.releases:
        return ends
    for rung in rule.ladder:
        onset, release = _onset(state, rung.level), _release(state, rung.level)
        if onset:
            ends.append(onset.since + rung.on_delay_ms)
        if release and _lets_go_next(rule, state, rung):
            ends.append(release.since + rule.off_delay_ms)
    return ends


def _lets_go_next(rule: Rule, state: AlarmState, rung: Rung) -> bool:
    """A lower rung that lets go first changes nothing yet; only the highest held one does."""
    return rung.level == max((other.level for other in rule.ladder if held(state, other)), default=None)


def clocks(rule: Rule, state: AlarmState) -> list[tuple[int, Callable[[AlarmState, int], Moved]]]:
    """Timers that run whether data come or not: end of a shelf, re-alarm."""
    found: list[tuple[int, Callable[[AlarmState, int], Moved]]] = []
    if state.shelved_until is not None:
        found.append((state.shelved_until, _shelf_expired))
    if rule.re_alarm_ms is not None and state.tripped and state.acknowledged and state.acked_at is not None:
        found.append((state.acked_at + rule.re_alarm_ms, _re_alarm))
    return found


def _shelf_expired(state: AlarmState, at: int) -> Moved:
    return lift(state, state._replace(shelved_until=None, shelve_one_shot=False), "shelf_expired", at)


def _re_alarm(state: AlarmState, at: int) -> Moved:
    told = not state.inhibited
    after = state._replace(acknowledged=False, announced=state.announced or told)
    return after, (changed("re_alarmed", state, after, at, annunciate=told),)
