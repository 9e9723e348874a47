"""Questions about announced work in rooms."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.store.tables import Room
from server.store.tables_watch import Work
from server.store.units import below

AHEAD = ("planned", "running")


def get(session: Session, ident: int) -> Work | None:
    """One."""
    return session.get(Work, ident)


def planned(session: Session, room: str | None = None) -> Sequence[Work]:
    """What has not begun, of one room or of all, the first to begin first."""
    query = select(Work).where(Work.state == "planned").order_by(Work.since, Work.id)
    return session.scalars(query if room is None else query.where(Work.room == room)).all()


def running(session: Session, room: str) -> Sequence[Work]:
    """What is under way in a room."""
    return session.scalars(select(Work).where(Work.state == "running", Work.room == room)).all()


def ahead(session: Session, scope: str | None, limit: int = 200) -> Sequence[Work]:
    """What is to come or under way in a subtree, the first to begin first."""
    query = select(Work).join(Room, Room.code == Work.room).where(Work.state.in_(AHEAD), Room.unit.in_(below(scope)))
    return session.scalars(query.order_by(Work.since, Work.id).limit(limit)).all()


def page(
    session: Session, scope: str | None, *, room: str = "", state: Sequence[str] = (), before: int | None = None, limit: int = 50
) -> Sequence[Work]:
    """Work in a subtree, or in one room of it, the last announced first."""
    query = select(Work).join(Room, Room.code == Work.room).where(Room.unit.in_(below(scope)))
    if room:
        query = query.where(Work.room == room)
    if state:
        query = query.where(Work.state.in_(state))
    if before is not None:
        query = query.where(Work.id < before)
    return session.scalars(query.order_by(Work.id.desc()).limit(limit)).all()
