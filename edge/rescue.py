"""Getting the good rows out of a damaged spool."""

import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

from edge.rows import Batch, DamagedRowError, Lane, batch, checksum

_LARGEST_SKIP: Final = 4096  # sequences
_Row: TypeAlias = tuple[int, int, int, int, bytes]
_COLUMNS: Final = "first, last, lane, crc, payload"


class Salvage:
    """Reads a damaged database from the sequence after `after` on, past whatever cannot be read.

    `epoch` seeds the checksums; a row that fails its checksum is no row. Close it when done.
    """

    def __init__(self, database: Path, gateway: str, epoch: int, after: int, until: int) -> None:
        self._gateway, self._epoch, self._until = gateway, epoch, until
        self._position = after
        self._db: sqlite3.Connection | None = None
        if database.exists():
            self._db = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA writable_schema=ON")  # lets SQLite read a file that is shorter than its header says

    def rows(self) -> Iterator[Batch]:
        """Every good row of samples, by ascending sequence."""
        position, skip, damage = self._position, 1, None
        while self._db is not None and position < self._until:
            try:
                found = self._next(position)
            except sqlite3.DatabaseError:
                damage = position if damage is None else damage
                position, skip = position + skip, min(2 * skip, _LARGEST_SKIP)
                continue
            if found is None:
                return
            if damage is not None:
                yield from reversed(list(self._before(found[0], damage)))
            position, skip, damage = found[0], 1, None
            yield from self._good(found)

    def _next(self, position: int) -> _Row | None:
        assert self._db is not None  # noqa: S101
        query = f"SELECT {_COLUMNS} FROM batch WHERE first > ? ORDER BY first LIMIT 1"  # noqa: S608
        found: _Row | None = self._db.execute(query, (position,)).fetchone()
        if found is not None and not position < found[0] <= self._until:
            raise sqlite3.DatabaseError("a damaged tree leads back to where we were")
        return found

    def _before(self, first: int, floor: int) -> Iterator[Batch]:
        """Rows that the skip jumped over: walk back from the first readable one until the damage."""
        assert self._db is not None  # noqa: S101
        while first > floor:
            try:
                query = f"SELECT {_COLUMNS} FROM batch WHERE first < ? AND first > ? ORDER BY first DESC LIMIT 1"  # noqa: S608
                found = self._db.execute(query, (first, floor)).fetchone()
            except sqlite3.DatabaseError:
                return
            if found is None or not floor < found[0] < first:
                return
            first = found[0]
            yield from self._good(found)

    def _good(self, row: _Row) -> Iterator[Batch]:
        first, last, lane, crc, payload = row
        try:
            if lane != Lane.GAP and crc == checksum(self._epoch, first, last, Lane(lane), payload):
                yield batch(first, last, Lane(lane), payload, self._gateway)
        except (DamagedRowError, ValueError, TypeError, struct.error):  # a damaged column may have any type or size
            return

    def close(self) -> None:
        """Give the file back."""
        if self._db is not None:
            self._db.close()
