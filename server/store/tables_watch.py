"""Tables of the watch beside the alarms themselves: groups, the late lane, the server's own absences, reports by persons, standing states."""

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.store.base import Base

Id = BigInteger().with_variant(Integer, "sqlite")


class AlarmGroup(Base):
    """合并告警: one common cause. `alarm` is its own row; it may grow within unit `scope` while its burst lasts. `ended_at` NULL = active."""

    __tablename__ = "alarm_group"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    alarm: Mapped[int] = mapped_column(ForeignKey("alarm.id"), unique=True)
    cause: Mapped[str] = mapped_column(String(12))
    scope: Mapped[str] = mapped_column(ForeignKey("unit.code"))
    since: Mapped[int]
    joined_at: Mapped[int]
    ended_at: Mapped[int | None] = mapped_column(index=True)


class AlarmGroupMember(Base):
    """An alarm while it belongs to a group; `left_at` NULL = it still does."""

    __tablename__ = "alarm_group_member"
    __table_args__ = (UniqueConstraint("group_id", "alarm"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    group_id: Mapped[int] = mapped_column(ForeignKey("alarm_group.id"))
    alarm: Mapped[int] = mapped_column(ForeignKey("alarm.id"), index=True)
    joined_at: Mapped[int]
    left_at: Mapped[int | None]


class Annunciation(Base):
    """A transition that asked people for attention, and for which no group spoke: only these count as alarms in the statistics."""

    __tablename__ = "annunciation"
    transition: Mapped[int] = mapped_column(ForeignKey("transition.id"), primary_key=True, autoincrement=False)
    alarm: Mapped[int] = mapped_column(ForeignKey("alarm.id"), index=True)
    at: Mapped[int] = mapped_column(index=True)
    level: Mapped[str] = mapped_column(String(10))


class LateMemory(Base):
    """The pure core's state of one (subject, rule) in the late lane; `alarm` is the record that it has led to."""

    __tablename__ = "late_memory"
    subject: Mapped[str] = mapped_column(String(80), primary_key=True)
    rule: Mapped[str] = mapped_column(String(60), primary_key=True)
    alarm: Mapped[int | None]
    last_at: Mapped[int]
    body: Mapped[dict[str, Any]] = mapped_column(JSON)


class WatchPulse(Base):
    """One row: when the watch last proved that it was alive."""

    __tablename__ = "watch_pulse"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[int]


class ServerOutage(Base):
    """A time in which nobody watched because the server did not run: [began, ended)."""

    __tablename__ = "server_outage"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    began: Mapped[int]
    ended: Mapped[int]


class RoomReport(Base):
    """A named person reported from a room, which therefore counts as watched by a person until `until`."""

    __tablename__ = "room_report"
    __table_args__ = (Index("room_report_by_room", "room", "until"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    room: Mapped[str] = mapped_column(ForeignKey("room.code"))
    at: Mapped[int]
    until: Mapped[int]
    by: Mapped[str] = mapped_column(String(60))
    via: Mapped[str] = mapped_column(String(16), default="")
    note: Mapped[str] = mapped_column(String(500), default="")


class Work(Base):
    """维护计划: work in a room that was announced before it begins. `second` vouched for pausing smoke as well; without one it stays heard.

    `state`: planned | running | over | cancelled | missed (the server did not run in all of its time).
    """

    __tablename__ = "work"
    __table_args__ = (Index("work_by_state", "state", "since"), Index("work_by_room", "room", "since"))
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    room: Mapped[str] = mapped_column(ForeignKey("room.code"))
    since: Mapped[int]
    until: Mapped[int]
    reason: Mapped[str] = mapped_column(String(200))
    person: Mapped[str] = mapped_column(String(60))
    second: Mapped[str] = mapped_column(String(60), default="")
    planned_by: Mapped[str] = mapped_column(String(60))
    planned_at: Mapped[int]
    state: Mapped[str] = mapped_column(String(12), default="planned")
    ended_at: Mapped[int | None]
    ended_by: Mapped[str] = mapped_column(String(60), default="")


class Chronic(Base):
    """长期不达标: an alarm that has become a standing state; `since` is the start of the deviation, `ended_at` NULL = it stands."""

    __tablename__ = "chronic"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    alarm: Mapped[int] = mapped_column(ForeignKey("alarm.id"), index=True)
    since: Mapped[int]
    declared_at: Mapped[int]
    ended_at: Mapped[int | None] = mapped_column(index=True)
