"""Tables of the alarm core beside alarms and transitions: rule sets by version, changes of limits, silent trials of a rule set.

Times are UTC milliseconds; durations are milliseconds; limits are in the quantity's canonical unit.
"""

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from server.store.base import Base, Id


class RuleSetVersion(Base):
    """A rule set that was once in force: `version` is the SHA-256 of `body` (its canonical JSON), `since` when it first came into force."""

    __tablename__ = "rule_set"
    version: Mapped[str] = mapped_column(String(64), primary_key=True)
    body: Mapped[str] = mapped_column(Text)
    since: Mapped[int] = mapped_column(index=True)


class LimitChange(Base):
    """A tightened limit of one rule in one room, or in one unit and everything below it: who, why, and until when (None: until revoked).

    `limit` or `on_delay_ms` None keeps that part as the rules have it. Rows are never edited; a revoked one keeps who revoked it.
    """

    __tablename__ = "limit_change"
    __table_args__ = (Index("limit_change_in_force", "revoked_at", "since"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    rule: Mapped[str] = mapped_column(String(60))
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), index=True)
    room: Mapped[str | None] = mapped_column(ForeignKey("room.code"), index=True)
    level: Mapped[str] = mapped_column(String(10))
    limit: Mapped[float | None]
    on_delay_ms: Mapped[int | None]
    by: Mapped[str] = mapped_column(String(60))
    why: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[int]
    since: Mapped[int]
    until: Mapped[int | None]
    revoked_at: Mapped[int | None]
    revoked_by: Mapped[str] = mapped_column(String(60), default="")


class ShadowRun(Base):
    """A rule set on trial in one unit: it is judged beside the one in force and tells nobody. `memory` holds the states of its alarms."""

    __tablename__ = "shadow_run"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(60))
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), index=True)
    body: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(String(64))
    by: Mapped[str] = mapped_column(String(60))
    since: Mapped[int]
    until: Mapped[int | None]
    memory: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class ShadowAlarm(Base):
    """What a rule set on trial would have raised; `cleared_at` None while it would still hold."""

    __tablename__ = "shadow_alarm"
    __table_args__ = (Index("shadow_alarm_of", "run", "raised_at"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    run: Mapped[int] = mapped_column(ForeignKey("shadow_run.id"))
    subject: Mapped[str] = mapped_column(String(80))
    rule: Mapped[str] = mapped_column(String(60))
    room: Mapped[str] = mapped_column(ForeignKey("room.code"))
    level: Mapped[str] = mapped_column(String(10))
    raised_at: Mapped[int]
    value: Mapped[float | None]
    cleared_at: Mapped[int | None]
