"""Gateways, their points and what comes from them, up to the watch of a room that it amounts to.

The journal lives beside the alarm tables because one transaction must carry watermark, alarm states, transitions, notifications and the batch
itself: a crash leaves all of them or none.
"""

from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKey, Index, LargeBinary, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from server.store.base import Base, Id


class Gateway(Base):
    """A Sparkplug edge node. `unit` is None until somebody claims it: listed, never evaluated, never acknowledged."""

    __tablename__ = "gateway"
    code: Mapped[str] = mapped_column(String(40), primary_key=True)
    group_id: Mapped[str] = mapped_column(String(12))
    unit: Mapped[str | None] = mapped_column(ForeignKey("unit.code"), index=True)
    name: Mapped[str] = mapped_column(String(120), default="")
    online: Mapped[bool] = mapped_column(Boolean, default=False)
    changed_at: Mapped[int] = mapped_column(default=0)
    last_seen_at: Mapped[int] = mapped_column(default=0)
    bd_seq: Mapped[int | None]
    born_stamp: Mapped[int | None]
    """The gateway's own time (UTC ms) in its last birth: an older birth is a replay."""
    acknowledges: Mapped[bool] = mapped_column(Boolean, default=False)
    epoch: Mapped[str] = mapped_column(String(20), default="")
    clock_offset_ms: Mapped[int] = mapped_column(default=0)
    rules_version: Mapped[str] = mapped_column(String(64), default="")
    offers: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """What its devices may be told to do (contract.offers), as its last birth says; None where it does not tell."""
    birth: Mapped[bytes | None] = mapped_column(LargeBinary)


class Point(Base):
    """A measured quantity at one place; `interval_ms` is None where a foreign gateway does not tell it."""

    __tablename__ = "point"
    __table_args__ = (UniqueConstraint("gateway", "device", "quantity", "channel"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    gateway: Mapped[str] = mapped_column(String(40))
    device: Mapped[str] = mapped_column(String(60))
    quantity: Mapped[str] = mapped_column(String(24))
    channel: Mapped[str] = mapped_column(String(24), default="")
    room: Mapped[str | None] = mapped_column(ForeignKey("room.code"), index=True)
    unit: Mapped[str] = mapped_column(String(12), default="")
    interval_ms: Mapped[int | None]
    klass: Mapped[str] = mapped_column(String(12), default="measure")
    created_at: Mapped[int]
    # Last sample before the oldest journal row; newer ones are found by walking the journal backwards.
    last_at: Mapped[int | None]


class Watermark(Base):
    """Highest contiguous sequence stored of one spool, and the ranges received above it. `epoch` is unsigned 64 bit, kept as text."""

    __tablename__ = "watermark"
    gateway: Mapped[str] = mapped_column(String(40), primary_key=True)
    epoch: Mapped[str] = mapped_column(String(20), primary_key=True)
    upto: Mapped[int]
    ranges: Mapped[list[Any]] = mapped_column(JSON, default=list)
    lost: Mapped[int] = mapped_column(default=0)


class Journal(Base):
    """Accepted samples, one compressed columnar row per commit; see store/journal.py for the body."""

    __tablename__ = "journal"
    __table_args__ = ({"sqlite_autoincrement": True},)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    received_at: Mapped[int] = mapped_column(index=True)
    count: Mapped[int]
    body: Mapped[bytes] = mapped_column(LargeBinary)


class JournalCursor(Base):
    """How far a reader of the journal has come."""

    __tablename__ = "journal_cursor"
    reader: Mapped[str] = mapped_column(String(32), primary_key=True)
    journal: Mapped[int]


class GatewayCommand(Base):
    """Something to tell a gateway; drained by ingest/downlink. state: pending | sent | expired.

    A write may be held until a second person confirms it, is sent again until its outcome comes, and then has that as its state: done | refused |
    failed | unknown. So is an order to the siren.
    """

    __tablename__ = "gateway_command"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    gateway: Mapped[str] = mapped_column(String(40), index=True)
    kind: Mapped[str] = mapped_column(String(24))
    body: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    created_at: Mapped[int]
    expires_at: Mapped[int]
    state: Mapped[str] = mapped_column(String(10), default="pending")


class Refused(Base):
    """Poison input set aside once, with its reason."""

    __tablename__ = "refused"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    at: Mapped[int]
    topic: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(String(32))
    detail: Mapped[str] = mapped_column(String(400))
    payload: Mapped[bytes] = mapped_column(LargeBinary)


class Snapshot(Base):
    """A camera still; the picture lies in the data folder under its SHA-256."""

    __tablename__ = "snapshot"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    gateway: Mapped[str] = mapped_column(String(40))
    device: Mapped[str] = mapped_column(String(60))
    room: Mapped[str | None] = mapped_column(ForeignKey("room.code"), index=True)
    taken_at: Mapped[int] = mapped_column(index=True)
    received_at: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int]
    reason: Mapped[str] = mapped_column(String(24), default="")


class CoverageSpan(Base):
    """A stretch of one room's watch: watched | degraded | blind | manual, with cause; the open one has until NULL.

    `cause`: sensor | bus | gateway | uplink | server | planned | not_connected. `counted`: the room was in use, so it enters percentages.
    """

    __tablename__ = "coverage_span"
    __table_args__ = (
        Index("coverage_by_room", "room", "since"),
        Index("coverage_not_counted", "room", "since", sqlite_where=text("counted IS 0"), postgresql_where=text("counted IS false")),
    )
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    room: Mapped[str] = mapped_column(ForeignKey("room.code"))
    since: Mapped[int]
    until: Mapped[int | None]
    state: Mapped[str] = mapped_column(String(12))
    cause: Mapped[str] = mapped_column(String(16), default="")
    detail: Mapped[str] = mapped_column(String(120), default="")
    counted: Mapped[bool] = mapped_column(Boolean, default=True)
