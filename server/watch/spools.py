"""Watermarks: what of each gateway's spool is stored. Pure arithmetic on ranges; the rows are written by the watch's transaction.

A range at or below the watermark, or already received above it, is a repeat and is dropped whole. The watermark is the highest contiguous
sequence; ranges received above it are remembered so that live batches need not be resent behind a backlog.
"""

from collections.abc import Sequence
from dataclasses import dataclass

Range = tuple[int, int]

FOREIGN = (1 << 62) - 1
"""Acknowledged where a spool is not the one that its epoch stands for: no spool has written so many, so the gateway begins a new epoch and sends
what is not acknowledged under new sequences."""


@dataclass(frozen=True, slots=True)
class Mark:
    """`upto` = highest contiguous sequence stored; `ranges` = sorted disjoint ranges above it; `lost` = sequences closed without samples."""

    upto: int = 0
    ranges: tuple[Range, ...] = ()
    lost: int = 0

    def holds(self, first: int, last: int) -> bool:
        """Whether the whole range is stored already."""
        return last <= self.upto or any(low <= first and last <= high for low, high in self.ranges)

    @property
    def top(self) -> int:
        """The highest sequence stored."""
        return self.ranges[-1][1] if self.ranges else self.upto

    def add(self, first: int, last: int, *, lost: bool = False) -> "Mark":
        """The mark after storing (or giving up) a range. Raises ValueError when last < first."""
        if last < first:
            raise ValueError(f"a range of sequences must not run backwards: {first}..{last}")
        merged = _merge([*self.ranges, (max(first, self.upto + 1), max(last, self.upto))])
        upto = self.upto
        while merged and merged[0][0] <= upto + 1:
            upto = max(upto, merged.pop(0)[1])
        return Mark(upto, tuple(merged), self.lost + (last - first + 1 if lost else 0))

    def declared(self, first: int) -> "Mark":
        """The mark after a birth: nothing below the spool's first sequence can ever come, so it must not hold the watermark back."""
        if first - 1 <= self.upto:
            return self
        missing = first - 1 - self.upto - sum(high - low + 1 for low, high in self.ranges if high < first)
        advanced = self.add(self.upto + 1, first - 1)
        return Mark(advanced.upto, advanced.ranges, self.lost + max(missing, 0))


def _merge(ranges: Sequence[Range]) -> list[Range]:
    merged: list[Range] = []
    for low, high in sorted(r for r in ranges if r[0] <= r[1]):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged
