"""Rooms with the points that their rules judge, for whoever judges stored or journalled samples."""

from collections import defaultdict
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.settings import WatchSettings
from server.store import units
from server.store.tables import Point, Room

OUTDOOR = "outdoor"


class Place(NamedTuple):
    """A room with its points: (id, quantity, allowed silence in ms)."""

    room: str
    medium: str
    path: tuple[str, ...]
    points: tuple[tuple[int, str, int], ...]


def places(session: Session, unit: str, settings: WatchSettings, room: str | None = None, *, bare: bool = False) -> list[Place]:
    """The rooms of a unit and below it that have points, or one of them; `bare`: those without points too.

    Outdoor points are left out: a room's limits are not meant for the weather.
    """
    query = select(Room).where(Room.unit.in_(units.below(unit))).order_by(Room.code)
    rows = session.scalars(query if room is None else query.where(Room.code == room)).all()
    points: dict[str, list[tuple[int, str, int]]] = defaultdict(list)
    for point in session.scalars(select(Point).where(Point.room.in_([row.code for row in rows])).order_by(Point.id)):
        if OUTDOOR not in (point.channel, point.device):
            points[point.room or ""].append((point.id, point.quantity, settings.allowed_ms(point.interval_ms)))
    return [Place(row.code, row.medium, units.path(session, row.unit), tuple(points[row.code])) for row in rows if bare or points[row.code]]
