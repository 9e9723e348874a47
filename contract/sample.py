"""What one reading is: a point, an instant, a value and how far to trust it.

Times are integers, UTC milliseconds. A missing reading is the absence of a sample; a BAD one has no value. NaN, -1 and 0 never stand for either.
"""

import math
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import msgspec


class Quality(StrEnum):
    """Trust in a value; the Chinese words are in language.md 2.3."""

    GOOD = "good"
    UNCERTAIN = "uncertain"
    BAD = "bad"
    STALE = "stale"


@lru_cache(maxsize=1 << 17)
def _metric(device: str, quantity: str, channel: str) -> str:
    return "/".join(part for part in (device, quantity, channel) if part)


class PointKey(NamedTuple):
    """The identity of a measured point; stays the same when the sensor behind it is replaced."""

    gateway: str
    device: str
    quantity: str
    channel: str = ""

    @property
    def metric(self) -> str:
        """Sparkplug metric name, `<device>/<quantity>[/<channel>]`."""
        return _metric(self.device, self.quantity, self.channel)

    def __str__(self) -> str:
        return f"{self.gateway}/{self.metric}"

    @classmethod
    def of(cls, gateway: str, metric: str) -> "PointKey":
        """Parse a metric name. Raises ValueError when it has not two or three parts."""
        parts = metric.split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise ValueError(f"metric name {metric!r} is not <device>/<quantity>[/<channel>]")
        return cls(gateway, *parts)

    @classmethod
    def parse(cls, text: str) -> "PointKey":
        """Parse `<gateway>/<device>/<quantity>[/<channel>]`. Raises ValueError."""
        gateway, _, metric = text.partition("/")
        return cls.of(gateway, metric)


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One reading. `taken_at` is stamped by the edge, `received_at` by the server (None until then), both UTC ms.

    `value` is in the quantity's canonical unit; it is None exactly when the quality is BAD and nothing usable was read.
    `historical` marks a sample that was delayed on its way (Sparkplug is_historical).
    Raises ValueError for a non-finite value, or a missing value that is not BAD.
    """

    point: PointKey
    taken_at: int
    value: float | None
    quality: Quality = Quality.GOOD
    reason: str = ""
    historical: bool = False
    received_at: int | None = None

    def __post_init__(self) -> None:
        if self.value is None:
            if self.quality is not Quality.BAD:
                raise ValueError(f"{self.point}: a sample without a value must be bad, not {self.quality}")
        elif not math.isfinite(self.value):
            raise ValueError(f"{self.point}: value {self.value} is not finite")
