"""What the embedded store does when it opens: make the list of files and the folder agree again.

A crash leaves temporary files, or whole files that the list does not name yet; a restored backup may leave more. Nothing that can be read is thrown
away before every sample in it is known to be stored.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from server.series import SeriesError, partition, rollup
from server.series.hot import File, Hot, add_files, files

log = logging.getLogger("server.series")


def reconcile(hot: Hot) -> int:
    """Repair after a crash or a restore; returns the next free file generation."""
    for path in hot.folder.glob("*/*.tmp"):
        path.unlink()
    rolled = rollup.reconcile(hot)
    present = {f"{path.parent.name}/{path.name}": path for path in _partitions(hot.folder)}
    with hot.writing() as connection:
        listed = {file.file: file for file in files(connection)}
        _drop_lost(connection, [file for name, file in listed.items() if name not in present or present[name].stat().st_size != file.bytes])
    strangers = sorted((name for name in present if name not in listed or present[name].stat().st_size != listed[name].bytes), key=_generation)
    for name in reversed(strangers):
        _take_in(hot, name, present[name])
    return 1 + max(rolled, *(_generation(f"{path.parent.name}/{path.name}") for path in _partitions(hot.folder, "*.parquet*")), 0)


def _partitions(folder: Path, pattern: str = "*.parquet") -> Iterator[Path]:
    return (path for path in folder.glob(f"*/{pattern}") if path.parent.name != rollup.FOLDER)


def _generation(name: str) -> int:
    return partition.parse(name.removesuffix(".damaged"))[2]


def _drop_lost(connection: duckdb.DuckDBPyConnection, lost: list[File]) -> None:
    """Take files off the list that are gone or cut short, and forget the mark so that the journal is read again from its beginning."""
    for file in lost:
        log.error("partition %s (%s samples, %s … %s) is missing or has not its length", file.file, file.rows, file.first, file.last)
        connection.execute("DELETE FROM partition WHERE file = ?", [file.file])
    if lost:
        connection.execute("UPDATE state SET mark = NULL")


def _take_in(hot: Hot, name: str, path: Path) -> None:
    """List an unlisted file if all of it is news; otherwise store what is new in it and delete it."""
    try:
        with hot.reading() as connection:
            file = partition.describe(connection, path, name)
            partition.fingerprint(connection, f"(SELECT {partition.COLUMNS} FROM read_parquet(?))", [[str(path)]])  # noqa: S608 - reads all of it
    except SeriesError:
        log.exception("partition %s cannot be read and is set aside", name)
        path.rename(path.with_name(path.name + ".damaged"))
        return
    with hot.writing() as connection:
        stored = _stored(connection, hot.folder, file)
        if stored == 0:
            add_files(connection, [file])
        elif stored < file.rows:
            _copy_new(connection, hot.folder, file)
    if stored:
        path.unlink()
    log.warning("unlisted partition %s: %d of %d samples were stored already", name, stored, file.rows)


def _known(connection: duckdb.DuckDBPyConnection, folder: Path, file: File) -> tuple[str, dict[str, Any]]:
    """A query for the keys that are stored within the file's bounds, and its parameters."""
    parameters: dict[str, Any] = {"this": str(folder / file.file), "first": file.first, "last": file.last}
    keys = "SELECT point, taken_at FROM hot WHERE taken_at BETWEEN $first AND $last"
    others = [str(folder / other.file) for other in files(connection, file.first, file.last, [file.bucket])]
    if others:
        keys += " UNION ALL SELECT point, taken_at FROM read_parquet($others) WHERE taken_at BETWEEN $first AND $last"
        parameters["others"] = others
    return keys, parameters


def _stored(connection: duckdb.DuckDBPyConnection, folder: Path, file: File) -> int:
    keys, parameters = _known(connection, folder, file)
    query = f"SELECT count(*) FROM read_parquet($this) SEMI JOIN ({keys}) USING (point, taken_at)"  # noqa: S608
    found: int = connection.execute(query, parameters).fetchall()[0][0]
    return found


def _copy_new(connection: duckdb.DuckDBPyConnection, folder: Path, file: File) -> None:
    keys, parameters = _known(connection, folder, file)
    day = f"((taken_at + {partition.ZONE_MS}) // {partition.DAY_MS})::INTEGER"
    connection.execute("UPDATE state SET seq = seq + 1")
    connection.execute(
        f"INSERT INTO hot SELECT {partition.COLUMNS}, {day}, (SELECT seq FROM state) "  # noqa: S608
        f"FROM read_parquet($this) ANTI JOIN ({keys}) USING (point, taken_at)",
        parameters,
    )
