"""Camera stills: rows here, pictures in the data folder under their SHA-256."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.store.tables import Gateway, Point, Room, Snapshot


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
