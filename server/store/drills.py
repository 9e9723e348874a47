"""Questions about drills and watch checks."""

from collections.abc import Iterable, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.store.tables import Alarm, Notification, Point, Room, Transition
from server.store.tables_drill import Drill, DrillCampaign, DrillPlan, WatchCheck
from server.store.units import below

QUANTITIES = ("smoke", "leak", "door", "motion", "power")
"""What can be drilled, by preference: states whose alarm asks for people at once."""
BY_DRILL = "drill"
_LEFT = ("sent", "delivered", "merged")


def page(session: Session, scope: str | None, *, campaign: int | None = None, before: int | None = None, limit: int = 50) -> Sequence[Drill]:
    """Drills of a subtree, newest first."""
    query = select(Drill).where(Drill.unit.in_(below(scope)))
    if campaign is not None:
        query = query.where(Drill.campaign == campaign)
    if before is not None:
        query = query.where(Drill.id < before)
    return session.scalars(query.order_by(Drill.id.desc()).limit(limit)).all()


def between(session: Session, scope: str | None, since: int, until: int) -> Sequence[Drill]:
    """Drills of a subtree put on the list in since ≤ t < until, oldest first."""
    query = select(Drill).where(Drill.unit.in_(below(scope)), Drill.due_at >= since, Drill.due_at < until)
    return session.scalars(query.order_by(Drill.due_at, Drill.id)).all()


def campaigns(session: Session, scope: str | None, limit: int = 20) -> Sequence[tuple[DrillCampaign, int, int, int]]:
    """The newest campaigns of a subtree, each with the number of its rooms, of those detected, and of those finished."""
    detected, done = func.count(Drill.detected_at), func.count(Drill.ended_at)
    query = select(DrillCampaign, func.count(Drill.id), detected, done).join(Drill, Drill.campaign == DrillCampaign.id)
    query = query.where(DrillCampaign.unit.in_(below(scope))).group_by(DrillCampaign.id).order_by(DrillCampaign.id.desc())
    return [(row[0], row[1], row[2], row[3]) for row in session.execute(query.limit(limit))]


def plans(session: Session, scope: str | None) -> Sequence[DrillPlan]:
    """Standing orders of a subtree, the newest first."""
    return session.scalars(select(DrillPlan).where(DrillPlan.unit.in_(below(scope))).order_by(DrillPlan.at.desc(), DrillPlan.unit)).all()


def rooms(session: Session, unit: str, room: str | None = None) -> Sequence[tuple[str, str]]:
    """(code, unit) of the rooms in service in a subtree, or of one of them."""
    query = select(Room.code, Room.unit).where(Room.unit.in_(below(unit)), Room.stage == "in_use").order_by(Room.code)
    if room is not None:
        query = query.where(Room.code == room)
    return [(row[0], row[1]) for row in session.execute(query)]


def point(session: Session, room: str, quantity: str = "") -> Point | None:
    """The point of a room that a drill uses: of a quantity, or of the first that the room has."""
    wanted = (quantity,) if quantity else QUANTITIES
    found = session.scalars(select(Point).where(Point.room == room, Point.quantity.in_(wanted)).order_by(Point.id)).all()
    return min(found, key=lambda row: wanted.index(row.quantity), default=None)


def running(session: Session, room: str) -> bool:
    """Whether a drill of a room has begun and not ended."""
    begun = select(Drill.id).where(Drill.room == room, Drill.state.in_(("sent", "detected")))
    return session.scalar(begun.limit(1)) is not None


def last_drilled(session: Session, scope: str) -> dict[str, int]:
    """When each room of a subtree was last put on the list (UTC ms)."""
    query = select(Drill.room, func.max(Drill.due_at)).where(Drill.unit.in_(below(scope))).group_by(Drill.room)
    return {row[0]: row[1] for row in session.execute(query)}


def answer(session: Session, alarm: int) -> Transition | None:
    """The first answer that a person gave to the alarm of a drill."""
    query = select(Transition).where(Transition.alarm == alarm, Transition.name == "acknowledged", Transition.via != BY_DRILL)
    return session.scalar(query.order_by(Transition.id).limit(1))


def told(session: Session, alarm: int) -> Sequence[Notification]:
    """Messages about the alarm of a drill, in order."""
    return session.scalars(select(Notification).where(Notification.alarm == alarm).order_by(Notification.id)).all()


def drilled(session: Session, people: Iterable[int]) -> frozenset[int]:
    """Those of some persons who have had a message of a drill."""
    query = select(Notification.person).join(Alarm, Alarm.id == Notification.alarm).where(Alarm.drill.is_(True))
    query = query.where(Notification.person.in_(list(people)), Notification.state.in_(_LEFT))
    return frozenset(ident for ident in session.scalars(query.distinct()) if ident is not None)


def open_check(session: Session, scope: str | None) -> WatchCheck | None:
    """The oldest open question to a desk in a subtree."""
    query = select(WatchCheck).where(WatchCheck.unit.in_(below(scope)), WatchCheck.state == "open").order_by(WatchCheck.id)
    return session.scalar(query.limit(1))


def checks(session: Session, scope: str | None, limit: int = 50) -> Sequence[WatchCheck]:
    """Watch checks of a subtree, newest first."""
    return session.scalars(select(WatchCheck).where(WatchCheck.unit.in_(below(scope))).order_by(WatchCheck.id.desc()).limit(limit)).all()
