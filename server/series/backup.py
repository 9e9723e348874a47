"""Copy of an embedded store at one moment, and a new store made of such a copy.

A backup is a folder: the partition files and roll-ups, `hot.parquet` with the rows that are in none of them, the small tables beside, and
`manifest.json` with names, SHA-256 and the journal id up to which it is complete. Restored beside an older or newer relational database it is brought
up to date by the history loop.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from server.series import SeriesError
from server.series.hot import File, Hot, RollupFile, add_files, files, sync_folder
from server.series.partition import checksum, sync_file

_MANIFEST = "manifest.json"
_HOT = "hot.parquet"
_FORMAT = 4
_READABLE = (2, 3, 4)
"""Format 2 has roll-ups of doubles, which are made anew after a restore; before 4 nothing was judged by holds of the past."""
_TABLES = ("judged", "judged_earlier", "rolled", "unsettled", "retention", "rollup")
_OF_ROLLUPS = ("rolled", "rollup")


def save(hot: Hot, target: Path) -> int | None:
    """Write a backup into `target`, a new or empty folder, while reading and writing go on; returns its mark. Raises SeriesError, OSError."""
    _must_be_empty(target)
    with hot.reading() as snapshot:
        mark, conflicts = snapshot.execute("SELECT mark, conflicts FROM state").fetchall()[0]
        listed = files(snapshot)
        for file in listed:
            _copy(hot.folder, target, file.file)
        rollups = [RollupFile(*row) for row in snapshot.execute("SELECT * FROM rollup ORDER BY file").fetchall()]
        for name in [file.file for file in rollups]:
            _copy(hot.folder, target, name)
        tables = {}
        for table in _TABLES:
            snapshot.execute(f"COPY {table} TO ? (FORMAT parquet)", [str(target / f"{table}.parquet")])
            sync_file(target / f"{table}.parquet")
            tables[table] = checksum(target / f"{table}.parquet")
        (rows,) = snapshot.execute("COPY hot TO ? (FORMAT parquet, COMPRESSION zstd)", [str(target / _HOT)]).fetchall()[0]
    sync_file(target / _HOT)
    manifest = {
        "format": _FORMAT, "mark": mark, "conflicts": conflicts, "rows": rows + sum(file.rows for file in listed), "hot_rows": rows,
        "hot_sha256": checksum(target / _HOT), "tables": tables, "files": listed, "rollups": rollups,
    }  # fmt: skip
    (target / _MANIFEST).write_text(json.dumps(manifest, indent=1))  # last: a backup without it is none
    sync_file(target / _MANIFEST)
    sync_folder(target)
    kept: int | None = mark
    return kept


def read(source: Path) -> dict[str, Any]:
    """The manifest of a backup, every file of which is there and is what was saved; without what can no longer be used. Raises SeriesError."""
    try:
        manifest: dict[str, Any] = json.loads((source / _MANIFEST).read_text())
    except (OSError, ValueError) as failure:
        raise SeriesError(f"{source} is not a backup of a series store: {failure}") from failure
    if manifest["format"] not in _READABLE:
        raise SeriesError(f"{source} is a series backup of format {manifest['format']}; this program reads {_READABLE[0]} to {_READABLE[-1]}")
    _must_match(source / _HOT, manifest["hot_sha256"])
    for table, sha256 in manifest["tables"].items():
        _must_match(source / f"{table}.parquet", sha256)
    if manifest["format"] == _READABLE[0]:
        manifest["rollups"] = []
        manifest["tables"] = {table: sha256 for table, sha256 in manifest["tables"].items() if table not in _OF_ROLLUPS}
    saved = {file.file: file.sha256 for file in (File(*entry) for entry in manifest["files"])}
    saved |= {file.file: file.sha256 for file in (RollupFile(*entry) for entry in manifest["rollups"])}
    for name, sha256 in saved.items():
        _must_match(source / name, sha256)
    return manifest


def load(source: Path, folder: Path) -> int | None:
    """Make a store in `folder`, new or empty, from a backup; returns its mark. Raises SeriesError when the backup is not complete and unharmed."""
    manifest = read(source)
    listed = [File(*entry) for entry in manifest["files"]]
    _must_be_empty(folder)
    for name in [file.file for file in listed] + [RollupFile(*entry).file for entry in manifest["rollups"]]:
        _copy(source, folder, name)
    hot = Hot(folder, threads=2, memory_limit="1GB")
    try:
        with hot.writing() as connection:
            add_files(connection, listed)
            for table in manifest["tables"]:
                if table not in _TABLES:
                    raise SeriesError(f"{source} has a table {table} that no series store has")
                connection.execute(f"INSERT INTO {table} SELECT * FROM read_parquet(?)", [str(source / f"{table}.parquet")])  # noqa: S608
            connection.execute("UPDATE unsettled SET seq = 1")
            connection.execute("INSERT INTO hot SELECT * REPLACE (1 AS seq) FROM read_parquet(?)", [str(source / _HOT)])
            connection.execute("UPDATE state SET mark = ?, conflicts = ?, seq = 1", [manifest["mark"], manifest["conflicts"]])
    finally:
        hot.close()
    mark: int | None = manifest["mark"]
    return mark


def _copy(source: Path, target: Path, name: str) -> None:
    (target / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / name, target / name)
    sync_file(target / name)


def _must_be_empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise SeriesError(f"{folder} is not empty")


def _must_match(path: Path, sha256: str) -> None:
    if not path.is_file() or checksum(path) != sha256:
        raise SeriesError(f"{path} is missing or is not what was saved")
