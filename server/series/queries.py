"""Reading the embedded store: hot table and partition files of one snapshot as one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import duckdb
import numpy as np

from server.series import Row
from server.series.batch import Array, Batch, Floats, sorting
from server.series.fold import Samples
from server.series.hot import EVER, File
from server.series.partition import BUCKETS, COLUMNS, bucket_of, plain_columns
from server.series.snapshot import Snapshot

HOT = "hot"
FILES = f"(SELECT {COLUMNS} FROM read_parquet($files))"  # noqa: S608
_ROW = "point, taken_at, value, quality, received_at, reason"
_IN_LIST = 64  # so many points are named in the statement itself, where Parquet files can skip by them; more go into a join


class _Source(NamedTuple):
    """Where rows may lie: a FROM clause with the columns of table hot, its parameters; for plain files (see File.plain) the bare files and scale."""

    clause: str
    parameters: dict[str, Any]
    files: str = ""
    scale: int | None = None


def samples(snapshot: Snapshot, points: Sequence[int], first: int, last: int) -> Samples:
    """The samples of [first, last] (both inclusive), sorted by point and time."""
    found, chosen = [], _chosen(points)
    for source in _sources(snapshot, points, first, last):
        if source.scale is None:
            query = f"SELECT point, taken_at, coalesce(value, 'nan'::DOUBLE) AS value, quality FROM {source.clause} WHERE {chosen}"  # noqa: S608
            found.append(snapshot.connection.execute(query, source.parameters).fetchnumpy())
        else:
            found.append(_plain(snapshot, source, "point, taken_at, scaled, value, quality", chosen))
    point, taken, value, quality = (np.concatenate([part[name] for part in found]) for name in ("point", "taken_at", "value", "quality"))
    order = sorting(point, taken)
    return Samples(point[order], taken[order], value[order], quality[order])


def batch(snapshot: Snapshot, points: Sequence[int], first: int, last: int, also: str = "true") -> Batch:
    """Whole rows of [first, last] as columns, sorted by point and time; `also` is a further condition."""
    chosen = f"{_chosen(points)} AND {also}"
    parts = [_part(snapshot, source, chosen) for source in _sources(snapshot, points, first, last)]
    whole = parts[0] if len(parts) == 1 else Batch.joined(parts)
    return whole.take(sorting(whole.point, whole.taken_at))


def _part(snapshot: Snapshot, source: _Source, chosen: str) -> Batch:
    if source.scale is not None:
        found = _plain(snapshot, source, "point, taken_at, scaled, value, quality, delay", chosen)
        received = found["taken_at"] + found["delay"] * 1000
        return Batch(found["point"], found["taken_at"], found["value"], found["quality"], received, np.zeros(len(received), dtype=np.int32))
    columns = "point, taken_at, coalesce(value, 'nan'::DOUBLE) AS value, quality, received_at, reason <> '' AS said"
    query = f"SELECT {columns} FROM {source.clause} WHERE {chosen}"  # noqa: S608
    found = snapshot.connection.execute(query, source.parameters).fetchnumpy()
    reason, words = np.zeros(len(found["point"]), dtype=np.int32), {"": 0}
    if found["said"].any():  # few samples have a reason: only theirs become Python strings
        query = f"SELECT point, taken_at, reason FROM {source.clause} WHERE {chosen} AND reason <> ''"  # noqa: S608
        said = {(point, taken): text for point, taken, text in snapshot.connection.execute(query, source.parameters).fetchall()}
        for index in np.flatnonzero(found["said"]).tolist():
            reason[index] = words.setdefault(said[found["point"][index], found["taken_at"][index]], len(words))
    return Batch(found["point"], found["taken_at"], found["value"], found["quality"], found["received_at"], reason, tuple(words))


def _plain(snapshot: Snapshot, source: _Source, columns: str, chosen: str) -> dict[str, Any]:
    """Columns of plain files, with the true `value`: an expression in the statement would take as long to plan as the rest."""
    query = f"SELECT {columns} FROM {source.files} WHERE {chosen}"  # noqa: S608
    found: dict[str, Any] = snapshot.connection.execute(query, source.parameters).fetchnumpy()
    base = np.ma.filled(found["value"], 0.0)  # NULL comes masked: of `scaled` it says that there is no value
    found["value"] = (np.ma.filled(found["scaled"].astype(np.float64), np.nan) + base) / source.scale
    return found


def extent(connection: duckdb.DuckDBPyConnection) -> tuple[int, int] | None:
    """First and last instant of hot table and files."""
    query = "SELECT min(first), max(last) FROM (SELECT first, last FROM partition UNION ALL SELECT min(taken_at), max(taken_at) FROM hot)"
    first, last = connection.execute(query).fetchall()[0]
    return None if first is None else (first, last)


def rows(snapshot: Snapshot, points: Sequence[int], first: int, last: int, limit: int | None) -> list[Row]:
    """Whole rows of [first, last], sorted by point and time; at most `limit`."""
    sources = _sources(snapshot, points, first, last)
    union = " UNION ALL ".join(f"SELECT {_ROW} FROM {source.clause} WHERE {_chosen(points)}" for source in sources)  # noqa: S608
    parameters = {name: value for source in sources for name, value in source.parameters.items()}
    found = snapshot.connection.execute(f"{union} ORDER BY point, taken_at LIMIT $limit", parameters | {"limit": limit})
    return [Row(*row) for row in found.fetchall()]


def newest(snapshot: Snapshot, points: Sequence[int], since: int) -> dict[int, Row]:
    """The newest row of each point at `since` or later. Files are opened from the newest backwards and only as far as needed, one of each bucket
    at a time.
    """
    connection = snapshot.connection
    best = _newest_of(connection, HOT, {}, points, since)
    wanted = {bucket: [point for point in points if bucket_of(point) == bucket] for bucket in {bucket_of(point) for point in points}}
    waiting: dict[int, list[File]] = {bucket: [] for bucket in wanted}
    for file in sorted(snapshot.files(wanted, since, EVER), key=lambda each: each.last):
        waiting[file.bucket].append(file)
    while True:
        opened, missing = [], list[int]()
        for bucket, listed in waiting.items():
            lacking = [point for point in wanted[bucket] if listed and (point not in best or best[point].taken_at < listed[-1].last)]
            if lacking:
                opened.append(str(snapshot.folder / listed.pop().file))
                missing += lacking
        if not opened:
            return best
        found = _newest_of(connection, FILES, {"files": opened}, missing, since)
        best.update({point: row for point, row in found.items() if point not in best or best[point].taken_at < row.taken_at})


def known(snapshot: Snapshot, batch: Batch) -> tuple[Array, Floats]:
    """Which rows of a batch (their indices) are stored already, and the values stored for them."""
    if not len(batch):
        return np.empty(0, dtype=np.int64), np.empty(0)
    first, last = int(batch.taken_at.min()), int(batch.taken_at.max())
    parameters: dict[str, Any] = {"first": first, "last": last}
    sources = [(HOT, parameters)]
    connection = snapshot.connection
    touched = [str(snapshot.folder / file.file) for file in snapshot.files(range(BUCKETS), first, last) if _touches(file, batch)]
    if touched:
        sources.append((FILES, parameters | {"files": touched}))
    connection.register("keys", {"n": np.arange(len(batch)), "point": batch.point, "taken_at": batch.taken_at})
    query = (
        "SELECT n, coalesce(stored.value, 'nan'::DOUBLE) AS value FROM {} AS stored JOIN keys USING (point, taken_at) "
        "WHERE stored.taken_at BETWEEN $first AND $last"
    )
    found = [connection.execute(query.format(source), values).fetchnumpy() for source, values in sources]
    connection.unregister("keys")
    return np.concatenate([part["n"] for part in found]), np.concatenate([part["value"] for part in found])


def _touches(file: File, batch: Batch) -> bool:
    inside = (batch.taken_at >= file.first) & (batch.taken_at <= file.last)
    return bool(((batch.point[inside] >> 4) % BUCKETS == file.bucket).any())


def among(points: Sequence[int]) -> tuple[str, dict[str, Any]]:
    """Condition for rows of these points, at least one, and its parameters."""
    if len(points) == 1:
        return f"point = {int(points[0])}", {}
    span = f"point BETWEEN {min(points)} AND {max(points)}"  # by which row groups are skipped
    if max(points) - min(points) == len(points) - 1 == len(set(points)) - 1:
        return span, {}
    if len(points) <= _IN_LIST:
        return f"{span} AND point IN ({', '.join(str(int(point)) for point in points)})", {}
    return f"{span} AND point IN (SELECT unnest($points))", {"points": list(points)}


def _chosen(points: Sequence[int]) -> str:
    """WHERE clause of the rows asked for, with the parameters of _sources."""
    return f"{among(points)[0]} AND taken_at BETWEEN $first AND $last"


def _sources(snapshot: Snapshot, points: Sequence[int], first: int, last: int) -> list[_Source]:
    """Where the rows asked for may lie, at least one place."""
    chosen: dict[str, Any] = {"first": first, "last": last} | among(points)[1]
    alike: dict[int | None, list[str]] = defaultdict(list)
    for file in snapshot.files({bucket_of(point) for point in points}, first, last):
        alike[file.plain].append(str(snapshot.folder / file.file))
    found = [_Source(HOT, chosen)] if last >= snapshot.hot_first or not alike else []
    for scale, paths in alike.items():
        name = "files" if scale is None else f"files_{scale}"
        columns = COLUMNS if scale is None else plain_columns(scale)
        bare = f"read_parquet(${name})"
        found.append(_Source(f"(SELECT {columns} FROM {bare})", chosen | {name: paths}, bare, scale))  # noqa: S608
    return found


def _newest_of(connection: duckdb.DuckDBPyConnection, source: str, extra: dict[str, Any], points: Sequence[int], since: int) -> dict[int, Row]:
    query = f"SELECT max_by(({_ROW}), taken_at) FROM {source} WHERE point IN (SELECT unnest($points)) AND taken_at >= $since GROUP BY point"  # noqa: S608
    found = connection.execute(query, extra | {"points": list(points), "since": since}).fetchall()
    return {row[0]: Row(*row) for (row,) in found}
