"""What goes through the pipes between the server and the process that talks to the broker (line.py)."""

import msgspec

from contract.batch import Ack, Outbox, outbox_ack
from contract.sparkplug import encode
from contract.topics import Kind, Topic
from server.ingest.mqtt import Connection
from server.watch.inputs import Columns, GatewayBirth, GatewayData, GatewayDeath

REBIRTH = "rebirth"
"""Counted beside the reasons for which a message was refused: a node was asked for a birth."""


class Poison(msgspec.Struct, frozen=True, tag=True):
    """A message that cannot be used, with the reason."""

    topic: str
    payload: bytes
    reason: str
    detail: str
    at: int


class Logbook(msgspec.Struct, frozen=True, tag=True):
    """Entries of a gateway's logbook, each a JSON text."""

    group: str
    gateway: str
    entries: tuple[str, ...]
    at: int


Heard = GatewayBirth | GatewayData | GatewayDeath | Poison | Logbook


class Readings(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The samples of one message as they go through the pipe: in columns, a quarter as long as one by one."""

    gateway: str
    group: str
    received_at: int
    offset_ms: int
    urgent: bool
    outbox: Outbox | None
    gap: str | None
    samples: Columns


def pack(data: GatewayData) -> Readings:
    """As it goes through the pipe."""
    samples = data.samples if isinstance(data.samples, Columns) else Columns.of(data.samples)
    return Readings(data.gateway, data.group, data.received_at, data.offset_ms, data.urgent, data.outbox, data.gap, samples)


def unpack(data: Readings) -> GatewayData:
    """As the watch takes it."""
    return GatewayData(
        gateway=data.gateway,
        group=data.group,
        received_at=data.received_at,
        samples=data.samples,
        outbox=data.outbox,
        gap=data.gap,
        offset_ms=data.offset_ms,
        urgent=data.urgent,
    )


Packed = GatewayBirth | Readings | GatewayDeath | Poison | Logbook


class Armful(msgspec.Struct, array_like=True):
    """Up: what was heard, in order; whether there is a connection; and what is counted, by reason."""

    heard: list[Packed]
    connected: bool
    counts: dict[str, int]


class Settled(msgspec.Struct, array_like=True, frozen=True):
    """A gateway's spool is kept up to a sequence, after the message received at `at`."""

    group: str
    gateway: str
    epoch: int
    upto: int
    at: int

    def command(self) -> tuple[str, bytes]:
        """As a message: topic and payload."""
        return str(Topic(self.group, Kind.NCMD, self.gateway)), encode(outbox_ack(Ack(self.epoch, self.upto), self.at))


class Orders(msgspec.Struct, array_like=True):
    """Down: messages to publish, and acknowledgements; none of both as a sign of life."""

    messages: list[tuple[str, bytes]]
    settled: list[Settled]


class Start(msgspec.Struct, array_like=True):
    """Down, once: the connection, and of each gateway that is known (group, node) session number and own time (UTC ms) of its last birth."""

    connection: Connection
    births: list[tuple[str, str, int | None, int | None]]
