"""Moving samples from the hot table to partition files, and merging those.

A step writes the new files, makes them durable, and then changes list and hot table in one transaction: whatever the moment of a crash, a sample is
in exactly one place. What a crash leaves behind is a file that the list does not name; `recovery` deals with it at the next start.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from functools import reduce
from operator import xor
from typing import NamedTuple

import duckdb

from server.series import SeriesError, partition
from server.series.hot import File, Hot, add_files, files

log = logging.getLogger("server.series")

_MONTH_FILES = 3  # so few files of a bucket in a month are left as they are: one late sample must not rewrite the month


class Policy(NamedTuple):
    """When to move what. A day closes `grace_ms` after its end; an open day is moved in pieces when the hot table has `seal_rows`.

    Up to `together` rows are sorted in memory at once. A month is merged into one file per bucket `month_delay_ms` after its end if that file would
    have at most `month_rows` rows; larger installations keep the files of the days.
    """

    grace_ms: int = 2 * 3_600_000
    seal_rows: int = 2_000_000
    together: int = 2_000_000
    month_delay_ms: int = 7 * 86_400_000
    month_rows: int = 8_000_000


class Step(NamedTuple):
    """Write one file per bucket for `period`: the hot rows of `day`, if one is given, and all rows of the files that it replaces."""

    period: str
    buckets: tuple[int, ...]
    day: int | None
    replaces: tuple[File, ...]


def compact(hot: Hot, policy: Policy, generations: Iterator[int], now: int) -> int:
    """Do all that is due at `now`; returns the number of samples that left the hot table. One call at a time."""
    with hot.reading() as snapshot:
        steps = [*_day_steps(snapshot, policy, now)]
    moved = sum(_perform(hot, step, generations) for step in steps)
    with hot.reading() as snapshot:
        steps = [*_month_steps(snapshot, policy, now)]
    for step in steps:
        _perform(hot, step, generations)
    return moved


def _day_steps(snapshot: duckdb.DuckDBPyConnection, policy: Policy, now: int) -> Iterator[Step]:
    found = snapshot.execute(f"SELECT day, {partition.BUCKET} AS bucket, count(*) FROM hot GROUP BY ALL ORDER BY ALL").fetchall()  # noqa: S608
    hot_rows: dict[str, dict[int, int]] = defaultdict(dict)
    for day, bucket, rows in found:
        hot_rows[partition.day_label(day)][bucket] = rows
    full = sum(rows for _, _, rows in found) >= policy.seal_rows
    old_files = _day_files(snapshot)
    for label in sorted(hot_rows.keys() | old_files.keys()):
        day = partition.day_number(label)
        if partition.day_start(day + 1) + policy.grace_ms <= now:
            yield from _closing(day, hot_rows[label], old_files[label], policy)
        elif full and hot_rows[label]:
            yield from (Step(label, group, day, ()) for group in _groups(hot_rows[label], policy.together))


def _day_files(snapshot: duckdb.DuckDBPyConnection) -> dict[str, dict[int, list[File]]]:
    found: dict[str, dict[int, list[File]]] = defaultdict(lambda: defaultdict(list))
    for file in files(snapshot):
        if len(file.period) == len("2026-10-05"):
            found[file.period][file.bucket].append(file)
    return found


def _closing(day: int, hot_rows: dict[int, int], old_files: dict[int, list[File]], policy: Policy) -> Iterator[Step]:
    """A closed day has one file per bucket and nothing in the hot table."""
    sizes = {
        bucket: hot_rows.get(bucket, 0) + sum(file.rows for file in old_files.get(bucket, ()))
        for bucket in sorted(hot_rows.keys() | old_files.keys())
        if bucket in hot_rows or len(old_files[bucket]) > 1
    }
    for group in _groups(sizes, policy.together):
        yield Step(partition.day_label(day), group, day, tuple(file for bucket in group for file in old_files.get(bucket, ())))


def _groups(sizes: dict[int, int], together: int) -> Iterator[tuple[int, ...]]:
    """Buckets that are small enough to be sorted in one go."""
    group: list[int] = []
    for bucket, rows in sizes.items():
        if group and sum(sizes[each] for each in group) + rows > together:
            yield tuple(group)
            group = []
        group.append(bucket)
    if group:
        yield tuple(group)


def _month_steps(snapshot: duckdb.DuckDBPyConnection, policy: Policy, now: int) -> Iterator[Step]:
    months: dict[tuple[str, int], list[File]] = defaultdict(list)
    for file in files(snapshot):
        months[file.period[:7], file.bucket].append(file)
    for (month, bucket), old in months.items():
        closed = partition.month_end(month) + policy.month_delay_ms <= now
        if closed and len(old) > _MONTH_FILES and sum(file.rows for file in old) <= policy.month_rows:
            yield Step(month, (bucket,), None, tuple(old))


def _perform(hot: Hot, step: Step, generations: Iterator[int]) -> int:
    with hot.reading() as snapshot:
        upto: int = snapshot.execute("SELECT seq FROM state").fetchall()[0][0]
        _gather(snapshot, hot, step)
        made = partition.write(snapshot, "moving", hot.folder, step.period, generations)
        moved = _compare(snapshot, hot, step, made)
    with hot.writing() as connection:
        _swap(connection, step, made, upto, moved)
    hot.retire([file.file for file in step.replaces])
    return moved


def _sources(hot: Hot, step: Step) -> list[tuple[str, list[object]]]:
    """Where the samples of a step lie: FROM clauses with the columns of table hot, and their parameters."""
    found: list[tuple[str, list[object]]] = []
    if step.day is not None:
        found.append((f"hot WHERE day = ? AND list_contains(?, {partition.BUCKET})", [step.day, list(step.buckets)]))
    if step.replaces:
        paths = [str(hot.folder / file.file) for file in step.replaces]
        found.append((f"(SELECT {partition.COLUMNS} FROM read_parquet(?))", [paths]))  # noqa: S608
    return found


def _gather(snapshot: duckdb.DuckDBPyConnection, hot: Hot, step: Step) -> None:
    """Copy the rows concerned into a temporary table, which vanishes with the snapshot's connection."""
    # Not CREATE TABLE AS … LIMIT 0: in DuckDB 2.0.0 a table made so reads as empty when a whole row group is inserted in the same transaction.
    snapshot.execute(
        "CREATE TEMP TABLE moving (point BIGINT, taken_at BIGINT, value DOUBLE, quality UTINYINT, received_at BIGINT, reason VARCHAR, bucket BIGINT)"
    )
    for source, parameters in _sources(hot, step):
        snapshot.execute(
            f"INSERT INTO moving SELECT point, taken_at, value, quality, received_at, reason, {partition.BUCKET} FROM {source}",  # noqa: S608
            parameters,
        )


def _compare(snapshot: duckdb.DuckDBPyConnection, hot: Hot, step: Step, made: list[File]) -> int:
    """Nothing is deleted on the word of a copy: the new files must hold what the old places hold. Returns the number of hot samples."""
    sources = _sources(hot, step)
    counts = [partition.fingerprint(snapshot, source, parameters) for source, parameters in sources]
    new = partition.fingerprint(snapshot, f"(SELECT {partition.COLUMNS} FROM read_parquet(?))", [[str(hot.folder / file.file) for file in made]])  # noqa: S608
    if new != (sum(rows for rows, _ in counts), reduce(xor, (mark for _, mark in counts), 0)):
        partition.discard(hot.folder, made)
        raise SeriesError(f"the partitions of {step.period} do not hold what they were made of; the samples stay where they are")
    return counts[0][0] if step.day is not None else 0


def _swap(connection: duckdb.DuckDBPyConnection, step: Step, made: list[File], upto: int, moved: int) -> None:
    add_files(connection, made)
    if step.replaces:
        connection.execute("DELETE FROM partition WHERE list_contains(?, file)", [[file.file for file in step.replaces]])
    if step.day is None:
        return
    gone = connection.execute(
        f"DELETE FROM hot WHERE day = ? AND seq <= ? AND list_contains(?, {partition.BUCKET})",  # noqa: S608
        [step.day, upto, list(step.buckets)],
    )
    if (deleted := gone.fetchall()[0][0]) != moved:
        raise SeriesError(f"{deleted} samples instead of {moved} would leave the hot table for {step.period}; nothing is changed")
