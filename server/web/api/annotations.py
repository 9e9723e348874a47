"""What happened beside the curves of a room: alarms, doors and other states that changed, gaps of the watch, and remarks of people."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import Depends
from pydantic import BaseModel, Field
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from contract.quantities import QUANTITIES, Kind
from server.series import GOOD
from server.store import annotations, audit, coverage
from server.store.tables import Alarm, Point
from server.store.tables_series import Annotation
from server.web.api.common import PROBLEMS, From, Instant, To, Viewer, at, at_or_none, ms, span
from server.web.api.history import DAY_MS, answering
from server.web.api.models import Body
from server.web.auth import Principal, ServicesOf, require, require_room
from server.web.problems import ProblemError, invalid
from server.web.rights import Action
from server.web.routers import api_router
from server.web.services import Services

router = api_router("history", refusals=PROBLEMS)

LONGEST_MS = 400 * DAY_MS
MOST = 2_000
_MOST_SAMPLES = 200_000


class AlarmMark(BaseModel):
    """An alarm of the room. `cleared_at` null: its condition still holds."""

    id: int
    number: str
    rule: str
    kind: str
    quantity: str
    level: str
    state: str
    raised_at: datetime
    cleared_at: datetime | None
    known_late: bool
    drill: bool


class StateChange(BaseModel):
    """A contact changed: door, smoke, leak, motion, power …; 1 is open, alarm, present."""

    time: datetime
    point: int
    quantity: str
    value: float


class GapMark(BaseModel):
    """A stretch in which the room was not fully watched."""

    since: datetime
    until: datetime
    state: str
    cause: str


class AnnotationView(BaseModel):
    """A remark. `quantity` empty: it concerns the whole room; `until` null: an instant."""

    id: int
    since: datetime
    until: datetime | None
    quantity: str
    text: str
    by: str
    created_at: datetime


class RoomEvents(BaseModel):
    """Everything beside the curves of a range. `cut` tells that there was more of something than is given."""

    room: str
    alarms: list[AlarmMark]
    changes: list[StateChange]
    gaps: list[GapMark]
    annotations: list[AnnotationView]
    cut: bool = Field(description=f"of alarms and changes the first {MOST} are given")


class NewAnnotation(Body):
    """A remark to add."""

    since: Instant
    until: Instant | None = None
    quantity: str = Field(default="", description="empty: the whole room")
    text: str = Field(min_length=1, max_length=500)


@router.get("/rooms/{code}/events", operation_id="listRoomEvents")
def events(code: str, who: Viewer, services: ServicesOf, start: From = None, end: To = None) -> RoomEvents:
    """What happened in a room in a range, by default the last 24 hours."""
    require_room(services, who, code)
    now = services.clock()
    since, until = span(start, end, default=(now - DAY_MS, now + 1), longest_ms=LONGEST_MS)
    with services.db.read() as session:
        alarms = _alarms(session, code, since, until)
        contacts = _contacts(session, code)
        watched = coverage.stretches(session, [code], since, min(until, now))[code] if since < now else []
        remarks = [_annotation(row) for row in annotations.within(session, code, since, until)]
    changes, more = _changes(services, contacts, since, until)
    gaps = [GapMark(since=at(s.since), until=at(s.until), state=s.state, cause=s.cause) for s in watched if s.state != "watched"]
    return RoomEvents(room=code, alarms=alarms[:MOST], changes=changes, gaps=gaps, annotations=remarks, cut=more or len(alarms) > MOST)


@router.post("/rooms/{code}/annotations", operation_id="annotate", status_code=201)
def annotate(code: str, body: NewAnnotation, who: Annotated[Principal, Depends(require(Action.HANDLE))], services: ServicesOf) -> AnnotationView:
    """Add a remark to the history of a room."""
    require_room(services, who, code)
    since, until = ms(body.since), None if body.until is None else ms(body.until)
    if until is not None and until < since:
        raise invalid("结束时间须晚于开始时间。", "body.until", "until must not be before since")
    if body.quantity and body.quantity not in QUANTITIES:
        raise invalid("没有这种测量量。", "body.quantity", "unknown quantity")
    now = services.clock()
    with services.db.write() as session:
        row = annotations.add(session, code, since=since, until=until, quantity=body.quantity, text=body.text, by=who.name, now=now)
        audit.append(session, who.name, "annotation.add", f"room:{code}", {"id": row.id, "since": since, "until": until, "text": body.text}, now)
        return _annotation(row)


@router.delete("/rooms/{code}/annotations/{ident}", operation_id="removeAnnotation", status_code=204)
def remove(code: str, ident: int, who: Annotated[Principal, Depends(require(Action.HANDLE))], services: ServicesOf) -> None:
    """Take a remark off the curves; it is kept with the name of who did so."""
    require_room(services, who, code)
    now = services.clock()
    with services.db.write() as session:
        row = annotations.get(session, ident) if 0 <= ident < 1 << 63 else None
        if row is None or row.room != code or row.removed_at is not None:
            raise ProblemError(404, "没有这条批注。")
        row.removed_at, row.removed_by = now, who.name
        audit.append(session, who.name, "annotation.remove", f"room:{code}", {"id": row.id, "text": row.text, "by": row.by}, now)


def _annotation(row: Annotation) -> AnnotationView:
    return AnnotationView(
        id=row.id, since=at(row.since), until=at_or_none(row.until), quantity=row.quantity, text=row.text, by=row.by, created_at=at(row.created_at)
    )


def _alarms(session: Session, code: str, since: int, until: int) -> list[AlarmMark]:
    query = select(Alarm).where(Alarm.room == code, Alarm.raised_at < until, or_(Alarm.cleared_at.is_(None), Alarm.cleared_at >= since))
    query = query.where(or_(Alarm.closed_at.is_(None), Alarm.closed_at >= since)).order_by(Alarm.raised_at, Alarm.id).limit(MOST + 1)
    return [
        AlarmMark(
            id=row.id, number=row.number, rule=row.rule, kind=row.kind, quantity=row.quantity, level=row.level, state=row.state,
            raised_at=at(row.raised_at), cleared_at=at_or_none(row.cleared_at), known_late=row.known_late, drill=row.drill,
        )
        for row in session.scalars(query)
    ]  # fmt: skip


def _contacts(session: Session, code: str) -> dict[int, str]:
    states = [name for name, quantity in QUANTITIES.items() if quantity.kind is Kind.STATE and name != "camera"]
    query = select(Point.id, Point.quantity).where(Point.room == code, Point.quantity.in_(states))
    return {row.id: row.quantity for row in session.execute(query)}


def _changes(services: Services, contacts: dict[int, str], since: int, until: int) -> tuple[list[StateChange], bool]:
    """Samples whose value differs from the good one before, in order of time; the first of a range counts when it is not 0."""
    with answering():
        rows = services.store.raw(sorted(contacts), since, until, _MOST_SAMPLES)
    found: list[StateChange] = []
    last: dict[int, float] = {}
    for row in rows:
        if row.quality == GOOD and row.value is not None and row.value != last.get(row.point_id, 0.0):
            found.append(StateChange(time=at(row.taken_at), point=row.point_id, quantity=contacts[row.point_id], value=row.value))
        if row.quality == GOOD and row.value is not None:
            last[row.point_id] = row.value
    return _first(found), len(rows) == _MOST_SAMPLES or len(found) > MOST


def _first(found: Sequence[StateChange]) -> list[StateChange]:
    return sorted(found, key=lambda change: change.time)[:MOST]
