"""Questions about the organisation's books: imports, proposals, notices, devices, history, and the search over units, rooms and people."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session

from server.store.tables import Gateway, Person, Point, Room, Unit
from server.store.tables_org import Calibration, ChangeRequest, Holding, ImportRun, Notice, OrgChange, PersonReview, RoomPlan, RoomSheet
from server.store.units import below, inside


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that was found: kind unit | room | person; `ident` is the code, for a person the id; `unit` the unit's name."""

    kind: str
    ident: str
    name: str
    code: str
    unit: str


def search(session: Session, scope: str | None, text: str, *, people: bool, limit: int = 20) -> list[Hit]:
    """Units, rooms and people whose name, pinyin or code holds `text`; those that begin with it come first."""
    wanted = text.strip().lower()
    if not wanted:
        return []
    found: list[Hit] = []
    for kind, table, ident, home in _FOUND if people else _FOUND[:2]:
        query = select(ident, table.name, table.code, Unit.name).where(table.search.contains(wanted, autoescape=True))
        query = query.join(Unit, Unit.code == home) if table is not Unit else query
        query = query.where(inside(session, home, scope), *((Person.disabled_at.is_(None),) if kind == "person" else ()))
        begins, within = table.search.startswith(wanted, autoescape=True), table.search.contains(f" {wanted}", autoescape=True)
        rows = session.execute(query.order_by(case((begins, 0), (within, 1), else_=2), table.code).limit(limit))
        found += [Hit(kind, str(key), name, code, unit if table is not Unit else "") for key, name, code, unit in rows]
    return found


_FOUND: Final[tuple[tuple[str, Any, Any, Any], ...]] = (
    ("unit", Unit, Unit.code, Unit.code),
    ("room", Room, Room.code, Room.unit),
    ("person", Person, Person.id, Person.unit),
)
"""What is searched: kind, table, its key, the column of the unit that rights go by."""


def runs(session: Session, scope: str | None, *, before: int | None, limit: int) -> Sequence[ImportRun]:
    """Imports by people of a subtree, newest first; those without a unit are the whole province's."""
    query = select(ImportRun).order_by(ImportRun.id.desc())
    if scope is not None:
        query = query.where(ImportRun.unit.in_(below(scope)))
    if before is not None:
        query = query.where(ImportRun.id < before)
    return session.scalars(query.limit(limit)).all()


def requests(session: Session, scope: str | None, *, state: str, before: int | None, limit: int) -> Sequence[ChangeRequest]:
    """Proposals of a subtree, newest first."""
    query = select(ChangeRequest).order_by(ChangeRequest.id.desc())
    if scope is not None:
        query = query.where(ChangeRequest.unit.in_(below(scope)))
    if state:
        query = query.where(ChangeRequest.state == state)
    if before is not None:
        query = query.where(ChangeRequest.id < before)
    return session.scalars(query.limit(limit)).all()


def notices(session: Session, scope: str | None, *, standing: bool = True, before: int | None = None, limit: int = 50) -> Sequence[Notice]:
    """Notices of a subtree, newest first; with `standing` only those that nobody has closed."""
    query = select(Notice).order_by(Notice.id.desc())
    if scope is not None:
        query = query.where(Notice.unit.in_(below(scope)))
    if standing:
        query = query.where(Notice.closed_at.is_(None))
    if before is not None:
        query = query.where(Notice.id < before)
    return session.scalars(query.limit(limit)).all()


@dataclass(frozen=True, slots=True)
class Device:
    """A point with its gateway and its newest calibration."""

    point: Point
    gateway: Gateway
    calibration: Calibration | None


def devices(
    session: Session, scope: str | None, *, room: str = "", gateway: str = "", due_before: int | None = None, after: int, limit: int
) -> list[Device]:
    """Points of claimed gateways of a subtree by id, those after `after`; `due_before` keeps those whose calibration ends before it."""
    newest = select(func.max(Calibration.valid_until)).where(Calibration.point == Point.id).correlate(Point).scalar_subquery()
    query = select(Point, Gateway).join(Gateway, Gateway.code == Point.gateway).where(Point.id > after, Gateway.unit.is_not(None))
    if scope is not None:
        query = query.where(Gateway.unit.in_(below(scope)))
    if room:
        query = query.where(Point.room == room)
    if gateway:
        query = query.where(Point.gateway == gateway)
    if due_before is not None:
        query = query.where(newest < due_before)
    found = session.execute(query.order_by(Point.id).limit(limit)).all()
    latest = calibrations(session, [point.id for point, _ in found])
    return [Device(point, box, latest.get(point.id)) for point, box in found]


def calibrations(session: Session, points: Sequence[int]) -> dict[int, Calibration]:
    """The calibration of each point that is valid longest."""
    query = select(Calibration).where(Calibration.point.in_(points)).order_by(Calibration.valid_until, Calibration.id)
    return {row.point: row for row in session.scalars(query)}


def history(session: Session, subject: str, limit: int = 100) -> Sequence[OrgChange]:
    """What happened to a unit (`unit:CODE`) or a person (`person:ID`), newest first."""
    return session.scalars(select(OrgChange).where(OrgChange.subject == subject).order_by(OrgChange.id.desc()).limit(limit)).all()


def forwarded(session: Session, code: str) -> str:
    """The code that a code stands for today: that of the unit into which the unit was merged, however often."""
    seen = {code}
    while (row := session.get(Unit, code)) is not None and row.merged_into is not None and row.merged_into not in seen:
        code = row.merged_into
        seen.add(code)
    return code


def sheet(session: Session, room: str) -> RoomSheet | None:
    """The room sheet 一室一卡."""
    return session.get(RoomSheet, room)


def plan(session: Session, room: str) -> RoomPlan | None:
    """The floor plan."""
    return session.get(RoomPlan, room)


def holdings(session: Session, room: str) -> Sequence[Holding]:
    """What is kept in a room, what is saved first before the rest."""
    return session.scalars(select(Holding).where(Holding.room == room).order_by(Holding.rank, Holding.fonds, Holding.name)).all()


def at_stake(session: Session, room: str) -> tuple[int, int]:
    """How many fonds and volumes lie in a room, for the alarm that says what is at stake."""
    row = session.execute(select(func.count(Holding.fonds.distinct()), func.coalesce(func.sum(Holding.volumes), 0)).where(Holding.room == room)).one()
    return int(row[0]), int(row[1])


def reviews(session: Session, scope: str | None, limit: int = 100) -> Sequence[PersonReview]:
    """Signed quarterly reviews of a subtree, newest first."""
    query = select(PersonReview).order_by(PersonReview.id.desc()).limit(limit)
    return session.scalars(query if scope is None else query.where(PersonReview.unit.in_(below(scope)))).all()


def room_rows(
    session: Session, scope: str | None, *, own: bool = False, text: str = "", kind: str = "", stage: str = "", after: str, limit: int
) -> Sequence[tuple[Room, str, str | None]]:
    """Rooms of a subtree (`own`: of the unit alone) by code with the names of unit and person in charge."""
    query = (
        select(Room, Unit.name, Person.name).join(Unit, Unit.code == Room.unit).outerjoin(Person, Person.id == Room.person).where(Room.code > after)
    )
    if scope is not None:
        query = query.where(Room.unit == scope if own else Room.unit.in_(below(scope)))
    if text:
        query = query.where(or_(Room.search.contains(text.lower(), autoescape=True), Unit.search.contains(text.lower(), autoescape=True)))
    for column, value in ((Room.kind, kind), (Room.stage, stage)):
        if value:
            query = query.where(column == value)
    return [(room, unit, person) for room, unit, person in session.execute(query.order_by(Room.code).limit(limit))]
