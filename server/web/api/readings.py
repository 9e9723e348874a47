"""Manual readings: enter, correct by a new entry, list, and which are missing today."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query, Request
from pydantic import BaseModel, Field

from server.org import readings
from server.org.readings import DoubtfulError, Entry, ReadingError
from server.store import manual
from server.store.tables_papers import ManualReading
from server.web.api.common import PROBLEMS, Cursor, Instant, Limit, Viewer, at, decode_id, ms, page
from server.web.api.models import Body, Page
from server.web.auth import Principal, ServicesOf, require, require_room, require_unit
from server.web.problems import ProblemError, invalid
from server.web.rights import Action
from server.web.routers import api_router
from server.web.services import Services

router = api_router("readings", refusals=PROBLEMS)

Recorder = Annotated[Principal, Depends(require(Action.HANDLE))]


class ReadingBody(Body):
    """A reading. `key` is any text that is new for each reading: sent twice with the same key, it is one."""

    taken_at: Instant
    temperature: float | None = Field(None, description="°C")
    humidity: float | None = Field(None, description="%RH")
    reader: str = Field(min_length=1, max_length=60, description="who read the dial")
    key: str = Field(min_length=1, max_length=64)
    weather: str = Field("", max_length=20)
    measures: str = Field("", max_length=200)
    via: str = Field("api", pattern="^(form|phone|api)$", description="phone: told by telephone, entered by the desk")
    replaces: int | None = Field(None, ge=0, lt=1 << 63, description="id of the entry that this one corrects; null or 0 for none")
    confirmed: bool = Field(False, description="true: the person has seen the doubts and stands by the values")


class ReadingView(BaseModel):
    """An entry; a replaced one stays in the list."""

    id: int
    room: str
    taken_at: datetime
    temperature: float | None
    humidity: float | None
    weather: str
    measures: str
    reader: str
    entered_by: str
    entered_at: datetime
    via: str
    doubts: list[str]
    replaces: int | None


class MissingView(BaseModel):
    """A room whose reading of this half-day is not there."""

    room: str
    name: str
    unit: str
    half: str = Field(description="morning or afternoon")


def take(services: Services, who: Principal, entry: Entry) -> int:
    """Keep an entry; its id. Raises ProblemError 422, with code `doubtful` and the sentences when it has to be confirmed."""
    now = services.clock()
    try:
        ident = readings.enter(services.db, services.store, entry, who.name, now)
    except DoubtfulError as error:
        raise ProblemError(422, str(error), code="doubtful", doubts=error.doubts) from error
    except ReadingError as error:
        raise invalid(str(error), "body", "not acceptable") from error
    return ident


@router.post("/rooms/{code}/readings", operation_id="enterReading", status_code=201)
def enter(code: str, body: ReadingBody, who: Recorder, services: ServicesOf) -> ReadingView:
    """Enter a reading. 422 with code `doubtful` names what looks odd; send it again with `confirmed` when it is true all the same."""
    require_room(services, who, code)
    values = body.model_dump(exclude={"taken_at"}) | {"replaces": body.replaces or None}
    ident = take(services, who, Entry(room=code, taken_at=ms(body.taken_at), **values))
    with services.db.read() as session:
        return _view(session.get_one(ManualReading, ident))


@router.get("/rooms/{code}/readings", operation_id="listReadings")
def listing(code: str, who: Viewer, request: Request, services: ServicesOf, limit: Limit = 50, cursor: Cursor = "") -> Page[ReadingView]:
    """Entries of a room, newest first."""
    require_room(services, who, code)
    with services.db.read() as session:
        found = [_view(row) for row in manual.page(session, code, before=decode_id(cursor), limit=limit + 1)]
    return page(request, found, limit, found[limit - 1].id if len(found) > limit else "")


@router.get("/readings/missing", operation_id="listMissingReadings")
def absent(who: Viewer, services: ServicesOf, unit: Annotated[str, Query(max_length=12)] = "") -> list[MissingView]:
    """Rooms without sensors that nobody has read yet in this half-day; empty on days off."""
    with services.db.read() as session:
        if unit:
            require_unit(session, who, unit)
        found = readings.missing(session, unit or who.unit, services.desk.sources.settings.times, services.workdays.works, services.clock())
    return [MissingView(room=each.room, name=each.name, unit=each.unit, half=("morning", "afternoon")[each.half]) for each in found]


def _view(row: ManualReading) -> ReadingView:
    names = ("id", "room", "temperature", "humidity", "weather", "measures", "reader", "entered_by", "via", "doubts", "replaces")
    return ReadingView(taken_at=at(row.taken_at), entered_at=at(row.entered_at), **{name: getattr(row, name) for name in names})
