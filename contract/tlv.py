"""Milesight channel-type-value payloads: channel byte, type byte, little-endian value; repeated until the end.

Source of the layout: Milesight-IoT/SensorDecoders. A field that the table does not know has an unknown length, so decoding stops there: what was read
before it stays, and the result is marked as incomplete.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from contract.frames import FrameError
from contract.profile_transport import Codec, TlvEntry

_SIGNED: Final = ("i8", "i16", "i32")


class Fields(NamedTuple):
    """Raw integers by entry id; `complete` is False when an unknown field ended the decoding."""

    values: Mapping[str, int]
    complete: bool


def decode_tlv(codec: Codec, data: bytes) -> Fields:
    """Read a payload. The last occurrence of a field wins. Raises FrameError("short") when a known field is cut off."""
    entries = {(entry.channel, entry.type): entry for entry in codec.tlv}
    values: dict[str, int] = {}
    at = 0
    while at < len(data):
        entry = entries.get((data[at], data[at + 1])) if at + 1 < len(data) else None
        if entry is None:
            return Fields(values, False)
        field = data[at + 2 : at + 2 + entry.size]
        if len(field) < entry.size:
            raise FrameError("short", f"field {entry.id} needs {entry.size} bytes, {len(field)} are left")
        if entry.value != "skip":
            values[entry.id] = int.from_bytes(field, "little", signed=entry.value in _SIGNED)
        at += 2 + entry.size
    return Fields(values, True)


def decode_bytes(codec: Codec, data: bytes) -> Fields:
    """Read a payload of fixed length. Raises FrameError: short, or crc for a wrong sum."""
    if len(data) != codec.length:
        raise FrameError("short" if len(data) < codec.length else "payload", f"{len(data)} bytes, {codec.length} make a payload")
    if codec.checksum == "sum8" and sum(data) % 256:
        raise FrameError("crc", "the bytes do not add up to 0 mod 256")
    return Fields({field.id: data[field.at] >> field.bit & ((1 << field.width) - 1) for field in codec.fields}, True)


def encode_bytes(codec: Codec, values: Mapping[str, int]) -> bytes:
    """The payload of fixed length that carries `values`; the last byte makes the sum right. Raises ValueError for a value that does not fit."""
    data = bytearray(codec.length)
    for field in codec.fields:
        value = values.get(field.id, 0)
        if not -(1 << (field.width - 1)) <= value < 1 << field.width:
            raise ValueError(f"{field.id}: {value} does not fit {field.width} bits")
        data[field.at] |= (value & ((1 << field.width) - 1)) << field.bit
    if codec.checksum == "sum8":
        data[-1] = -sum(data[:-1]) % 256
    return bytes(data)


def encode_tlv(codec: Codec, values: Mapping[str, int]) -> bytes:
    """The payload that carries `values` by entry id, in the order of the table. Raises ValueError for a value that does not fit."""
    return b"".join(_encoded(entry, values[entry.id]) for entry in codec.tlv if entry.id in values)


def _encoded(entry: TlvEntry, value: int) -> bytes:
    try:
        return bytes((entry.channel, entry.type)) + value.to_bytes(entry.size, "little", signed=entry.value in _SIGNED)
    except OverflowError:
        raise ValueError(f"{entry.id}: {value} does not fit {entry.size} bytes") from None
