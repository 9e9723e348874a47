"""Registers <-> raw values: how many a type takes, in which order its bytes travel, which bits belong to a field. Pure integer work."""

import math
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from contract.profile_models import Point

Number = int | float | str | bool

_BITS: Final = {"u8": 8, "i8": 8, "u16": 16, "i16": 16, "u32": 32, "i32": 32, "u64": 64, "i64": 64, "f32": 32, "f64": 64, "bcd": 16, "bool": 16}
_FLOAT: Final = {"f32": ">f", "f64": ">d"}


class Field(NamedTuple):
    """A raw value and the unsigned bit pattern it came from (special values are given as patterns)."""

    raw: Number
    pattern: int


def register_count(point: Point) -> int:
    """How many registers the value occupies; a string takes `width` bytes."""
    return (point.width + 1) // 2 if point.type == "string" else max(1, _BITS[point.type] // 16)


def integer_range(type_name: str) -> tuple[int, int] | None:
    """Smallest and largest raw integer of a type; None for floats and strings."""
    if type_name in ("bool", "bcd"):
        return (0, 1) if type_name == "bool" else (0, 9999)
    if type_name[0] not in "ui":
        return None
    bits = _BITS[type_name]
    return (0, (1 << bits) - 1) if type_name[0] == "u" else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def _reordered(data: bytes, order: str) -> bytes:
    """Between line order and big-endian; every order is its own inverse. ABCD big-endian, CDAB low word first, BADC bytes swapped, DCBA both."""
    if order == "DCBA":
        return data[::-1]
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    if order == "CDAB":
        words.reverse()
    return b"".join(word[::-1] for word in words) if order == "BADC" else b"".join(words)


def shortest_float(value: float) -> float:
    """The shortest decimal that is the same single-precision number: 30.56 instead of 30.559999465942383."""
    packed = struct.pack(">f", value)
    return next(found for digits in range(6, 10) if struct.pack(">f", found := float(f"{value:.{digits}g}")) == packed)


def take(point: Point, words: Sequence[int], at: int) -> Field:
    """The raw value of a point that starts at word (or bit) `at`. A BCD digit above 9 gives the raw value "" (no number)."""
    if point.bit is not None:
        field = words[at] >> point.bit & ((1 << point.width) - 1)
        return Field(bool(field) if point.type == "bool" else field, field)
    if point.type == "bool":
        return Field(bool(words[at]), words[at])
    data = _reordered(b"".join(word.to_bytes(2, "big") for word in words[at : at + register_count(point)]), point.order)
    pattern = int.from_bytes(data, "big")
    return Field(_interpret(point.type, data, pattern, point.width), pattern)


def _interpret(type_name: str, data: bytes, pattern: int, width: int) -> Number:
    if type_name in _FLOAT:
        number = float(struct.unpack(_FLOAT[type_name], data)[0])
        return shortest_float(number) if type_name == "f32" and math.isfinite(number) else number
    if type_name == "string":
        return data[:width].rstrip(b"\x00 ").decode("ascii", "replace")
    if type_name == "bcd":
        digits = f"{pattern:04x}"
        return int(digits) if digits.isdecimal() else ""
    bits = _BITS[type_name]
    pattern &= (1 << bits) - 1
    return pattern - (1 << bits) if type_name[0] == "i" and pattern >> (bits - 1) else pattern


def put(point: Point, raw: Number, words: list[int], at: int) -> None:
    """Write a raw value into `words`, leaving the other bits of a shared register alone. Raises ValueError when it does not fit its type."""
    if point.bit is not None:
        mask = (1 << point.width) - 1
        words[at] = words[at] & ~(mask << point.bit) | _checked(point, int(raw), (0, mask)) << point.bit
    elif point.type == "bool":
        words[at] = int(bool(raw))
    else:
        data = _reordered(_bytes_of(point, raw), point.order)
        words[at : at + len(data) // 2] = [int.from_bytes(data[start : start + 2], "big") for start in range(0, len(data), 2)]


def _bytes_of(point: Point, raw: Number) -> bytes:
    if point.type in _FLOAT:
        return struct.pack(_FLOAT[point.type], raw)
    size = 2 * register_count(point)
    if isinstance(raw, str):
        return raw.encode("ascii").ljust(size, b"\x00")[:size]
    limits = integer_range(point.type)
    number = _checked(point, int(raw), limits or (0, 0))
    if point.type == "bcd":
        return int(str(number), 16).to_bytes(2, "big")
    return (number & ((1 << _BITS[point.type]) - 1)).to_bytes(size, "big")


def _checked(point: Point, number: int, limits: tuple[int, int]) -> int:
    if not limits[0] <= number <= limits[1]:
        raise ValueError(f"{point.id}: raw value {number} is not within {limits[0]} to {limits[1]}")
    return number
