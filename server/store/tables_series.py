"""Tables beside the series store: remarks on its curves, intervals of the past, and seals that show whether a stored sample was changed."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.store.base import Base, Id


class Annotation(Base):
    """A person's remark on a stretch of a room's history; `quantity` '' concerns all. Removed ones keep their row, with who removed them."""

    __tablename__ = "annotation"
    __table_args__ = (Index("annotation_by_room", "room", "since"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    room: Mapped[str] = mapped_column(ForeignKey("room.code"))
    since: Mapped[int]
    until: Mapped[int | None]
    quantity: Mapped[str] = mapped_column(String(24), default="")
    text: Mapped[str] = mapped_column(Text)
    by: Mapped[str] = mapped_column(String(60))
    created_at: Mapped[int]
    removed_at: Mapped[int | None]
    removed_by: Mapped[str] = mapped_column(String(60), default="")


class PointStep(Base):
    """At which interval a point was read in the past: its samples taken in [since, until) came every `step_ms` (None: nobody told).

    `origin` says how that is known: import (seen in imported samples, goes before the other) or change (the interval declared until then).
    """

    __tablename__ = "point_step"
    __table_args__ = (Index("point_step_by_point", "point"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    point: Mapped[int] = mapped_column(ForeignKey("point.id"))
    since: Mapped[int]
    until: Mapped[int]
    step_ms: Mapped[int | None]
    origin: Mapped[str] = mapped_column(String(8))
    noted_at: Mapped[int]


class SeriesSeal(Base):
    """What the samples of a place on a day were when it was sealed: revision 1 at its close, more when late samples came.

    `place` is a room code, or a gateway code for points of no room. The digest covers the samples that had arrived by `cut` (UTC ms); `points` holds
    the point ids with count and short digest of each, and a short digest per hour, by which a change is located. `chain` hashes this row and the
    chain of the row before it of the same place.
    """

    __tablename__ = "series_seal"
    __table_args__ = (UniqueConstraint("place", "day", "revision"), {"sqlite_autoincrement": True})
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    place: Mapped[str] = mapped_column(String(40), index=True)
    day: Mapped[int]
    revision: Mapped[int]
    reason: Mapped[str] = mapped_column(String(16))
    cut: Mapped[int]
    samples: Mapped[int]
    digest: Mapped[str] = mapped_column(String(64))
    points: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_at: Mapped[int]
    chain: Mapped[str] = mapped_column(String(64))


class SeriesAnchor(Base):
    """The heads of all chains under a unit on one night, folded into one digest: kept for every unit up to the province, and in the audit log."""

    __tablename__ = "series_anchor"
    __table_args__ = (UniqueConstraint("unit", "day"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    unit: Mapped[str] = mapped_column(String(12))
    day: Mapped[int]
    places: Mapped[int]
    head: Mapped[int]
    digest: Mapped[str] = mapped_column(String(64))
