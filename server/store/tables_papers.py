"""Tables of papers: readings that people take from a dial, and papers and exports that were made. Times are UTC milliseconds."""

from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.store.base import Base, Id


class ManualReading(Base):
    """人工抄录. Never changed: a correction is a row that names the old one in `replaces`; `stored` says that the series store has it.

    `doubts` are the sentences of the plausibility check that the person confirmed. `key` makes a repeated form one reading.
    """

    __tablename__ = "manual_reading"
    __table_args__ = (Index("manual_reading_by_room", "room", "taken_at"), UniqueConstraint("key"), UniqueConstraint("replaces"))
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    room: Mapped[str] = mapped_column(ForeignKey("room.code"))
    taken_at: Mapped[int]
    temperature: Mapped[float | None]
    humidity: Mapped[float | None]
    weather: Mapped[str] = mapped_column(String(20), default="")
    measures: Mapped[str] = mapped_column(String(200), default="")
    reader: Mapped[str] = mapped_column(String(60))
    entered_by: Mapped[str] = mapped_column(String(60))
    entered_at: Mapped[int]
    via: Mapped[str] = mapped_column(String(12), default="form")
    doubts: Mapped[list[Any]] = mapped_column(JSON, default=list)
    replaces: Mapped[int | None] = mapped_column(ForeignKey("manual_reading.id"))
    key: Mapped[str] = mapped_column(String(64))
    stored: Mapped[bool] = mapped_column(Boolean, default=False, index=True)


class ExportJob(Base):
    """A paper or a data export that somebody asked for. state: queued | running | done | failed. `unit` bounds who may see it.

    `sha256` is that of the file, `digest` that of the content (server/reports/paper.py).
    """

    __tablename__ = "export_job"
    __table_args__ = (Index("export_job_by_unit", "unit", "id"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    kind: Mapped[str] = mapped_column(String(24))
    title: Mapped[str] = mapped_column(String(200))
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"))
    subject: Mapped[str] = mapped_column(String(16))
    period: Mapped[str] = mapped_column(String(64))
    ending: Mapped[str] = mapped_column(String(8))
    options: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    asked_by: Mapped[str] = mapped_column(String(60))
    asked_at: Mapped[int]
    state: Mapped[str] = mapped_column(String(10), default="queued", index=True)
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    finished_at: Mapped[int | None]
    file_name: Mapped[str] = mapped_column(String(200), default="")
    bytes: Mapped[int] = mapped_column(default=0)
    sha256: Mapped[str] = mapped_column(String(64), default="")
    digest: Mapped[str] = mapped_column(String(64), default="")
    error: Mapped[str] = mapped_column(Text, default="")
