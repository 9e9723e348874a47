"""What one row of the spool holds: a batch of samples, or a gap, as bytes with a checksum.

The payload is raw deflate over columnar msgpack. Raw deflate carries no checksum of its own, so the row's CRC-32 is what stands between a flipped bit
and a wrong value; it covers epoch, range and lane too, so that a good payload under a damaged range is refused as well.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import msgspec

from contract.sample import PointKey, Quality, Sample

_LEVEL: Final = 3  # gateways are slow, and most of the gain comes from the columns
_MAX_INFLATED: Final = 4 * 1024 * 1024  # bytes; a batch of 500 samples has a few tens of KiB
_QUALITIES: Final = tuple(Quality)


class Lane(IntEnum):
    """Which queue a row is in. URGENT holds alarm-class news, GAP a range that can never be sent."""

    URGENT = 0
    NORMAL = 1
    GAP = 2


class DamagedRowError(ValueError):
    """The bytes of a row do not fit its checksum, or cannot be decoded."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One row: samples with the sequences `first`..`last`, or, when `gap` names a reason, the loss of that range."""

    first: int
    last: int
    lane: Lane
    samples: tuple[Sample, ...] = ()
    gap: str = ""


class _Columns(msgspec.Struct, array_like=True):
    metrics: list[str]
    points: list[int]  # index into metrics
    start: int  # taken_at of the first sample, UTC ms
    offsets: list[int]  # ms after start, may be negative
    values: list[float | None]
    qualities: list[int]  # index into Quality
    reasons: dict[int, str]  # position -> reason, where there is one


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Columns)


def encode(samples: Sequence[Sample]) -> bytes:
    """The payload of a row; the gateway is not in it, because a spool belongs to one."""
    metrics: dict[str, int] = {}
    points = [metrics.setdefault(sample.point.metric, len(metrics)) for sample in samples]
    start = samples[0].taken_at if samples else 0
    columns = _Columns(
        list(metrics),
        points,
        start,
        [sample.taken_at - start for sample in samples],
        [sample.value for sample in samples],
        [_QUALITIES.index(sample.quality) for sample in samples],
        {at: sample.reason for at, sample in enumerate(samples) if sample.reason},
    )
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(_encoder.encode(columns)) + deflate.flush()


def decode(payload: bytes, gateway: str) -> tuple[Sample, ...]:
    """The samples of a payload. Raises DamagedRowError."""
    try:
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        plain = inflate.decompress(payload, _MAX_INFLATED)
        if not inflate.eof:
            raise DamagedRowError("the payload does not end")
        columns = _decoder.decode(plain)
        keys = [PointKey.of(gateway, metric) for metric in columns.metrics]
        rows = zip(columns.points, columns.offsets, columns.values, columns.qualities, strict=True)
        return tuple(
            Sample(keys[point], columns.start + offset, value, _QUALITIES[quality], columns.reasons.get(at, ""))
            for at, (point, offset, value, quality) in enumerate(rows)
        )
    except (zlib.error, msgspec.DecodeError, ValueError, IndexError) as error:
        raise DamagedRowError(str(error)) from error


def checksum(epoch: int, first: int, last: int, lane: Lane, payload: bytes) -> int:
    """CRC-32 over everything that gives a row its meaning."""
    return zlib.crc32(payload, zlib.crc32(struct.pack("<QqqB", epoch, first, last, lane)))


def batch(first: int, last: int, lane: Lane, payload: bytes, gateway: str) -> Batch:
    """Decode a row whose checksum holds. Raises DamagedRowError when the payload does not fit the range."""
    if lane is Lane.GAP:
        return Batch(first, last, lane, gap=payload.decode(errors="replace"))
    samples = decode(payload, gateway)
    if len(samples) != last - first + 1:
        raise DamagedRowError(f"{len(samples)} samples in the range {first}..{last}")
    return Batch(first, last, lane, samples)
