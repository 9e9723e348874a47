"""One decoded value of a device."""

import msgspec

from contract.engineering import Judged
from contract.profile_models import Point
from contract.quantities import quantity
from contract.sample import Quality


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What a point of a profile reads. `value` is in the quantity's canonical unit, an integer for states, None when bad.

    `text` is the map's name of the raw value, `raw` the registers behind it: kept because a bad reading shows nothing else.
    """

    point_id: str
    quantity: str
    channel: str
    value: float | int | None
    unit: str
    quality: Quality
    reason: str = ""
    text: str = ""
    raw: tuple[int, ...] = ()


def reading(point: Point, judged: Judged, raw: tuple[int, ...] = ()) -> Reading:
    """Join a point and its judged value."""
    unit = quantity(point.quantity).unit
    return Reading(point.id, point.quantity, point.channel, judged.value, unit, judged.quality, judged.reason, judged.text, raw)
