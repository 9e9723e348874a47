"""Alarms as they happen: state, record, due instants and messages."""

from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.store.base import Base, Id


class Alarm(Base):
    """One alarm occurrence. `open_key` is "subject|rule" while it is open and NULL afterwards: unique, so never two at once."""

    __tablename__ = "alarm"
    __table_args__ = (Index("alarm_by_room", "room", "raised_at"), {"sqlite_autoincrement": True})
    id: Mapped[int] = mapped_column(Id, primary_key=True)
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
    id: Mapped[int] = mapped_column(Id, primary_key=True)
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
    id: Mapped[int] = mapped_column(Id, primary_key=True)
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
    id: Mapped[int] = mapped_column(Id, primary_key=True)
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
