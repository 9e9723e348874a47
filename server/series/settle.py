"""Which days of the embedded store are not under a seal, and which have outlived their retention."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from server.series import Changed, rollup
from server.series.batch import Batch, Ints, distinct
from server.series.hot import File, Hot, files
from server.series.partition import BUCKETS, DAY_MS, ZONE_MS, day_of, day_start


def note(connection: duckdb.DuckDBPyConnection, keys: Ints, seq: int, noted: dict[int, int]) -> None:
    """Within the transaction that stores samples: their days are unsettled. `noted` maps keys already listed to the number of their last write; after
    a transaction that failed it must be made anew with `listed`.
    """
    listed = keys.tolist()
    fresh = [key for key in listed if key not in noted]
    if fresh:
        connection.executemany("INSERT INTO unsettled VALUES (?, ?, ?)", [(key // BUCKETS, key % BUCKETS, seq) for key in fresh])
    noted.update(dict.fromkeys(listed, seq))


def keys_of(batch: Batch) -> Ints:
    """Keys of the days and buckets of samples."""
    return distinct((batch.taken_at + ZONE_MS) // DAY_MS * BUCKETS + ((batch.point >> 4) & (BUCKETS - 1)))


def listed(connection: duckdb.DuckDBPyConnection) -> dict[int, int]:
    """Keys of all unsettled days, with the number of the last write that made them so as far as it is known."""
    (now,) = connection.execute("SELECT seq FROM state").fetchall()[0]
    return {key: now for (key,) in connection.execute(f"SELECT DISTINCT day::BIGINT * {BUCKETS} + bucket FROM unsettled").fetchall()}  # noqa: S608


def changed(connection: duckdb.DuckDBPyConnection, before: int) -> Changed:
    """Answer SeriesStore.changed."""
    (upto,) = connection.execute("SELECT seq FROM state").fetchall()[0]
    found = connection.execute("SELECT DISTINCT day, bucket FROM unsettled WHERE day < ? ORDER BY day, bucket", [day_of(before)]).fetchall()
    return Changed([(day, bucket) for day, bucket in found], upto)


def settled(connection: duckdb.DuckDBPyConnection, keys: Sequence[tuple[int, int]], upto: int, noted: dict[int, int]) -> None:
    """Within a write transaction: answer SeriesStore.settled."""
    done = [day * BUCKETS + bucket for day, bucket in keys if noted.get(day * BUCKETS + bucket, 0) <= upto]
    connection.execute(f"DELETE FROM unsettled WHERE day * {BUCKETS} + bucket IN (SELECT unnest(?))", [done])  # noqa: S608
    for key in done:
        noted.pop(key, None)


def kept_from(connection: duckdb.DuckDBPyConnection) -> int:
    """Answer SeriesStore.kept_from."""
    found: int = connection.execute("SELECT coalesce(max(kept_from), 0) FROM retention").fetchall()[0][0]
    return found


def expire(hot: Hot, before: int) -> int:
    """Answer SeriesStore.expire: files that end before the day of `before` go, with the hot rows before it. A month's file goes as a whole."""
    limit = day_start(day_of(before))
    with hot.writing() as connection:
        old: list[File] = [file for file in files(connection) if file.last < limit]
        if old:
            connection.execute("DELETE FROM partition WHERE list_contains(?, file)", [[file.file for file in old]])
        gone: int = connection.execute("DELETE FROM hot WHERE taken_at < ?", [limit]).fetchall()[0][0]
        if old or gone:
            connection.execute("INSERT INTO retention VALUES (?)", [limit])
            connection.execute("UPDATE rolled SET version = ? WHERE day < ?", [rollup.EXPIRED, day_of(limit)])
            connection.execute("DELETE FROM unsettled WHERE day < ?", [day_of(limit)])
    hot.retire([file.file for file in old])
    return gone + sum(file.rows for file in old)
