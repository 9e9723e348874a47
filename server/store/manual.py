"""Questions about readings that people took."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from server.store.tables import Point
from server.store.tables_papers import ManualReading

GATEWAY = "manual"
"""Pseudo gateway of the points that carry manual readings in the series store."""


def valid(session: Session, rooms: Sequence[str], start: int, end: int) -> dict[str, list[ManualReading]]:
    """Readings of [start, end) per room in order of time, without those that a later entry has replaced."""
    newer = aliased(ManualReading)
    query = (
        select(ManualReading)
        .where(ManualReading.room.in_(rooms), ManualReading.taken_at >= start, ManualReading.taken_at < end)
        .where(~select(newer.id).where(newer.replaces == ManualReading.id).exists())
        .order_by(ManualReading.room, ManualReading.taken_at, ManualReading.id)
    )
    found: dict[str, list[ManualReading]] = {room: [] for room in rooms}
    for row in session.scalars(query):
        found[row.room].append(row)
    return found


def page(session: Session, room: str, *, before: int | None, limit: int) -> Sequence[ManualReading]:
    """Entries of a room, the newest entry first, replaced ones included."""
    query = select(ManualReading).where(ManualReading.room == room).order_by(ManualReading.id.desc()).limit(limit)
    return session.scalars(query if before is None else query.where(ManualReading.id < before)).all()


def by_key(session: Session, key: str) -> ManualReading | None:
    """The entry that a form with this key made."""
    return session.scalar(select(ManualReading).where(ManualReading.key == key))


def replacement(session: Session, ident: int) -> ManualReading | None:
    """The entry that replaced this one."""
    return session.scalar(select(ManualReading).where(ManualReading.replaces == ident))


def waiting(session: Session, limit: int) -> Sequence[ManualReading]:
    """Readings that the series store does not have yet, oldest first."""
    return session.scalars(select(ManualReading).where(ManualReading.stored.is_(False)).order_by(ManualReading.id).limit(limit)).all()


def point(session: Session, room: str, quantity: str) -> Point | None:
    """The point that carries a room's manual readings of a quantity."""
    return session.scalar(select(Point).filter_by(gateway=GATEWAY, device=room, quantity=quantity, channel=""))
