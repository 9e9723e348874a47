"""Back-tests: what rule sets would have raised on stored history, per room and day; the same for the preview of a changed limit.

Judged is what was measured, by the core's own steps. Not replayed are people's answers, maintenance and the deaths of gateways, so a sensor that
was silent with its gateway counts as silent. Times are UTC ms, days those of Asia/Shanghai.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alarms.lifecycle import Change
from alarms.model import Rule, RuleSet
from alarms.rules import parse_rules
from server.instants import day_name, instant
from server.series import GOOD, SeriesStore
from server.store.places import Place
from server.strides import Column, stride

_UNCERTAIN = 1
_LONGEST_APART_MS = 30 * 60_000
RAISING = ("raised", "re_raised")
_OVER = ("cleared", "latched")


class Samples(NamedTuple):
    """Samples of a room in the order of time: place of the point in Place.points, instant, value (NaN = unusable)."""

    points: NDArray[np.int64]
    at: NDArray[np.int64]
    values: NDArray[np.float64]


class Raised(NamedTuple):
    """An alarm that would have been raised, and for how long (ms) its condition would have held, at most to the end of what was judged."""

    room: str
    rule: str
    level: str
    at: int
    lasted: int


Run = Callable[..., list[Raised]]


def here(work: Callable[..., list[Raised]], *args: Any) -> list[Raised]:
    """Instead of a pool, where nobody else waits (a command without a server)."""
    return work(*args)


def backtest(
    store: SeriesStore, sets: Sequence[RuleSet], rooms: Sequence[Place], start: int, end: int, run: Run, told: Callable[[int], object] | None = None
) -> list[list[Raised]]:
    """What each of these rule sets would have raised in the rooms in [start, end).

    One room is in memory at a time. `run` is a Pool's, or `here`; `told` hears how many rooms are done.
    """
    found: list[list[Raised]] = [[] for _ in sets]
    wanted = [rule for rules in sets for rule in rules.rules]
    for done, whole in enumerate(rooms, 1):
        place = whole._replace(points=tuple(point for point in whole.points if any(rule.wants(point[1]) for rule in wanted)))
        samples = load(store, place, start, end)
        if len(samples.at):
            place = patient(place, samples)
            for rules, raised in zip(sets, found, strict=True):
                raised.extend(run(judge, rules.canonical(), place, samples, start, end))
        if told is not None:
            told(done)
    return [sorted(raised, key=lambda one: (one.room, one.at, one.rule)) for raised in found]


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
    """The stored samples of a room in the order of time."""
    index = {ident: number for number, (ident, _, _) in enumerate(place.points)}
    batch = store.samples(list(index), start, end)
    order = np.argsort(batch.taken_at, kind="stable")
    places = np.array([index[int(ident)] for ident in np.unique(batch.point)], np.int64)
    usable = np.isin(batch.quality, (GOOD, _UNCERTAIN))
    return Samples(
        places[np.unique(batch.point, return_inverse=True)[1]][order] if len(batch) else np.zeros(0, np.int64),
        batch.taken_at[order],
        np.where(usable, batch.value, np.nan)[order],
    )


@lru_cache(maxsize=2)
def _rules(body: str) -> RuleSet:
    """The rules in the worker: reading them takes as long as judging a room for a month."""
    return parse_rules(body, "backtest")


def judge(body: str, place: Place, samples: Samples, start: int, end: int) -> list[Raised]:
    """One room (in the worker), rule by rule."""
    rules = _rules(body)
    found: list[Raised] = []
    for number, (_, quantity, _) in enumerate(place.points):
        for rule in rules.for_point(quantity, place.medium, place.path, place.room):
            found += _raised(place, rule, [_column(place, number, samples, start)], end)
    for rule in rules.for_room(place.medium, place.path, place.room):
        columns = [_column(place, number, samples, start) for number, point in enumerate(place.points) if rule.wants(point[1])]
        if columns and {column.quantity for column in columns} >= set(rule.inputs):
            found += _raised(place, rule, columns, end)
    return found


def _raised(place: Place, rule: Rule, columns: Sequence[Column], end: int) -> Iterator[Raised]:
    begun: Change | None = None
    for change in stride(rule, columns, end - 1):
        if begun is not None and begun.level is not None and change.name in (*RAISING, *_OVER):
            yield Raised(place.room, rule.name, begun.level.word, begun.at, change.at - begun.at)
            begun = None
        if change.name in RAISING and change.level is not None:
            begun = change
    if begun is not None and begun.level is not None:
        yield Raised(place.room, rule.name, begun.level.word, begun.at, end - begun.at)


def _column(place: Place, number: int, samples: Samples, start: int) -> Column:
    ident, quantity, allowed = place.points[number]
    own = samples.points == number
    return Column(ident, quantity, allowed, samples.at[own], samples.values[own], start)


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
