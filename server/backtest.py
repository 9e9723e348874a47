"""Back-tests: what rule sets would have raised on stored history, per room and day; the same for the preview of a changed limit.

Judged is what was measured, by the core's own steps. Not replayed are people's answers, maintenance and the deaths of gateways, so a sensor that
was silent with its gateway counts as silent. Times are UTC ms, days those of Asia/Shanghai.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from math import isnan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alarms.coverage import DAY_MS
from alarms.lifecycle import Change
from alarms.model import Rule, RuleSet
from alarms.replay import Reading, Track, walk
from alarms.rules import parse_rules
from alarms.screen import ScreenedCore
from server.instants import day_name, instant
from server.series import GOOD, SeriesStore
from server.store.places import Place

_UNCERTAIN = 1
_LONGEST_APART_MS = 30 * 60_000
_CHUNK = 256
RAISING = ("raised", "re_raised")


class Samples(NamedTuple):
    """Samples of a room in the order of time: place of the point in Place.points, instant, value (NaN = unusable)."""

    points: NDArray[np.int64]
    at: NDArray[np.int64]
    values: NDArray[np.float64]


class Raised(NamedTuple):
    """An alarm that would have been raised."""

    room: str
    rule: str
    level: str
    at: int


Run = Callable[..., list[Raised]]


def here(work: Callable[..., list[Raised]], *args: Any) -> list[Raised]:
    """Instead of a pool, where nobody else waits (a command without a server)."""
    return work(*args)


def backtest(store: SeriesStore, rules: RuleSet, rooms: Sequence[Place], start: int, end: int, run: Run) -> list[Raised]:
    """What a rule set would have raised in these rooms in [start, end). `run` is a Pool's, or `here`."""
    found: list[Raised] = []
    body = rules.canonical()
    for whole in rooms:
        place = whole._replace(points=tuple(point for point in whole.points if any(rule.wants(point[1]) for rule in rules.rules)))
        samples = load(store, place, start, end)
        if len(samples.at):
            found += run(judge, body, patient(place, samples), samples, start, end)
    return sorted(found, key=lambda raised: (raised.room, raised.at, raised.rule))


def patient(place: Place, samples: Samples) -> Place:
    """The room with points that may be silent for as long as what is stored of them lies apart: history that was brought over from another system
    comes every ten minutes and is no silence, although the point reports every ten seconds today.

    Apart: the gap below which half of the time lies, so that outages do not count; at most half an hour.
    """
    points = []
    for number, (ident, quantity, allowed) in enumerate(place.points):
        gaps = np.sort(np.diff(samples.at[samples.points == number]))
        half = np.searchsorted(np.cumsum(gaps), gaps.sum() / 2) if len(gaps) else 0
        apart = min(int(gaps[half]), _LONGEST_APART_MS) if len(gaps) else 0
        points.append((ident, quantity, max(allowed, 3 * apart)))
    return place._replace(points=tuple(points))


def load(store: SeriesStore, place: Place, start: int, end: int) -> Samples:
    """The stored samples of a room as arrays, a day at a time so that few rows are in memory as objects."""
    index = {ident: number for number, (ident, _, _) in enumerate(place.points)}
    parts: list[tuple[list[int], list[int], list[float]]] = []
    for begin in range(start, end, DAY_MS):
        rows = store.raw(list(index), begin, min(begin + DAY_MS, end))
        rows.sort(key=lambda row: row.taken_at)
        values = [row.value if row.value is not None and row.quality in (GOOD, _UNCERTAIN) else np.nan for row in rows]
        parts.append(([index[row.point_id] for row in rows], [row.taken_at for row in rows], values))
    return Samples(
        np.concatenate([np.array(part[0], np.int64) for part in parts]),
        np.concatenate([np.array(part[1], np.int64) for part in parts]),
        np.concatenate([np.array(part[2], np.float64) for part in parts]),
    )


@lru_cache(maxsize=2)
def _rules(body: str) -> RuleSet:
    """The rules in the worker: reading them takes as long as judging a room for a month."""
    return parse_rules(body, "backtest")


def judge(body: str, place: Place, samples: Samples, start: int, end: int) -> list[Raised]:
    """One room (in the worker): point rules through screen and core, room rules one by one."""
    rules = _rules(body)
    found: list[Raised] = []

    def report(_point: int, rule: Rule, change: Change) -> None:
        if change.name in RAISING and change.level is not None:
            found.append(Raised(place.room, rule.name, change.level.word, change.at))

    mine = [rules.for_point(quantity, place.medium, place.path, place.room) for _, quantity, _ in place.points]
    core = ScreenedCore(mine, [allowed for *_, allowed in place.points], report, start)
    for first in range(0, len(samples.at), _CHUNK):  # bands move between chunks, so short ones keep more samples from the core
        part = slice(first, first + _CHUNK)
        values = samples.values[part]
        core.feed(samples.points[part], samples.at[part], values, ~np.isnan(values))
    core.settle(end)
    for rule in rules.for_room(place.medium, place.path, place.room):
        tracks = _tracks(rule, place, samples, start)
        if tracks and {track.quantity for track in tracks} >= set(rule.inputs):
            for change in walk(rule, tracks, end - 1):
                report(0, rule, change)
    return found


def _tracks(rule: Rule, place: Place, samples: Samples, start: int) -> list[Track]:
    tracks = []
    for number, (ident, quantity, allowed) in enumerate(place.points):
        if rule.wants(quantity):
            own = samples.points == number
            pairs = zip(samples.at[own].tolist(), samples.values[own].tolist(), strict=True)
            tracks.append(Track(ident, quantity, allowed, [Reading(at, None if isnan(value) else value) for at, value in pairs], start))
    return tracks


def summary(raised: Iterable[Raised], rules: RuleSet, unit: str, start: int, end: int, rooms: Sequence[Place]) -> dict[str, Any]:
    """Alarms per room and day, JSON-ready; rooms without any are listed too."""
    per_day: Mapping[str, dict[str, list[Raised]]] = {place.room: defaultdict(list) for place in rooms}
    for alarm in raised:
        per_day[alarm.room][day_name(alarm.at)].append(alarm)
    return {
        "unit": unit, "from": instant(start), "to": instant(end), "rule_set": rules.version, "alarms": sum(_count(days) for days in per_day.values()),
        "rooms": [
            {
                "room": room, "alarms": _count(days),
                "days": [
                    {"day": day, "alarms": len(some), "by_level": Counter(one.level for one in some), "by_rule": Counter(one.rule for one in some)}
                    for day, some in sorted(days.items())
                ],
            }
            for room, days in per_day.items()
        ],
    }  # fmt: skip


def _count(days: Mapping[str, Sequence[Raised]]) -> int:
    return sum(len(some) for some in days.values())
