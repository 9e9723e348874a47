"""Roll-ups as they lie in a file: small integers instead of doubles.

Lowest and highest are integers under a scale of the point (most sensors resolve 0.1), the mean lies above the lowest by so many thousandths of that
resolution: its only rounding, at most a two-thousandth of what the sensor can tell apart. A point whose values are no such integers has scale 0, and
the three columns then hold the bits of the doubles.
"""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np

from server.series.batch import Array, Floats, Ints
from server.series.figures import Figures

COLUMNS = "point, time, scale, low, above, span, count, watched_ms, in_band_ms"
_SCALES = (10_000, 1000, 100, 10, 1)
_FINE = 1000
_LARGEST = 1e11  # times scale and _FINE it still is a 64-bit integer, and every step is exact


def packed(rows: Figures) -> dict[str, Array]:
    """The columns of a file, from figures sorted by point."""
    scale = _scale(rows)
    bare = scale == 0
    least, mean, most = (np.where(bare, 0, column) for column in (rows.min, rows.mean, rows.max))
    columns = {
        "low": np.where(bare, _bits(rows.min), _whole(least, scale)),
        "above": np.where(bare, _bits(rows.mean), _whole(mean - least, scale * _FINE)),
        "span": np.where(bare, _bits(rows.max), _whole(most, scale) - _whole(least, scale)),
    }
    return {"scale": scale.astype(np.int16), **columns} | {
        name: getattr(rows, name) for name in ("point", "time", "count", "watched_ms", "in_band_ms")
    }


def read(connection: duckdb.DuckDBPyConnection, paths: list[str], condition: str = "true", parameters: dict[str, Any] | None = None) -> Figures:
    """Figures of files, in the order of their rows."""
    query = f"SELECT {COLUMNS} FROM read_parquet($files) WHERE {condition}"  # noqa: S608 - conditions are ours
    found = connection.execute(query, {"files": paths} | (parameters or {})).fetchnumpy()
    return unpacked({name: np.asarray(column) for name, column in found.items()})


def unpacked(columns: dict[str, Array]) -> Figures:
    """Inverse of `packed`."""
    scale, low, above, span = (columns[name] for name in ("scale", "low", "above", "span"))
    bare = scale == 0
    divisor = np.where(bare, 1, scale).astype(np.float64)
    least, most = low / divisor, (low + np.where(bare, 0, span)) / divisor
    mean = np.clip(least + above / (divisor * _FINE), least, most)
    if bare.any():
        least, mean, most = (np.where(bare, column.view(np.float64), plain) for column, plain in ((low, least), (above, mean), (span, most)))
    return Figures(columns["point"], columns["time"], least, mean, most, columns["count"], columns["watched_ms"], columns["in_band_ms"])


def _scale(rows: Figures) -> Ints:
    """For each row the smallest scale under which all lowest and highest values of its point are integers, 0 where none is."""
    head = np.flatnonzero(np.diff(rows.point, prepend=-1))
    found = np.zeros(len(head), dtype=np.int64)
    for scale in _SCALES:
        fits = np.logical_and.reduceat(_exact(rows.min, scale) & _exact(rows.max, scale), head)
        found[fits] = scale
    return np.repeat(found, np.diff(head, append=len(rows)))


def _exact(value: Floats, scale: int) -> Array:
    fits: Array = np.rint(np.clip(value, -_LARGEST, _LARGEST) * scale) / scale == value
    return fits


def _whole(value: Floats, scale: Ints) -> Ints:
    return np.rint(value * scale).astype(np.int64)


def _bits(value: Floats) -> Ints:
    return np.ascontiguousarray(value).view(np.int64)
