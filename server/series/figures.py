"""What points did in steps of time, as numpy columns: the form in which long histories are folded, stored and joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from server.series import Bucket
from server.series.batch import Array, Floats, Ints


@dataclass(frozen=True, eq=False)
class Figures:
    """Columns of equal length, sorted by point and time. Row i: what `point[i]` did in the step beginning at `time[i]` (UTC ms).

    `min`, `mean` and `max` are over the good values that held in the step, the mean weighted by time; `count` good samples were taken in it;
    `watched_ms` of it were covered by a good value and `in_band_ms` of these by one inside the point's band. A step without any is not listed.
    """

    point: Ints
    time: Ints
    min: Floats
    mean: Floats
    max: Floats
    count: Ints
    watched_ms: Ints
    in_band_ms: Ints

    def __len__(self) -> int:
        return len(self.point)

    @classmethod
    def none(cls) -> Figures:
        """No rows."""
        ints, floats = np.empty(0, dtype=np.int64), np.empty(0)
        return cls(ints, ints, floats, floats, floats, ints, ints, ints)

    @classmethod
    def joined(cls, parts: Sequence[Figures]) -> Figures:
        """All rows of several, sorted."""
        filled = [part for part in parts if len(part)]
        if len(filled) < 2:
            return filled[0] if filled else cls.none()
        whole = cls(*(np.concatenate([getattr(part, each.name) for part in filled]) for each in fields(cls)))
        return whole.take(np.lexsort((whole.time, whole.point)))

    def take(self, chosen: Array) -> Figures:
        """The rows of an index or mask."""
        return Figures(*(getattr(self, each.name)[chosen] for each in fields(self)))

    def combined(self, start: int, step: int) -> Figures:
        """The same in longer steps, counted from `start`; each row must lie within one of them."""
        if not len(self):
            return self
        step_no = (self.time - start) // step
        first = np.flatnonzero((np.diff(self.point, prepend=-1) != 0) | (np.diff(step_no, prepend=-1) != 0))
        low, high = np.minimum.reduceat(self.min, first), np.maximum.reduceat(self.max, first)
        watched = np.add.reduceat(self.watched_ms, first)
        mean = np.add.reduceat(self.mean * self.watched_ms, first) / watched
        return Figures(
            self.point[first],
            start + step_no[first] * step,
            low,
            np.clip(mean, low, high),  # a mean of equal values may miss them by the last bit
            high,
            np.add.reduceat(self.count, first),
            watched,
            np.add.reduceat(self.in_band_ms, first),
        )

    def buckets(self) -> list[Bucket]:
        """The same as objects, without the band."""
        columns = (self.point, self.time, self.min, self.mean, self.max, self.count, self.watched_ms)
        return [Bucket(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]

    def rows(self) -> list[tuple[int, int, float, float, float, int, int, int]]:
        """The same as tuples in the order of the columns."""
        return list(zip(*(getattr(self, each.name).tolist() for each in fields(self)), strict=True))
