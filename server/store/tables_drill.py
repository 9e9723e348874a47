"""Tables of drills and watch checks 查岗. Times are UTC ms."""

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from server.store.base import Base, Id


class DrillCampaign(Base):
    """One order for one or many rooms, by a person of a unit above, or by the timer (`by` "定时")."""

    __tablename__ = "drill_campaign"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), index=True)
    by: Mapped[str] = mapped_column(String(60))
    at: Mapped[int]
    note: Mapped[str] = mapped_column(Text, default="")


class Drill(Base):
    """A drill of one room. state: waiting | sent | detected | ended | failed; `result` is what was signed, `signature` its SHA-256,
    which stands in the audit log."""

    __tablename__ = "drill"
    __table_args__ = (Index("drill_by_state", "state"), Index("drill_by_room", "room", "id"))
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    campaign: Mapped[int] = mapped_column(ForeignKey("drill_campaign.id"), index=True)
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), index=True)
    room: Mapped[str] = mapped_column(ForeignKey("room.code"))
    point: Mapped[int | None] = mapped_column(ForeignKey("point.id"))
    state: Mapped[str] = mapped_column(String(10), default="waiting")
    due_at: Mapped[int]
    sent_at: Mapped[int | None]
    detected_at: Mapped[int | None]
    alarm: Mapped[int | None] = mapped_column(ForeignKey("alarm.id"))
    ended_at: Mapped[int | None]
    reason: Mapped[str] = mapped_column(String(200), default="")
    result: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    signature: Mapped[str] = mapped_column(String(64), default="")


class DrillPlan(Base):
    """A standing order: every room of a unit once in `every_days`, on working days."""

    __tablename__ = "drill_plan"
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), primary_key=True)
    every_days: Mapped[int]
    by: Mapped[str] = mapped_column(String(60))
    at: Mapped[int]


class WatchCheck(Base):
    """查岗: a question that only somebody who looks at the board can answer. state: open | right | wrong | missed."""

    __tablename__ = "watch_check"
    __table_args__ = (Index("watch_check_by_unit", "unit", "state"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"))
    room: Mapped[str] = mapped_column(ForeignKey("room.code"))
    quantity: Mapped[str] = mapped_column(String(24))
    asked_at: Mapped[int]
    asked_by: Mapped[str] = mapped_column(String(60))
    due_at: Mapped[int]
    state: Mapped[str] = mapped_column(String(8), default="open")
    answered_at: Mapped[int | None]
    answered_by: Mapped[str] = mapped_column(String(60), default="")
    answer: Mapped[float | None]
    measured: Mapped[float | None]
