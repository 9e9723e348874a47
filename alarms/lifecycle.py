"""The life of an alarm: step(rule, state, event, now) -> Step. Pure; ISA-18.2 / IEC 62682. Its parts: delays.py, orders.py, inhibits.py.

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

from alarms.delays import clear, clocks, delays, judge, run, settle
from alarms.inhibits import Moved
from alarms.kinds import KINDS
from alarms.model import Level, Rule
from alarms.orders import UNACKNOWLEDGE_MS, command
from alarms.sensors import BAD_READING
from alarms.state import (
    INITIAL,
    Acknowledge,
    AlarmState,
    AskAgain,
    Change,
    Event,
    Expire,
    NotAllowedError,
    OutOfService,
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
    Withdraw,
)

__all__ = [
    "INITIAL", "UNACKNOWLEDGE_MS", "Acknowledge", "AlarmState", "AskAgain", "Change", "Event", "Expire", "Level", "NotAllowedError", "OutOfService",
    "Reset", "ReturnToService", "Seen", "Shelve", "Step", "Suppress", "Tick", "Unacknowledge", "Unshelve", "Unsuppress", "Withdraw", "advance",
    "next_due", "step",
]  # fmt: skip


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
    if isinstance(event, Withdraw):
        after, changes = clear(rule, state, now, None, "withdrawn") if state.tripped else (state, ())
    else:
        after, changes = command(rule, state, event, now)
    return Step(after, changes, next_due(rule, after))


def advance(rule: Rule, state: AlarmState, until: int, deadline: int | None) -> Step:
    """Fire the timers due before `until`: call it before a sample taken at `until`, so that samples of one batch meet timers in time order.

    `deadline` is that of the point's previous usable sample (None: unknown, taken as fresh).
    """
    return step(rule, state, Tick(deadline is None or deadline >= until - 1, deadline), until - 1)


def next_due(rule: Rule, state: AlarmState, fresh: bool = True) -> int | None:
    """The next instant at which a Tick can matter; without fresh data only the shelf, the re-alarm and a silence rule's own delays run."""
    if state.timeless:
        return None
    instants = [instant for instant, _ in clocks(rule, state)]
    if fresh or KINDS[rule.kind].silent:
        instants += delays(rule, state)
    return min(instants, default=None)


def _seen(rule: Rule, state: AlarmState, event: Seen) -> Moved:
    kind = KINDS[rule.kind]
    reading = event.value if event.usable else BAD_READING if kind.judges_bad else None
    if reading is None:
        return state, ()
    memory, value = kind.evaluate(rule.settings, state.memory, event.at, event.quantity or rule.quantity, reading, event.source)
    if memory is not state.memory:
        state = state._replace(memory=memory)
    if value is None:
        return state, ()
    state = judge(rule, state, value, event.at)
    if not state.tripped and not state.onsets:
        return state, ()
    return settle(rule, state, event.at, value)


def _tick(rule: Rule, state: AlarmState, tick: Tick, now: int) -> Moved:
    horizon = _horizon(tick, now)
    if not KINDS[rule.kind].silent:
        return run(rule, state, horizon, now)
    if tick.fresh and (tick.deadline is None or tick.deadline > now):
        return run(rule, state, now, now)
    since = now if tick.deadline is None else min(now, tick.deadline)
    state, before = run(rule, state, since, since)
    state, after = run(rule, judge(rule, state, 1.0, since), now, now)
    return state, before + after


def _horizon(tick: Tick, now: int) -> int:
    """Up to which instant the point's last sample was fresh; before the beginning of time when it is not and nobody knows since when."""
    if tick.deadline is not None and (tick.fresh or tick.deadline <= now):
        return min(now, tick.deadline)
    return now if tick.fresh else -1
