"""Camera stills: rows here, pictures in the data folder under their SHA-256; what is covered in them and how long they are kept."""

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session

from server.store import units
from server.store.incidents import STILL_MARGIN_MS
from server.store.tables import Gateway, Point, Room, Snapshot, Unit
from server.store.tables_incident import Incident
from server.store.tables_stills import StillMask, StillPolicy

Area = tuple[float, float, float, float]
"""Left, top, width and height as shares of the picture's width and height."""


def same(session: Session, gateway: str, device: str, taken_at: int, sha256: str) -> Snapshot | None:
    """The row of a still that was delivered before: a gateway that heard no answer sends again."""
    query = select(Snapshot).where(Snapshot.gateway == gateway, Snapshot.device == device, Snapshot.taken_at == taken_at)
    return session.scalar(query.where(Snapshot.sha256 == sha256).limit(1))


def room_of(session: Session, gateway: str, device: str, proposed: str) -> str | None:
    """The room a camera looks into: as assigned here, else as proposed if that room is of the gateway's own unit."""
    assigned = session.scalar(
        select(Point.room).where(Point.gateway == gateway, Point.device == device, Point.room.is_not(None)).order_by(Point.id).limit(1)
    )
    if assigned is not None:
        return assigned
    return session.scalar(select(Room.code).join(Gateway, Gateway.unit == Room.unit).where(Gateway.code == gateway, Room.code == proposed))


def claimed(session: Session, gateway: str) -> bool:
    """Whether a gateway belongs to a unit."""
    return session.scalar(select(Gateway.unit).where(Gateway.code == gateway)) is not None


def page(session: Session, room: str, *, before: int | None = None, limit: int) -> Sequence[Snapshot]:
    """Stills of a room as they arrived, newest first; `before` is an id."""
    query = select(Snapshot).where(Snapshot.room == room)
    if before is not None:
        query = query.where(Snapshot.id < before)
    return session.scalars(query.order_by(Snapshot.id.desc()).limit(limit)).all()


def of_room(session: Session, room: str, ident: int | None = None) -> Snapshot | None:
    """One still of a room: the newest, or that with this id."""
    query = select(Snapshot).where(Snapshot.room == room)
    if ident is not None:
        query = query.where(Snapshot.id == ident)
    return session.scalar(query.order_by(Snapshot.taken_at.desc(), Snapshot.id.desc()).limit(1))


def cameras(session: Session, room: str) -> Mapping[tuple[str, str], Snapshot]:
    """The newest still of each camera (gateway and device) that has looked into a room."""
    newest = select(func.max(Snapshot.id)).where(Snapshot.room == room).group_by(Snapshot.gateway, Snapshot.device)
    found = session.scalars(select(Snapshot).where(Snapshot.id.in_(newest)).order_by(Snapshot.gateway, Snapshot.device))
    return {(row.gateway, row.device): row for row in found}


def mask(session: Session, gateway: str, device: str) -> StillMask | None:
    """What is covered in the pictures of a camera."""
    return session.get(StillMask, (gateway, device))


def areas(session: Session, still: Snapshot) -> list[Area]:
    """The covered areas of a still: those in force for its camera now, also where the picture is older."""
    row = mask(session, still.gateway, still.device)
    return [] if row is None else [(area[0], area[1], area[2], area[3]) for area in row.areas]


def policy(session: Session, unit: str) -> StillPolicy | None:
    """What holds for a unit: its own policy, else that of the nearest unit above; None where the settings decide."""
    line = units.path(session, unit)
    found = {row.unit: row for row in session.scalars(select(StillPolicy).where(StillPolicy.unit.in_(line)))}
    return next((found[code] for code in reversed(line) if code in found), None)


def days_kept(session: Session, default: int) -> Mapping[str, int]:
    """Days by unit, for all units: each its own, else that of the unit above, at the top `default`."""
    own = {row.unit: row.keep_days for row in session.scalars(select(StillPolicy))}
    days: dict[str, int] = {}
    for code, parent in session.execute(select(Unit.code, Unit.parent).order_by(Unit.level, Unit.code)):
        days[code] = own.get(code, days.get(parent or "", default))
    return days


def linked() -> ColumnElement[bool]:
    """SQL: the still lies in the time of an incident of its room; such stills are kept with its dossier."""
    begun = Incident.opened_at - STILL_MARGIN_MS <= Snapshot.taken_at
    ended = or_(Incident.closed_at.is_(None), Incident.closed_at + STILL_MARGIN_MS >= Snapshot.taken_at)
    return exists().where(Incident.room == Snapshot.room, begun, ended)


def old(session: Session, before: int, after: int, limit: int) -> Sequence[tuple[Snapshot, str | None]]:
    """Stills taken before an instant that belong to no incident, by id behind `after`, each with the unit of its room, else of its gateway."""
    unit = func.coalesce(Room.unit, Gateway.unit)
    query = select(Snapshot, unit).outerjoin(Room, Room.code == Snapshot.room).outerjoin(Gateway, Gateway.code == Snapshot.gateway)
    query = query.where(Snapshot.taken_at < before, Snapshot.id > after, ~linked()).order_by(Snapshot.id).limit(limit)
    return [(row, found) for row, found in session.execute(query)]


def shared(session: Session, sha256: str, but: Sequence[int]) -> bool:
    """Whether another still than these is the same picture."""
    return session.scalar(select(Snapshot.id).where(Snapshot.sha256 == sha256, Snapshot.id.not_in(but)).limit(1)) is not None
