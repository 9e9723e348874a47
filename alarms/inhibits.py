"""Inhibits laid on an alarm and taken off again, and the named transition that every change of state is told by."""

from alarms.state import AlarmState, Change

Moved = tuple[AlarmState, tuple[Change, ...]]
"""The state after an event, and what happened."""


def inhibit(name: str, state: AlarmState, after: AlarmState, at: int, by: str = "", note: str = "") -> Moved:
    """Lay an inhibit on; one that lies there already changes nothing."""
    return (state, ()) if after == state else (after, (changed(name, state, after, at, by, note),))


def lift(state: AlarmState, after: AlarmState, name: str, at: int, by: str = "", note: str = "", by_person: bool = True) -> Moved:
    """Take one inhibit away. With the last one gone, what holds is told again, and what is over and seen by a person closes."""
    if after == state:
        return state, ()
    if after.inhibited:
        return after, (changed(name, state, after, at, by, note),)
    told = after.tripped or (after.latched and not after.acknowledged)
    if told:
        after = after._replace(acknowledged=False, announced=True)
    changes = (changed(name, state, after, at, by, note, annunciate=told),)
    if after.machine == "cleared_unacked" and by_person:
        closed = after._replace(acknowledged=True)
        return closed, (*changes, changed("closed", after, closed, at, by))
    return after, changes


def changed(
    name: str, before: AlarmState, after: AlarmState, at: int, by: str = "", note: str = "", value: float | None = None, annunciate: bool = False
) -> Change:
    """One named transition between two states."""
    return Change(name, before.isa, after.isa, after.level, annunciate, at, by, note, value)
