"""Incidents: what people do about alarms, step by step, until the sensor confirms that it is over."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from server.duty import incident_file
from server.duty import incident_work as duty
from server.store import incidents, rooms, units
from server.store.tables_incident import Incident
from server.web.api.common import PROBLEMS, Cursor, From, Limit, Viewer, at, at_or_none, decode_id, ms, page
from server.web.api.models import Body, Page
from server.web.auth import Principal, ServicesOf, require, require_unit
from server.web.problems import NO_RIGHT, ProblemError
from server.web.rights import Action
from server.web.routers import api_router
from server.web.services import Services

router = api_router("incidents", refusals=PROBLEMS)
_CONFLICT: dict[int | str, dict[str, Any]] = {409: PROBLEMS[404] | {"description": "the incident has changed"}}
STATES = (incidents.OPEN, incidents.REPORTED, incidents.CLOSED)

Ident = Annotated[int, Path(ge=1, lt=1 << 63, description="incident id")]


class IncidentView(BaseModel):
    """An incident. state: open, reported (waits for the sensor's proof), closed."""

    id: int
    alarm: int
    unit: str
    unit_name: str
    room: str | None
    room_name: str | None
    event: str
    card: str
    level: str
    state: str
    opened_at: datetime
    owner: str
    code: str = Field(description="closing code, empty until reported")
    note: str
    reported_at: datetime | None
    reported_by: str
    reopened: int = Field(description="how often the sensor contradicted a report")
    closed_at: datetime | None
    keep_until: datetime | None


class StepView(BaseModel):
    """A step of the action card, filled for the room."""

    number: int
    text: str
    done_at: datetime | None
    done_by: str


class CardView(BaseModel):
    """The action card as it applies here. `blanks`: marks that the room's sheet does not fill."""

    title: str
    steps: list[StepView]
    branches: list[str]
    please: list[str]
    never: list[str]
    recovered: str
    blanks: list[str]


class EventView(BaseModel):
    """One line of the timeline."""

    at: datetime
    kind: str
    by: str
    text: str


class VerdictView(BaseModel):
    """How the sensor stands to the report: verified, waiting or contradicted."""

    state: str
    reasons: list[str]


class IncidentDetail(IncidentView):
    """An incident with its card, timeline, stills, alarms, what is kept in the room, and the state of its closure."""

    alarms: list[int]
    action_card: CardView
    timeline: list[EventView]
    snapshots: list[int]
    holdings: list[str]
    verdict: VerdictView | None
    dossier_sha256: str | None


class Tick(Body):
    """A step done, or taken back."""

    done: bool = True


class Line(Body):
    """A line of the work log."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=1000, strip_whitespace=True)]


class Report(Body):
    """报告处置结论: the closing code and the measures taken."""

    code: str = Field(description=", ".join(duty.CODES))
    note: Annotated[str, StringConstraints(min_length=1, max_length=1000, strip_whitespace=True)]


def require_incident(session: Session, who: Principal, ident: int) -> Incident:
    """An incident that the asker may see. Raises ProblemError 404 or 403."""
    incident = session.get(Incident, ident)
    if incident is None:
        raise ProblemError(404, "没有这个事件。")
    if not units.within(session, incident.unit, who.unit):
        raise ProblemError(403, NO_RIGHT)
    return incident


@router.get("/incidents", operation_id="listIncidents")
def listing(
    who: Viewer,
    request: Request,
    services: ServicesOf,
    state: Annotated[str, Query(pattern="^(open|reported|closed)?$")] = "",
    unit: Annotated[str, Query(max_length=12, description="unit code; incidents in it and below it")] = "",
    start: From = None,
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Page[IncidentView]:
    """Incidents, newest first."""
    with services.db.read() as session:
        if unit:
            require_unit(session, who, unit)
        rows = incidents.page(
            session, unit or who.unit, states=(state,) if state else (), since=None if start is None else ms(start), before=decode_id(cursor),
            limit=limit + 1,
        )  # fmt: skip
        found = views(session, rows)
    return page(request, found, limit, found[limit - 1].id if len(found) > limit else "")


@router.get("/incidents/{ident}", operation_id="getIncident")
def detail(ident: Ident, who: Viewer, services: ServicesOf) -> IncidentDetail:
    """One incident in full."""
    with services.db.read() as session:
        incident = require_incident(session, who, ident)
        whole = incident_file.read(session, services.store, services.cards, incident, services.clock())
        filed = incidents.dossier(session, ident)
        return IncidentDetail(
            **views(session, [incident])[0].model_dump(),
            alarms=[alarm.id for alarm in whole.alarms],
            action_card=_card(whole),
            timeline=[EventView(at=at(line.at), kind=line.kind, by=line.by, text=line.text) for line in whole.timeline],
            snapshots=[still.id for still in whole.stills] if who.may(Action.PICTURES) else [],
            holdings=list(whole.holdings),
            verdict=None if whole.verdict is None else VerdictView(state=whole.verdict.state, reasons=list(whole.verdict.reasons)),
            dossier_sha256=None if filed is None else filed.pdf_sha256,
        )


Handling = Annotated[Principal, Depends(require(Action.HANDLE))]


@router.post("/incidents/{ident}/steps/{number}", operation_id="tickStep", responses=_CONFLICT)
def tick(ident: Ident, number: Annotated[int, Path(ge=1, le=6)], body: Tick, who: Handling, services: ServicesOf) -> IncidentDetail:
    """Tick a step of the card, or take the tick back."""
    change(services, who, ident, lambda session, incident: _tick(session, services, incident, number, body.done, who))
    return detail(ident, who, services)


@router.post("/incidents/{ident}/log", operation_id="logIncident", responses=_CONFLICT)
def log(ident: Ident, body: Line, who: Handling, services: ServicesOf) -> IncidentDetail:
    """A line of the work log."""
    change(services, who, ident, lambda session, incident: duty.log(session, incident, body.text, who.name, services.clock()))
    return detail(ident, who, services)


@router.post("/incidents/{ident}/report", operation_id="reportIncident", responses=_CONFLICT)
def report(ident: Ident, body: Report, who: Handling, services: ServicesOf) -> IncidentDetail:
    """报告处置结论; the incident closes when the sensor confirms it, and comes back one level up when it contradicts it."""
    change(services, who, ident, lambda session, incident: duty.report(session, incident, body.code, body.note, who.name, services.clock()))
    return detail(ident, who, services)


def change(services: Services, who: Principal, ident: int, act: Any) -> None:
    """One change of an incident in one transaction. Raises ProblemError 403, 404, 409."""
    with services.db.write() as session:
        incident = require_incident(session, who, ident)
        try:
            act(session, incident)
        except duty.NotPossibleError as error:
            raise ProblemError(409, str(error)) from error


def _tick(session: Session, services: Services, incident: Incident, number: int, done: bool, who: Principal) -> None:
    duty.tick(session, incident, duty.card_of(services.cards, incident), number, done, who.name, services.clock())


def views(session: Session, rows: Sequence[Incident]) -> list[IncidentView]:
    """Incidents with the names of their places."""
    places = rooms.names(session, [row.room for row in rows if row.room])
    names = units.names(session, list({row.unit for row in rows}))
    return [
        IncidentView(
            id=row.id, alarm=row.alarm, unit=row.unit, unit_name=names.get(row.unit, ""), room=row.room,
            room_name=places[row.room][0] if row.room in places else None, event=row.event, card=row.card, level=row.level, state=row.state,
            opened_at=at(row.opened_at), owner=row.owner, code=row.code, note=row.note, reported_at=at_or_none(row.reported_at),
            reported_by=row.reported_by, reopened=row.reopened, closed_at=at_or_none(row.closed_at), keep_until=at_or_none(row.keep_until),
        )
        for row in rows
    ]  # fmt: skip


def _card(whole: incident_file.Whole) -> CardView:
    filled = whole.filled
    steps = [
        StepView(
            number=number, text=text, done_at=at(whole.ticked[number].at) if number in whole.ticked else None,
            done_by=whole.ticked[number].by if number in whole.ticked else "",
        )
        for number, text in enumerate(filled.steps, 1)
    ]  # fmt: skip
    return CardView(
        title=filled.title,
        steps=steps,
        branches=list(filled.branches),
        please=list(filled.please),
        never=list(filled.never),
        recovered=filled.recovered,
        blanks=list(filled.blanks),
    )
