"""Hourly and daily roll-ups of closed days: what a chart of years and the compliance of a province are read from.

A roll-up is made with the limits of its points (holds and band). Each change of limits has a version (see judged); table `rolled` says with which
version a day of a bucket was rolled up. So a row is good for a question if the day is listed, its version is not older than the point's, and the
question asks with those very limits. A late sample takes its day (and the next, into which it may hold) off the list in the transaction that stores
it; `rollup_make.roll` makes what is missing, a file per month, bucket and grain, replaced as a whole. What is not rolled up is folded from the
samples, so that a crash, late data or new limits cost time and never an answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import duckdb
import numpy as np

from server.series import Limits, fold, partition, queries, rollup_pack
from server.series.batch import Ints
from server.series.figures import Figures
from server.series.hot import Hot, RollupFile
from server.series.partition import BUCKETS, DAY_MS, bucket_of, day_label, day_number, day_of, day_start
from server.series.snapshot import Snapshot

HOUR_MS = 3_600_000
GRAINS = {"hour": HOUR_MS, "day": DAY_MS}
FOLDER = "rollup"
EXPIRED = 1 << 62  # version of a day whose samples have been deleted: its roll-up can never be made anew


def touch(connection: duckdb.DuckDBPyConnection, keys: Ints, known: set[int]) -> bool:
    """Within the transaction that stores samples: their days, and those after, are no longer rolled up. `known` holds at least all keys listed.

    Returns whether any was.
    """
    listed = known & set(np.concatenate((keys, keys + BUCKETS)).tolist())
    if listed:
        connection.execute(f"DELETE FROM rolled WHERE version < {EXPIRED} AND day * {BUCKETS} + bucket IN (SELECT unnest(?))", [list(listed)])  # noqa: S608
    return bool(listed)


def keys_listed(connection: duckdb.DuckDBPyConnection) -> set[int]:
    """Keys of all days and buckets that are rolled up."""
    return {key for (key,) in connection.execute(f"SELECT day::BIGINT * {BUCKETS} + bucket FROM rolled").fetchall()}  # noqa: S608


def figures(snapshot: Snapshot, limits: Mapping[int, Limits], start: int, end: int, step_ms: int | None) -> Figures:
    """Answer SeriesStore.figures."""
    step = max(1, end - start) if step_ms is None else step_ms
    fold.check(limits, start, end, step)
    if not limits or end == start:
        return Figures.none()

    def fetch(points: list[int], first: int, last: int) -> fold.Samples:
        return queries.samples(snapshot, points, first, last)

    grain = _grain(start, end, step_ms)
    if grain is None:
        return fold.all_figures(fetch, limits, start, end, step)
    width = GRAINS[grain]
    inner, outer = start + -(start + partition.ZONE_MS) % width, end - (end + partition.ZONE_MS) % width
    first_day, last_day = day_of(inner), day_of(outer - 1)
    parts = []
    for versions in _usable(snapshot, limits, first_day, last_day):
        parts.append(_read(snapshot, grain, versions, inner, outer))
        parts += _missing(fetch, limits, versions, (start, end), (inner, outer), width)
    whole = Figures.joined(parts)
    return whole if step == width else whole.combined(start, step)


class _Usable(NamedTuple):
    """Points of one bucket whose limits have one version, and the days on which their roll-ups are good; ascending."""

    bucket: int
    points: list[int]
    days: list[int]


def _grain(start: int, end: int, step_ms: int | None) -> str | None:
    """The longest grain of which the steps are made; None when there is none or nothing to gain."""
    for grain, width in reversed(GRAINS.items()):
        aligned = step_ms is None or (step_ms % width == 0 and (start + partition.ZONE_MS) % width == 0)
        if aligned and end - start >= 2 * width:
            return grain
    return None


def _usable(snapshot: Snapshot, limits: Mapping[int, Limits], first_day: int, last_day: int) -> Iterator[_Usable]:
    """Sort the points asked for by bucket and version of their limits. Points judged otherwise than asked have no day."""
    judged = snapshot.listing.judged
    groups: dict[tuple[int, int | None], list[int]] = defaultdict(list)
    for point in sorted(limits):
        known, asked = judged.get(point), limits[point]
        good = known is not None and _same(known.limits, asked) and asked.longest_ms <= DAY_MS
        groups[bucket_of(point), known.version if known is not None and good else None].append(point)
    rolled = snapshot.listing.rolled
    for (bucket, needed), points in groups.items():
        days = () if needed is None else rolled.get(bucket, ())
        yield _Usable(bucket, points, [day for day, version in days if first_day <= day <= last_day and version >= (needed or 0)])


def _same(judged: Limits, asked: Limits) -> bool:
    """Whether a roll-up answers a question; one that names no band does not look at the time in it."""
    return judged == asked or asked == Limits(judged.hold_ms, earlier=judged.earlier)


def _read(snapshot: Snapshot, grain: str, usable: _Usable, first: int, until: int) -> Figures:
    if not usable.days:
        return Figures.none()
    months = {day_label(day)[:7] for day in usable.days}
    listed = snapshot.listing.rollups.get((grain, usable.bucket), ())
    paths = [str(snapshot.folder / file.file) for file in listed if file.month in months]
    if not paths:
        return Figures.none()
    chosen, parameters = queries.among(usable.points)
    span = {"first": first, "until": until}
    whole = rollup_pack.read(snapshot.connection, paths, f"{chosen} AND time >= $first AND time < $until", parameters | span)
    if len(usable.days) < day_of(until - 1) - day_of(first) + 1:
        whole = whole.take(np.isin((whole.time + partition.ZONE_MS) // DAY_MS, np.array(usable.days, dtype=np.int64)))
    return whole if len(paths) == 1 or len(usable.points) == 1 else whole.take(np.argsort(whole.point, kind="stable"))


def _missing(
    fetch: fold.Fetch, limits: Mapping[int, Limits], usable: _Usable, asked: tuple[int, int], inner: tuple[int, int], width: int
) -> Iterator[Figures]:
    """Fold from samples what is not rolled up: the days that are not listed, and what the range has before and after whole steps."""
    chosen = {point: limits[point] for point in usable.points}
    at = asked[0]
    covered = [(max(day_start(first), inner[0]), min(day_start(last + 1), inner[1])) for first, last in _runs(usable.days)]
    for since, until in [*covered, (asked[1], asked[1])]:
        for first, last in _cut(at, since, inner):
            yield fold.all_figures(fetch, chosen, first, last, width)
        at = until


def _runs(days: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of days that follow one another."""
    breaks = [index for index in range(1, len(days)) if days[index] > days[index - 1] + 1]
    yield from ((days[since], days[until - 1]) for since, until in pairwise([0, *breaks, len(days)]) if until > since)


def _cut(first: int, last: int, inner: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """A range in pieces that begin at whole steps, save what lies before the first of them."""
    borders = [first, *(border for border in inner if first < border < last), last]
    yield from ((since, until) for since, until in pairwise(borders) if since < until)


def reconcile(hot: Hot) -> int:
    """At opening: make list and folder agree; what is lost is rolled up again. Returns the highest generation in use."""
    folder = hot.folder / FOLDER
    present = {f"{FOLDER}/{path.name}": path for path in folder.glob("*")}
    with hot.writing() as connection:
        _forget_doubles(connection)
        listed = [RollupFile(*row) for row in connection.execute("SELECT * FROM rollup").fetchall()]
        for file in listed:
            if file.file in present and present[file.file].stat().st_size == file.bytes:
                del present[file.file]
                continue
            connection.execute("DELETE FROM rollup WHERE file = ?", [file.file])
            first = day_number(f"{file.month}-01")
            after = day_of(partition.month_end(file.month))
            connection.execute("DELETE FROM rolled WHERE bucket = ? AND day >= ? AND day < ?", [file.bucket, first, after])
    for path in present.values():
        path.unlink()
    return max((int(file.file.split(".")[-2]) for file in listed), default=0)


def _forget_doubles(connection: duckdb.DuckDBPyConnection) -> None:
    """Format 1 kept its roll-ups as doubles: those are made anew."""
    if connection.execute("UPDATE state SET format = 2 WHERE format = 1").fetchall()[0][0]:
        connection.execute("DELETE FROM rollup")
        connection.execute("DELETE FROM rolled")
