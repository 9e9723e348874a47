"""How an alarm system does its job: the figures of ISA-18.2 / IEC 62682 (domain.md 3.2), from what people were asked to look at. Pure.

Only annunciations count: acknowledgements, shelves, drills, members of a group and what was merely listed do not. Windows of ten minutes are cut on
whole ten minutes of UTC. Times are UTC ms.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from alarms.grouping import FLOOD_STARTS_ABOVE, FLOOD_WINDOW_MS, Flood, flood_step

WINDOW_MS = FLOOD_WINDOW_MS
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
STALE_MS = DAY_MS
TOP = 10
LEVELS = ("warn", "alarm", "urgent", "critical")


class Asked(NamedTuple):
    """People were asked for attention: by which alarm tag (subject and rule), at which level."""

    at: int
    tag: str
    level: str


class Held(NamedTuple):
    """An alarm was active in [since, until); `until` None = it still is."""

    tag: str
    since: int
    until: int | None


class Figure(NamedTuple):
    """One figure with its target and the value from which it is red; `grade` is good | fair | poor | none (nothing to judge by).

    `at_least`: the target is a floor (most alarms should be of the lowest level), else a ceiling.
    """

    name: str
    value: float | None
    target: float | None
    limit: float | None
    unit: str
    at_least: bool = False

    @property
    def grade(self) -> str:
        """Against target and limit."""
        if self.value is None or self.target is None:
            return "none"
        if self.value == self.target or (self.value > self.target) == self.at_least:
            return "good"
        return "fair" if self.limit is None or self.value <= self.limit else "poor"


class Performance(NamedTuple):
    """All figures of one desk over [start, end), and the tags behind them. `days` is the denominator; the standard asks for 30 at least."""

    days: float
    asked: int
    figures: tuple[Figure, ...]
    levels: dict[str, int]
    top: tuple[tuple[str, int], ...]
    floods: tuple[tuple[int, int], ...]

    def share(self, level: str) -> float | None:
        """What share of the annunciations had a level, in percent; the four add up to 100.0."""
        return next(figure.value for figure in self.figures if figure.name == f"{level}_share")


def measure(
    asked: Iterable[Asked], held: Sequence[Held], start: int, end: int, *, chattering: int = 0, fleeting: int = 0, unauthorised: int = 0
) -> Performance:
    """Compute the figures of one desk (one operator at any time). Raises ValueError for an empty range."""
    if end <= start:
        raise ValueError("the range is empty")
    rows = sorted(one for one in asked if start <= one.at < end)
    windows = Counter(one.at // WINDOW_MS for one in rows)
    count = -(-end // WINDOW_MS) - start // WINDOW_MS
    floods = tuple(_floods([one.at for one in rows], start, end))
    tags = Counter(one.tag for one in rows)
    top = tuple(sorted(tags.items(), key=lambda item: (-item[1], item[0]))[:TOP])
    hours = (end - start) / HOUR_MS
    levels = {level: sum(one.level == level for one in rows) for level in LEVELS}
    share = [100 * part / whole if whole else None for part, whole in _shares(rows, windows, count, floods, top, end - start)]
    share += mix(list(levels.values()))
    figures = (
        Figure("per_hour", len(rows) / hours, 6, 12, "1/h"),
        Figure("per_10_minutes", len(rows) / hours / 6, 1, 2, "1/10 min"),
        Figure("per_day", len(rows) / hours * 24, 150, 300, "1/d"),
        Figure("windows_above_10", share[0], 1, 5, "%"),
        Figure("peak_10_minutes", float(max(windows.values(), default=0)), 10, None, ""),
        Figure("time_in_flood", share[1], 1, 5, "%"),
        Figure("top_10_share", share[2], 5, 15, "%"),
        Figure("chattering", float(chattering), 0, None, ""),
        Figure("fleeting", float(fleeting), 0, None, ""),
        Figure("stale_worst_day", float(_stale(held, start, end)), 5, None, ""),
        Figure("warn_share", share[3], 80, None, "%", at_least=True),
        Figure("alarm_share", share[4], 15, None, "%"),
        Figure("urgent_share", share[5], 5, None, "%"),
        Figure("critical_share", share[6], 1, 5, "%"),
        Figure("unauthorised", float(unauthorised), 0, 0, ""),
    )
    return Performance((end - start) / DAY_MS, len(rows), figures, levels, top, floods)


def _shares(
    rows: Sequence[Asked], windows: Counter[int], count: int, floods: Sequence[tuple[int, int]], top: Sequence[tuple[str, int]], span: int
) -> Iterable[tuple[int, int]]:  # fmt: skip
    """Parts and wholes of the percentages: of windows, of time, of annunciations."""
    yield sum(found > FLOOD_STARTS_ABOVE for found in windows.values()), count
    yield sum(until - since for since, until in floods), span
    yield sum(found for _, found in top), len(rows)


def mix(counts: Sequence[int]) -> list[float | None]:
    """Shares in percent to a tenth that add up to 100.0 (largest remainders); what there is has at least a tenth, so that nothing looks complete."""
    whole = sum(counts)
    if not whole:
        return [None] * len(counts)
    exact = [1000 * count / whole for count in counts]
    tenths = [max(int(part), 1 if part else 0) for part in exact]
    while (rest := 1000 - sum(tenths)) != 0:
        place = max(range(len(exact)), key=lambda n: (exact[n] - tenths[n]) * rest if tenths[n] > 1 or rest > 0 else -1000)
        tenths[place] += 1 if rest > 0 else -1
    return [part / 10 for part in tenths]


def _floods(instants: Sequence[int], start: int, end: int) -> Iterable[tuple[int, int]]:
    """Floods begin with more than ten annunciations in ten minutes and end when fewer than five remain; cut to [start, end)."""
    state, due = Flood(), None
    for at in [*instants, end]:
        while state.since is not None and due is not None and due <= at:
            since = state.since
            state, ends = flood_step(state, due)
            if state.since is None:
                yield max(since, start), min(due, end)
            due = ends
        if at < end:
            state, due = flood_step(state, at, 1)
    if state.since is not None:
        yield max(state.since, start), end


def _stale(held: Sequence[Held], start: int, end: int) -> int:
    """The greatest number of alarms that were active for more than 24 hours at one time within a day of the range."""
    edges = []
    for one in held:
        since, until = one.since + STALE_MS, end if one.until is None else min(one.until, end)
        if max(since, start) < until:
            edges += [(max(since, start), 1), (until, -1)]
    worst = now = 0
    for _, change in sorted(edges):
        now += change
        worst = max(worst, now)
    return worst
