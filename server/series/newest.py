"""Up to where each point has samples, in memory: most samples are newer than anything of their point, and need no look at what is stored."""

from __future__ import annotations

import duckdb
import numpy as np

from server.series import queries
from server.series.batch import Batch, Ints

_MOST_POINTS = 4_000_000


class Newest:
    """An upper bound of the newest instant of every point. It may be too high, which costs a look, and never too low."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        reach = queries.extent(connection)
        self._start = -(1 << 62) if reach is None else reach[1]
        self._bound: Ints = np.empty(0, dtype=np.int64)

    def reaches(self, batch: Batch) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which samples of a batch, sorted by point and time, may be stored already; and note that it is about to be."""
        if not len(batch):
            return np.empty(0, dtype=bool)
        if int(batch.point[0]) < 0 or int(batch.point[-1]) >= _MOST_POINTS:
            return np.ones(len(batch), dtype=bool)
        self._grow(int(batch.point[-1]) + 1)
        found = batch.taken_at <= self._bound[batch.point]
        last = np.flatnonzero(np.diff(batch.point, append=-1))
        points = batch.point[last]
        self._bound[points] = np.maximum(self._bound[points], batch.taken_at[last])
        return found

    def _grow(self, size: int) -> None:
        known = len(self._bound)
        if size > known:
            self._bound = np.concatenate((self._bound, np.full(max(size, 2 * known) - known, self._start, dtype=np.int64)))
