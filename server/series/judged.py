"""How points are judged now, as the embedded store remembers it: tables `judged` and `judged_earlier`. Each change has a version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import duckdb
import numpy as np

from server.series import Earlier, Limits, fold
from server.series.partition import bucket_of


class Judged(NamedTuple):
    """How a point is judged now, and since which version of the limits."""

    version: int
    limits: Limits


def judged(connection: duckdb.DuckDBPyConnection) -> dict[int, Judged]:
    """All points that the store has been told about."""
    earlier: dict[int, tuple[Earlier, ...]] = {}
    for point, until, hold in connection.execute("SELECT point, until, hold_ms FROM judged_earlier ORDER BY point, until").fetchall():
        earlier[point] = (*earlier.get(point, ()), Earlier(until, hold))
    rows = connection.execute("SELECT point, version, hold_ms, low, high FROM judged").fetchall()
    return {point: Judged(version, Limits(hold, low, high, earlier.get(point, ()))) for point, version, hold, low, high in rows}


def set_limits(connection: duckdb.DuckDBPyConnection, limits: Mapping[int, Limits]) -> int:
    """Within a write transaction: note limits under a new version where they differ; returns how many did. Raises ValueError."""
    fold.longest(limits)
    known = judged(connection)
    changed = {point: each for point, each in limits.items() if point not in known or known[point].limits != each}
    if not changed:
        return 0
    version = 1 + max((each.version for each in known.values()), default=0)
    for table in ("judged", "judged_earlier"):
        connection.execute(f"DELETE FROM {table} WHERE point IN (SELECT unnest(?))", [list(changed)])  # noqa: S608
    _fill(connection, "judged", f"point, bucket, {version}, hold_ms, low, high", {
        "point": np.array(list(changed), dtype=np.int64),
        "bucket": np.array([bucket_of(point) for point in changed], dtype=np.int32),
        "hold_ms": np.array([each.hold_ms for each in changed.values()], dtype=np.int64),
        "low": np.array([np.nan if each.low is None else each.low for each in changed.values()], dtype=np.float64),
        "high": np.array([np.nan if each.high is None else each.high for each in changed.values()], dtype=np.float64),
    })  # fmt: skip
    past = [(point, *stretch) for point, each in changed.items() for stretch in each.earlier]
    if past:
        columns = np.array(past, dtype=np.int64).T
        _fill(connection, "judged_earlier", "point, until, hold_ms", dict(zip(("point", "until", "hold_ms"), columns, strict=True)))
    return len(changed)


def _fill(connection: duckdb.DuckDBPyConnection, table: str, columns: str, rows: Mapping[str, np.ndarray[tuple[int], np.dtype[np.generic]]]) -> None:
    """Insert columns; NaN arrives in DuckDB as NULL."""
    connection.register("changed", dict(rows))
    connection.execute(f"INSERT INTO {table} SELECT {columns} FROM changed")  # noqa: S608
    connection.unregister("changed")
