"""接手 of several alarms of the list: first a page that names how many and which, then one that says what became of each."""

from typing import Annotated

from fastapi import Depends, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from server.web import in_place, several
from server.web.auth import Principal, ServicesOf
from server.web.pages.actions import note_of
from server.web.pages.common import ScreensOf
from server.web.pages.rows import rows, worst_first
from server.web.problems import invalid
from server.web.rights import Action
from server.web.routers import page_router

router = page_router()
Acting = Annotated[Principal, Depends(in_place.Acting(Action.HANDLE))]


@router.get("/take-over")
def confirm(request: Request, screens: ScreensOf, services: ServicesOf, who: Acting, alarm: Annotated[tuple[int, ...], Query()] = ()) -> Response:
    """What was ticked, worst first, and apart from it what cannot be taken over together."""
    with services.db.read() as session:
        found = rows(session, services, worst_first(several.chosen(services, who, alarm) if alarm else []), who, services.clock())
    able = [row for row in found if row.together]
    return screens.page(
        request, "take_over.html", who=who, rows=able, others=[row for row in found if row not in able], results=None,
        ONE_BY_ONE=several.ONE_BY_ONE,
    )  # fmt: skip


@router.post("/take-over")
async def take_over(request: Request, screens: ScreensOf, services: ServicesOf, who: Acting) -> Response:
    """Take them over; each line of the answer says whether it was."""
    form = await request.form()
    ticked = [value for value in form.getlist("alarm") if isinstance(value, str)]
    if not all(value.isascii() and value.isdigit() and len(value) < 19 for value in ticked):
        raise invalid("没有这条告警。", "alarm", "not a number")
    found = await run_in_threadpool(several.chosen, services, who, [int(value) for value in ticked])
    person = await run_in_threadpool(in_place.person_at, services, request, who, form, Action.HANDLE)
    results = {one.alarm: one for one in await several.take_over(services, person, found, note_of(form), "page")}
    return await run_in_threadpool(_told, request, screens, services, who, results)


def _told(request: Request, screens: ScreensOf, services: ServicesOf, who: Principal, results: dict[int, several.Each]) -> Response:
    with services.db.read() as session:
        found = rows(session, services, several.chosen(services, who, list(results)), who, services.clock())
    return screens.page(request, "take_over.html", who=who, rows=sorted(found, key=lambda row: results[row.alarm.id].ok), others=(), results=results)
