"""What ingest hands to the watch. Plain values, which come through a pipe (ingest/line.py); the watch answers each with a future.

A Birth or Data input of a gateway that nobody has claimed is answered without an acknowledgement: its spool keeps everything.
"""

from collections.abc import Sequence
from typing import Final, Self

import msgspec

from contract.batch import Outbox, PointDeclaration
from contract.offers import Offers
from contract.sample import PointKey, Quality, Sample

_PLAIN: Final = (Quality.GOOD, "", False)


class Columns(msgspec.Struct, frozen=True, gc=False):
    """The samples of one message in columns: to make an object of each of a province's costs more than to judge them, as nearly all change nothing.

    `taken_at` by the sender's clock, UTC ms; `special` are quality, reason and whether it is historical, by place, of those that are not simply good.
    """

    metrics: list[str]
    taken_at: list[int]
    values: list[float | None]
    special: dict[int, tuple[Quality, str, bool]]

    def __len__(self) -> int:
        return len(self.metrics)

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Self:
        """The same samples."""
        found = [(sample.quality, sample.reason, sample.historical) for sample in samples]
        return cls(
            [sample.point.metric for sample in samples],
            [sample.taken_at for sample in samples],
            [sample.value for sample in samples],
            {place: one for place, one in enumerate(found) if one != _PLAIN},
        )

    def sample(self, place: int, point: PointKey) -> Sample:
        """The sample at a place, which is one of `point`. Raises ValueError (Sample)."""
        return Sample(point, self.taken_at[place], self.values[place], *self.special.get(place, _PLAIN))


class GatewayBirth(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True, gc=False):
    """A gateway (or one device of a foreign gateway) has said what it measures."""

    gateway: str
    group: str
    received_at: int
    bd_seq: int | None
    outbox: Outbox | None
    points: tuple[PointDeclaration, ...]
    rules_version: str = ""
    offers: Offers | None = None
    """What may be written on its devices; None where it does not tell."""
    offset_ms: int = 0
    stamp: int | None = None
    """The gateway's own time in the birth, UTC ms."""


class GatewayDeath(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True, gc=False):
    """A gateway, or one device of it, is gone; `at` is the instant of receipt (node) or the payload's (device)."""

    gateway: str
    at: int
    device: str | None = None
    group: str = ""


class GatewayData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True, gc=False):
    """Samples of one message. `outbox` is the range of the sender's spool, None for a foreign gateway; `gap` closes a range without samples."""

    gateway: str
    received_at: int
    samples: tuple[Sample, ...] | Columns
    outbox: Outbox | None = None
    gap: str | None = None
    offset_ms: int = 0
    urgent: bool = False
    group: str = ""
    """The topic's group; "" is not checked."""


class Receipt(msgspec.Struct, frozen=True):
    """What the watch answers to ingest after its commit: where the gateway's spool stands, if it may forget anything."""

    epoch: int | None = None
    upto: int | None = None
    claimed: bool = True
