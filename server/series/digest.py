"""A digest of samples that depends on nothing but the samples: not on files, compaction, point numbers or the store they lie in.

Canonical form of one sample: time (int64, UTC ms), value (float64, one NaN for none), quality (uint8), delay of arrival (int64, whole seconds,
rounded up), all little-endian, 25 bytes; samples of a point in order of time. Digest of a point: SHA-256 over `AW1`, its key, a zero byte, these
records, and the reasons joined by zero bytes. Digest of a place: SHA-256 over key, zero byte and digest of its points in order of their keys; points
without a sample are left out. Beside it stand short digests by which a change is found: 8 bytes per point, 4 bytes per hour over all points.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from server.series.batch import Batch

HOUR_MS = 3_600_000
_RECORD = np.dtype([("t", "<i8"), ("v", "<f8"), ("q", "u1"), ("d", "<i8")])


Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]


class PointDigest(NamedTuple):
    """One point: number of samples and the first 8 bytes of its digest."""

    samples: int
    short: bytes


class Digest(NamedTuple):
    """Of one place and day. `hours` are 24 short digests, 4 bytes each."""

    samples: int
    digest: str
    points: dict[int, PointDigest]
    hours: bytes


def arrival(batch: Batch) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """When samples arrived, as every store can tell: whole seconds after they were taken, rounded up."""
    return batch.taken_at + _delay(batch) * 1000


def among(batch: Batch, points: Sequence[int]) -> Mask:
    """Which samples are of these points."""
    found: Mask = np.isin(batch.point, np.array(points, dtype=np.int64))
    return found


def of_day(batch: Batch, keys: Mapping[int, str], start: int) -> Digest:
    """Digest of the samples of one day from `start`, sorted by point and time; `keys` names all points in it."""
    records = np.empty(len(batch), dtype=_RECORD)
    records["t"], records["q"], records["d"] = batch.taken_at, batch.quality, _delay(batch)
    records["v"] = np.where(np.isnan(batch.value), np.nan, batch.value)
    hour = np.clip((batch.taken_at - start) // HOUR_MS, 0, 23)
    whole, hours = hashlib.sha256(), [hashlib.sha256() for _ in range(24)]
    found: dict[int, PointDigest] = {}
    for point in sorted({*np.unique(batch.point).tolist()}, key=lambda each: keys[each]):
        first, last = np.searchsorted(batch.point, [point, point + 1])
        name = keys[point].encode()
        reasons = [batch.words[index].encode() for index in batch.reason[first:last].tolist()]
        one = hashlib.sha256(b"AW1" + name + b"\0" + records[first:last].tobytes() + b"\0".join(reasons))
        whole.update(name + b"\0" + one.digest())
        found[point] = PointDigest(int(last - first), one.digest()[:8])
        borders = first + np.searchsorted(hour[first:last], np.arange(25))
        for number, (since, until) in enumerate(zip(borders.tolist(), borders[1:].tolist(), strict=False)):
            if since < until:
                hours[number].update(name + b"\0" + records[since:until].tobytes())
    return Digest(len(batch), whole.hexdigest(), found, b"".join(each.digest()[:4] for each in hours))


def _delay(batch: Batch) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return -((batch.taken_at - batch.received_at) // 1000)
