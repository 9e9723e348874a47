"""Raw value <-> engineering value of one point: special values, polarity, rational scale, plausible range. Decimal arithmetic, no rounding.

The first doubt wins and is named in the reason: null_value, a special value's own name, nan_is, wrong_type, unknown_state, out_of_range (all bad),
then suspect (uncertain). Step, stuck, warm-up and stale need time and are judged by the edge.
"""

import math
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from contract.profile_models import Point
from contract.quantities import Kind, quantity
from contract.registers import Number, integer_range
from contract.sample import Quality


class Judged(NamedTuple):
    """A value in the canonical unit, or None when bad; states are integers. `text` is the map's name of the raw value."""

    value: float | int | None
    quality: Quality
    reason: str = ""
    text: str = ""


@lru_cache(maxsize=1024)
def rational(text: str) -> Fraction:
    """A `scale` or `offset` as an exact number."""
    return Fraction(text)


def _bad(reason: str, text: str = "") -> Judged:
    return Judged(None, Quality.BAD, reason, text)


def _exact(raw: float | Decimal) -> Fraction:
    """The number that the digits show, not the binary approximation."""
    return Fraction(raw) if isinstance(raw, int | Decimal) else Fraction(repr(float(raw)))


# ------------------------------------------------------------------------------------------------------------------------- raw -> engineering


def engineering(point: Point, raw: Number | Decimal | None, pattern: int | None = None) -> Judged:
    """Judge a raw value. `pattern` is its unsigned register pattern where special values are given as such."""
    if raw is None:
        return _bad("null_value")
    special = point.special.get(_pattern(raw) if pattern is None else pattern)
    if special is not None:
        return _bad(special)
    if isinstance(raw, float | Decimal) and not math.isfinite(raw):
        return _bad(point.nan_is)
    return _state(point, raw) if point.map or quantity(point.quantity).kind is Kind.STATE else _measure(point, raw)


def _pattern(raw: Number | Decimal) -> int:
    """-1 is no pattern: specials of messages are whole numbers."""
    return int(raw) if isinstance(raw, int | float | Decimal) and math.isfinite(raw) and raw == int(raw) else -1


def _state(point: Point, raw: Number | Decimal) -> Judged:
    """A state as an integer: active names are 1, or the raw number itself without a map."""
    if point.map is None:
        if isinstance(raw, str | float | Decimal) or not 0 <= raw <= quantity(point.quantity).high:
            return _bad("unknown_state")
        return Judged(1 - int(raw) if point.invert else int(raw), Quality.GOOD)
    key = _map_key(point, raw)
    name = None if key is None else point.map.get(key)
    if name is None:
        return _bad("unknown_state")
    return Judged(int((name in point.active) != point.invert), Quality.GOOD, "", name)


def _map_key(point: Point, raw: Number | Decimal) -> bool | int | str | None:
    """The raw value as the map spells it: a bool for type bool, text for type string, a whole number otherwise; None for anything else."""
    if point.type == "string" or isinstance(raw, str):
        return raw if point.type == "string" and isinstance(raw, str) else None
    if isinstance(raw, bool) != (point.type == "bool"):
        return None
    return raw if isinstance(raw, bool) else int(raw) if raw == int(raw) else None


def _measure(point: Point, raw: Number | Decimal) -> Judged:
    if isinstance(raw, str | bool):
        return _bad("wrong_type")
    number = _exact(raw)
    if point.decode == "sign_10000" and number >= 10_000:
        number = 10_000 - number
    elif point.decode == "offset_20":
        number -= 20
    value = float(number * rational(point.scale) + rational(point.offset))
    known = quantity(point.quantity)
    low, high = point.range or (known.low, known.high)
    if not max(low, known.low) <= value <= min(high, known.high):
        return _bad("out_of_range")
    if point.suspect and not point.suspect[0] <= value <= point.suspect[1]:
        return Judged(value, Quality.UNCERTAIN, "suspect")
    return Judged(value, Quality.GOOD)


# ------------------------------------------------------------------------------------------------------------------------- engineering -> raw


def raw_of(point: Point, value: float | None) -> Number | None:
    """The raw value that stands for `value`, rounded to the device's resolution; None (nothing to read) becomes the first special value or NaN.

    Raises ValueError when the device cannot show the value.
    """
    if value is None:
        return _nothing(point)
    if point.map or quantity(point.quantity).kind is Kind.STATE:
        return _raw_state(point, value)
    number = (_exact(value) - rational(point.offset)) / rational(point.scale)
    if point.decode == "offset_20":
        number += 20
    limits = integer_range(point.type)
    if limits is None:
        return float(number)
    whole = round(number)
    if point.decode == "sign_10000" and whole < 0:
        whole = 10_000 - whole
    if not limits[0] <= whole <= limits[1]:
        raise ValueError(f"{point.id}: {value} cannot be shown as {point.type}")
    return whole


def _nothing(point: Point) -> Number | None:
    if point.special:
        pattern = next(iter(point.special))
        limits = integer_range(point.type)
        return pattern - 2 * (limits[1] + 1) if limits and pattern > limits[1] else pattern
    if point.type in ("f32", "f64"):
        return math.nan
    raise ValueError(f"{point.id} has no way to say that nothing was read")


def _raw_state(point: Point, value: float) -> Number:
    wanted = int(value)
    if point.map is None:
        return 1 - wanted if point.invert else wanted
    for raw, name in point.map.items():
        if int((name in point.active) != point.invert) == wanted:
            return raw
    raise ValueError(f"{point.id} has no raw value for state {wanted}")
