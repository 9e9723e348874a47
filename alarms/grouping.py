"""Folding many alarms of one cause into one, and knowing when a desk is flooded. Pure; every alarm and room stays counted.

Smoke, leak, fast heat and intrusion are never folded and stay on top in a flood: an ordinary damp week must not hide them.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

from alarms.model import Level

_MINUTE = 60_000
FLOOD_WINDOW_MS = 10 * _MINUTE
FLOOD_STARTS_ABOVE, FLOOD_ENDS_BELOW = 10, 5
"""ISA-18.2: a flood begins with more than 10 new alarms in 10 minutes and ends with fewer than 5."""
ALONE = frozenset({"smoke", "smoke_density", "leak", "motion", "tamper"})
_CITY_DEPTH = 2
_LEAST_ROOMS = 3


class Open(NamedTuple):
    """An open alarm. `unit_path`: codes from the province down to the room's unit; `family` is what cause_of() says."""

    alarm: int
    family: str
    room: str
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


# Cause -> how far apart two alarms of one burst may be raised: a power cut comes at once, a weather front within hours.
BURST_MS: Mapping[str, int] = {"offline": 5 * _MINUTE, "power": 5 * _MINUTE, "weather": 120 * _MINUTE}


def cause_of(kind: str, quantity: str, level: Level) -> str:
    """Which common cause an alarm may have: offline | power | weather, or "" for what is never folded."""
    if quantity in ALONE or level is Level.CRITICAL:
        return ""
    if kind == "stale":
        return "offline"
    if quantity == "power":
        return "power"
    return "weather" if quantity in ("humidity", "temperature", "dew_point") or kind in ("dew_point", "mould") else ""


def fold(alarms: Iterable[Open], least_rooms: int = _LEAST_ROOMS) -> tuple[tuple[Group, ...], tuple[int, ...]]:
    """(groups, alarms left single). A group is a burst of one cause in one city with at least `least_rooms` rooms."""
    groups: list[Group] = []
    single: list[int] = []
    for family, burst in _bursts(sorted(alarms, key=lambda alarm: (alarm.raised_at, alarm.alarm))):
        if family in BURST_MS and len({alarm.room for alarm in burst}) >= least_rooms:
            groups.append(_group(family, burst))
        else:
            single += [alarm.alarm for alarm in burst]
    return tuple(sorted(groups, key=lambda group: (-group.level, group.since, group.unit))), tuple(sorted(single))


def _bursts(alarms: Sequence[Open]) -> list[tuple[str, list[Open]]]:
    running: dict[tuple[str, tuple[str, ...]], list[Open]] = {}
    done: list[tuple[str, list[Open]]] = []
    for alarm in alarms:
        key = (alarm.family, alarm.unit_path[:_CITY_DEPTH])
        burst = running.get(key)
        if burst is None or alarm.family not in BURST_MS or alarm.raised_at - burst[-1].raised_at > BURST_MS[alarm.family]:
            burst = running[key] = []
            done.append((alarm.family, burst))
        burst.append(alarm)
    return done


def _group(cause: str, burst: Sequence[Open]) -> Group:
    common = [codes[0] for codes in takewhile(lambda codes: len(set(codes)) == 1, zip(*(alarm.unit_path for alarm in burst), strict=False))]
    rooms = tuple(dict.fromkeys(alarm.room for alarm in burst))
    return Group(cause, common[-1] if common else "", burst[0].raised_at, max(a.level for a in burst), tuple(a.alarm for a in burst), rooms)


class Flood(NamedTuple):
    """Flood state of one desk: the new alarms of the last ten minutes, and since when it is flooded (None: it is not)."""

    recent: tuple[int, ...] = ()
    since: int | None = None


def flood_step(state: Flood, now: int, arrived: int = 0) -> tuple[Flood, int | None]:
    """Let time pass to `now` with `arrived` new annunciations; also returns the next instant at which a flood could end by itself."""
    recent = tuple(at for at in state.recent if at > now - FLOOD_WINDOW_MS) + (now,) * arrived
    since = state.since
    if since is None and len(recent) > FLOOD_STARTS_ABOVE:
        since = now
    elif since is not None and len(recent) < FLOOD_ENDS_BELOW:
        since = None
    ends = recent[-FLOOD_ENDS_BELOW] + FLOOD_WINDOW_MS if since is not None else None
    return Flood(recent, since), ends
