"""Making the hourly and daily roll-ups that are missing: see rollup, which reads them and says when one is good."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import duckdb
import numpy as np

from server.series import Limits, fold, partition, queries, rollup_pack
from server.series.figures import Figures
from server.series.hot import Hot, RollupFile, files, sync_folder
from server.series.partition import BUCKETS, DAY_MS, bucket_of, day_label, day_of, day_start
from server.series.rollup import EXPIRED, FOLDER, HOUR_MS
from server.series.snapshot import Snapshot, Snapshots

_OPTIONS = "FORMAT parquet, PARQUET_VERSION V2, COMPRESSION zstd, DICTIONARY_SIZE_LIMIT 1, ROW_GROUP_SIZE 8192"


class Work(NamedTuple):
    """Days of a bucket in a month to roll up for the points whose limits are newer than `since`; 0 means for all of them."""

    month: str
    bucket: int
    since: int
    days: tuple[int, ...]


def roll(hot: Hot, grace_ms: int, now: int, generations: Iterator[int], known: set[int]) -> None:
    """Make all roll-ups that are missing for days closed at `now`, and put their keys into `known`. One call at a time."""
    with hot.reading() as snapshot:
        todo = [*_pending(snapshot, now - grace_ms)]
    for work in todo:
        _perform(hot, work, generations, known)


def _pending(snapshot: duckdb.DuckDBPyConnection, closed_at: int) -> Iterator[Work]:
    newest = dict(snapshot.execute("SELECT bucket, max(version) FROM judged GROUP BY bucket").fetchall())
    rolled = {(day, bucket): version for day, bucket, version in snapshot.execute("SELECT day, bucket, version FROM rolled").fetchall()}
    groups: dict[tuple[str, int, int], list[int]] = defaultdict(list)
    for day, bucket in sorted(_stored_days(snapshot)):
        since = rolled.get((day, bucket), 0)
        if since < newest.get(bucket, 0) and day_start(day + 1) <= closed_at:
            groups[day_label(day)[:7], bucket, since].append(day)
    for month, bucket, since in sorted(groups, reverse=True):  # the newest month is asked for first
        yield Work(month, bucket, since, tuple(groups[month, bucket, since]))


def _stored_days(snapshot: duckdb.DuckDBPyConnection) -> set[tuple[int, int]]:
    """Days and buckets that hold samples, and the days after, into which these may hold; a month's file stands for all days between its bounds."""
    found = {(day, bucket) for day, bucket in snapshot.execute(f"SELECT DISTINCT day, {partition.BUCKET} FROM hot").fetchall()}  # noqa: S608
    for file in files(snapshot, 0, EXPIRED):
        found |= {(day, file.bucket) for day in range(day_of(file.first), day_of(file.last) + 1)}
    return found | {(day + 1, bucket) for day, bucket in found}


def _perform(hot: Hot, work: Work, generations: Iterator[int], known: set[int]) -> None:
    with hot.reading() as snapshot:
        upto: int = snapshot.execute("SELECT seq FROM state").fetchall()[0][0]
        seen = Snapshots(hot).of(snapshot)
        version, limits = _judged(seen, work)
        hourly = _fold_days(seen, work.days, limits)
        old = _listed(snapshot, work)
        made = [*_write(snapshot, hot, work, {"hour": hourly, "day": hourly.combined(day_start(0), DAY_MS)}, [*limits], old, next(generations))]
    with hot.writing() as connection:
        connection.execute("DELETE FROM rollup WHERE list_contains(?, file)", [[file.file for file in old]])
        if made:
            connection.executemany("INSERT INTO rollup VALUES (?, ?, ?, ?, ?, ?, ?)", made)
        fresh = _untouched(connection, work, upto)
        known |= {day * BUCKETS + work.bucket for day in fresh}  # before the lock is let go: the next writer must see them
        connection.execute("DELETE FROM rolled WHERE bucket = ? AND list_contains(?, day)", [work.bucket, list(work.days)])
        if fresh:
            connection.executemany("INSERT INTO rolled VALUES (?, ?, ?)", [(day, work.bucket, version) for day in fresh])
    hot.retire([file.file for file in old])


def _judged(seen: Snapshot, work: Work) -> tuple[int, dict[int, Limits]]:
    """The newest version of the bucket, and the points to do: a hold longer than a day would reach beyond the days that a late sample marks."""
    found = {point: each for point, each in seen.listing.judged.items() if bucket_of(point) == work.bucket and each.version > work.since}
    limits = {point: found[point].limits for point in sorted(found) if found[point].limits.longest_ms <= DAY_MS}
    return max(each.version for each in found.values()), limits


def _fold_days(seen: Snapshot, days: tuple[int, ...], limits: Mapping[int, Limits]) -> Figures:
    def fetch(points: list[int], first: int, last: int) -> fold.Samples:
        return queries.samples(seen, points, first, last)

    return Figures.joined([fold.all_figures(fetch, limits, day_start(day), day_start(day + 1), HOUR_MS) for day in days])


def _listed(snapshot: duckdb.DuckDBPyConnection, work: Work) -> list[RollupFile]:
    found = snapshot.execute("SELECT * FROM rollup WHERE month = ? AND bucket = ?", [work.month, work.bucket]).fetchall()
    return [RollupFile(*row) for row in found]


def _write(
    snapshot: duckdb.DuckDBPyConnection, hot: Hot, work: Work, fresh: Mapping[str, Figures], points: list[int], old: list[RollupFile], generation: int
) -> Iterator[RollupFile]:
    """One durable file per grain: the fresh rows, and of the old ones those of other days or other points."""
    (hot.folder / FOLDER).mkdir(exist_ok=True)
    made = []
    for grain, rows in fresh.items():
        name = f"{FOLDER}/{work.month}.{grain}.b{work.bucket:02d}.{generation:08d}.parquet"
        kept = _kept(snapshot, hot, [file.file for file in old if file.grain == grain], work, points)
        whole = Figures.joined([rows, kept])
        if not len(whole):
            continue
        temporary = (hot.folder / name).with_suffix(".tmp")
        snapshot.register("whole", rollup_pack.packed(whole))
        quoted = str(temporary).replace("'", "''")
        snapshot.execute(f"COPY (SELECT {rollup_pack.COLUMNS} FROM whole) TO '{quoted}' ({_OPTIONS})")  # noqa: S608 - a path of ours
        snapshot.unregister("whole")
        partition.sync_file(temporary)
        made.append((temporary, name, grain, len(whole)))
    for temporary, name, _, _ in made:
        temporary.rename(hot.folder / name)
    sync_folder(hot.folder / FOLDER)
    sync_folder(hot.folder)
    for _, name, grain, count in made:
        path = hot.folder / name
        yield RollupFile(name, grain, work.month, work.bucket, count, path.stat().st_size, partition.checksum(path))


def _kept(snapshot: duckdb.DuckDBPyConnection, hot: Hot, old: list[str], work: Work, points: list[int]) -> Figures:
    if not old:
        return Figures.none()
    whole = rollup_pack.read(snapshot, [str(hot.folder / file) for file in old])
    days = np.isin((whole.time + partition.ZONE_MS) // DAY_MS, np.array(work.days, dtype=np.int64))
    return whole.take(~(days & np.isin(whole.point, np.array(points, dtype=np.int64))))


def _untouched(connection: duckdb.DuckDBPyConnection, work: Work, upto: int) -> list[int]:
    """The days into which no sample has come since the snapshot: those are good. New samples are in the hot table, whatever their day."""
    query = f"SELECT DISTINCT day FROM hot WHERE seq > ? AND {partition.BUCKET} = ?"  # noqa: S608
    late = {day for (day,) in connection.execute(query, [upto, work.bucket]).fetchall()}
    return [day for day in work.days if day not in late and day - 1 not in late]
