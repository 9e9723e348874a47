"""The plain values that births, data and commands carry, and the metric names we add to the standard ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from contract.offers import Offers
from contract.sample import Quality, Sample
from contract.sparkplug import DataType, Value

BD_SEQ: Final = "bdSeq"
REBIRTH: Final = "Node Control/Rebirth"
OUTBOX_ACK: Final = "Node Control/Outbox Ack"
RULES: Final = "Node Control/Rules"
WRITE: Final = "Node Control/Write"
EVENT_ACK: Final = "Node Control/Event Ack"
EVENT: Final = "Event/Entry"
RULES_VERSION: Final = "Rules/Version"
OFFERS: Final = "Devices/Writes"
OUTBOX_EPOCH: Final = "Outbox/Epoch"
OUTBOX_FIRST: Final = "Outbox/First"
OUTBOX_LAST: Final = "Outbox/Last"
OUTBOX_GAP: Final = "Outbox/Gap"
CONTROL: Final = frozenset(
    {BD_SEQ, REBIRTH, OUTBOX_ACK, RULES, RULES_VERSION, OFFERS, OUTBOX_EPOCH, OUTBOX_FIRST, OUTBOX_LAST, OUTBOX_GAP, WRITE, EVENT_ACK, EVENT}
)


class UnknownAliasError(LookupError):
    """A DATA message uses an alias that no birth declared: the sender must be asked for a rebirth."""

    def __init__(self, alias: int) -> None:
        super().__init__(f"alias {alias} is in no birth of this node")
        self.alias = alias


@dataclass(frozen=True, slots=True)
class PointDeclaration:
    """One point as a birth declares it. `metric` is `<device>/<quantity>[/<channel>]`, `interval_s` the longest silence our edge allows itself.

    `klass` is alarm, state, measure or health. Foreign gateways give no room and no interval, and may give no alias: then DATA carries the name.
    """

    metric: str
    alias: int | None
    room: str = ""
    unit: str = ""
    interval_s: float | None = None
    klass: str = "measure"
    datatype: int = DataType.DOUBLE


class Outbox(NamedTuple):
    """A range of the edge's spool: 64-bit `epoch` of the spool, sequences `first`..`last` inclusive.

    In a birth: the lowest sequence the spool still holds and the highest it has written.
    """

    epoch: int
    first: int
    last: int


class Ack(NamedTuple):
    """The server has everything up to and including sequence `upto` of `epoch`."""

    epoch: int
    upto: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.upto}"


class BirthValue(NamedTuple):
    """The value that a birth carries for a metric; `timestamp` is UTC ms."""

    metric: str
    value: float | None
    quality: Quality
    reason: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class Birth:
    """A birth as read. `names` maps every alias of the message to its canonical metric, "" for those that are no points.

    `skipped` lists the names of foreign metrics that name no known quantity.
    """

    points: tuple[PointDeclaration, ...]
    bd_seq: int | None
    outbox: Outbox | None
    rules_version: str
    values: tuple[BirthValue, ...]
    skipped: tuple[str, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)
    offers: Offers | None = None
    """What may be written on the devices; None where the gateway does not tell."""


@dataclass(frozen=True, slots=True)
class Data:
    """A data message as read.

    `gap` is the reason why the range `outbox` will never be sent, `events` are entries of the gateway's logbook as JSON.
    """

    samples: tuple[Sample, ...]
    outbox: Outbox | None
    gap: str | None = None
    events: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """A command as read. `write` is the JSON of an ordered write, `events` the ids of logbook entries that the server has.

    `others` holds every further named metric.
    """

    ack: Ack | None = None
    rebirth: bool = False
    rules: str | None = None
    write: str | None = None
    events: tuple[str, ...] = ()
    others: Mapping[str, Value | None] = field(default_factory=dict)
