"""Questions about rooms and their points."""

from collections.abc import Sequence

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from server.store.tables import Gateway, Person, Point, Room, Unit
from server.store.units import inside, path


def get(session: Session, code: str) -> Room | None:
    """One room."""
    return session.get(Room, code)


def names(session: Session, codes: Sequence[str]) -> dict[str, tuple[str, str]]:
    """(room name, unit name) per room code."""
    query = select(Room.code, Room.name, Unit.name).join(Unit, Unit.code == Room.unit).where(Room.code.in_(codes))
    return {code: (name, unit) for code, name, unit in session.execute(query)}


def codes(session: Session, scope: str | None, *, after: str, limit: int) -> Sequence[str]:
    """Codes of the rooms of a subtree, in order, those after `after`."""
    query = select(Room.code).where(inside(session, Room.unit, scope), Room.code > after).order_by(Room.code)
    return session.scalars(query.limit(limit)).all()


def person(session: Session, code: str) -> Person | None:
    """The 库房责任人 of a room."""
    return session.scalar(select(Person).join(Room, Room.person == Person.id).where(Room.code == code))


def duty_phone(session: Session, unit: str) -> str | None:
    """Telephone of the 值班室 of a unit, or of the nearest unit above that has one."""
    line = path(session, unit)
    phones = {row.code: row.duty_phone for row in session.execute(select(Unit.code, Unit.duty_phone).where(Unit.code.in_(line)))}
    return next((phones[code] for code in reversed(line) if phones.get(code)), None)


def points(session: Session, code: str, quantity: str) -> Sequence[Point]:
    """The room's points for one quantity."""
    return session.scalars(select(Point).where(Point.room == code, Point.quantity == quantity).order_by(Point.id)).all()


def shared_outdoor(session: Session, unit: str, quantity: str) -> tuple[Point, str] | None:
    """The outdoor reference that a unit shares: a point of no room whose device or channel is `outdoor`, behind a gateway of the unit or of the
    nearest one above it. With the name of that gateway.
    """
    outside = or_(Point.device == "outdoor", Point.channel == "outdoor")
    query = select(Point, Gateway).join(Gateway, Gateway.code == Point.gateway).where(Point.room.is_(None), Point.quantity == quantity, outside)
    for code in reversed(path(session, unit)):
        found = session.execute(query.where(Gateway.unit == code).order_by(Point.id).limit(1)).first()
        if found is not None:
            return found[0], found[1].name or found[1].code
    return None
