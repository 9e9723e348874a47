"""Import of stored samples from a Parquet file (`archivewatch import history FILE.parquet`) into the series store.

Columns: `point_key` (gateway/device/quantity[/channel]), `time` (integer UTC ms, or a timestamp; one without zone is UTC), `value`, and perhaps
`quality` (good, uncertain, bad, stale, a code 0 … 3, or 192, 0, 500 as on the wire; absent = good) and `received_at` (like `time`; absent = the
time of the import, for it is then that the samples arrive: a day sealed before keeps its seal).
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from sqlalchemy import select

from contract.sample import PointKey
from server.org.import_steps import Steps
from server.series import SeriesStore
from server.series.batch import Batch
from server.series.partition import DAY_MS, ZONE_MS
from server.store import steps
from server.store.session import Database
from server.store.steps import Stretch
from server.store.tables import Point

_SLICE_ROWS = 1_000_000
_LATEST = 4_102_444_800_000  # 2100-01-01
_NAMED = "CASE lower(quality) WHEN 'good' THEN 2 WHEN 'uncertain' THEN 1 WHEN 'bad' THEN 0 WHEN 'stale' THEN 3 ELSE 255 END"
_CODED = "CASE quality WHEN 192 THEN 2 WHEN 500 THEN 3 WHEN 0 THEN 0 WHEN 1 THEN 1 WHEN 2 THEN 2 WHEN 3 THEN 3 ELSE 255 END"


class HistoryFileError(ValueError):
    """The file is not readable Parquet, or lacks a column; the text is the sentence shown to the person."""


@dataclass(slots=True)
class Summary:
    """What an import did, or would do (`new`, `repeats` and `conflicts` are 0 then).

    `rows` are all rows of the file, `points` the points of ours it has samples of, `unknown` the point keys that are not registered with their number
    of rows, most first. `refused` counts rows of known points by fault: time, value, quality. `conflicts` are repeats with another value than stored.
    `steps` counts points by the interval of their samples, ms; a point that changed it counts under each.
    """

    rows: int = 0
    points: int = 0
    new: int = 0
    repeats: int = 0
    conflicts: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    steps: dict[int, int] = field(default_factory=dict)
    unknown: list[tuple[str, int]] = field(default_factory=list)


def import_history(
    db: Database,
    store: SeriesStore,
    path: Path,
    *,
    now: int,
    dry_run: bool = False,
    step_ms: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,  # noqa: ARG005
) -> Summary:
    """Load a file day by day; closed days go on into long-term storage at once. May be repeated: what is stored already is left alone.

    The interval at which samples were taken is noted, so that they hold for as long as was allowed then (see judging): `step_ms`, or what the gaps
    between them show (see import_steps). `progress(done, total)` is told the rows handled so far. Raises HistoryFileError, and what the store raises.
    """
    ids = _point_ids(db)
    with duckdb.connect() as connection:
        try:
            _open(connection, path, ids)
            summary = _survey(connection)
        except duckdb.Error as damage:
            raise HistoryFileError(f"{path}: not readable as Parquet of samples ({str(damage).splitlines()[0]})") from damage
        if not dry_run:
            stretches = _load(connection, store, summary, now, progress, step_ms)
            with db.write() as session:
                steps.seen(session, stretches, now)
            told = {(each.point, each.step_ms or 0) for each in stretches}
            summary.steps = dict(sorted(Counter(step for _, step in told).items()))
    return summary


def _point_ids(db: Database) -> dict[str, int]:
    with db.read() as session:
        found = session.execute(select(Point.id, Point.gateway, Point.device, Point.quantity, Point.channel))
        return {str(PointKey(gateway, device, quantity, channel)): id_ for id_, gateway, device, quantity, channel in found}


def _open(connection: duckdb.DuckDBPyConnection, path: Path, ids: dict[str, int]) -> None:
    """Make view `sample` over the file (point NULL when unknown, fault NULL when sound) and table `known` for the keys."""
    connection.execute(
        "CREATE TABLE known AS SELECT unnest(?::VARCHAR[]) AS point_key, unnest(?::BIGINT[]) AS point", [list(ids), list(ids.values())]
    )
    kinds = dict(connection.execute("SELECT column_name, column_type FROM (DESCRIBE FROM read_parquet(?))", [str(path)]).fetchall())
    if missing := {"point_key", "time", "value"} - kinds.keys():
        raise HistoryFileError(f"{path}: column {', '.join(sorted(missing))} is missing")
    received = _instant("received_at", kinds["received_at"]) if "received_at" in kinds else "NULL"
    file = str(path).replace("'", "''")
    # Only the file's name and expressions chosen in here enter the text; a view takes no parameters.
    connection.execute(
        f"CREATE TEMP VIEW given AS SELECT point_key, {_instant('time', kinds['time'])} AS taken_at, value::DOUBLE AS value, "  # noqa: S608
        f"{_quality(kinds.get('quality'))} AS quality, {received} AS received_at FROM read_parquet('{file}')"
    )
    connection.execute(
        "CREATE TEMP VIEW sample AS SELECT *, CASE "  # noqa: S608
        f"WHEN taken_at IS NULL OR taken_at NOT BETWEEN 0 AND {_LATEST - 1} THEN 'time' WHEN quality = 255 THEN 'quality' "
        "WHEN NOT isfinite(value) OR value IS NULL AND quality <> 0 THEN 'value' END AS fault FROM given LEFT JOIN known USING (point_key)"
    )


def _instant(column: str, kind: str) -> str:
    return f"{column}::BIGINT" if "INT" in kind else f"epoch_ms({column})"


def _quality(kind: str | None) -> str:
    if kind is None:
        return "2"
    return f"CASE WHEN quality IS NULL THEN 2 ELSE {_NAMED if kind == 'VARCHAR' else _CODED} END"


def _survey(connection: duckdb.DuckDBPyConnection) -> Summary:
    query = "SELECT point_key, point IS NOT NULL, fault, count(*) AS rows FROM sample GROUP BY ALL ORDER BY rows DESC, point_key"
    summary = Summary()
    points: set[str] = set()
    refused: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    for key, ours, fault, rows in connection.execute(query).fetchall():
        summary.rows += rows
        if not ours:
            unknown[key or ""] += rows
        elif fault:
            refused[fault] += rows
        else:
            points.add(key)
    summary.points, summary.refused, summary.unknown = len(points), dict(refused), unknown.most_common()
    return summary


def _load(
    connection: duckdb.DuckDBPyConnection, store: SeriesStore, summary: Summary, now: int, progress: Callable[[int, int], None], step_ms: int | None
) -> list[Stretch]:
    """Store everything; returns at which intervals it was taken."""
    before, intervals = store.conflicts, Steps(step_ms)
    done = waiting = 0
    for batch in _batches(connection, now):
        new = store.write(batch)
        intervals.take(batch)
        summary.new += new
        summary.repeats += len(batch) - new
        done += len(batch)
        waiting += len(batch)
        if waiting >= _SLICE_ROWS:
            store.compact(now)
            waiting = 0
        progress(done, summary.rows)
    store.compact(now)
    summary.conflicts = store.conflicts - before
    return intervals.stretches()


def _batches(connection: duckdb.DuckDBPyConnection, now: int) -> Iterator[Batch]:
    """The sound samples of known points, day after day; a day with very many in slices of its hours."""
    day = f"(taken_at + {ZONE_MS}) // {DAY_MS}"
    sound = "FROM sample WHERE point IS NOT NULL AND fault IS NULL"
    days = connection.execute(f"SELECT {day} AS day, count(*) {sound} GROUP BY day ORDER BY day").fetchall()
    query = f"SELECT point, taken_at, coalesce(value, 'nan'::DOUBLE) AS value, quality::UTINYINT AS quality, coalesce(received_at, ?) AS received_at {sound} AND taken_at >= ? AND taken_at < ?"  # noqa: E501
    for number, rows in days:
        start, width = number * DAY_MS - ZONE_MS, math.ceil(DAY_MS / math.ceil(rows / _SLICE_ROWS))
        for since in range(start, start + DAY_MS, width):
            found: dict[str, Any] = connection.execute(query, [now, since, min(since + width, start + DAY_MS)]).fetchnumpy()
            if len(found["point"]):
                none = np.zeros(len(found["point"]), dtype=np.int32)
                yield Batch(found["point"], found["taken_at"], found["value"], found["quality"], found["received_at"], none)
