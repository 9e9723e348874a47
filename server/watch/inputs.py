"""What ingest hands to the watch. Plain values, which come through a pipe (ingest/line.py); the watch answers each with a future.

A Birth or Data input of a gateway that nobody has claimed is answered without an acknowledgement: its spool keeps everything.
"""

import msgspec

from contract.batch import Outbox, PointDeclaration
from contract.offers import Offers
from contract.sample import Sample


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
    samples: tuple[Sample, ...]
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
