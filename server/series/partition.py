"""Partition files: sorted Parquet, one per calendar day (Asia/Shanghai) or month and bucket of points, never changed once they have their name.

Sixteen neighbouring point ids share a bucket, because the points of a room are registered together and are asked for together. Values are stored as
integers wherever that gives back the very same double, else as doubles; instants, values and qualities are exact. Integers are counted from the
first of their point: the encoding of differences takes its width from the largest step in two thousand, and from 52 %RH to the next point's 0 is a
step indeed. The time of arrival is kept as a delay in whole seconds, rounded up: its milliseconds would take twice the room of all the rest.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb

from server.series.hot import File, sync_folder

BUCKETS = 16
DAY_MS = 86_400_000
ZONE_MS = 8 * 3_600_000  # Asia/Shanghai has had no summer time since 1991; days before are cut at +08:00 as well
BUCKET = f"(point >> 4) & {BUCKETS - 1}"
# All statements in here are made of constants and numbers.
# What a file holds, read back as the columns of table hot. Its column `value` is what `scaled` is counted from (nothing: from 0) where there is a
# `scaled`, else the value itself.
COLUMNS = """point, taken_at, coalesce((scaled + coalesce(value, 0)) / scale, value) AS value, quality,
  taken_at + delay * 1000 AS received_at, coalesce(reason, '') AS reason"""
_DELAY = "ceil((received_at - taken_at) / 1000.0)::BIGINT"
_OPTIONS = "FORMAT parquet, PARQUET_VERSION V2, COMPRESSION zstd, COMPRESSION_LEVEL 5, DICTIONARY_SIZE_LIMIT 1, ROW_GROUP_SIZE"
_IDENTITY = f"point, taken_at, value, quality, reason, {_DELAY}"
_SCALES = (1, 10, 100, 1000)


def plain_columns(scale: int) -> str:
    """COLUMNS of a file whose values are all integers under `scale`, without a reason: see File.plain. The others need not be decoded."""
    return f"point, taken_at, (scaled + coalesce(value, 0)) / {scale} AS value, quality, taken_at + delay * 1000 AS received_at, '' AS reason"


def day_of(instant: int) -> int:
    """Number of the Shanghai calendar day of a UTC instant, 0 = 1970-01-01."""
    return (instant + ZONE_MS) // DAY_MS


def day_start(day: int) -> int:
    """First UTC instant of a Shanghai calendar day."""
    return day * DAY_MS - ZONE_MS


def day_label(day: int) -> str:
    """Calendar name of a day number: `2026-10-05`."""
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def day_number(label: str) -> int:
    """Inverse of day_label. Raises ValueError."""
    return (date.fromisoformat(label) - date(1970, 1, 1)).days


def bucket_of(point: int) -> int:
    """Bucket of a point id."""
    return (point >> 4) % BUCKETS


def write(connection: duckdb.DuckDBPyConnection, table: str, folder: Path, period: str, generations: Iterator[int]) -> list[File]:
    """Write `table` (columns as hot, with `bucket`) to one durable file per bucket; the caller compares them with where the samples came from.

    A name gives period, bucket and a generation that is never used twice.
    """
    (folder / period[:7]).mkdir(exist_ok=True)
    plans = _plans(connection, table)
    names = {plan.bucket: f"{period[:7]}/{period}.b{plan.bucket:02d}.{next(generations):08d}.parquet" for plan in plans}
    temporary = {plan.bucket: (folder / names[plan.bucket]).with_suffix(".tmp") for plan in plans}
    try:
        for plan in plans:
            connection.execute(f"COPY ({_select(table, plan)}) TO '{_quoted(temporary[plan.bucket])}' ({_OPTIONS} {_group_rows(plan.rows)})")
            sync_file(temporary[plan.bucket])
    except BaseException:
        for path in temporary.values():
            path.unlink(missing_ok=True)
        raise
    for plan in plans:
        temporary[plan.bucket].rename(folder / names[plan.bucket])
    sync_folder(folder / period[:7])
    sync_folder(folder)
    return [_entry(folder, names[plan.bucket], plan) for plan in plans]


def discard(folder: Path, made: list[File]) -> None:
    """Delete files that were written but are not listed."""
    for file in made:
        (folder / file.file).unlink()


def fingerprint(connection: duckdb.DuckDBPyConnection, source: str, parameters: list[object]) -> tuple[int, int]:
    """Number of samples in a FROM clause with the columns of table hot, and a hash of them that does not depend on their order."""
    rows, mark = connection.execute(f"SELECT count(*), coalesce(bit_xor(hash({_IDENTITY})), 0) FROM {source}", parameters).fetchall()[0]  # noqa: S608
    return rows, mark


def describe(connection: duckdb.DuckDBPyConnection, path: Path, name: str) -> File:
    """The list entry of a file, from its name and content. Raises duckdb.Error when it is not readable."""
    first, last, rows = connection.execute("SELECT min(taken_at), max(taken_at), count(*) FROM read_parquet(?)", [str(path)]).fetchall()[0]
    period, bucket, _ = parse(name)
    return File(name, period, bucket, first, last, rows, path.stat().st_size, checksum(path))


def parse(name: str) -> tuple[str, int, int]:
    """Period, bucket and generation of a file name. Raises ValueError when it is none of ours."""
    period, bucket, generation, suffix = name.rpartition("/")[2].split(".")
    if suffix != "parquet" or not bucket.startswith("b"):
        raise ValueError(f"{name} is not a partition file")
    return period, int(bucket[1:]), int(generation)


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync_file(path: Path) -> None:
    """Bring a file's content to the disk."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def month_end(label: str) -> int:
    """First UTC instant after the Shanghai month `2026-10`."""
    year, month = int(label[:4]), int(label[5:7])
    following = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return int(following.timestamp() * 1000) - ZONE_MS


class _Plan(NamedTuple):
    """What is known of a bucket before its file is written. `scale` is the factor under which most values become integers."""

    bucket: int
    first: int
    last: int
    rows: int
    scale: int
    plain: bool


def _plans(connection: duckdb.DuckDBPyConnection, table: str) -> list[_Plan]:
    fits = ", ".join(f"count(value) FILTER ({_exact(scale)})" for scale in _SCALES)
    query = (
        f"SELECT bucket, min(taken_at), max(taken_at), count(*), count(value), count(*) FILTER (reason <> ''), {fits} "  # noqa: S608
        f"FROM {table} GROUP BY bucket ORDER BY bucket"
    )
    return [_plan(*row) for row in connection.execute(query).fetchall()]


def _plan(bucket: int, first: int, last: int, rows: int, values: int, said: int, *fitting: int) -> _Plan:
    """The factor that takes least room: a value that is not exact under it costs a double, a larger factor some bits of every value."""
    _, scale, fits = min((64 * (values - fits) + math.log2(scale) * fits, scale, fits) for scale, fits in zip(_SCALES, fitting, strict=True))
    return _Plan(bucket, first, last, rows, scale, fits == values and not said)


def _group_rows(rows: int) -> int:
    """A reader looks at every row group's bounds, and decodes the whole of those that it needs: a few dozen of them are quickest."""
    return 32_768 if rows <= 1_000_000 else 131_072


def _exact(scale: int) -> str:
    # Within 10^12 all steps are exact; minus zero is not an integer.
    return f"abs(value) < 1e12 AND NOT (value = 0 AND signbit(value)) AND TRY_CAST(round(value * {scale}) AS BIGINT) / {scale}::DOUBLE = value"


def _select(table: str, plan: _Plan) -> str:
    return f"""WITH mine AS MATERIALIZED (
            SELECT point, taken_at, CASE WHEN {_exact(plan.scale)} THEN round(value * {plan.scale})::BIGINT END AS whole, value, quality,
                {_DELAY} AS delay, nullif(reason, '') AS reason
            FROM {table} WHERE bucket = {plan.bucket}),
        first AS (SELECT point, arg_min(whole, taken_at) AS base FROM mine GROUP BY point)
        SELECT point, taken_at, whole - base AS scaled, {plan.scale}::SMALLINT AS scale,
            CASE WHEN whole IS NULL THEN value ELSE base::DOUBLE END AS value, quality, delay, reason
        FROM mine JOIN first USING (point) ORDER BY point, taken_at"""  # noqa: S608


def _entry(folder: Path, name: str, plan: _Plan) -> File:
    period, bucket, _ = parse(name)
    path = folder / name
    return File(name, period, bucket, plan.first, plan.last, plan.rows, path.stat().st_size, checksum(path), plan.scale if plan.plain else None)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
