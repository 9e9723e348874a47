"""Tables of the privacy of camera stills: what is covered, and how long they are kept."""

from typing import Any

from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from server.store.base import Base


class StillMask(Base):
    """What is covered in the pictures of a camera: `areas` are [left, top, width, height], shares of width and height. None: nothing is."""

    __tablename__ = "still_mask"
    gateway: Mapped[str] = mapped_column(String(40), primary_key=True)
    device: Mapped[str] = mapped_column(String(60), primary_key=True)
    areas: Mapped[list[Any]] = mapped_column(JSON, default=list)
    reason: Mapped[str] = mapped_column(String(200))
    by: Mapped[str] = mapped_column(String(60))
    at: Mapped[int]


class StillPolicy(Base):
    """For how many days a unit and those below it keep stills that belong to no incident; the nearest unit upward that says so decides."""

    __tablename__ = "still_policy"
    unit: Mapped[str] = mapped_column(ForeignKey("unit.code"), primary_key=True)
    keep_days: Mapped[int]
    reason: Mapped[str] = mapped_column(String(200))
    by: Mapped[str] = mapped_column(String(60))
    at: Mapped[int]
