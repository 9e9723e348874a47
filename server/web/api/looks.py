"""派查: one click asks many duty rooms to look; the answers, also those that the desk records for somebody."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Depends, Path
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from server.duty import looks
from server.notify.texts import default_texts
from server.store import alarms, rooms, units
from server.store.tables import Room
from server.store.tables_duty import LookCall, LookItem
from server.watch import commands
from server.web import door
from server.web.api.common import PROBLEMS, at, at_or_none
from server.web.api.models import Body, Done
from server.web.auth import Principal, ServicesOf, require, require_alarm, require_unit
from server.web.problems import ProblemError, invalid
from server.web.rights import Action
from server.web.routers import api_router
from server.web.services import Services

router = api_router("duty", refusals=PROBLEMS)
UnitCode = Annotated[str, Path(max_length=12)]
Handling = Annotated[Principal, Depends(require(Action.HANDLE))]
Telling = Annotated[Principal, Depends(require(Action.NOTIFICATIONS))]
Words = Annotated[str, StringConstraints(max_length=200, strip_whitespace=True)]


class LookBody(Body):
    """派查: which rooms; none named means all of the unit and below that are blind."""

    rooms: list[Annotated[str, StringConstraints(max_length=16)]] = Field(default_factory=list, max_length=2000)
    note: Words = ""


class LookAnswer(Body):
    """What somebody said by phone about one room, recorded by the desk."""

    room: Annotated[str, StringConstraints(max_length=16)]
    answer: Literal["normal", "problem"]
    person: Annotated[str, StringConstraints(min_length=1, max_length=60, strip_whitespace=True)]
    note: Words = ""


class LookItemView(BaseModel):
    """One room of a 派查."""

    room: str
    room_name: str
    unit: str
    phone: str = Field(description="the telephone that was asked, empty where there is none")
    number: str
    state: str
    answered_at: datetime | None
    answered_by: str
    via: str
    proven: bool


class LookView(BaseModel):
    """A 派查 with how it stands."""

    number: int
    unit: str
    by: str
    at: datetime
    note: str
    counts: dict[str, int]
    items: list[LookItemView]


@router.post("/units/{code}/looks", operation_id="sendToLook")
def send_to_look(code: UnitCode, body: LookBody, asker: Handling, services: ServicesOf) -> LookView:
    """派查: every room's duty room gets a call to look; without rooms, those of the unit that the system does not see."""
    return order_look(services, asker, code, body.rooms, body.note)


def order_look(services: Services, asker: Principal, code: str, wanted: list[str], note: str, alarm: int | None = None) -> LookView:
    """The same for page, API and groups. Raises ProblemError 403, 404, 422."""
    now = services.clock()
    blind = wanted or [tile.code for tile in services.board.rooms(now) if tile.state == "blind"]
    with services.db.write() as session:
        require_unit(session, asker, code)
        found = session.scalars(select(Room).where(Room.code.in_(blind), Room.unit.in_(units.below(code))).order_by(Room.code)).all()
        if len(found) < len(wanted):
            raise invalid("有的库房不在这个单位。", "body.rooms", "unknown")
        if not found:
            raise ProblemError(409, "现在没有值守中断的库房。")
        text = default_texts().with_marks("look", "place", "number")
        call = looks.order(session, code, found, asker.name[:60], note, now, text=text, sms="sms", voice="voice", alarm=alarm)
        return _look(session, call)


@router.post("/alarms/{ident}/look", operation_id="lookForAlarm")
def look_for_alarm(ident: Annotated[int, Path(ge=1)], asker: Handling, services: ServicesOf) -> LookView:
    """派查 of what an alarm is about: every room of a group, the rooms of the unit of a gateway that are blind, or the one room."""
    with services.db.read() as session:
        row = require_alarm(session, asker, ident)
        members = alarms.members(session, ident) if row.kind == "group" else [row]
        wanted = sorted({one.room for one in members if one.room is not None})
        unit = row.unit
    return order_look(services, asker, unit, wanted, "", ident)


@router.get("/units/{code}/looks", operation_id="listLooks")
def list_looks(code: UnitCode, asker: Telling, services: ServicesOf) -> list[LookView]:
    """The last ten 派查 of a unit, newest first."""
    with services.db.read() as session:
        require_unit(session, asker, code)
        rows = session.scalars(select(LookCall).where(LookCall.unit.in_(units.below(code))).order_by(LookCall.id.desc()).limit(10)).all()
        return [_look(session, row) for row in rows]


@router.post("/units/{code}/looks/{number}/answers", operation_id="answerLook")
async def answer_look(
    code: UnitCode, number: Annotated[int, Path(ge=1, lt=1 << 63)], body: LookAnswer, asker: Handling, services: ServicesOf
) -> Done:
    """代为答复: what a named person said by phone about one room; nothing wrong counts as watched by a person for an hour."""
    with services.db.read() as session:
        require_unit(session, asker, code)
        call = session.get(LookCall, number)
        item = session.scalar(select(LookItem).where(LookItem.call == number, LookItem.room == body.room))
        if call is None or item is None or not units.within(session, item.unit, code):
            raise ProblemError(404, "没有这条派查。")
        ident = item.id
    by = f"{body.person}（{asker.name}代为答复）"
    digit = next(digit for digit, state in looks.ANSWERS.items() if state == body.answer)
    said, _ = await run_in_threadpool(looks.answered, services.db, ident, digit, by, "page", True, services.clock(), alone=True)
    if body.answer == "normal":
        await door.submit(services, commands.Report(room=body.room, by=by, note=body.note or "派查：平安"))
    return Done(sentence=said)


def _look(session: Session, call: LookCall) -> LookView:
    rows = looks.items(session, call.id)
    counts = {state: sum(found == state for _, found in rows) for state in ("waiting", "normal", "problem", "unreachable", "unanswered")}
    places = rooms.names(session, [row.room for row, _ in rows])
    return LookView(
        number=call.id, unit=call.unit, by=call.by, at=at(call.at), note=call.note, counts=counts,
        items=[
            LookItemView(
                room=row.room, room_name=places.get(row.room, (row.room, ""))[0], unit=row.unit, phone=row.phone, number=row.number, state=state,
                answered_at=at_or_none(row.answered_at), answered_by=row.answered_by, via=row.via, proven=row.proven,
            )
            for row, state in rows
        ],
    )  # fmt: skip
