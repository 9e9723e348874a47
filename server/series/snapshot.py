"""One moment of the embedded store to read from: a connection, the folder, and the small lists as they are at that moment.

Reading the lists anew would cost most of a short question, so they stay in memory with their version (`state.listing`, see hot.relist). A snapshot of
another version reads them again: lists, hot table and files that a reader sees are always those of one moment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import duckdb

from server.series import Limits
from server.series.hot import File, Hot, RollupFile, files


class Judged(NamedTuple):
    """How a point is judged now, and since which version of the limits."""

    version: int
    limits: Limits


class Listing:
    """The lists of one version, each read when it is first asked for, over a connection that sees that version."""

    def __init__(self, version: int) -> None:
        self.version = version
        self._files: dict[int, list[File]] | None = None
        self._rollups: dict[tuple[str, int], list[RollupFile]] | None = None
        self._rolled: dict[int, list[tuple[int, int]]] | None = None
        self._judged: dict[int, Judged] | None = None

    def files(self, connection: duckdb.DuckDBPyConnection) -> dict[int, list[File]]:
        """Partition files by bucket."""
        if self._files is None:
            found: dict[int, list[File]] = defaultdict(list)
            for file in files(connection):
                found[file.bucket].append(file)
            self._files = dict(found)
        return self._files

    def rollups(self, connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, int], list[RollupFile]]:
        """Files of roll-ups by grain and bucket."""
        if self._rollups is None:
            found: dict[tuple[str, int], list[RollupFile]] = defaultdict(list)
            for row in connection.execute("SELECT * FROM rollup ORDER BY file").fetchall():
                file = RollupFile(*row)
                found[file.grain, file.bucket].append(file)
            self._rollups = dict(found)
        return self._rollups

    def rolled(self, connection: duckdb.DuckDBPyConnection) -> dict[int, list[tuple[int, int]]]:
        """Days that are rolled up with their versions, by bucket."""
        if self._rolled is None:
            found: dict[int, list[tuple[int, int]]] = defaultdict(list)
            for bucket, day, version in connection.execute("SELECT bucket, day, version FROM rolled ORDER BY bucket, day").fetchall():
                found[bucket].append((day, version))
            self._rolled = dict(found)
        return self._rolled

    def judged(self, connection: duckdb.DuckDBPyConnection) -> dict[int, Judged]:
        """How points are judged."""
        if self._judged is None:
            rows = connection.execute("SELECT point, version, hold_ms, low, high FROM judged").fetchall()
            self._judged = {point: Judged(version, Limits(hold, low, high)) for point, version, hold, low, high in rows}
        return self._judged


class Snapshot(NamedTuple):
    """What reads need. Every sample taken before `hot_first` lies in a file."""

    connection: duckdb.DuckDBPyConnection
    folder: Path
    listing: Listing
    hot_first: int

    def files(self, buckets: Collection[int], first: int, last: int) -> list[File]:
        """Partition files that may hold samples of [first, last] of these buckets."""
        listed = self.listing.files(self.connection)
        return [file for bucket in sorted(buckets) for file in listed.get(bucket, ()) if file.last >= first and file.first <= last]


class Snapshots:
    """Makes snapshots of a store; remembers its lists. Usable from any thread."""

    def __init__(self, hot: Hot) -> None:
        self._hot = hot
        self._listing = Listing(-1)

    @contextmanager
    def now(self) -> Iterator[Snapshot]:
        """The store as it is now, for as long as this lasts. Raises SeriesError."""
        with self._hot.reading() as connection:
            yield self.of(connection)

    def of(self, connection: duckdb.DuckDBPyConnection) -> Snapshot:
        """What a connection within a transaction sees. In a write transaction: before it changes the lists."""
        version, hot_first = connection.execute("SELECT listing, hot_first FROM state").fetchall()[0]
        listing = self._listing
        if listing.version != version:
            self._listing = listing = Listing(version)
        return Snapshot(connection, self._hot.folder, listing, hot_first)
