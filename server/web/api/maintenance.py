"""Work in a room, at once or announced."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel, StringConstraints
from starlette.concurrency import run_in_threadpool

from server.store import works
from server.store.tables_watch import Work
from server.watch import commands
from server.web import door
from server.web.api.alarms import Reason
from server.web.api.common import PROBLEMS, Cursor, Instant, Limit, Viewer, at, at_or_none, decode_id, ms, page
from server.web.api.models import Body, CommandResult, Page
from server.web.auth import Principal, ServicesOf, require, require_room, require_unit
from server.web.rights import Action
from server.web.routers import api_router
from server.web.second import Second, second_person

router = api_router("rooms", refusals=PROBLEMS)
Silencing = Annotated[Principal, Depends(require(Action.SILENCE))]


class WorkOrder(Body):
    """维护: until when, why, and who answers for it. An `until` that has passed ends it; with `since` it begins then.

    Smoke and what else needs two people is paused only with a second one, who proves it by his own password.
    """

    since: Instant | None = None
    until: Instant
    reason: Reason
    person: Annotated[str, StringConstraints(min_length=1, max_length=60, strip_whitespace=True)]
    second: Annotated[str, StringConstraints(max_length=60, strip_whitespace=True)] = ""
    second_password: Annotated[str, StringConstraints(max_length=200)] = ""
    second_code: Annotated[str, StringConstraints(max_length=8)] = ""


class WorkView(BaseModel):
    """Announced work. `state` is planned | running | over | cancelled | missed; `second` vouched for pausing smoke as well."""

    id: int
    room: str
    since: datetime
    until: datetime
    reason: str
    person: str
    second: str
    state: str
    planned_by: str
    planned_at: datetime
    ended_at: datetime | None
    ended_by: str


def view(row: Work) -> WorkView:
    """What others see of a row."""
    return WorkView(
        id=row.id, room=row.room, since=at(row.since), until=at(row.until), reason=row.reason, person=row.person, second=row.second,
        state=row.state, planned_by=row.planned_by, planned_at=at(row.planned_at), ended_at=at_or_none(row.ended_at), ended_by=row.ended_by,
    )  # fmt: skip


@router.post("/rooms/{code}/maintenance", operation_id="setMaintenance")
async def maintenance(code: str, body: WorkOrder, who: Silencing, services: ServicesOf) -> CommandResult:
    """维护 of a room until an instant, from now or, with `since`, from then on; an `until` that has passed ends it. Smoke stays heard."""
    return await order(services, who, code, body, via="api")


async def order(services: ServicesOf, who: Principal, code: str, body: WorkOrder, *, via: str) -> CommandResult:
    """What page and API ask for. Raises ProblemError."""
    require_room(services, who, code)
    typed = Second(body.second, body.second_password, body.second_code)
    second = await run_in_threadpool(second_person, services, who, code[:12], typed)
    values: dict[str, Any] = {
        "room": code, "by": who.name, "account": who.account, "via": via, "until": ms(body.until), "reason": body.reason, "person": body.person,
        "second": second,
    }  # fmt: skip
    command = commands.Maintenance(**values) if body.since is None else commands.PlanWork(**values, since=ms(body.since))
    outcome = await door.submit(services, command)
    return CommandResult(room=code, state=outcome.state, sentence=door.sentence(command, outcome))


@router.post("/rooms/{code}/maintenance/{work}/cancel", operation_id="cancelMaintenance")
async def cancel(code: str, work: Annotated[int, Path(ge=1, lt=1 << 63)], who: Silencing, services: ServicesOf) -> CommandResult:
    """Take an announcement back; work that is under way ends now."""
    require_room(services, who, code)
    command = commands.CancelWork(room=code, work=work, by=who.name, account=who.account)
    outcome = await door.submit(services, command)
    return CommandResult(room=code, state=outcome.state, sentence=door.sentence(command, outcome))


@router.get("/maintenance", operation_id="listMaintenance")
def listing(
    who: Viewer,
    request: Request,
    services: ServicesOf,
    unit: Annotated[str, Query(max_length=12, description="unit code; work in it and below it")] = "",
    room: Annotated[str, Query(max_length=16)] = "",
    state: Annotated[str, Query(max_length=60, description="comma separated: planned, running, over, cancelled, missed")] = "",
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Page[WorkView]:
    """Announced work, the last announced first."""
    states = tuple(filter(None, state.split(",")))
    with services.db.read() as session:
        if unit:
            require_unit(session, who, unit)
        found = works.page(session, unit or who.unit, room=room, state=states, before=decode_id(cursor), limit=limit + 1)
        views = [view(row) for row in found]
    return page(request, views, limit, views[limit - 1].id if len(views) > limit else "")
