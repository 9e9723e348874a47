"""The SQLite file under the spool: how it is created, opened, checked and replaced, and what its errors mean for the gateway."""

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

PAGE: Final = 4096
NAME: Final = "spool.db"
"""The database inside the spool's folder; a folder, because SQLite's three files must be set aside by one rename."""
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE batch (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, lane INTEGER NOT NULL, crc INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE INDEX batch_lane ON batch (lane, first, last);
CREATE TABLE acknowledged (minute INTEGER PRIMARY KEY, upto INTEGER NOT NULL);
CREATE TABLE damaged (first INTEGER PRIMARY KEY, last INTEGER, lane INTEGER, crc INTEGER, payload BLOB, reason TEXT NOT NULL);
CREATE TABLE written (hour INTEGER PRIMARY KEY, upto INTEGER NOT NULL);
CREATE TABLE point (metric TEXT PRIMARY KEY, room TEXT NOT NULL, unit TEXT NOT NULL, class TEXT NOT NULL) WITHOUT ROWID;
"""


class SpoolError(Exception):
    """The spool cannot do what was asked; the text is one sentence for the log."""


class SpoolFullError(SpoolError):
    """Disk or quota is full."""


class SpoolUnavailableError(SpoolError):
    """The file cannot be reached: I/O error, read-only, no permission, or another process owns it. Trying again later may help."""


class SpoolDamagedError(SpoolError):
    """The file's content is broken: it has to be replaced."""


class SpoolVersionError(SpoolError):
    """A newer version wrote the file. It is left alone."""


_KINDS: Final[dict[int, type[SpoolError]]] = {
    sqlite3.SQLITE_FULL: SpoolFullError,
    sqlite3.SQLITE_CORRUPT: SpoolDamagedError,
    sqlite3.SQLITE_NOTADB: SpoolDamagedError,
    sqlite3.SQLITE_ERROR: SpoolDamagedError,  # "no such table": our statements are fixed, so the file is not ours any more
    sqlite3.SQLITE_MISMATCH: SpoolDamagedError,
}


def _translated(error: sqlite3.Error) -> SpoolError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    if code == sqlite3.SQLITE_IOERR_SHMSIZE:  # the index of the WAL could not grow
        code = sqlite3.SQLITE_FULL
    return _KINDS.get(code & 0xFF, SpoolUnavailableError)(f"SQLite: {error}")


def sync_folder(folder: Path) -> None:
    """Make renames and new names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def lock(folder: Path) -> TextIO:
    """Keep a second agent out of the data folder, which is made if need be; closing the result lets go. Raises SpoolUnavailableError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / "spool.lock").open("w")
    except OSError as error:
        raise SpoolUnavailableError(f"{folder}：{error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        raise SpoolUnavailableError(f"{folder} 正被另一个 archivewatch-edge 使用") from None
    return handle


def build(folder: Path, meta: Mapping[str, str]) -> None:
    """Write an empty spool into the new folder `folder`, complete and synced. Raises SpoolError, OSError."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        db = sqlite3.connect(folder / NAME, isolation_level=None)
        try:
            db.executescript(f"PRAGMA page_size={PAGE}; PRAGMA synchronous=FULL; PRAGMA user_version={_VERSION}; BEGIN; {_SCHEMA} COMMIT;")
            db.executemany("INSERT INTO meta VALUES (?, ?)", list(meta.items()))
        finally:
            db.close()
    except sqlite3.Error as error:
        raise _translated(error) from error
    sync_folder(folder)


class SpoolFile:
    """An open spool database. Every failure leaves as a SpoolError. `durable` False switches the sync off (fault tests only)."""

    def __init__(self, folder: Path, *, durable: bool, quota_bytes: int) -> None:
        self.path = path = folder / NAME
        self.quota_pages = quota_bytes // PAGE
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
        except sqlite3.Error as error:
            raise _translated(error) from error
        try:
            self._prepare(durable)
        except SpoolError:
            self._db.close()
            raise

    def _prepare(self, durable: bool) -> None:
        version = self.rows("PRAGMA user_version")[0][0]
        if version > _VERSION:
            raise SpoolVersionError(f"{self.path} 由更新的版本写成（格式 {version}，本程序只认识 {_VERSION}），原样保留")
        for pragma in (
            "cell_size_check=ON",
            "journal_mode=WAL",
            f"synchronous={'FULL' if durable else 'OFF'}",
            "wal_autocheckpoint=100",
            f"journal_size_limit={1 << 20}",
            f"max_page_count={self.quota_pages}",
        ):
            self.rows(f"PRAGMA {pragma}")
        self.rows("CREATE TABLE IF NOT EXISTS written (hour INTEGER PRIMARY KEY, upto INTEGER NOT NULL)")  # files of before it existed

    def check(self) -> None:
        """Look for damage that SQLite can see. Raises SpoolDamagedError."""
        found = self.rows("PRAGMA quick_check(1)")
        if found != [("ok",)]:
            raise SpoolDamagedError(f"quick_check: {found[0][0]}")

    def rows(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and fetch everything. Raises SpoolError."""
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise _translated(error) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; on return the change is on the disk. Raises SpoolError."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise _translated(error) from error

    def free_pages(self) -> int:
        """Pages inside the file that can be filled without asking the disk for space."""
        return int(self.rows("PRAGMA freelist_count")[0][0])

    def used_pages(self) -> int:
        """Pages that hold something; compare with `quota_pages`."""
        return int(self.rows("PRAGMA page_count")[0][0]) - self.free_pages()

    def meta(self, key: str) -> str | None:
        """A value of the meta table."""
        found = self.rows("SELECT value FROM meta WHERE key = ?", (key,))
        return str(found[0][0]) if found else None

    def set_meta(self, key: str, value: str) -> None:
        """Write a value of the meta table; inside `transaction` it belongs to that."""
        self.rows("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def shrink_wal(self) -> None:
        """Move the WAL into the file and give its space back."""
        self.rows("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Give the file back."""
        self._db.close()
