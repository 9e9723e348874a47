"""Samples as numpy columns: the form in which both stores, the history loop and the import move many of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.series import Row

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Batch:
    """Columns of equal length. Only in here NaN in `value` says "no value"; the reason of row i is `words[reason[i]]`."""

    point: Ints
    taken_at: Ints
    value: Floats
    quality: NDArray[np.uint8]
    received_at: Ints
    reason: NDArray[np.int32]
    words: tuple[str, ...] = ("",)

    def __len__(self) -> int:
        return len(self.point)

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Batch:
        """Columns of the rows, in their order. Raises ValueError when a value is not finite."""
        if not rows:
            return cls.columns((), (), (), (), ())
        points, taken, values, qualities, received, reasons = zip(*rows, strict=True)
        words: dict[str, int] = {"": 0}
        index = [words.setdefault(reason, len(words)) for reason in reasons]
        return cls.columns(points, taken, values, qualities, received, index, tuple(words))

    @classmethod
    def columns(
        cls,
        points: Sequence[int],
        taken_at: Sequence[int],
        values: Sequence[float | None],
        qualities: Sequence[int],
        received_at: Sequence[int],
        reasons: Sequence[int] | None = None,
        words: tuple[str, ...] = ("",),
    ) -> Batch:
        """Build from plain sequences; None in `values` is "no value". Raises ValueError when a value is not finite."""
        value = np.array(values, dtype=np.float64)
        absent = np.array([v is None for v in values], dtype=bool)
        if not np.isfinite(value[~absent]).all():
            raise ValueError("a sample with a value that is not finite cannot be stored")
        reason = np.zeros(len(value), dtype=np.int32) if reasons is None else np.array(reasons, dtype=np.int32)
        numbers = (np.array(column, dtype=np.int64) for column in (points, taken_at, received_at))
        point, taken, received = numbers
        return cls(point, taken, value, np.array(qualities, dtype=np.uint8), received, reason, words)

    @classmethod
    def joined(cls, batches: Sequence[Batch]) -> Batch:
        """One batch of several, in their order."""
        if not batches:
            return cls.of(())
        words: dict[str, int] = {"": 0}
        moved = [np.array([words.setdefault(word, len(words)) for word in batch.words], dtype=np.int32)[batch.reason] for batch in batches]
        return cls(
            np.concatenate([batch.point for batch in batches]),
            np.concatenate([batch.taken_at for batch in batches]),
            np.concatenate([batch.value for batch in batches]),
            np.concatenate([batch.quality for batch in batches]),
            np.concatenate([batch.received_at for batch in batches]),
            np.concatenate(moved),
            tuple(words),
        )

    def take(self, chosen: Array | slice) -> Batch:
        """The rows of an index or mask."""
        return Batch(
            self.point[chosen],
            self.taken_at[chosen],
            self.value[chosen],
            self.quality[chosen],
            self.received_at[chosen],
            self.reason[chosen],
            self.words,
        )

    def rows(self) -> list[Row]:
        """The same as rows, with None for "no value"."""
        values = [None if absent else value for value, absent in zip(self.value.tolist(), np.isnan(self.value).tolist(), strict=True)]
        reasons = [self.words[index] for index in self.reason.tolist()]
        lists = (self.point.tolist(), self.taken_at.tolist(), values, self.quality.tolist(), self.received_at.tolist(), reasons)
        return [Row(*row) for row in zip(*lists, strict=True)]

    def firsts(self) -> tuple[Batch, int]:
        """The first row of each (point, taken_at), sorted by both, and the number of later ones that said another value."""
        order = np.lexsort((self.taken_at, self.point))  # stable: equal keys keep their order of arrival
        batch = self.take(order)
        first = np.ones(len(batch), dtype=bool)
        first[1:] = (np.diff(batch.point) != 0) | (np.diff(batch.taken_at) != 0)
        leader = np.maximum.accumulate(np.where(first, np.arange(len(batch)), 0))
        return batch.take(first), int(differs(batch.value, batch.value[leader]).sum())


def sorting(point: Ints, taken_at: Ints) -> Array | slice:
    """Index that sorts by point and time; all as it is where that is so already, as it is of a single file."""
    steps = np.diff(point)
    if ((steps > 0) | ((steps == 0) & (np.diff(taken_at) >= 0))).all():
        return slice(None)
    return np.lexsort((taken_at, point))


def distinct(numbers: Ints) -> Ints:
    """Which numbers occur, ascending; fast where they lie close together."""
    if not len(numbers):
        return numbers
    low = int(numbers.min())
    if int(numbers.max()) - low > 1_000_000:
        return np.unique(numbers)
    return np.flatnonzero(np.bincount(numbers - low)) + low


def differs(left: Floats, right: Floats) -> NDArray[np.bool_]:
    """Where two value columns disagree; "no value" agrees with itself."""
    differing: NDArray[np.bool_] = (left != right) & ~(np.isnan(left) & np.isnan(right))
    return differing
