"""The rows of the spool: written with a checksum, read with a check, closed by gaps where readings were lost or given up."""

import logging
import sqlite3
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from contract.sample import Sample
from edge.rows import Batch, DamagedRowError, Lane, batch, checksum, encode
from edge.spoolfile import SpoolDamagedError, SpoolFile

_log = logging.getLogger("edge.spool")

_BLOCK: Final = 64  # rows in one transaction: a single large delete does not fit into a full disk's WAL
_DAMAGED_KEPT: Final = 100
_LANES: Final = frozenset(Lane)
_INSERT: Final = "INSERT INTO batch VALUES (?, ?, ?, ?, ?)"
_OLDEST: Final = "SELECT first, last FROM batch WHERE lane = ? AND last > ? AND first < (SELECT MAX(first) FROM batch) ORDER BY first LIMIT ?"
_HOLES: Final = """SELECT p, first FROM (SELECT first, last, LAG(last, 1, :after) OVER (ORDER BY first) AS p FROM batch WHERE last > :after)
WHERE first <> p + 1 AND first > :after"""
_HEADS: Final = """SELECT first, last, lane FROM batch WHERE first >= COALESCE((SELECT MAX(first) FROM batch WHERE first <= ?), 0) AND last >= ?
ORDER BY first LIMIT ?"""


class Head(NamedTuple):
    """A row without its payload."""

    first: int
    last: int
    lane: Lane


def _head(row: tuple[Any, ...]) -> Head:
    first, last, lane = row
    return Head(first, last, Lane(lane) if lane in _LANES else Lane.NORMAL)  # a damaged lane is found by the checksum when the row is read


class RowStore:
    """The rows of one file and epoch. Sequences are inclusive. Everything may raise SpoolError."""

    def __init__(self, file: SpoolFile, epoch: int, gateway: str, *, verify: bool) -> None:
        self._file, self._epoch, self._gateway, self._verify = file, epoch, gateway, verify

    def last(self) -> int:
        """Highest sequence held, 0 in an empty spool."""
        return int(self._file.rows("SELECT COALESCE(MAX(last), 0) FROM batch")[0][0])

    def first(self) -> int | None:
        """Lowest sequence held."""
        found: int | None = self._file.rows("SELECT MIN(first) FROM batch")[0][0]
        return found

    def heads(self, start: int, limit: int) -> list[Head]:
        """Rows from the one that holds sequence `start` on, in order."""
        return [_head(row) for row in self._file.rows(_HEADS, (start, start, limit))]

    def urgent(self, start: int, limit: int) -> list[Head]:
        """Rows of the urgent lane that begin at `start` or later, in order."""
        query = "SELECT first, last, lane FROM batch WHERE lane = ? AND first >= ? ORDER BY first LIMIT ?"
        return [_head(row) for row in self._file.rows(query, (Lane.URGENT, start, limit))]

    def read(self, first: int) -> Batch | None:
        """The row that begins at `first`, None when it is gone. A damaged row is set aside, and its range comes back as a gap."""
        found = self._file.rows("SELECT last, lane, crc, payload FROM batch WHERE first = ?", (first,))
        if not found:
            return None
        last, lane, crc, payload = found[0]
        try:
            if self._verify and crc != checksum(self._epoch, first, last, Lane(lane), payload):
                return self.set_aside(first, last, "checksum")
            return batch(first, last, Lane(lane), payload, self._gateway)
        except (DamagedRowError, ValueError, TypeError) as error:
            return self.set_aside(first, last, str(error))

    # ---------------------------------------------------------------------------------------------------------------------------- writing

    def write(self, db: sqlite3.Connection, head: Head, samples: Sequence[Sample]) -> None:
        """Insert a row inside a transaction."""
        payload = encode(samples)
        db.execute(_INSERT, (*head, checksum(self._epoch, *head, payload), payload))

    def set_aside(self, first: int, last: int, reason: str) -> Batch:
        """Move a row that cannot be sent into the table `damaged`; returns the gap that takes its place."""
        with self._file.transaction() as db:
            db.execute("INSERT OR REPLACE INTO damaged SELECT *, ? FROM batch WHERE first = ?", (reason, first))
            db.execute("DELETE FROM damaged WHERE first NOT IN (SELECT first FROM damaged ORDER BY first DESC LIMIT ?)", (_DAMAGED_KEPT,))
            self._gap(db, first, last, "damaged")
        _log.error("本机缓存第 %d–%d 条读数损坏（%s）：已隔离，并上报缺口", first, last, reason)
        return Batch(first, last, Lane.GAP, gap="damaged")

    def _gap(self, db: sqlite3.Connection, first: int, last: int, reason: str) -> None:
        """Put a gap in the place of `first`..`last`, joined with the one before it when that has the same reason."""
        payload = reason.encode()
        before = db.execute("SELECT first FROM batch WHERE last = ? AND lane = ? AND payload = ?", (first - 1, Lane.GAP, payload)).fetchone()
        first = before[0] if before else first
        db.execute("DELETE FROM batch WHERE first BETWEEN ? AND ?", (first, last))
        db.execute(_INSERT, (first, last, Lane.GAP, checksum(self._epoch, first, last, Lane.GAP, payload), payload))

    def close_holes(self, after: int) -> int:
        """Sequences after `after` that no row holds become gaps; returns how many. Raises SpoolDamagedError when rows overlap."""
        lost = 0
        for before, first in self._file.rows(_HOLES, {"after": after}):
            if first <= before:
                raise SpoolDamagedError(f"rows overlap at {first}")
            with self._file.transaction() as db:
                self._gap(db, before + 1, first - 1, "missing")
            lost += first - before - 1
        return lost

    # --------------------------------------------------------------------------------------------------------------------------- deleting

    def purge(self, upto: int) -> int:
        """Delete up to 64 of the oldest rows that end at or before `upto`; the newest row always stays, because it carries the sequence."""
        query = "SELECT first FROM batch WHERE last <= ? AND first < (SELECT MAX(first) FROM batch) ORDER BY first LIMIT ?"
        rows = self._file.rows(query, (upto, _BLOCK))
        if rows:
            with self._file.transaction() as db:
                db.execute("DELETE FROM batch WHERE first <= ?", rows[-1])
        return len(rows)

    def expire(self, after: int, upto: int) -> int:
        """Turn up to 64 of the oldest rows above the watermark `after` that end at or before `upto` into gaps; returns the readings given up."""
        query = "SELECT first, last FROM batch WHERE last > ? AND last <= ? AND lane <> ? ORDER BY first LIMIT ?"
        rows = self._file.rows(query, (after, upto, Lane.GAP, _BLOCK))
        self._give_up(rows, "expired")
        return sum(last - first + 1 for first, last in rows)

    def _give_up(self, rows: Sequence[tuple[Any, ...]], reason: str) -> None:
        if rows:
            with self._file.transaction() as db:
                for first, last in rows:
                    self._gap(db, first, last, reason)

    def evict(self, after: int) -> int:
        """Turn up to 64 of the oldest rows above the watermark `after` into gaps, ordinary readings first, the newest row never.

        Returns the readings given up, 0 when there is nothing to give.
        """
        for lane in (Lane.NORMAL, Lane.URGENT):
            rows = self._file.rows(_OLDEST, (lane, after, _BLOCK))
            if rows:
                self._give_up(rows, "evicted")
                return sum(last - first + 1 for first, last in rows)
        return 0
