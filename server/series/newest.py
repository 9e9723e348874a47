"""The newest sample of each point, in memory: what comes behind it needs no look at what is stored, and the question for it needs no reading.

It remembers what the store holds and never says more than it knows; for the rest the store is read.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from server.series import Row
from server.series.batch import Array, Batch, Ints
from server.series.hot import EVER

_MOST_POINTS = 4_000_000
_NEVER = -EVER
# `bound`: nothing of the point is stored behind this instant; may be too high, never too low. `taken` and what follows: its newest sample, if
# that was taken at `known` or later; at `known` or later there is no newer one.
_COLUMNS = [("bound", "i8"), ("known", "i8"), ("taken", "i8"), ("received", "i8"), ("value", "f8"), ("reason", "i4"), ("quality", "u1")]


class Newest:
    """See the module. Usable from any thread."""

    def __init__(self, latest: int | None) -> None:
        """`latest`: the time of the last sample stored, of whatever point."""
        self._unknown = np.array([(_NEVER if latest is None else latest, EVER, _NEVER, 0, np.nan, 0, 0)], dtype=_COLUMNS)
        self._points = self._unknown[:0]
        self._words = {"": 0}
        self._lock = threading.Lock()
        self._changes = 0

    @property
    def changes(self) -> int:
        """How often samples have come or gone; see learn."""
        return self._changes

    def reaches(self, batch: Batch) -> NDArray[np.bool_]:
        """Which samples of a batch, sorted by point and time, may be stored already; and note that it is about to be."""
        found = np.ones(len(batch), dtype=bool)
        inside = np.flatnonzero(_inside(batch.point))
        if not len(inside):
            return found
        point, taken = batch.point[inside], batch.taken_at[inside]
        with self._lock:
            self._grow(int(point[-1]) + 1)
            bound = self._points["bound"]
            found[inside] = taken <= bound[point]
            last = np.flatnonzero(np.diff(point, append=-1))
            bound[point[last]] = np.maximum(bound[point[last]], taken[last])
        return found

    def stored(self, batch: Batch, reached: Array) -> None:
        """A batch, sorted by point and time, has been stored, of which `reached` may not have been behind everything of its point."""
        last = np.flatnonzero((np.diff(batch.point, append=-1) != 0) & _inside(batch.point))
        with self._lock:
            self._changes += 1
            taken, here = batch.taken_at[last], self._points[batch.point[last]]
            self._keep(batch.take(last[(taken > here["taken"]) & (~reached[last] | (taken >= here["known"]))]))

    def learn(self, asked: Sequence[int], since: int, found: Mapping[int, Row], changes: int) -> None:
        """What the store has answered for these points; ignored when it has changed since it was asked at `changes`."""
        points = np.array(asked, dtype=np.int64)
        points = points[_inside(points)]
        rows = Batch.of(list(found.values()))
        with self._lock:
            if changes != self._changes or not len(points):
                return
            self._grow(int(points.max()) + 1)
            self._points["known"][points] = np.minimum(self._points["known"][points], since)
            self._keep(rows.take(_inside(rows.point)))

    def of(self, points: Sequence[int], since: int) -> tuple[dict[int, Row], list[int]]:
        """The newest sample of each point taken at `since` or later, and the points of which it is not known."""
        listed = np.array(points, dtype=np.int64)
        with self._lock:
            inside = (listed >= 0) & (listed < len(self._points))
            asked = listed[inside]
            here = self._points[asked]
            words = tuple(self._words)
        have = here["taken"] >= here["known"]
        chosen = have & (here["taken"] >= since)
        rows = here[chosen]
        batch = Batch(asked[chosen], rows["taken"], rows["value"], rows["quality"], rows["received"], rows["reason"], words)
        return {row.point_id: row for row in batch.rows()}, [*asked[~have & (since < here["known"])].tolist(), *listed[~inside].tolist()]

    def forget(self, before: int) -> None:
        """Samples taken before an instant may have been deleted."""
        with self._lock:
            self._changes += 1
            gone = self._points["taken"] < before
            self._points["taken"][gone] = _NEVER
            self._points["known"][gone] = np.maximum(self._points["known"][gone], before)

    def _keep(self, rows: Batch) -> None:
        """With the lock held: these are the newest of their points."""
        words = np.array([self._words.setdefault(word, len(self._words)) for word in rows.words], dtype=np.int32)
        known = np.minimum(self._points["known"][rows.point], rows.taken_at)
        columns = {"taken": rows.taken_at, "received": rows.received_at, "value": rows.value, "quality": rows.quality, "reason": words[rows.reason]}
        for name, column in (columns | {"known": known}).items():
            self._points[name][rows.point] = column

    def _grow(self, size: int) -> None:
        have = len(self._points)
        if size > have:
            self._points = np.concatenate((self._points, np.repeat(self._unknown, max(size, 2 * have) - have)))


def _inside(points: Ints) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (points >= 0) & (points < _MOST_POINTS)
    return found
