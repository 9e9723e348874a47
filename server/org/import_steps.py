"""At which intervals imported samples were taken: history of another system comes every ten minutes, although the point reports every ten seconds
today, and its samples must hold accordingly.

The interval of a point in a batch (a day, as a rule) is the median of the gaps between its samples, rounded up to a usual one; an outage is one
long gap among many and changes nothing. A batch with too few gaps takes the interval of the batch before it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from server.series.batch import Batch, Ints, sorting
from server.store.steps import Stretch

_USUAL_S = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10_800, 14_400, 21_600, 28_800, 43_200, 86_400)
USUAL_MS = np.array(_USUAL_S, dtype=np.int64) * 1000
_SLACK = 1.05
"""Samples that come every 61 seconds are meant to come every minute."""
_FEW = 3
_LONGEST_GAP_MS = 25 * 3_600_000
"""Longer gaps are outages whatever the interval."""


class _Part(NamedTuple):
    """A point over batches of one interval: first and last instant, and the interval, 0 where there were too few gaps to tell."""

    first: int
    last: int
    step_ms: int


class Steps:
    """Watches the batches of an import, each of which is later than the one before it. `given` (ms) is believed, where there is one."""

    def __init__(self, given: int | None = None) -> None:
        self._given = given
        self._parts: dict[int, list[_Part]] = defaultdict(list)
        self._few: dict[int, list[int]] = defaultdict(list)

    def take(self, batch: Batch) -> None:
        """Note the gaps of a batch."""
        batch = batch.take(sorting(batch.point, batch.taken_at))
        heads = np.flatnonzero(np.diff(batch.point, prepend=batch.point[0] - 1))
        for since, until in zip(heads.tolist(), [*heads[1:].tolist(), len(batch)], strict=True):
            self._note(int(batch.point[since]), batch.taken_at[since:until])

    def stretches(self) -> list[Stretch]:
        """What was seen, by point and time. A point of which a single sample came is not listed."""
        return [
            Stretch(point, part.first, part.last + 1, step)
            for point, parts in sorted(self._parts.items())
            for part in parts
            if (step := part.step_ms or _usual(np.array(self._few[point], dtype=np.int64)))
        ]

    def _note(self, point: int, taken_at: Ints) -> None:
        parts, first, last = self._parts[point], int(taken_at[0]), int(taken_at[-1])
        gaps = np.diff(taken_at, prepend=parts[-1].last if parts else first)
        gaps = gaps[(gaps > 0) & (gaps <= _LONGEST_GAP_MS)]
        step = self._given or (_usual(gaps) if len(gaps) >= _FEW else 0)
        if not step:
            self._few[point] += gaps.tolist()
        if parts and (parts[-1].step_ms == step or 0 in (step, parts[-1].step_ms)):
            parts[-1] = _Part(parts[-1].first, last, step or parts[-1].step_ms)
        else:
            parts.append(_Part(first, last, step))


def _usual(gaps: Ints) -> int:
    """The usual interval, ms, that is not below the median; 0 without a gap."""
    if not len(gaps):
        return 0
    middle = np.sort(gaps)[(len(gaps) - 1) // 2] / _SLACK
    return int(USUAL_MS[min(np.searchsorted(USUAL_MS, middle), len(USUAL_MS) - 1)])
