"""The DuckDB file of the embedded store: newest samples, the list of partition files, and the marks, changed together in one transaction.

DuckDB appends to its write-ahead log and calls fdatasync on it before a commit returns (seen with strace in 2.0: one per transaction), so a committed
batch survives a power cut. One lock admits one writer at a time; every reader has a connection and a snapshot of its own and waits for nobody.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import duckdb

from server.series import SeriesError, StoreBusyError

log = logging.getLogger("server.series")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS hot (
  point BIGINT NOT NULL, taken_at BIGINT NOT NULL, value DOUBLE, quality UTINYINT NOT NULL, received_at BIGINT NOT NULL, reason VARCHAR NOT NULL,
  day INTEGER NOT NULL, seq BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS partition (
  file VARCHAR NOT NULL, period VARCHAR NOT NULL, bucket INTEGER NOT NULL, first BIGINT NOT NULL, last BIGINT NOT NULL, rows BIGINT NOT NULL,
  bytes BIGINT NOT NULL, sha256 VARCHAR NOT NULL, plain SMALLINT);
CREATE TABLE IF NOT EXISTS state (format INTEGER NOT NULL, mark BIGINT, seq BIGINT NOT NULL, conflicts BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS judged (
  point BIGINT NOT NULL, bucket INTEGER NOT NULL, version BIGINT NOT NULL, hold_ms BIGINT NOT NULL, low DOUBLE, high DOUBLE);
CREATE TABLE IF NOT EXISTS judged_earlier (point BIGINT NOT NULL, until BIGINT NOT NULL, hold_ms BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS rolled (day INTEGER NOT NULL, bucket INTEGER NOT NULL, version BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS unsettled (day INTEGER NOT NULL, bucket INTEGER NOT NULL, seq BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS retention (kept_from BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS rollup (
  file VARCHAR NOT NULL, grain VARCHAR NOT NULL, month VARCHAR NOT NULL, bucket INTEGER NOT NULL, rows BIGINT NOT NULL, bytes BIGINT NOT NULL,
  sha256 VARCHAR NOT NULL);
INSERT INTO state (format, mark, seq, conflicts) SELECT 2, NULL, 0, 0 WHERE NOT EXISTS (FROM state);
ALTER TABLE partition ADD COLUMN IF NOT EXISTS plain SMALLINT;
ALTER TABLE state ADD COLUMN IF NOT EXISTS listing BIGINT DEFAULT 0;
ALTER TABLE state ADD COLUMN IF NOT EXISTS hot_first BIGINT;
"""
EVER = 1 << 62


class File(NamedTuple):
    """One partition file as the list knows it; `file` is relative to the store, [first, last] are the instants of its samples.

    `plain` is the one scale of its values when all of them are integers under it and no sample has a reason; None when that is not so or not known.
    """

    file: str
    period: str
    bucket: int
    first: int
    last: int
    rows: int
    bytes: int
    sha256: str
    plain: int | None = None


class RollupFile(NamedTuple):
    """One file of roll-ups as its list knows it: all steps of a `grain` (hour, day) of a bucket of points in a month."""

    file: str
    grain: str
    month: str
    bucket: int
    rows: int
    bytes: int
    sha256: str


class Hot:
    """Owner of `hot.duckdb` in `folder`. Raises StoreBusyError when another store, here or in another process, has it open."""

    def __init__(self, folder: Path, *, threads: int, memory_limit: str) -> None:
        self.folder = folder
        self._settings: dict[str, str | bool | int | float | list[str]] = {
            "threads": threads,
            "memory_limit": memory_limit,
            "temp_directory": str(folder / "spill"),
            # A checkpoint writes what the log holds once more; a longer log costs a second at the next opening.
            "checkpoint_threshold": "256MB",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            # Files never change under their name, so what is cached stays true.
            "validate_external_file_cache": "NO_VALIDATION",
        }
        self._closed = False
        self._write_lock = threading.Lock()
        self._gate = threading.Lock()
        self._readers = 0
        self._retired: list[Path] = []
        self.published: tuple[int, int] | None = None
        """Version of the lists and earliest hot sample as last committed: known before a file that they do not name any more can be deleted."""
        folder.mkdir(parents=True, exist_ok=True)
        self._guard = _locked(folder / "lock")
        try:
            self._connection = self._open()
        except BaseException:
            os.close(self._guard)
            raise

    def close(self) -> None:
        """Wait for the writer, then let go of the files. A second call does nothing."""
        with self._write_lock:
            if self._closed:
                return
            self._closed = True
            self._connection.close()
            self._sweep()
            os.close(self._guard)

    @contextmanager
    def writing(self, *, lists: bool = True) -> Iterator[duckdb.DuckDBPyConnection]:
        """One write transaction: durable at the end, nothing of it after an exception. Raises SeriesError.

        `lists` says that it may change more than samples: what readers remember of the lists is then read anew.
        """
        with _in_words(), self._write_lock:
            connection = self._connection
            try:
                connection.begin()
                yield connection
                if lists:
                    relist(connection)
                connection.commit()
                self.published = connection.execute("SELECT listing, hot_first FROM state").fetchall()[0]
            except BaseException as failure:
                self._recover(failure)
                raise

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of one's own on one snapshot: samples move to files without being seen twice or not at all. Raises SeriesError."""
        with _in_words():
            with self._gate:
                cursor = self._connection.cursor()
                self._readers += 1
            try:
                cursor.begin()
                yield cursor
            finally:
                cursor.close()
                with self._gate:
                    self._readers -= 1
                self._sweep()

    def retire(self, files: list[str]) -> None:
        """Delete files that the list no longer names, as soon as no reader can still be on an older snapshot."""
        with self._gate:
            self._retired += [self.folder / file for file in files]
        self._sweep()

    def checkpoint(self) -> None:
        """Fold the write-ahead log into the database file."""
        with _in_words(), self._write_lock:
            self._connection.execute("CHECKPOINT")

    def _open(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(str(self.folder / "hot.duckdb"), config=self._settings)
        connection.execute("SET GLOBAL parquet_metadata_cache = true")  # without GLOBAL a cursor would not have it
        connection.execute(_SCHEMA)
        sync_folder(self.folder)
        return connection

    def _recover(self, failure: BaseException) -> None:
        try:
            self._connection.rollback()
        except duckdb.Error:
            # A failed write of the log (disk full) makes DuckDB give up the whole database until it is opened anew; what was committed is in the log.
            log.warning("the series store is opened anew after: %s", failure)
            with self._gate:
                self._connection.close()
                self._connection = self._open()

    def _sweep(self) -> None:
        with self._gate:
            if self._readers == 0:
                for path in self._retired:
                    path.unlink(missing_ok=True)
                self._retired.clear()


def files(connection: duckdb.DuckDBPyConnection, first: int = 0, last: int = EVER, buckets: list[int] | None = None) -> list[File]:
    """The partition files that may hold samples of [first, last], of these buckets or of all."""
    found = connection.execute("SELECT * FROM partition WHERE last >= ? AND first <= ? ORDER BY file", [first, last]).fetchall()
    listed = [File(*row) for row in found]
    return listed if buckets is None else [file for file in listed if file.bucket in buckets]


def add_files(connection: duckdb.DuckDBPyConnection, made: Sequence[File]) -> None:
    """List partition files."""
    if made:
        connection.executemany("INSERT INTO partition VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", made)


def relist(connection: duckdb.DuckDBPyConnection) -> None:
    """Within a write transaction that changes the lists, or takes samples out of the hot table: give them a new version."""
    connection.execute(f"UPDATE state SET listing = listing + 1, hot_first = (SELECT coalesce(min(taken_at), {EVER}) FROM hot)")  # noqa: S608


def sync_folder(folder: Path) -> None:
    """Make renames and new names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _in_words() -> Iterator[None]:
    """What DuckDB raises becomes a SeriesError, so that callers need not know which store they have."""
    try:
        yield
    except duckdb.Error as failure:
        raise SeriesError(f"the series store failed: {str(failure).splitlines()[0]}") from failure


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as taken:
        os.close(descriptor)
        raise StoreBusyError(f"the series store {path.parent} is in use by another process") from taken
    return descriptor
