"""Questions that every store answers by its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from server.series import HOLD_MS, Bucket, Compliance, Hold, Limits, fold
from server.series.figures import Figures


class Answers:
    """Mixin of the stores: buckets and compliance out of `figures`."""

    def figures(self, points: Mapping[int, Limits], start: int, end: int, step_ms: int | None = None) -> Figures:
        """See SeriesStore.figures."""
        raise NotImplementedError

    def buckets(self, points: Sequence[int], start: int, end: int, step_ms: int, hold_ms: Hold = HOLD_MS) -> list[Bucket]:
        """See SeriesStore.buckets."""
        fold.check(points, start, end, step_ms)
        return self.figures(fold.limits_of(points, hold_ms), start, end, step_ms).buckets()

    def compliance(self, point: int, start: int, end: int, low: float | None, high: float | None, hold_ms: int = HOLD_MS) -> Compliance:
        """See SeriesStore.compliance."""
        found = self.figures({point: Limits(hold_ms, low, high)}, start, end)
        return Compliance(int(found.in_band_ms.sum()), int(found.watched_ms.sum()))
