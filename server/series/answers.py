"""Questions that every store answers by its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from server.series import HOLD_MS, Bucket, Compliance, Hold, Limits, fold
from server.series.batch import Batch
from server.series.figures import Figures
from server.series.partition import day_of, day_start


class Answers(Protocol):
    """What a store answers by its samples and figures: buckets, compliance, samples at a time of day."""

    def samples(self, points: Sequence[int], start: int, end: int) -> Batch:
        """See SeriesStore.samples."""

    def figures(self, points: Mapping[int, Limits], start: int, end: int, step_ms: int | None = None) -> Figures:
        """See SeriesStore.figures."""

    def buckets(self, points: Sequence[int], start: int, end: int, step_ms: int, hold_ms: Hold = HOLD_MS) -> list[Bucket]:
        """See SeriesStore.buckets."""
        fold.check(points, start, end, step_ms)
        return self.figures(fold.limits_of(points, hold_ms), start, end, step_ms).buckets()

    def at_clock(self, points: Sequence[int], start: int, end: int, clock_ms: int, tolerance_ms: int) -> Batch:
        """See SeriesStore.at_clock; day by day."""
        windows = [
            (max(start, day_start(day) + clock_ms - tolerance_ms), min(end, day_start(day) + clock_ms + tolerance_ms + 1))
            for day in range(day_of(start) - 1, day_of(end) + 2)
        ]
        whole = Batch.joined([self.samples(points, since, until) for since, until in windows if since < until])
        return whole.take(np.lexsort((whole.taken_at, whole.point)))

    def compliance(self, point: int, start: int, end: int, low: float | None, high: float | None, hold_ms: int = HOLD_MS) -> Compliance:
        """See SeriesStore.compliance."""
        found = self.figures({point: Limits(hold_ms, low, high)}, start, end)
        return Compliance(int(found.in_band_ms.sum()), int(found.watched_ms.sum()))
