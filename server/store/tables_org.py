"""Tables of the organisation beside units, people and rooms: history, roles, absences, what is kept in a room, imports, proposals, notices.

Times are UTC milliseconds. Calendar days (a certificate's date) are the millisecond at which that day begins in Asia/Shanghai.
"""

from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.store.base import Base, Id


class OrgChange(Base):
    """History of units and people: founded, renamed, moved, merged, transferred … `subject` is `unit:CODE` or `person:ID`; append-only."""

    __tablename__ = "org_change"
    __table_args__ = (Index("org_change_of", "subject", "valid_from"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    subject: Mapped[str] = mapped_column(String(80))
    kind: Mapped[str] = mapped_column(String(16))
    valid_from: Mapped[int]
    recorded_at: Mapped[int]
    by: Mapped[str] = mapped_column(String(60))
    why: Mapped[str] = mapped_column(String(200), default="")
    before: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    after: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class PersonRole(Base):
    """A role of a person at a unit, from `since` until `until` (None = open). Roles and which of them combine: server/org/roles.py."""

    __tablename__ = "person_role"
    __table_args__ = (Index("person_role_at", "unit", "role"), Index("person_role_of", "person"))
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    person: Mapped[int] = mapped_column(ForeignKey("person.id"))
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"))
    role: Mapped[str] = mapped_column(String(24))
    since: Mapped[int]
    until: Mapped[int | None]
    by: Mapped[str] = mapped_column(String(60), default="")


class Absence(Base):
    """Leave of a person, with the person who stands in, if any. `cancelled_at` takes it back without losing it."""

    __tablename__ = "absence"
    __table_args__ = (Index("absence_of", "person", "until"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    person: Mapped[int] = mapped_column(ForeignKey("person.id"))
    since: Mapped[int]
    until: Mapped[int]
    stand_in: Mapped[int | None] = mapped_column(ForeignKey("person.id"))
    why: Mapped[str] = mapped_column(String(120), default="")
    by: Mapped[str] = mapped_column(String(60), default="")
    cancelled_at: Mapped[int | None]


class RoomSheet(Base):
    """一室一卡: what somebody must know who stands before the door. `body` has the fields of server/org/rooms.py SHEET."""

    __tablename__ = "room_sheet"
    room: Mapped[str] = mapped_column(ForeignKey("room.code"), primary_key=True)
    body: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    updated_at: Mapped[int]
    by: Mapped[str] = mapped_column(String(60), default="")


class RoomPlan(Base):
    """The floor plan of a room; the picture lies in the data folder under its SHA-256. `marks`: point id -> [x, y], shares of width and height."""

    __tablename__ = "room_plan"
    room: Mapped[str] = mapped_column(ForeignKey("room.code"), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    media_type: Mapped[str] = mapped_column(String(40))
    bytes: Mapped[int]
    width: Mapped[int]
    height: Mapped[int]
    marks: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    updated_at: Mapped[int]
    by: Mapped[str] = mapped_column(String(60), default="")


class Holding(Base):
    """A fonds (全宗) and how much of it lies in a room; `rank` 1 is saved first."""

    __tablename__ = "holding"
    __table_args__ = (UniqueConstraint("room", "fonds", "name"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    room: Mapped[str] = mapped_column(ForeignKey("room.code"), index=True)
    fonds: Mapped[str] = mapped_column(String(24))
    name: Mapped[str] = mapped_column(String(120))
    volumes: Mapped[int] = mapped_column(default=0)
    years: Mapped[str] = mapped_column(String(24), default="")
    rank: Mapped[int] = mapped_column(default=9)
    place: Mapped[str] = mapped_column(String(60), default="")


class Calibration(Base):
    """A calibration of the sensor behind a point. A replaced sensor keeps the point and gets a record of its own."""

    __tablename__ = "calibration"
    __table_args__ = (Index("calibration_of", "point", "calibrated_at"), Index("calibration_due", "valid_until"))
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    point: Mapped[int] = mapped_column(ForeignKey("point.id"))
    serial: Mapped[str] = mapped_column(String(60), default="")
    certificate: Mapped[str] = mapped_column(String(60), default="")
    laboratory: Mapped[str] = mapped_column(String(120), default="")
    calibrated_at: Mapped[int]
    valid_until: Mapped[int]
    note: Mapped[str] = mapped_column(String(200), default="")
    by: Mapped[str] = mapped_column(String(60), default="")
    recorded_at: Mapped[int]


class Notice(Base):
    """Something that people have to see and that is no alarm of a sensor: a calibration that falls due, an emergency access, a failed feed.

    `key` is unique while the notice stands (`open_key`), so that a job may raise it as often as it likes.
    """

    __tablename__ = "notice"
    __table_args__ = (Index("notice_of", "unit", "raised_at"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    open_key: Mapped[str | None] = mapped_column(String(120), unique=True)
    kind: Mapped[str] = mapped_column(String(24))
    level: Mapped[str] = mapped_column(String(10))
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"))
    subject: Mapped[str] = mapped_column(String(80))
    sentence: Mapped[str] = mapped_column(String(300))
    raised_at: Mapped[int]
    closed_at: Mapped[int | None]
    closed_by: Mapped[str] = mapped_column(String(60), default="")


class ChangeRequest(Base):
    """What a data keeper proposes and the level above decides. state: open | approved | refused | withdrawn."""

    __tablename__ = "change_request"
    __table_args__ = (Index("change_request_open", "state", "unit"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    subject: Mapped[str] = mapped_column(String(80))
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"))
    before: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    after: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    reason: Mapped[str] = mapped_column(String(200))
    proposed_by: Mapped[str] = mapped_column(String(60))
    proposed_at: Mapped[int]
    state: Mapped[str] = mapped_column(String(12), default="open")
    decided_by: Mapped[str] = mapped_column(String(60), default="")
    decided_at: Mapped[int | None]
    remark: Mapped[str] = mapped_column(String(200), default="")


class ImportRun(Base):
    """One import of a file. state: running | checked (dry run) | done | refused (errors, nothing written) | failed | undone."""

    __tablename__ = "import_run"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    file: Mapped[str] = mapped_column(String(120))
    sha256: Mapped[str] = mapped_column(String(64), default="")
    unit: Mapped[str | None] = mapped_column(String(12))
    by: Mapped[str] = mapped_column(String(60))
    started_at: Mapped[int]
    finished_at: Mapped[int | None]
    state: Mapped[str] = mapped_column(String(12), default="running")
    dry_run: Mapped[bool] = mapped_column(Boolean, default=False)
    rows: Mapped[int] = mapped_column(default=0)
    done: Mapped[int] = mapped_column(default=0)
    created: Mapped[int] = mapped_column(default=0)
    updated: Mapped[int] = mapped_column(default=0)
    unchanged: Mapped[int] = mapped_column(default=0)
    errors: Mapped[list[Any]] = mapped_column(JSON, default=list)
    sentence: Mapped[str] = mapped_column(Text, default="")
    undone_at: Mapped[int | None]
    undone_by: Mapped[str] = mapped_column(String(60), default="")


class ImportImage(Base):
    """What an import changed, for its undo: zlib-compressed JSON list of [table, key, before or null, after], about a thousand rows each."""

    __tablename__ = "import_image"
    run: Mapped[int] = mapped_column(ForeignKey("import_run.id"), primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[bytes] = mapped_column(LargeBinary)


class PersonReview(Base):
    """The quarterly review of who is in the books of a unit and below: who signed, when, how many people and roles, and the hash of that list."""

    __tablename__ = "person_review"
    __table_args__ = (UniqueConstraint("unit", "quarter"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"))
    quarter: Mapped[str] = mapped_column(String(8))
    people: Mapped[int]
    roles: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    signed_by: Mapped[str] = mapped_column(String(60))
    signed_at: Mapped[int]
    remark: Mapped[str] = mapped_column(String(200), default="")


class EmergencyAccess(Base):
    """应急授权 (break-glass): asked for by one administrator, granted by another, for a time; every one raises a notice and is audited."""

    __tablename__ = "emergency_access"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    role: Mapped[str] = mapped_column(String(16))
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"))
    reason: Mapped[str] = mapped_column(String(200))
    asked_at: Mapped[int]
    granted_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    granted_at: Mapped[int | None]
    until: Mapped[int | None]
    ended_at: Mapped[int | None]


class ChainCheck(Base):
    """A walk over the whole audit log. `broken` is the first entry that does not follow from the one before it."""

    __tablename__ = "chain_check"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    asked_by: Mapped[str] = mapped_column(String(60))
    asked_at: Mapped[int]
    done: Mapped[int]
    total: Mapped[int]
    broken: Mapped[int | None]
    finished_at: Mapped[int | None]
