"""Moving samples from the hot table to partition files, and merging those.

A step writes the new files, makes them durable, and then changes list and hot table in one transaction: whatever the moment of a crash, a sample is
in exactly one place. What a crash leaves behind is a file that the list does not name; `recovery` deals with it at the next start.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import duckdb

from server.series import partition
from server.series.hot import File, Hot, files

log = logging.getLogger("server.series")

_EVER = 1 << 62
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
    days: dict[int, dict[int, int]] = defaultdict(dict)
    for day, bucket, rows in found:
        days[day][bucket] = rows
    full = sum(rows for _, _, rows in found) >= policy.seal_rows
    for day, rows_of in days.items():
        closed = partition.day_start(day + 1) + policy.grace_ms <= now
        if closed or full:
            label = partition.day_label(day)
            old = [file for file in files(snapshot, 0, _EVER, list(rows_of)) if closed and file.period == label]
            for group in _groups(rows_of, old, policy.together):
                yield Step(label, group, day, tuple(file for file in old if file.bucket in group))


def _groups(rows_of: dict[int, int], old: list[File], together: int) -> Iterator[tuple[int, ...]]:
    group: list[int] = []
    size = 0
    for bucket, rows in rows_of.items():
        rows_in_all = rows + sum(file.rows for file in old if file.bucket == bucket)
        if group and size + rows_in_all > together:
            yield tuple(group)
            group, size = [], 0
        group.append(bucket)
        size += rows_in_all
    yield tuple(group)


def _month_steps(snapshot: duckdb.DuckDBPyConnection, policy: Policy, now: int) -> Iterator[Step]:
    months: dict[tuple[str, int], list[File]] = defaultdict(list)
    for file in files(snapshot, 0, _EVER):
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
    with hot.writing() as connection:
        moved = _swap(connection, step, made, upto)
    hot.retire([file.file for file in step.replaces])
    return moved


def _gather(snapshot: duckdb.DuckDBPyConnection, hot: Hot, step: Step) -> None:
    """Copy the rows concerned into a temporary table, which vanishes with the snapshot's connection."""
    snapshot.execute(f"CREATE TEMP TABLE moving AS SELECT * EXCLUDE (day, seq), {partition.BUCKET} AS bucket FROM hot LIMIT 0")  # noqa: S608
    if step.day is not None:
        snapshot.execute(
            f"INSERT INTO moving SELECT * EXCLUDE (day, seq), {partition.BUCKET} AS b FROM hot WHERE day = ? AND list_contains(?, b)",  # noqa: S608
            [step.day, list(step.buckets)],
        )
    if step.replaces:
        paths = [str(hot.folder / file.file) for file in step.replaces]
        snapshot.execute(f"INSERT INTO moving SELECT {partition.COLUMNS}, {partition.BUCKET} FROM read_parquet(?)", [paths])  # noqa: S608


def _swap(connection: duckdb.DuckDBPyConnection, step: Step, made: list[File], upto: int) -> int:
    connection.executemany("INSERT INTO partition VALUES (?, ?, ?, ?, ?, ?, ?, ?)", made)
    if step.replaces:
        connection.execute("DELETE FROM partition WHERE list_contains(?, file)", [[file.file for file in step.replaces]])
    if step.day is None:
        return 0
    gone = connection.execute(
        f"DELETE FROM hot WHERE day = ? AND seq <= ? AND list_contains(?, {partition.BUCKET})",  # noqa: S608
        [step.day, upto, list(step.buckets)],
    )
    moved: int = gone.fetchall()[0][0]
    return moved
