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

from server.series.hot import EVER, File, Hot, RollupFile, files
from server.series.judged import judged


class Listing:
    """The lists of one version: partition files by bucket, files of roll-ups by grain and bucket, days rolled up with their versions by bucket,
    and how points are judged. Read once, over a connection that sees that version.
    """

    def __init__(self, version: int, connection: duckdb.DuckDBPyConnection) -> None:
        self.version = version
        self.files: dict[int, list[File]] = defaultdict(list)
        self.rollups: dict[tuple[str, int], list[RollupFile]] = defaultdict(list)
        self.rolled: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for file in files(connection):
            self.files[file.bucket].append(file)
        for row in connection.execute("SELECT * FROM rollup ORDER BY file").fetchall():
            made = RollupFile(*row)
            self.rollups[made.grain, made.bucket].append(made)
        for bucket, day, since in connection.execute("SELECT bucket, day, version FROM rolled ORDER BY bucket, day").fetchall():
            self.rolled[bucket].append((day, since))
        self.judged = judged(connection)


class Snapshot(NamedTuple):
    """What reads need. Every sample taken before `hot_first` lies in a file."""

    connection: duckdb.DuckDBPyConnection
    folder: Path
    listing: Listing
    hot_first: int

    def files(self, buckets: Collection[int], first: int, last: int) -> list[File]:
        """Partition files that may hold samples of [first, last] of these buckets."""
        listed = self.listing.files
        return [file for bucket in sorted(buckets) for file in listed.get(bucket, ()) if file.last >= first and file.first <= last]


class Snapshots:
    """Makes snapshots of a store; remembers its lists. Usable from any thread."""

    def __init__(self, hot: Hot) -> None:
        self._hot = hot
        self._listing: Listing | None = None

    @contextmanager
    def now(self, until: int = EVER) -> Iterator[Snapshot]:
        """The store as it is now, for as long as this lasts, for reading what was taken before `until`. Raises SeriesError.

        What lies in files only needs no look into the database: files do not change, and stay while there is a reader.
        """
        with self._hot.reading() as connection:
            published, listing = self._hot.published, self._listing
            if published is not None and listing is not None and published[0] == listing.version and until <= published[1]:
                yield Snapshot(connection, self._hot.folder, listing, published[1])
            else:
                yield self.of(connection)

    def of(self, connection: duckdb.DuckDBPyConnection) -> Snapshot:
        """What a connection within a transaction sees. In a write transaction: before it changes the lists."""
        version, hot_first = connection.execute("SELECT listing, hot_first FROM state").fetchall()[0]
        listing = self._listing
        if listing is None or listing.version != version:
            self._listing = listing = Listing(version, connection)
        return Snapshot(connection, self._hot.folder, listing, hot_first)
