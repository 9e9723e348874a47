"""Decoding one block again and again: what can be known beforehand is worked out once.

The ordinary case, a plain whole number that is neither special nor out of range, is one integer division; `(raw * a + b) / d` of integers is
rounded once, so the result is that of exact arithmetic. Whatever is out of the ordinary goes the long way (contract/engineering.py).
"""

from collections.abc import Container, Sequence
from typing import Final, NamedTuple

from contract.engineering import engineering, rational
from contract.frames import BIT_READS, FrameError
from contract.profile_models import Point, Profile
from contract.profile_transport import Block
from contract.quantities import Kind, quantity
from contract.readings import Reading, reading
from contract.registers import register_count, take
from contract.sample import Quality

_BITS: Final = {"u16": 16, "i16": 16, "u32": 32, "i32": 32}
_ORDERS: Final = ("ABCD", "CDAB")


def points_of(profile: Profile, block_id: str) -> tuple[Point, ...]:
    """The points whose values lie in a block."""
    return tuple(point for point in profile.points if point.block == block_id)


def span(block: Block, point: Point) -> int:
    """How many items (registers, or bits in a bit block) a point takes of its block."""
    return 1 if block.fc in BIT_READS or point.bit is not None else register_count(point)


def decoded(point: Point, words: Sequence[int], at: int, length: int) -> Reading:
    """The reading of a point that starts at item `at`: the long way, for every kind of point."""
    field = take(point, words, at)
    return reading(point, engineering(point, field.raw, field.pattern), tuple(words[at : at + length]))


class _Plain(NamedTuple):
    """A point in the ordinary case: value = (raw * factor + term) / divisor, good within low..high."""

    high_word: int
    low_word: int
    """Places of the two halves, the same for one register."""
    two: bool
    limit: int
    """Patterns from here on are negative."""
    turn: int
    factor: int
    term: int
    divisor: int
    low: float
    high: float
    special: frozenset[int]


class BlockDecoder:
    """Readings of one block from its registers (0..65535) or bits; `only` names the points that are wanted. Raises KeyError for an unknown block."""

    def __init__(self, profile: Profile, block_id: str, only: Container[str] | None = None) -> None:
        block = profile.block(block_id)
        self._id, self.count = block_id, block.count
        wanted = [point for point in points_of(profile, block_id) if only is None or point.id in only]
        self._points = [(point, point.at, span(block, point), _plain(block, point), quantity(point.quantity).unit) for point in wanted]

    def __call__(self, words: Sequence[int]) -> list[Reading]:
        """In the order of the profile. Raises FrameError("mismatch") for another number of items than the block has."""
        if len(words) != self.count:
            raise FrameError("mismatch", f"block {self._id} has {self.count} items, {len(words)} were given")
        readings = []
        for point, at, length, plain, unit in self._points:
            if plain is not None:
                high_word, low_word, two, limit, turn, factor, term, divisor, low, high, special = plain
                pattern = words[high_word] << 16 | words[low_word] if two else words[low_word]
                value = ((pattern - turn if pattern >= limit else pattern) * factor + term) / divisor
                if low <= value <= high and pattern not in special:
                    raw = (words[at], words[at + 1]) if two else (pattern,)
                    readings.append(Reading(point.id, point.quantity, point.channel, value, unit, Quality.GOOD, "", "", raw))
                    continue
            readings.append(decoded(point, words, at, length))
        return readings


def _plain(block: Block, point: Point) -> _Plain | None:
    """How a point is decoded in the ordinary case; None where there is no such case."""
    known = quantity(point.quantity)
    bits = _BITS.get(point.type)
    simple = bits is not None and point.bit is None and block.fc not in BIT_READS and point.decode == "plain" and point.order in _ORDERS
    if not simple or bits is None or point.map is not None or known.kind is Kind.STATE:
        return None
    scale, offset = rational(point.scale), rational(point.offset)
    first, last = point.at, point.at + bits // 16 - 1
    if point.order == "CDAB":
        first, last = last, first
    signed = point.type[0] == "i"
    bounds = [(known.low, known.high), *(limits for limits in (point.range, point.suspect) if limits)]
    return _Plain(
        first, last, bits == 32, 1 << (bits - signed), 1 << bits,
        scale.numerator * offset.denominator, offset.numerator * scale.denominator, scale.denominator * offset.denominator,
        max(known.low, *(limits[0] for limits in bounds)), min(known.high, *(limits[1] for limits in bounds)), frozenset(point.special),
    )  # fmt: skip
