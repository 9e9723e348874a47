"""Copy of an embedded store at one moment, and a new store made of such a copy.

A backup is a folder: the partition files, `hot.parquet` with the rows that are in none of them, and `manifest.json` with names, SHA-256 and the
journal id up to which it is complete. Restored beside an older or newer relational database it is brought up to date by the history loop.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from server.series import SeriesError
from server.series.hot import File, Hot, files, sync_folder
from server.series.partition import checksum, sync_file

_MANIFEST = "manifest.json"
_HOT = "hot.parquet"
_FORMAT = 1


def save(hot: Hot, target: Path) -> int | None:
    """Write a backup into `target`, a new or empty folder, while reading and writing go on; returns its mark. Raises SeriesError, OSError."""
    _must_be_empty(target)
    with hot.reading() as snapshot:
        mark, conflicts = snapshot.execute("SELECT mark, conflicts FROM state").fetchall()[0]
        listed = files(snapshot, 0, 1 << 62)
        for file in listed:
            _copy(hot.folder, target, file)
        (rows,) = snapshot.execute("COPY hot TO ? (FORMAT parquet, COMPRESSION zstd)", [str(target / _HOT)]).fetchall()[0]
    sync_file(target / _HOT)
    manifest = {"format": _FORMAT, "mark": mark, "conflicts": conflicts, "hot_rows": rows, "hot_sha256": checksum(target / _HOT), "files": listed}
    (target / _MANIFEST).write_text(json.dumps(manifest, indent=1))  # last: a backup without it is none
    sync_file(target / _MANIFEST)
    sync_folder(target)
    kept: int | None = mark
    return kept


def load(source: Path, folder: Path) -> int | None:
    """Make a store in `folder`, new or empty, from a backup; returns its mark. Raises SeriesError when the backup is not complete and unharmed."""
    try:
        manifest = json.loads((source / _MANIFEST).read_text())
    except (OSError, ValueError) as failure:
        raise SeriesError(f"{source} is not a backup of a series store: {failure}") from failure
    if manifest["format"] != _FORMAT:
        raise SeriesError(f"{source} is a backup of format {manifest['format']}, not {_FORMAT}")
    listed = [File(*entry) for entry in manifest["files"]]
    _must_be_empty(folder)
    _must_match(source / _HOT, manifest["hot_sha256"])
    for file in listed:
        _must_match(source / file.file, file.sha256)
        _copy(source, folder, file)
    hot = Hot(folder, threads=2, memory_limit="1GB")
    try:
        with hot.writing() as connection:
            if listed:
                connection.executemany("INSERT INTO partition VALUES (?, ?, ?, ?, ?, ?, ?, ?)", listed)
            connection.execute("INSERT INTO hot SELECT * REPLACE (1 AS seq) FROM read_parquet(?)", [str(source / _HOT)])
            connection.execute("UPDATE state SET mark = ?, conflicts = ?, seq = 1", [manifest["mark"], manifest["conflicts"]])
    finally:
        hot.close()
    mark: int | None = manifest["mark"]
    return mark


def _copy(source: Path, target: Path, file: File) -> None:
    (target / file.file).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / file.file, target / file.file)
    sync_file(target / file.file)


def _must_be_empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise SeriesError(f"{folder} is not empty")


def _must_match(path: Path, sha256: str) -> None:
    if not path.is_file() or checksum(path) != sha256:
        raise SeriesError(f"{path} is missing or is not what was saved")
