"""From samples to buckets and compliance: pure, vectorised, the same for every store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from server.series import GOOD, Bucket, Compliance, Hold
from server.series.batch import Floats, Ints

MAX_BUCKETS = 2_000_000
_WINDOW_MS = 31 * 86_400_000
_POINTS_AT_ONCE = 32


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


def all_buckets(fetch: Fetch, points: Collection[int], start: int, end: int, step_ms: int, hold: Hold) -> list[Bucket]:
    """Answer SeriesStore.buckets piece by piece, so that memory stays bounded. `fetch(points, first, last)` gives the samples of [first, last]."""
    chosen = sorted(set(points))
    _check(chosen, start, end, step_ms, hold)
    reach = _longest(hold)
    found: list[Bucket] = []
    for offset in range(0, len(chosen), _POINTS_AT_ONCE):
        some = chosen[offset : offset + _POINTS_AT_ONCE]
        for since, until in _windows(start, end, step_ms):
            found += buckets(fetch(some, since - reach, until - 1), since, until, step_ms, hold)
    return sorted(found, key=attrgetter("point", "time"))


def whole_compliance(fetch: Fetch, point: int, start: int, end: int, low: float | None, high: float | None, hold: int) -> Compliance:
    """Answer SeriesStore.compliance month by month."""
    reach = _longest(hold)
    parts = [compliance(fetch([point], since - reach, until - 1), since, until, low, high, hold) for since, until in _windows(start, end, 86_400_000)]
    return Compliance(sum(part.in_band_ms for part in parts), sum(part.valid_ms for part in parts))


def buckets(samples: Samples, start: int, end: int, step: int, hold: Hold) -> list[Bucket]:
    """Fold samples (those of [start, end) and of the hold before it) into buckets, sorted by point and time."""
    per_point = -(-(end - start) // step)
    points, index = np.unique(samples.point, return_inverse=True)
    spans = _pieces(_spans(samples, start, end, hold), start, step)
    inside = (samples.quality == GOOD) & ~np.isnan(samples.value) & (samples.taken_at >= start) & (samples.taken_at < end)
    own = index[inside] * per_point + (samples.taken_at[inside] - start) // step
    held = index[spans.row] * per_point + (spans.since - start) // step
    keys, slot = np.unique(np.concatenate((own, held)), return_inverse=True)
    own, held = slot[: len(own)], slot[len(own) :]
    low, mean, high, watched = _held_figures(len(keys), held, spans, samples.value)
    count = np.bincount(own, minlength=len(keys))
    columns = (points[keys // per_point], start + keys % per_point * step, low, mean, high, count, watched)
    return [Bucket(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def compliance(samples: Samples, start: int, end: int, low: float | None, high: float | None, hold: int) -> Compliance:
    """Time of one point in the band and time known; a value at a limit is in the band, as limits are breached strictly beyond."""
    spans = _spans(samples, start, end, hold)
    value = samples.value[spans.row]
    inside = (value >= (-np.inf if low is None else low)) & (value <= (np.inf if high is None else high))
    length = spans.until - spans.since
    return Compliance(int(length[inside].sum()), int(length.sum()))


def _check(points: Collection[int], start: int, end: int, step_ms: int, hold: Hold) -> None:
    if step_ms < 1 or end < start:
        raise ValueError(f"a step of {step_ms} ms over {start} … {end} makes no buckets")
    if len(points) * -(-(end - start) // step_ms) > MAX_BUCKETS:
        raise ValueError(f"more than {MAX_BUCKETS} buckets asked for; choose a longer step or a shorter period")
    if not isinstance(hold, int) and not hold.keys() >= set(points):
        raise ValueError(f"points {sorted(set(points) - hold.keys())} have no allowed silence")


def _longest(hold: Hold) -> int:
    """The longest allowed silence: how far before a range the first value that reaches into it may lie."""
    values = [hold] if isinstance(hold, int) else list(hold.values())
    if min(values, default=1) < 1:
        raise ValueError("a sample must hold for at least 1 ms")
    return max(values, default=1)


def _windows(start: int, end: int, step_ms: int) -> Iterator[tuple[int, int]]:
    """Cut a range at bucket borders into pieces of about a month."""
    width = max(1, _WINDOW_MS // step_ms) * step_ms
    for since in range(start, end, width):
        yield since, min(end, since + width)


def _spans(samples: Samples, start: int, end: int, hold: Hold) -> _Spans:
    following = np.append(samples.taken_at[1:], end)
    following[np.flatnonzero(np.diff(samples.point))] = end  # the next row belongs to another point
    until = np.minimum(np.minimum(following, samples.taken_at + _holds(samples.point, hold)), end)
    since = np.maximum(samples.taken_at, start)
    row = np.flatnonzero((samples.quality == GOOD) & ~np.isnan(samples.value) & (until > since))
    return _Spans(row, since[row], until[row])


def _holds(point: Ints, hold: Hold) -> Ints:
    if isinstance(hold, int):
        return np.full(len(point), hold, dtype=np.int64)
    points, index = np.unique(point, return_inverse=True)
    return np.array([hold[int(each)] for each in points], dtype=np.int64)[index]


def _pieces(spans: _Spans, start: int, step: int) -> _Spans:
    """Cut spans at the borders of the buckets."""
    first = (spans.since - start) // step
    counts = (spans.until - 1 - start) // step - first + 1
    source = np.repeat(np.arange(len(counts)), counts)
    nth = np.arange(len(source)) - np.repeat(np.cumsum(counts) - counts, counts)
    border = start + (first[source] + nth) * step
    return _Spans(spans.row[source], np.maximum(spans.since[source], border), np.minimum(spans.until[source], border + step))


def _held_figures(size: int, key: Ints, spans: _Spans, values: Floats) -> tuple[Floats, Floats, Floats, Ints]:
    """Lowest, mean and highest held value and covered time of each bucket; the keys ascend and every bucket holds at least one span."""
    if not size:
        return np.empty(0), np.empty(0), np.empty(0), np.empty(0, dtype=np.int64)
    value = values[spans.row]
    length = spans.until - spans.since
    first = np.flatnonzero(np.diff(key, prepend=-1))
    low = np.minimum.reduceat(value, first)
    high = np.maximum.reduceat(value, first)
    watched = np.bincount(key, weights=length, minlength=size)
    weighted = np.bincount(key, weights=value * length, minlength=size) / watched
    # A mean of equal values may miss them by the last bit.
    return low, np.clip(weighted, low, high), high, watched.astype(np.int64)
