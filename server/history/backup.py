"""Backup of everything at one journal cursor, and its restoration.

The series store is copied first, then the database, whose journal reaches back beyond the mark of that copy: after a restore the history loop reads
the rest from the journal, so that both stand at the same cursor. What came after the backup is still in the spools of the gateways (24 hours at
least), which send again all that lies above the restored watermark.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from server.history.drain import READER, History
from server.series import SeriesError, SeriesStore, backup
from server.series.embedded import EmbeddedStore
from server.series.hot import sync_folder
from server.series.partition import checksum, sync_file
from server.store import audit, copying, journal
from server.store.copying import CopyError
from server.store.session import Database

MANIFEST, DATABASE, SERIES, STILLS = "manifest.json", "database.sqlite", "series", "snapshots"
_FORMAT = 1


class BackupError(RuntimeError):
    """A backup that cannot be made or used; the sentence says why."""


class Manifest(msgspec.Struct, frozen=True):
    """What a backup is. `cursor` is the journal id up to which series and database agree after a restore; `samples` those in the copied series."""

    format: int
    made_at: str
    version: str
    database_sha256: str
    cursor: int
    series: str
    mark: int | None
    samples: int


class Restored(NamedTuple):
    """What a restoration did: `replayed` samples came from the journal in the backup."""

    cursor: int
    samples: int
    replayed: int


def save(db: Database, store: SeriesStore, data_dir: Path, target: Path, now: int, version: str) -> Manifest:
    """Write a backup into a new or empty folder while the server runs. Raises BackupError, SeriesError, OSError."""
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise BackupError(f"{target} 不是空文件夹")
    mark, samples, kind = None, 0, "influx"
    if isinstance(store, EmbeddedStore):
        mark, kind = store.backup(target / SERIES), "embedded"
        samples = backup.read(target / SERIES)["rows"]
    try:
        copying.save(db, target / DATABASE)
    except CopyError as error:
        raise BackupError(str(error)) from error
    if (data_dir / STILLS).is_dir():
        shutil.copytree(data_dir / STILLS, target / STILLS)
    cursor = _reach(target / DATABASE, mark, embedded=kind == "embedded")
    made_at = datetime.fromtimestamp(now / 1000, UTC).isoformat(timespec="seconds")
    manifest = Manifest(_FORMAT, made_at, version, checksum(target / DATABASE), cursor, kind, mark, samples)
    (target / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))  # last: a backup without it is none
    for name in (DATABASE, MANIFEST):
        sync_file(target / name)
    sync_folder(target)
    return manifest


def verify(source: Path) -> Manifest:
    """The manifest of a backup, all of which is there and is what was saved. Raises BackupError, SeriesError."""
    try:
        manifest = msgspec.json.decode((source / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError) as error:
        raise BackupError(f"{source} 不是备份：{error}") from error
    if manifest.format != _FORMAT:
        raise BackupError(f"{source} 的格式是 {manifest.format}，本程序只认 {_FORMAT}")
    if not (source / DATABASE).is_file() or checksum(source / DATABASE) != manifest.database_sha256:
        raise BackupError(f"{source / DATABASE} 缺失或被改动")
    if manifest.series == "embedded":
        backup.read(source / SERIES)
    return manifest


def restore(source: Path, database_url: str, data_dir: Path, now: int) -> Restored:
    """Make an empty data folder (and database) what the backup was, and replay the journal in it. Raises BackupError, SeriesError, OSError."""
    manifest = verify(source)
    if (data_dir / SERIES).exists():
        raise BackupError(f"{data_dir / SERIES} 已经存在，请先移走，或加 --replace 让它移到一边")
    try:
        copying.load(source / DATABASE, database_url)
    except CopyError as error:
        raise BackupError(str(error)) from error
    if (source / STILLS).is_dir():
        shutil.copytree(source / STILLS, data_dir / STILLS, dirs_exist_ok=True)
    db = Database(database_url)
    try:
        replayed, samples = _replay(db, source / SERIES, data_dir / SERIES, now) if manifest.series == "embedded" else (0, 0)
        with db.write() as session:
            audit.append(session, "system", "restore", source.name, {"made_at": manifest.made_at, "cursor": manifest.cursor}, now)
    finally:
        db.close()
    return Restored(manifest.cursor, samples, replayed)


def set_aside(data_dir: Path, now: int) -> Path:
    """Move what a data folder holds (an SQLite database, series, stills) into a folder beside it, so that a restore finds it empty."""
    aside = data_dir / f"before-restore-{datetime.fromtimestamp(now / 1000, UTC):%Y%m%dT%H%M%SZ}"
    aside.mkdir(parents=True)
    for path in [*data_dir.glob("archivewatch.db*"), data_dir / SERIES, data_dir / STILLS]:
        if path.exists():
            path.rename(aside / path.name)
    return aside


def _reach(copy: Path, mark: int | None, *, embedded: bool) -> int:
    """The cursor of the copied database; its journal must follow the mark of the series without a gap. Raises BackupError."""
    db = Database(f"sqlite:///{copy}")
    try:
        with db.read() as session:
            cursor, oldest = journal.cursor_of(session, READER), journal.oldest(session)
    finally:
        db.close()
    for suffix in ("-wal", "-shm"):
        copy.with_name(copy.name + suffix).unlink(missing_ok=True)
    if embedded and cursor > (mark or 0) and (oldest is None or oldest > (mark or 0) + 1):
        raise BackupError(f"历史停在日志 {mark}，数据库的日志从 {oldest} 开始，两者接不上；请稍后再备份")
    return cursor


def _replay(db: Database, source: Path, folder: Path, now: int) -> tuple[int, int]:
    backup.load(source, folder)
    store = EmbeddedStore(folder)
    try:
        history = History(db, store)
        while history.run_once(now):
            pass
        if broken := store.verify():
            raise SeriesError(f"{len(broken)} files of the restored series are not what was saved, e.g. {broken[0]}")
        return history.counters.rows, store.count()
    finally:
        store.close()


def describe(manifest: Manifest) -> dict[str, object]:
    """A manifest as JSON."""
    found: dict[str, object] = json.loads(msgspec.json.encode(manifest))
    return found
