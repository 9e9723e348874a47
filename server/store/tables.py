"""Every table of the relational store. Times are UTC milliseconds; codes are those of design "Identity".

The journal lives beside the alarm tables because one transaction must carry watermark, alarm states, transitions, notifications and the batch
itself: a crash leaves all of them or none.
"""

from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Boolean, ForeignKey, Index, Integer, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# SQLite gives rowid semantics (and thus AUTOINCREMENT) only to INTEGER PRIMARY KEY.
_Id = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """Declarative base; int columns are 64 bit because instants are milliseconds."""

    type_annotation_map: ClassVar = {int: BigInteger, dict[str, Any]: JSON, list[Any]: JSON}


class Unit(Base):
    """A unit of the organisation tree; `level` 1 province … 4 station. `kind` names what a specialised unit is for ('' = territorial).

    A merged unit stays as a row with `merged_into`, so that its code can be forwarded; `search` holds what people may type (name, pinyin, code).
    """

    __tablename__ = "unit"
    code: Mapped[str] = mapped_column(String(12), primary_key=True)
    parent: Mapped[str | None] = mapped_column(ForeignKey("unit.code"), index=True)
    level: Mapped[int]
    name: Mapped[str] = mapped_column(String(120))
    short_name: Mapped[str] = mapped_column(String(12))
    duty_phone: Mapped[str | None] = mapped_column(String(20))
    kind: Mapped[str] = mapped_column(String(16), default="")
    merged_into: Mapped[str | None] = mapped_column(String(12))
    closed_at: Mapped[int | None]
    search: Mapped[str] = mapped_column(String(300), default="")


class Person(Base):
    """A person who can be told something. Roles are in person_role (tables_org.py); `duty` repeats the first of them, or ''.

    `disabled_at` is set when the person has left or an administrator took the person out; `last_seen_at` is the last sign of life (sign-in, answer,
    personnel feed) and decides who is dormant. `ways`: sms, voice, email in the order in which the person wants to be reached, [] = that order.
    """

    __tablename__ = "person"
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    code: Mapped[str] = mapped_column(String(32), unique=True)
    name: Mapped[str] = mapped_column(String(60))
    phone: Mapped[str | None] = mapped_column(String(20))
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), index=True)
    duty: Mapped[str] = mapped_column(String(24), default="")
    phone_verified_at: Mapped[int | None]
    landline: Mapped[bool] = mapped_column(Boolean, default=False)
    email: Mapped[str] = mapped_column(String(120), default="")
    ways: Mapped[list[str]] = mapped_column(JSON, default=list, server_default="[]")
    disabled_at: Mapped[int | None]
    disabled_why: Mapped[str] = mapped_column(String(120), default="")
    last_seen_at: Mapped[int | None]
    search: Mapped[str] = mapped_column(String(300), default="")


class Room(Base):
    """An archive room. `demanded` lists the quantities that must be fresh for the room to count as watched."""

    __tablename__ = "room"
    code: Mapped[str] = mapped_column(String(16), primary_key=True)
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), index=True)
    name: Mapped[str] = mapped_column(String(120))
    short_name: Mapped[str] = mapped_column(String(12))
    sms_place: Mapped[str] = mapped_column(String(9))
    kind: Mapped[str] = mapped_column(String(24), default="store")
    medium: Mapped[str] = mapped_column(String(24), default="paper")
    stage: Mapped[str] = mapped_column(String(16), default="in_use")
    city: Mapped[str] = mapped_column(String(24), default="fuzhou")
    demanded: Mapped[list[Any]] = mapped_column(JSON, default=list)
    person: Mapped[int | None] = mapped_column(ForeignKey("person.id"))
    maintenance_until: Mapped[int | None]
    maintenance_by: Mapped[str] = mapped_column(String(60), default="")
    maintenance_reason: Mapped[str] = mapped_column(String(200), default="")
    maintenance_second: Mapped[str] = mapped_column(String(60), default="")
    location: Mapped[str] = mapped_column(String(120), default="")
    search: Mapped[str] = mapped_column(String(300), default="")


class Account(Base):
    """A sign-in. `role` is duty | in_charge | inspector | system | security | audit; rights reach `unit` and below. `used_at` is its last sign-in."""

    __tablename__ = "account"
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    login: Mapped[str] = mapped_column(String(60), unique=True)
    password_hash: Mapped[str] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(16))
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"))
    person: Mapped[int | None] = mapped_column(ForeignKey("person.id"))
    display_name: Mapped[str] = mapped_column(String(60))
    disabled: Mapped[bool] = mapped_column(Boolean, default=False)
    failures: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[int | None]
    used_at: Mapped[int | None]


class WebSession(Base):
    """A revocable browser session; only the SHA-256 of the token is stored. With `view_role` its owner looks around as that role, at `view_unit`."""

    __tablename__ = "web_session"
    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    account: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    created_at: Mapped[int]
    last_seen_at: Mapped[int]
    expires_at: Mapped[int]
    address: Mapped[str] = mapped_column(String(45), default="", server_default="")
    agent: Mapped[str] = mapped_column(String(120), default="", server_default="")
    view_role: Mapped[str] = mapped_column(String(16), default="", server_default="")
    view_unit: Mapped[str] = mapped_column(String(12), default="", server_default="")


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
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
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
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    received_at: Mapped[int] = mapped_column(index=True)
    count: Mapped[int]
    body: Mapped[bytes] = mapped_column(LargeBinary)


class JournalCursor(Base):
    """How far a reader of the journal has come."""

    __tablename__ = "journal_cursor"
    reader: Mapped[str] = mapped_column(String(32), primary_key=True)
    journal: Mapped[int]


class Alarm(Base):
    """One alarm occurrence. `open_key` is "subject|rule" while it is open and NULL afterwards: unique, so never two at once."""

    __tablename__ = "alarm"
    __table_args__ = (Index("alarm_by_room", "room", "raised_at"), {"sqlite_autoincrement": True})
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    open_key: Mapped[str | None] = mapped_column(String(160), unique=True)
    subject: Mapped[str] = mapped_column(String(80))
    rule: Mapped[str] = mapped_column(String(60))
    kind: Mapped[str] = mapped_column(String(16))
    quantity: Mapped[str] = mapped_column(String(24), default="")
    room: Mapped[str | None] = mapped_column(ForeignKey("room.code"))
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), index=True)
    state: Mapped[str] = mapped_column(String(20), index=True)
    level: Mapped[str] = mapped_column(String(10))
    raised_at: Mapped[int] = mapped_column(index=True)
    raised_value: Mapped[float | None]
    limit: Mapped[float | None]
    cleared_at: Mapped[int | None]
    closed_at: Mapped[int | None] = mapped_column(index=True)
    occurrence: Mapped[int] = mapped_column(default=1)
    number: Mapped[str] = mapped_column(String(6), index=True)
    acked_at: Mapped[int | None]
    acked_by: Mapped[str] = mapped_column(String(60), default="")
    note: Mapped[str] = mapped_column(Text, default="")
    shelved_until: Mapped[int | None]
    known_late: Mapped[bool] = mapped_column(Boolean, default=False)
    drill: Mapped[bool] = mapped_column(Boolean, default=False)
    # '' | chattering | fleeting (domain.md 3.2)
    behaviour: Mapped[str] = mapped_column(String(12), default="")
    # The group alarm that speaks for this one at present.
    group_alarm: Mapped[int | None] = mapped_column(index=True)


class AlarmMemory(Base):
    """The pure core's state of one (subject, rule) when it is not the initial one; survives restarts."""

    __tablename__ = "alarm_memory"
    subject: Mapped[str] = mapped_column(String(80), primary_key=True)
    rule: Mapped[str] = mapped_column(String(60), primary_key=True)
    alarm: Mapped[int | None]
    body: Mapped[dict[str, Any]] = mapped_column(JSON)


class Transition(Base):
    """Append-only: every change of an alarm, by its ISA-18.2 name.

    `rule_set` is the version of the rules that were in force, `limit` the limit of the level then, `limit_origin` who had set it (model.Rung.origin).
    """

    __tablename__ = "transition"
    __table_args__ = ({"sqlite_autoincrement": True},)
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    alarm: Mapped[int] = mapped_column(ForeignKey("alarm.id"), index=True)
    at: Mapped[int]
    name: Mapped[str] = mapped_column(String(32))
    before: Mapped[str] = mapped_column(String(20))
    after: Mapped[str] = mapped_column(String(20))
    level: Mapped[str] = mapped_column(String(10))
    by: Mapped[str] = mapped_column(String(60), default="")
    via: Mapped[str] = mapped_column(String(16), default="")
    note: Mapped[str] = mapped_column(Text, default="")
    value: Mapped[float | None]
    rule_set: Mapped[str] = mapped_column(String(64), default="")
    limit: Mapped[float | None]
    limit_origin: Mapped[str] = mapped_column(String(80), default="")
    person: Mapped[int | None]  # who, where a code, a tested number or an own account proves it


class EscalationStep(Base):
    """A due instant of the escalation of one annunciation. state: pending | done | cancelled | blocked."""

    __tablename__ = "escalation_step"
    __table_args__ = (UniqueConstraint("alarm", "annunciation", "reason", "step"), Index("step_due", "state", "due"))
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    alarm: Mapped[int] = mapped_column(ForeignKey("alarm.id"), index=True)
    annunciation: Mapped[int]  # transition id that asked for attention
    # raised | assist | cleared | taken | progressed | progress | expire | supervise
    reason: Mapped[str] = mapped_column(String(12))
    step: Mapped[int]
    due: Mapped[int]
    state: Mapped[str] = mapped_column(String(10), default="pending")
    held: Mapped[bool] = mapped_column(Boolean, default=False)  # waited for the morning: goes into one digest


class Notification(Base):
    """One message to one person by one channel. state: queued | claimed | sent | delivered | undelivered | failed | dropped | merged.

    `phone` is the address of the channel: E.164, an e-mail address, or the name of a group channel. merged: its words went out in a digest or a
    summary, whose row carries the same text.
    """

    __tablename__ = "notification"
    __table_args__ = (
        UniqueConstraint("escalation_step", "phone", "channel"),
        Index("notification_due", "state", "due"),
        Index("notification_to", "phone", "created_at"),
    )
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    escalation_step: Mapped[int | None] = mapped_column(ForeignKey("escalation_step.id"))
    alarm: Mapped[int | None] = mapped_column(ForeignKey("alarm.id"), index=True)  # None: a code, a test message, a call to look
    reason: Mapped[str] = mapped_column(String(12))
    step: Mapped[int]
    unit: Mapped[str | None] = mapped_column(String(12))
    person: Mapped[int | None] = mapped_column(ForeignKey("person.id"))
    person_name: Mapped[str] = mapped_column(String(60), default="")
    phone: Mapped[str] = mapped_column(String(120))
    channel: Mapped[str] = mapped_column(String(24))
    number: Mapped[str] = mapped_column(String(6), index=True)
    text: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[int]
    due: Mapped[int]
    state: Mapped[str] = mapped_column(String(12), default="queued")
    claimed_until: Mapped[int | None]
    claimed_at: Mapped[int | None]
    attempts: Mapped[int] = mapped_column(default=0)
    provider_id: Mapped[str] = mapped_column(String(64), default="", index=True)
    sent_at: Mapped[int | None]
    receipt: Mapped[str] = mapped_column(String(20), default="")
    receipt_at: Mapped[int | None]
    error: Mapped[str] = mapped_column(String(200), default="")


class CoverageSpan(Base):
    """A stretch of one room's watch: watched | degraded | blind | manual, with cause; the open one has until NULL.

    `cause`: sensor | bus | gateway | uplink | server | planned | not_connected. `counted`: the room was in use, so it enters percentages.
    """

    __tablename__ = "coverage_span"
    __table_args__ = (Index("coverage_by_room", "room", "since"),)
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    room: Mapped[str] = mapped_column(ForeignKey("room.code"))
    since: Mapped[int]
    until: Mapped[int | None]
    state: Mapped[str] = mapped_column(String(12))
    cause: Mapped[str] = mapped_column(String(16), default="")
    detail: Mapped[str] = mapped_column(String(120), default="")
    counted: Mapped[bool] = mapped_column(Boolean, default=True)


class GatewayCommand(Base):
    """Something to tell a gateway; drained by ingest/downlink. state: pending | sent | expired.

    A write may be held until a second person confirms it, is sent again until its outcome comes, and then has that as its state: done | refused |
    failed | unknown.
    """

    __tablename__ = "gateway_command"
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    gateway: Mapped[str] = mapped_column(String(40), index=True)
    kind: Mapped[str] = mapped_column(String(24))
    body: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    created_at: Mapped[int]
    expires_at: Mapped[int]
    state: Mapped[str] = mapped_column(String(10), default="pending")


class Refused(Base):
    """Poison input set aside once, with its reason."""

    __tablename__ = "refused"
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    at: Mapped[int]
    topic: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(String(32))
    detail: Mapped[str] = mapped_column(String(400))
    payload: Mapped[bytes] = mapped_column(LargeBinary)


class Snapshot(Base):
    """A camera still; the picture lies in the data folder under its SHA-256."""

    __tablename__ = "snapshot"
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    gateway: Mapped[str] = mapped_column(String(40))
    device: Mapped[str] = mapped_column(String(60))
    room: Mapped[str | None] = mapped_column(ForeignKey("room.code"), index=True)
    taken_at: Mapped[int] = mapped_column(index=True)
    received_at: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int]
    reason: Mapped[str] = mapped_column(String(24), default="")


class AuditEntry(Base):
    """Who changed what, when, from where and why; append-only (triggers refuse anything else), each row hashes the one before it.

    `unit` is the unit that the entry concerns ("" the whole); `session` the public part of a session or key; `version` says how the row was hashed.
    """

    __tablename__ = "audit"
    __table_args__ = (
        Index("audit_by_subject", "subject", "action"),
        Index("audit_by_unit", "unit", "id"),
        Index("audit_by_actor", "actor", "id"),
        Index("audit_by_time", "at", "id", "action", "subject"),
    )
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    at: Mapped[int]
    actor: Mapped[str] = mapped_column(String(60))
    action: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(120))
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    chain: Mapped[str] = mapped_column(String(64))
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    unit: Mapped[str] = mapped_column(String(12), default="", server_default="")
    address: Mapped[str] = mapped_column(String(45), default="", server_default="")
    session: Mapped[str] = mapped_column(String(16), default="", server_default="")
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    reason: Mapped[str] = mapped_column(String(200), default="", server_default="")
