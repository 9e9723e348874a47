"""Drills and watch checks: order, follow, results."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel, Field, StringConstraints, model_validator
from sqlalchemy.orm import Session

from server.duty import drills as duty
from server.duty import watch_checks
from server.store import drills
from server.store.tables_drill import Drill, DrillCampaign, WatchCheck
from server.web.api.common import PROBLEMS, Cursor, Limit, Viewer, at, at_or_none, decode_id, page
from server.web.api.models import Body, Page
from server.web.auth import Principal, ServicesOf, require, require_room, require_unit
from server.web.problems import ProblemError
from server.web.rights import Action
from server.web.routers import api_router
from server.web.services import Services

router = api_router("drills", refusals=PROBLEMS)
MOST_DAYS = 366
Ident = Annotated[int, Path(ge=1, lt=1 << 63)]
Ordering = Annotated[Principal, Depends(require(Action.DRILL))]
Asking = Annotated[Principal, Depends(require(Action.WATCH_CHECK))]
Handling = Annotated[Principal, Depends(require(Action.HANDLE))]
Unit = Annotated[str, StringConstraints(max_length=12)]


class DrillOrder(Body):
    """演练 of one room, or of every room in service of a unit and below it."""

    room: Annotated[str, StringConstraints(max_length=16)] = ""
    unit: Unit = ""
    quantity: Annotated[str, StringConstraints(pattern="^(smoke|leak|door|motion|power)?$")] = ""
    note: Annotated[str, StringConstraints(max_length=200, strip_whitespace=True)] = ""

    @model_validator(mode="after")
    def _one(self) -> "DrillOrder":
        if bool(self.room) == bool(self.unit):
            raise ValueError("either room or unit")
        return self


class StandingOrder(Body):
    """Every room of a unit once in `every_days`; 0 ends it."""

    unit: Unit
    every_days: int = Field(ge=0, le=MOST_DAYS)


class CampaignView(BaseModel):
    """One order."""

    id: int
    unit: str
    by: str
    at: datetime
    note: str
    rooms: int


class DrillView(BaseModel):
    """A drill of one room. state: waiting, sent, detected, ended, failed. Seconds count from the order to the gateway."""

    id: int
    campaign: int
    unit: str
    room: str
    state: str
    due_at: datetime
    sent_at: datetime | None
    detected_at: datetime | None
    ended_at: datetime | None
    alarm: int | None
    reason: str
    result: dict[str, Any]
    signature: str


class CheckView(BaseModel):
    """A question to a duty desk. state: open, right, wrong, missed."""

    id: int
    unit: str
    room: str
    quantity: str
    asked_at: datetime
    asked_by: str
    due_at: datetime
    state: str
    answered_at: datetime | None
    answered_by: str
    answer: float | None


class Question(Body):
    """查岗 of a unit's desk."""

    unit: Unit


class Answer(Body):
    """What the desk reads on its board."""

    value: float = Field(allow_inf_nan=False)


@router.post("/drills", operation_id="orderDrill", status_code=201)
def begin(body: DrillOrder, who: Ordering, services: ServicesOf) -> CampaignView:
    """Order a drill; a whole province is paced over minutes."""
    return campaign(services, who, body)


def campaign(services: Services, who: Principal, body: DrillOrder) -> CampaignView:
    """The same for API and page. Raises ProblemError 403, 404, 409."""
    if body.room:
        require_room(services, who, body.room)
    with services.db.write() as session:
        unit = body.unit or body.room[:12]
        if body.unit:
            require_unit(session, who, unit)
        try:
            made = duty.order(session, unit, who.name, services.clock(), room=body.room or None, quantity=body.quantity, note=body.note)
        except duty.NoRoomError as error:
            raise ProblemError(409, str(error)) from error
        return _campaign(session, made)


@router.put("/drills/plan", operation_id="planDrills")
def plan(body: StandingOrder, who: Ordering, services: ServicesOf) -> StandingOrder:
    """A standing order, carried out in working hours of working days."""
    with services.db.write() as session:
        require_unit(session, who, body.unit)
        duty.plan(session, body.unit, body.every_days, who.name, services.clock())
    return body


@router.get("/drills", operation_id="listDrills")
def listing(
    who: Viewer,
    request: Request,
    services: ServicesOf,
    unit: Annotated[str, Query(max_length=12)] = "",
    campaign: Annotated[int | None, Query(ge=1, lt=1 << 63)] = None,
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Page[DrillView]:
    """Drills with their signed results, newest first."""
    with services.db.read() as session:
        if unit:
            require_unit(session, who, unit)
        rows = drills.page(session, unit or who.unit, campaign=campaign, before=decode_id(cursor), limit=limit + 1)
        found = [view(row) for row in rows]
    return page(request, found, limit, found[limit - 1].id if len(found) > limit else "")


@router.get("/watch-checks", operation_id="listWatchChecks")
def checks(who: Viewer, services: ServicesOf) -> list[CheckView]:
    """查岗 of the asker's units, newest first."""
    with services.db.read() as session:
        return [check_view(row) for row in drills.checks(session, who.unit)]


@router.post("/watch-checks", operation_id="askWatchCheck", status_code=201)
def ask(body: Question, who: Asking, services: ServicesOf) -> CheckView:
    """Put a question to a desk now: by an inspector, whoever answers for the unit, or a desk above; nobody at a desk asks his own."""
    if body.unit == who.unit and who.may(Action.HANDLE) and not who.may(Action.DRILL):
        raise ProblemError(403, "本单位的值班台由上级值班员、检查人员或本单位负责人查岗。")
    with services.db.write() as session:
        require_unit(session, who, body.unit)
        if drills.open_check(session, body.unit) is not None:
            raise ProblemError(409, "这个值班台还有一次查岗没有答复。")
        try:
            return check_view(watch_checks.ask(session, body.unit, who.name, present(services), services.clock()))
        except watch_checks.NothingToAskError as error:
            raise ProblemError(409, str(error)) from error


@router.post("/watch-checks/{ident}/answer", operation_id="answerWatchCheck")
def answer(ident: Ident, body: Answer, who: Handling, services: ServicesOf) -> CheckView:
    """Answer a question; what the sensor showed is told to the one who asked, not to the desk."""
    return answered(services, who, ident, body.value)


def answered(services: Services, who: Principal, ident: int, value: float) -> CheckView:
    """The same for API and page. Raises ProblemError 403, 404, 409."""
    with services.db.write() as session:
        row = session.get(WatchCheck, ident)
        if row is None:
            raise ProblemError(404, "没有这次查岗。")
        require_unit(session, who, row.unit)
        try:
            watch_checks.answer(session, row, value, who.name, present(services), services.clock())
        except watch_checks.NothingToAskError as error:
            raise ProblemError(409, str(error)) from error
        return check_view(row)


def present(services: Services) -> watch_checks.Present:
    """The board as watch checks see it."""
    return lambda room, quantity: services.board.present(room, quantity, services.clock())


def _campaign(session: Session, row: DrillCampaign) -> CampaignView:
    rooms = session.query(Drill).filter_by(campaign=row.id).count()
    return CampaignView(id=row.id, unit=row.unit, by=row.by, at=at(row.at), note=row.note, rooms=rooms)


def view(row: Drill) -> DrillView:
    """A drill as an answer."""
    return DrillView(
        id=row.id, campaign=row.campaign, unit=row.unit, room=row.room, state=row.state, due_at=at(row.due_at), sent_at=at_or_none(row.sent_at),
        detected_at=at_or_none(row.detected_at), ended_at=at_or_none(row.ended_at), alarm=row.alarm, reason=row.reason, result=row.result,
        signature=row.signature,
    )  # fmt: skip


def check_view(row: WatchCheck) -> CheckView:
    """A question as an answer."""
    return CheckView(
        id=row.id, unit=row.unit, room=row.room, quantity=row.quantity, asked_at=at(row.asked_at), asked_by=row.asked_by, due_at=at(row.due_at),
        state=row.state, answered_at=at_or_none(row.answered_at), answered_by=row.answered_by, answer=row.answer,
    )  # fmt: skip
