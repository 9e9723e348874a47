"""Folding many alarms of one cause into one, and knowing when a desk is flooded. Pure; every alarm and room stays counted.

Smoke, leak, fast heat and intrusion are never folded and stay on top in a flood: an ordinary damp week must not hide them.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

from alarms.model import Level

_MINUTE = 60_000
FLOOD_WINDOW_MS = 10 * _MINUTE
FLOOD_STARTS_ABOVE, FLOOD_ENDS_BELOW = 10, 5
"""ISA-18.2: a flood begins with more than 10 new alarms in 10 minutes and ends with fewer than 5."""
ALONE = frozenset({"smoke", "smoke_density", "smoke_concentration", "leak", "motion", "tamper"})
_DOOR_LEFT_OPEN = ("held", "open_long")
_ABSENCE = ("stale", "stuck", "camera")
_FAST_HEAT = ("rate", "heat")
_LEAST_ROOMS, _LEAST_ALARMS = 3, 2


class Cause(NamedTuple):
    """A common cause: how far apart two alarms of one burst may be raised, and how wide (depth in the unit path, 1 = province) it may reach.

    `least`: a group of it is at least that bad, whatever its members are.
    """

    burst_ms: int
    depth: int
    least: Level = Level.WARN


# A power cut comes at once, a weather front within hours; a bus lies in one building; what a restart of the server brings to light is everywhere.
CAUSES: Mapping[str, Cause] = {
    "offline": Cause(5 * _MINUTE, 2, Level.URGENT),
    "restart": Cause(5 * _MINUTE, 1, Level.URGENT),
    "bus": Cause(5 * _MINUTE, 4),
    "power": Cause(5 * _MINUTE, 2, Level.URGENT),
    "weather": Cause(120 * _MINUTE, 2),
}


class Open(NamedTuple):
    """An open alarm. `unit_path`: codes from the province down to its unit; `family` is what cause_of() says; `rooms` are those it stands for."""

    alarm: int
    family: str
    rooms: tuple[str, ...]
    unit_path: tuple[str, ...]
    raised_at: int
    level: Level


class Group(NamedTuple):
    """Alarms of one cause: `unit` is the smallest unit that holds them all, `since` the first of them, `level` the worst."""

    cause: str
    unit: str
    since: int
    level: Level
    alarms: tuple[int, ...]
    rooms: tuple[str, ...]


def stands_alone(rule: str, kind: str, quantity: str, level: Level) -> bool:
    """Smoke, fast heat, leak, intrusion and a forced door: never folded, never only listed, always on top."""
    if kind in _ABSENCE:
        return False
    if quantity == "door":
        return not any(word in rule or word in kind for word in _DOOR_LEFT_OPEN)
    return quantity in ALONE or (quantity == "temperature" and (kind in _FAST_HEAT or level is Level.CRITICAL))


def cause_of(rule: str, kind: str, quantity: str, level: Level) -> str:
    """Which common cause an alarm may have (a key of CAUSES), or "" for what is never folded: also the silence of what stands alone."""
    if level is Level.CRITICAL or quantity in ALONE or stands_alone(rule, kind, quantity, level):
        return ""
    if kind == "stale":
        return "offline" if quantity in ("gateway", "") else "bus"
    if quantity == "power":
        return "power"
    climate = kind == "dew_point" or (quantity in ("humidity", "temperature", "dew_point") and kind == "threshold")
    # A front makes many rooms damp; one that is urgent is a matter of that room, and its own people must hear of it.
    return "weather" if climate and level <= Level.ALARM else ""


def scope_of(family: str, unit_path: Sequence[str]) -> str:
    """The unit within which alarms of a cause may be one event."""
    return unit_path[: CAUSES[family].depth][-1]


def level_of(cause: str, levels: Iterable[Level]) -> int:
    """How bad a group is whose members are so bad: the worst of them, 0 when none is left."""
    return max((max(level, CAUSES[cause].least) for level in levels), default=0)


def fold(alarms: Iterable[Open], least_rooms: int = _LEAST_ROOMS) -> tuple[tuple[Group, ...], tuple[int, ...]]:
    """(groups, alarms left single). A group is a burst of one cause in one scope with at least `least_rooms` rooms and two alarms."""
    groups: list[Group] = []
    single: list[int] = []
    for family, burst in _bursts(sorted(alarms, key=lambda alarm: (alarm.raised_at, alarm.alarm))):
        rooms = {room for alarm in burst for room in alarm.rooms}
        if family in CAUSES and len(rooms) >= least_rooms and len(burst) >= min(least_rooms, _LEAST_ALARMS):
            groups.append(_group(family, burst))
        else:
            single += [alarm.alarm for alarm in burst]
    return tuple(sorted(groups, key=lambda group: (-group.level, group.since, group.unit))), tuple(sorted(single))


def _bursts(alarms: Sequence[Open]) -> list[tuple[str, list[Open]]]:
    running: dict[tuple[str, str], list[Open]] = {}
    done: list[tuple[str, list[Open]]] = []
    for alarm in alarms:
        cause = CAUSES.get(alarm.family)
        key = (alarm.family, scope_of(alarm.family, alarm.unit_path) if cause else "")
        burst = running.get(key)
        if burst is None or cause is None or alarm.raised_at - burst[-1].raised_at > cause.burst_ms:
            burst = running[key] = []
            done.append((alarm.family, burst))
        burst.append(alarm)
    return done


def smallest_unit(paths: Iterable[Sequence[str]]) -> str:
    """The smallest unit that holds all of these paths; "" when they share none."""
    common = [codes[0] for codes in takewhile(lambda codes: len(set(codes)) == 1, zip(*paths, strict=False))]
    return common[-1] if common else ""


def _group(cause: str, burst: Sequence[Open]) -> Group:
    rooms = tuple(dict.fromkeys(room for alarm in burst for room in alarm.rooms))
    unit = smallest_unit(alarm.unit_path for alarm in burst)
    return Group(cause, unit, burst[0].raised_at, max(a.level for a in burst), tuple(a.alarm for a in burst), rooms)


class Flood(NamedTuple):
    """Flood state of one desk: the new alarms of the last ten minutes in the order of time, and since when it is flooded (None: it is not)."""

    recent: tuple[int, ...] = ()
    since: int | None = None


def flood_step(state: Flood, now: int, arrived: int = 0) -> tuple[Flood, int | None]:
    """Let time pass to `now` with `arrived` new annunciations; also returns the next instant at which a flood could end by itself."""
    recent = state.recent[bisect_right(state.recent, now - FLOOD_WINDOW_MS) :] + (now,) * arrived
    since = state.since
    if since is None and len(recent) > FLOOD_STARTS_ABOVE:
        since = now
    elif since is not None and len(recent) < FLOOD_ENDS_BELOW:
        since = None
    ends = recent[-FLOOD_ENDS_BELOW] + FLOOD_WINDOW_MS if since is not None else None
    return Flood(recent, since), ends
