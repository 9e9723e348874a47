"""History as the interface gives it: columns of the store become steps, many thousands at a time, and these JSON.

The models of room_models.py describe the same for the documentation; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise, repeat
from typing import Literal

import msgspec
import numpy as np

from server.series.batch import Batch, Ints
from server.series.figures import Figures

_QUALITY = ("bad", "uncertain", "good", "stale")
encoded = msgspec.json.Encoder().encode


class Bucket(msgspec.Struct, frozen=True, gc=False):
    """See room_models.BucketView; `time` is ISO 8601 in UTC."""

    time: str
    min: float | None
    mean: float | None
    max: float | None
    count: int
    watched_s: float
    quality: str | None = None

    @property
    def at(self) -> int:
        """The instant, UTC ms."""
        return round(datetime.fromisoformat(self.time).timestamp() * 1000)


class Series(msgspec.Struct, frozen=True):
    """See room_models.SeriesView."""

    point: str
    point_id: int
    outdoor: bool
    source: str
    buckets: list[Bucket]


class History(msgspec.Struct, frozen=True, rename={"since": "from", "until": "to"}):
    """See room_models.HistoryView."""

    room: str
    quantity: str
    unit: str
    since: datetime
    until: datetime
    step_s: int | None
    band: tuple[float | None, float | None] | None
    derived: bool
    series: list[Series]


def steps(found: Figures) -> dict[int, list[Bucket]]:
    """The steps of each point."""
    columns = [column.tolist() for column in (found.min, found.mean, found.max, found.count, found.watched_ms / 1000)]
    made = list(map(Bucket, _words(found.time), *columns))
    return {point: made[since:until] for point, since, until in _runs(found.point)}


def raw(found: Batch) -> dict[int, list[Bucket]]:
    """The samples of each point, each as a step of its own."""
    values = [None if value != value else value for value in found.value.tolist()]  # noqa: PLR0124 - NaN is "no value"
    qualities = [_QUALITY[code] for code in found.quality.tolist()]
    made = list(map(Bucket, _words(found.taken_at), values, values, values, repeat(1), repeat(0.0), qualities))
    return {point: made[since:until] for point, since, until in _runs(found.point)}


def samples(times: Sequence[int], values: Sequence[float]) -> list[Bucket]:
    """Good samples of one point."""
    return [Bucket(time, value, value, value, 1, 0.0, "good") for time, value in zip(_words(np.array(times, dtype=np.int64)), values, strict=True)]


def _words(instants: Ints) -> list[str]:
    """UTC ms in ISO 8601; to the ms where one of them asks for it."""
    unit: Literal["s", "ms"] = "ms" if (instants % 1000).any() else "s"
    words: list[str] = np.datetime_as_string(instants.astype("datetime64[ms]"), unit=unit, timezone="UTC").tolist()
    return words


def _runs(points: Ints) -> Iterator[tuple[int, int, int]]:
    """Each point with the places between which its rows lie."""
    heads = np.flatnonzero(np.diff(points, prepend=-1)).tolist()
    yield from ((int(points[since]), since, until) for since, until in pairwise([*heads, len(points)]))
