"""Tables of incidents: what people did about an alarm, how it was closed, and the papers that came of it. Times are UTC ms."""

from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.store.base import Base, Id


class Incident(Base):
    """One event that people deal with. state: open | reported (waiting for the sensor's proof) | closed.

    `alarm` is the alarm that began it; more of the same room and card join. `event` and `card` are keys of the vocabulary of events
    and of cards.yaml.
    """

    __tablename__ = "incident"
    __table_args__ = (Index("incident_by_room", "room", "state"), {"sqlite_autoincrement": True})
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    alarm: Mapped[int] = mapped_column(ForeignKey("alarm.id"), unique=True)
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), index=True)
    room: Mapped[str | None] = mapped_column(ForeignKey("room.code"))
    event: Mapped[str] = mapped_column(String(32))
    card: Mapped[str] = mapped_column(String(32))
    level: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(10), default="open", index=True)
    opened_at: Mapped[int] = mapped_column(index=True)
    owner: Mapped[str] = mapped_column(String(60), default="")
    code: Mapped[str] = mapped_column(String(20), default="")
    reported_at: Mapped[int | None]
    reported_by: Mapped[str] = mapped_column(String(60), default="")
    note: Mapped[str] = mapped_column(Text, default="")
    reopened: Mapped[int] = mapped_column(default=0)
    closed_at: Mapped[int | None]
    keep_until: Mapped[int | None]


class IncidentAlarm(Base):
    """Which incident an alarm belongs to."""

    __tablename__ = "incident_alarm"
    alarm: Mapped[int] = mapped_column(ForeignKey("alarm.id"), primary_key=True)
    incident: Mapped[int] = mapped_column(ForeignKey("incident.id"), index=True)


class IncidentEntry(Base):
    """The work log, append-only. kind: opened | joined | step | unstep | log | photo | report | waiting | reopened | closed |
    filed."""

    __tablename__ = "incident_entry"
    __table_args__ = ({"sqlite_autoincrement": True},)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    incident: Mapped[int] = mapped_column(ForeignKey("incident.id"), index=True)
    at: Mapped[int]
    kind: Mapped[str] = mapped_column(String(12))
    by: Mapped[str] = mapped_column(String(60), default="")
    text: Mapped[str] = mapped_column(Text, default="")
    data: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class Dossier(Base):
    """事毕档成: the papers of a closed incident, files in the data folder under their SHA-256. A later one supersedes it.

    `upto` is the last entry of the work log that stands in it.
    """

    __tablename__ = "dossier"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    incident: Mapped[int] = mapped_column(ForeignKey("incident.id"), index=True)
    filed_at: Mapped[int]
    pdf_sha256: Mapped[str] = mapped_column(String(64))
    data_sha256: Mapped[str] = mapped_column(String(64))
    upto: Mapped[int] = mapped_column(default=0)
    keep_until: Mapped[int]
    superseded: Mapped[bool] = mapped_column(Boolean, default=False)


class IncidentPhoto(Base):
    """A picture that somebody took on site, where the room's sheet allows it; the file lies in the data folder under its SHA-256."""

    __tablename__ = "incident_photo"
    __table_args__ = (UniqueConstraint("incident", "sha256"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    incident: Mapped[int] = mapped_column(ForeignKey("incident.id"), index=True)
    at: Mapped[int]
    by: Mapped[str] = mapped_column(String(60))
    note: Mapped[str] = mapped_column(String(200), default="")
    sha256: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int]
