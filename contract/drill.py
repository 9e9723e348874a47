"""Drills 演练: an order to a gateway to report one tagged reading, and the tag by which everybody knows it.

The tagged sample takes the way of every sample: driver, spool, broker, rules, SMS, acknowledgement. It is uncertain with the reason `drill:<id>`, so
that whoever does not know drills does not take it for good; it is never stored as history nor counted.
"""

import math
from dataclasses import dataclass

import msgspec

from contract.batch import command
from contract.sample import PointKey, Quality, Sample
from contract.sparkplug import Payload

DRILL = "Drill/Start"
"""Name of the command's metric."""
_TAG = "drill:"


class DrillError(ValueError):
    """An order that cannot be read."""


@dataclass(frozen=True, slots=True)
class DrillOrder:
    """Report `value` for the point `metric` (<device>/<quantity>[/<channel>]) until the instant `until` (UTC ms); `siren_s` tests the siren."""

    id: int
    metric: str
    value: float
    until: int
    siren_s: int = 0


def drill_command(order: DrillOrder, now: int) -> Payload:
    """The NCMD that carries an order."""
    return command(DRILL, msgspec.json.encode(order).decode(), now)


def read_order(text: str) -> DrillOrder:
    """Read an order. Raises DrillError."""
    try:
        order = msgspec.json.decode(text.encode(), type=DrillOrder)
        PointKey.of("-", order.metric)
    except (msgspec.MsgspecError, ValueError) as error:
        raise DrillError(f"drill order: {error}") from error
    if order.id <= 0 or not math.isfinite(order.value) or not 0 <= order.siren_s <= 60:
        raise DrillError(f"drill order {order.id}: out of range")
    return order


def drill_sample(point: PointKey, at: int, value: float, drill: int) -> Sample:
    """The tagged reading of a drill, taken at `at` (UTC ms)."""
    return Sample(point, at, value, Quality.UNCERTAIN, f"{_TAG}{drill}")


def drill_of(sample: Sample) -> int | None:
    """The id of the drill that a sample belongs to, None for a real one."""
    if sample.quality is not Quality.UNCERTAIN or not sample.reason.startswith(_TAG):
        return None
    digits = sample.reason.removeprefix(_TAG)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None
