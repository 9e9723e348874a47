"""From samples to figures: pure, vectorised, the same for every store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from server.series import GOOD, Hold, Limits
from server.series.batch import Floats, Ints
from server.series.figures import Figures

MAX_BUCKETS = 2_000_000
_WINDOW_MS = 31 * 86_400_000
_POINT_DAYS = 1_000  # so many days of one point are folded at once: at a sample a minute, 1.4 million samples


class Samples(NamedTuple):
    """Samples sorted by (point, taken_at); NaN in `value` is "no value"."""

    point: Ints
    taken_at: Ints
    value: Floats
    quality: NDArray[np.uint8]


class _Spans(NamedTuple):
    """Stretches [since, until) of one value each, clipped to the range asked for; `row` is the sample that holds."""

    row: Ints
    since: Ints
    until: Ints


Fetch = Callable[[list[int], int, int], Samples]


def limits_of(points: Collection[int], hold: Hold) -> dict[int, Limits]:
    """Limits without a band. Raises ValueError when a point has no hold."""
    if isinstance(hold, int):
        return dict.fromkeys(points, Limits(hold))
    if not hold.keys() >= set(points):
        raise ValueError(f"points {sorted(set(points) - hold.keys())} have no allowed silence")
    return {point: Limits(hold[point]) for point in points}


def check(points: Collection[int], start: int, end: int, step_ms: int) -> None:
    """Raises ValueError for a question that has no answer or too long a one."""
    if step_ms < 1 or end < start:
        raise ValueError(f"a step of {step_ms} ms over {start} … {end} makes no buckets")
    if len(points) * -(-(end - start) // step_ms) > MAX_BUCKETS:
        raise ValueError(f"more than {MAX_BUCKETS} buckets asked for; choose a longer step or a shorter period")


def all_figures(fetch: Fetch, limits: Mapping[int, Limits], start: int, end: int, step_ms: int) -> Figures:
    """Fold piece by piece, so that memory stays bounded. `fetch(points, first, last)` gives the samples of [first, last]."""
    reach, points = longest(limits), sorted(limits)
    found: list[Figures] = []
    for since, until in _windows(start, end, step_ms):
        at_once = max(1, _POINT_DAYS * 86_400_000 // (until - since + reach))
        for offset in range(0, len(points), at_once):
            some = points[offset : offset + at_once]
            found.append(figures(fetch(some, since - reach, until - 1), since, until, step_ms, limits))
    return Figures.joined(found)


def figures(samples: Samples, start: int, end: int, step: int, limits: Mapping[int, Limits]) -> Figures:
    """Fold samples (those of [start, end) and of the hold before it) into steps; the last one is cut at `end`."""
    if not len(samples.point):
        return Figures.none()
    per_point = -(-(end - start) // step)
    head = np.flatnonzero(np.diff(samples.point, prepend=samples.point[0] - 1))
    points = samples.point[head]
    index = np.repeat(np.arange(len(head)), np.diff(head, append=len(samples.point)))
    chosen = [limits[point] for point in points.tolist()]
    low_limit, high_limit = _bands(chosen)
    spans = _pieces(_spans(samples, start, end, _holds(samples, head, chosen)), start, step)
    if not len(spans.row):
        return Figures.none()
    whose, value, length = index[spans.row], samples.value[spans.row], spans.until - spans.since
    key = whose * per_point + (spans.since - start) // step  # ascending, as the spans are
    first = np.flatnonzero(np.diff(key, prepend=-1))
    low, high = np.minimum.reduceat(value, first), np.maximum.reduceat(value, first)
    watched = np.add.reduceat(length, first)
    mean = np.add.reduceat(value * length, first) / watched
    taken = samples.taken_at[spans.row] == spans.since  # the piece with which a sample begins stands for it, unless it was taken before the range
    in_band = np.add.reduceat(length * ((value >= low_limit[whose]) & (value <= high_limit[whose])), first)
    return Figures(
        points[key[first] // per_point],
        start + key[first] % per_point * step,
        low,
        np.clip(mean, low, high),  # a mean of equal values may miss them by the last bit
        high,
        np.add.reduceat(taken.astype(np.int64), first),
        watched,
        in_band,
    )


def longest(limits: Mapping[int, Limits]) -> int:
    """The longest allowed silence: how far before a range the first value that reaches into it may lie. Raises ValueError."""
    if any(hold < 1 for each in limits.values() for hold in (each.hold_ms, *(earlier.hold_ms for earlier in each.earlier))):
        raise ValueError("a sample must hold for at least 1 ms")
    return max((each.longest_ms for each in limits.values()), default=1)


def holds(taken_at: Ints, limits: Limits) -> Ints:
    """How long each sample of one point holds, by the instants at which they were taken, ascending."""
    found = np.full(len(taken_at), limits.hold_ms, dtype=np.int64)
    for each in reversed(limits.earlier):
        found[: np.searchsorted(taken_at, each.until)] = each.hold_ms
    return found


def _holds(samples: Samples, head: Ints, chosen: Sequence[Limits]) -> Ints:
    """How long each sample holds; `head` are the places of the first one of each point, judged as `chosen`."""
    lengths = np.diff(head, append=len(samples.point))
    found = np.repeat(np.array([each.hold_ms for each in chosen], dtype=np.int64), lengths)
    for each, first, length in zip(chosen, head.tolist(), lengths.tolist(), strict=True):
        if each.earlier:
            found[first : first + length] = holds(samples.taken_at[first : first + length], each)
    return found


def _bands(chosen: Sequence[Limits]) -> tuple[Floats, Floats]:
    """Lower and upper limits; a value at a limit is in the band, as limits are breached strictly beyond."""
    low = np.array([-np.inf if each.low is None else each.low for each in chosen], dtype=np.float64)
    high = np.array([np.inf if each.high is None else each.high for each in chosen], dtype=np.float64)
    return low, high


def _windows(start: int, end: int, step_ms: int) -> Iterator[tuple[int, int]]:
    """Cut a range at step borders into pieces of about a month."""
    width = max(1, _WINDOW_MS // step_ms) * step_ms
    for since in range(start, end, width):
        yield since, min(end, since + width)


def _spans(samples: Samples, start: int, end: int, hold: Ints) -> _Spans:
    following = np.append(samples.taken_at[1:], end)
    following[np.flatnonzero(np.diff(samples.point))] = end  # the next row belongs to another point
    until = np.minimum(np.minimum(following, samples.taken_at + hold), end)
    since = np.maximum(samples.taken_at, start)
    row = np.flatnonzero((samples.quality == GOOD) & ~np.isnan(samples.value) & (until > since))
    return _Spans(row, since[row], until[row])


def _pieces(spans: _Spans, start: int, step: int) -> _Spans:
    """Cut spans at the borders of the steps."""
    first = (spans.since - start) // step
    counts = (spans.until - 1 - start) // step - first + 1
    if (counts == 1).all():
        return spans
    source = np.repeat(np.arange(len(counts)), counts)
    nth = np.arange(len(source)) - np.repeat(np.cumsum(counts) - counts, counts)
    border = start + (first[source] + nth) * step
    return _Spans(spans.row[source], np.maximum(spans.since[source], border), np.minimum(spans.until[source], border + step))
