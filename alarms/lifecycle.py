"""The life of an alarm: step(rule, state, event, now) -> Step. Pure; ISA-18.2 / IEC 62682 (domain.md 3.1).

Each rung of the ladder above the present level waits for its on-delay (Onset) and each rung up to it for its off-delay (Release). A rung is
reached when its breach has lasted, and lets go when its clearance has lasted; the level is the highest rung that holds. So an alarm climbs by
on-delays, falls silently by off-delays, and clears when the lowest rung lets go. Timers count only while the point is fresh: silence neither
raises nor clears. Inhibits (shelved, suppressed, out of service) lie on top; beneath them the machine runs on but tells nobody.

Where the standard leaves a choice:
- An alarm that nobody was told about (it came and went under an inhibit) closes when it clears: nobody was asked, so nobody need answer.
- When a person's inhibit (shelf, out of service) ends and the condition is gone, the alarm closes; that person had seen it. When only an
  automatic suppression ends, an alarm that people had been told about still waits for its acknowledgement. Latched alarms stay latched.
- When the last inhibit ends and the condition holds, the alarm asks anew, even if it had been acknowledged.
"""

from collections.abc import Callable
from dataclasses import replace

from alarms.kinds import KINDS
from alarms.model import Level, Rule, Rung, duration_text
from alarms.sensors import BAD_READING
from alarms.state import (
    INITIAL,
    Acknowledge,
    AlarmState,
    Change,
    Event,
    Expire,
    NotAllowedError,
    Onset,
    OutOfService,
    Release,
    Reset,
    ReturnToService,
    Seen,
    Shelve,
    Step,
    Suppress,
    Tick,
    Unacknowledge,
    Unshelve,
    Unsuppress,
)

__all__ = [
    "INITIAL", "UNACKNOWLEDGE_MS", "Acknowledge", "AlarmState", "Change", "Event", "Expire", "Level", "NotAllowedError", "OutOfService", "Reset",
    "ReturnToService", "Seen", "Shelve", "Step", "Suppress", "Tick", "Unacknowledge", "Unshelve", "Unsuppress", "advance", "next_due", "step",
]  # fmt: skip

UNACKNOWLEDGE_MS = 10_000
Moved = tuple[AlarmState, tuple[Change, ...]]


def step(rule: Rule, state: AlarmState, event: Event, now: int) -> Step:
    """Apply one event. `now` is the instant of commands and ticks; a sample happens at its own `at`.

    Raises NotAllowedError for a command that the alarm's state forbids.
    """
    if isinstance(event, Seen):
        after, changes = _seen(rule, state, event)
        return Step(after, changes, next_due(rule, after))
    if isinstance(event, Tick):
        after, changes = _tick(rule, state, event, now)
        return Step(after, changes, next_due(rule, after, fresh=_horizon(event, now) >= now))
    after, changes = _command(rule, state, event, now)
    return Step(after, changes, next_due(rule, after))


def advance(rule: Rule, state: AlarmState, until: int, deadline: int | None) -> Step:
    """Fire the timers due before `until`: call it before a sample taken at `until`, so that samples of one batch meet timers in time order.

    `deadline` is that of the point's previous usable sample (None: unknown, taken as fresh).
    """
    return step(rule, state, Tick(deadline is None or deadline >= until - 1, deadline), until - 1)


def next_due(rule: Rule, state: AlarmState, fresh: bool = True) -> int | None:
    """The next instant at which a Tick can matter; without fresh data only the shelf, the re-alarm and a silence rule's own delays run."""
    instants = [instant for instant, _ in clocks(rule, state)]
    if fresh or KINDS[rule.kind].silent:
        instants += delays(rule, state)
    return min(instants, default=None)


# --- condition: samples and time -------------------------------------------------------------------------------------------------------


def _seen(rule: Rule, state: AlarmState, event: Seen) -> Moved:
    kind = KINDS[rule.kind]
    reading = event.value if event.usable else BAD_READING if kind.judges_bad else None
    if reading is None:
        return state, ()
    memory, value = kind.evaluate(dict(rule.options), state.memory, event.at, event.quantity or rule.quantity, reading, event.source)
    if memory is not state.memory:
        state = replace(state, memory=memory)
    if value is None:
        return state, ()
    state = judge(rule, state, value, event.at)
    if not state.tripped and not state.onsets:
        return state, ()
    return _settle(rule, state, event.at, value)


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
    return replace(state, onsets=tuple(onsets), releases=tuple(releases))


def held(state: AlarmState, rung: Rung) -> bool:
    """Whether a rung is reached now (it or a worse one)."""
    return state.tripped and state.level is not None and rung.level <= state.level


def _onset(state: AlarmState, level: Level) -> Onset | None:
    return next((onset for onset in state.onsets if onset.level == level), None)


def _release(state: AlarmState, level: Level) -> Release | None:
    return next((release for release in state.releases if release.level == level), None)


def _settle(rule: Rule, state: AlarmState, at: int, value: float | None) -> Moved:
    """Let the delays that have lasted until `at` take effect."""
    reached = [rung.level for rung in rule.ladder if _lasted(_onset(state, rung.level), rung.on_delay_ms, at)]
    if reached:
        return _raise(state, max(reached), at, value)
    if not state.tripped:
        return state, ()
    holding = [rung.level for rung in rule.ladder if held(state, rung) and not _lasted(_release(state, rung.level), rule.off_delay_ms, at)]
    if not holding:
        return _clear(rule, state, at, value)
    if max(holding) == state.level:
        return state, ()
    level = max(holding)
    after = replace(state, level=level, releases=tuple(release for release in state.releases if release.level <= level))
    return after, (_change("deescalated", state, after, at, value=value),)


def _lasted(delay: Onset | Release | None, duration: int, at: int) -> bool:
    return delay is not None and delay.since + duration <= at


def _raise(state: AlarmState, level: Level, at: int, value: float | None) -> Moved:
    onset = _onset(state, level)
    seen = value if value is not None or onset is None else onset.value
    name = "escalated" if state.tripped else "re_raised" if state.open else "raised"
    told = not state.inhibited
    after = replace(
        state,
        tripped=True,
        level=level,
        acknowledged=False,
        latched=False,
        announced=told or (state.announced and state.open),
        onsets=tuple(onset for onset in state.onsets if onset.level > level),
        releases=(),
    )
    if name != "escalated":
        after = replace(after, raised_at=at, raised_value=seen, cleared_at=None, occurrence=state.occurrence + 1 if state.open else 1)
    if name == "raised":
        after = replace(after, acked_at=None, acked_by="")
    return after, (_change(name, state, after, at, value=seen, annunciate=told),)


def _clear(rule: Rule, state: AlarmState, at: int, value: float | None) -> Moved:
    after = replace(
        state,
        tripped=False,
        latched=rule.latch,
        acknowledged=state.acknowledged or not (state.announced or rule.latch),
        cleared_at=at,
        onsets=(),
        releases=(),
    )
    changes: tuple[Change, ...] = (_change("latched" if rule.latch else "cleared", state, after, at, value=value),)
    if after.shelve_one_shot:
        after, more = _lift(after, replace(after, shelved_until=None, shelve_one_shot=False), "shelf_expired", at)
        changes += more
    return after, changes


def _tick(rule: Rule, state: AlarmState, tick: Tick, now: int) -> Moved:
    horizon = _horizon(tick, now)
    if not KINDS[rule.kind].silent:
        return _run(rule, state, horizon, now)
    if tick.fresh and (tick.deadline is None or tick.deadline > now):
        return _run(rule, state, now, now)
    since = now if tick.deadline is None else min(now, tick.deadline)
    state, before = _run(rule, state, since, since)
    state, after = _run(rule, judge(rule, state, 1.0, since), now, now)
    return state, before + after


def _run(rule: Rule, state: AlarmState, horizon: int, now: int) -> Moved:
    """Fire every timer up to `now` (delays: up to `horizon`) at its own instant, in time order: rare ticks and frequent ones come to the same."""
    changes: tuple[Change, ...] = ()
    while True:
        delay = min((instant for instant in delays(rule, state) if instant <= horizon), default=None)
        clock = min((entry for entry in clocks(rule, state) if entry[0] <= now), default=None, key=lambda entry: entry[0])
        if delay is not None and (clock is None or delay <= clock[0]):
            state, more = _settle(rule, state, delay, None)
        elif clock is not None:
            state, more = clock[1](state, clock[0])
        else:
            return state, changes
        changes += more


def _horizon(tick: Tick, now: int) -> int:
    """Up to which instant the point's last sample was fresh; before the beginning of time when it is not and nobody knows since when."""
    if tick.deadline is not None and (tick.fresh or tick.deadline <= now):
        return min(now, tick.deadline)
    return now if tick.fresh else -1


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
    return _lift(state, replace(state, shelved_until=None, shelve_one_shot=False), "shelf_expired", at)


def _re_alarm(state: AlarmState, at: int) -> Moved:
    told = not state.inhibited
    after = replace(state, acknowledged=False, announced=state.announced or told)
    return after, (_change("re_alarmed", state, after, at, annunciate=told),)


# --- commands --------------------------------------------------------------------------------------------------------------------------

_NOTHING_TO_TAKE = "当前没有需要接手的告警。"
_RESET_REFUSALS = {
    "normal": "当前没有需要复位的告警。",
    "active_unacked": "测值仍在越限，请先接手并到场处置，恢复后才能复位。",
    "active_acked": "测值仍在越限，恢复后才能复位。",
    "cleared_unacked": "该告警没有锁定，请直接接手。",
    "latched_unacked": "请先接手，到场查看后再复位。",
}


def _command(rule: Rule, state: AlarmState, event: Event, now: int) -> Moved:
    match event:
        case Acknowledge():
            moved = _acknowledge(state, event, now)
        case Unacknowledge():
            moved = _unacknowledge(state, event, now)
        case Expire():
            moved = _expire(state, now)
        case Shelve():
            moved = _shelve(rule, state, event, now)
        case Unshelve(by):
            moved = _lift(state, replace(state, shelved_until=None, shelve_one_shot=False), "unshelved", now, by)
        case Reset():
            moved = _reset(state, event, now)
        case Suppress():
            moved = _suppress(rule, state, event, now)
        case Unsuppress(cause):
            after = replace(state, suppressed=tuple(other for other in state.suppressed if other != cause))
            moved = _lift(state, after, "unsuppressed", now, note=cause, by_person=False)
        case OutOfService():
            moved = _retire(rule, state, event, now)
        case ReturnToService(by):
            moved = _lift(state, replace(state, out_of_service=False), "returned", now, by)
        case _:
            raise TypeError(f"{event!r} is not an event")
    return moved


def _suppress(rule: Rule, state: AlarmState, event: Suppress, now: int) -> Moved:
    _need_two(rule, event.by, event.second)
    if event.cause in state.suppressed:
        return state, ()
    after = replace(state, suppressed=tuple(sorted((*state.suppressed, event.cause))))
    return _inhibit("suppressed", state, after, now, _names(event.by, event.second), event.cause)


def _retire(rule: Rule, state: AlarmState, event: OutOfService, now: int) -> Moved:
    if not event.reason.strip():
        raise NotAllowedError("停用需要填写原因。")
    _need_two(rule, event.by, event.second)
    return _inhibit("out_of_service", state, replace(state, out_of_service=True), now, _names(event.by, event.second), event.reason)


def _need_two(rule: Rule, by: str, second: str) -> None:
    if rule.two_persons and (not by.strip() or not second.strip() or by.strip() == second.strip()):
        raise NotAllowedError("该告警须由两人共同确认，请填写另一人的姓名。")


def _names(by: str, second: str) -> str:
    return "、".join(name.strip() for name in (by, second) if name.strip())


def _acknowledge(state: AlarmState, event: Acknowledge, now: int) -> Moved:
    if not state.open:
        raise NotAllowedError(_NOTHING_TO_TAKE)
    if state.acknowledged:
        return state, ()
    after = replace(state, acknowledged=True, acked_at=now, acked_by=event.by)
    return after, (_change("acknowledged", state, after, now, event.by, event.note),)


def _unacknowledge(state: AlarmState, event: Unacknowledge, now: int) -> Moved:
    if not state.acknowledged:
        return state, ()
    if state.acked_at is None or not state.acked_by:
        raise NotAllowedError("当前没有可以撤回的接手。")
    if event.by != state.acked_by:
        raise NotAllowedError("只有接手人本人可以撤回接手。")
    if now - state.acked_at > UNACKNOWLEDGE_MS:
        raise NotAllowedError(f"接手已超过 {UNACKNOWLEDGE_MS // 1000} 秒，不能撤回，请转交他人。")
    after = replace(state, acknowledged=False, acked_at=None, acked_by="")
    return after, (_change("unacknowledged", state, after, now, event.by),)


def _expire(state: AlarmState, now: int) -> Moved:
    """Only of a take-over that stands and that people would be told about; under an inhibit the end of that asks anew anyway."""
    if not state.open or state.acked_at is None or state.inhibited or state.machine not in ("active_acked", "latched_acked"):
        return state, ()
    after = replace(state, acknowledged=False, acked_at=None, acked_by="", announced=True)
    return after, (_change("take_over_expired", state, after, now, state.acked_by, annunciate=True),)


def _shelve(rule: Rule, state: AlarmState, event: Shelve, now: int) -> Moved:
    if rule.shelve_max_ms == 0 or rule.two_persons:  # a shelf is one person's
        raise NotAllowedError("该告警不允许暂停提醒。")
    if not event.reason.strip():
        raise NotAllowedError("暂停提醒需要填写原因。")
    if event.until <= now:
        raise NotAllowedError("暂停提醒的结束时间须晚于现在。")
    if event.until > now + rule.shelve_max_ms:
        raise NotAllowedError(f"暂停提醒最长 {_duration_zh(rule.shelve_max_ms)}。")
    after = replace(state, shelved_until=event.until, shelve_one_shot=event.one_shot)
    return _inhibit("shelved", state, after, now, event.by, event.reason)


def _duration_zh(ms: int) -> str:
    text = duration_text(ms)
    for unit, word in (("ms", " 毫秒"), ("d", " 天"), ("h", " 小时"), ("m", " 分钟"), ("s", " 秒")):
        if text.endswith(unit):
            return text.removesuffix(unit) + word
    return text


def _reset(state: AlarmState, event: Reset, now: int) -> Moved:
    if state.machine != "latched_acked":
        raise NotAllowedError(_RESET_REFUSALS[state.machine])
    if state.onsets:
        raise NotAllowedError("测值又在越限，恢复后才能复位。")
    after = replace(state, latched=False, acked_at=None, acked_by="")
    return after, (_change("reset", state, after, now, event.by, event.note),)


def _inhibit(name: str, state: AlarmState, after: AlarmState, at: int, by: str = "", note: str = "") -> Moved:
    return (state, ()) if after == state else (after, (_change(name, state, after, at, by, note),))


def _lift(state: AlarmState, after: AlarmState, name: str, at: int, by: str = "", note: str = "", by_person: bool = True) -> Moved:
    """Take one inhibit away. With the last one gone, what holds is told again, and what is over and seen by a person closes."""
    if after == state:
        return state, ()
    if after.inhibited:
        return after, (_change(name, state, after, at, by, note),)
    told = after.tripped or (after.latched and not after.acknowledged)
    if told:
        after = replace(after, acknowledged=False, announced=True)
    changes = (_change(name, state, after, at, by, note, annunciate=told),)
    if after.machine == "cleared_unacked" and by_person:
        closed = replace(after, acknowledged=True)
        return closed, (*changes, _change("closed", after, closed, at, by))
    return after, changes


def _change(
    name: str, before: AlarmState, after: AlarmState, at: int, by: str = "", note: str = "", value: float | None = None, annunciate: bool = False
) -> Change:
    return Change(name, before.isa, after.isa, after.level, annunciate, at, by, note, value)
