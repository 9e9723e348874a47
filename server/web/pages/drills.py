"""演练与查岗 as a page: order, follow, results to print; and the question on the duty desk."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from server.store import drills, rooms, units
from server.store.tables_drill import WatchCheck
from server.web.api import drills as api
from server.web.api.common import Cursor, Viewer, decode_id, encode_cursor
from server.web.auth import Principal, ServicesOf, require, require_unit
from server.web.pages.common import ScreensOf
from server.web.problems import ProblemError, invalid
from server.web.rights import Action
from server.web.routers import page_router

router = page_router()
PER_PAGE = 100
Ident = Annotated[int, Path(ge=1, lt=1 << 63)]


@router.get("/drills")
def listing(
    request: Request,
    screens: ScreensOf,
    services: ServicesOf,
    who: Viewer,
    campaign: Annotated[int | None, Query(ge=1, lt=1 << 63)] = None,
    cursor: Cursor = "",
) -> Response:
    """Campaigns, the drills of one of them or the newest, standing orders, watch checks."""
    with services.db.read() as session:
        found = drills.page(session, who.unit, campaign=campaign, before=decode_id(cursor), limit=PER_PAGE + 1)
        shown, checks = found[:PER_PAGE], drills.checks(session, who.unit, 20)
        places = rooms.names(session, [*(row.room for row in shown), *(row.room for row in checks)])
        orders = drills.campaigns(session, who.unit)
        plans = drills.plans(session, who.unit)
        concerned = (row.unit for rows in (shown, [order for order, *_ in orders], checks, plans) for row in rows)
        names = units.names(session, list(concerned))
    more = encode_cursor(shown[-1].id) if len(found) > PER_PAGE else None
    return screens.page(
        request, "drills.html", who=who, rows=shown, orders=orders, checks=checks, places=places, names=names, campaign=campaign, plans=plans,
        more=more, unit=who.unit,
    )  # fmt: skip


@router.post("/drills")
async def begin(request: Request, services: ServicesOf, who: Annotated[Principal, Depends(require(Action.DRILL))]) -> Response:
    """Order a drill from the form: a room code, or a unit code."""
    form = await request.form()
    place, note = str(form.get("place", "")).strip(), str(form.get("note", "")).strip()[:200]
    if not place:
        raise invalid("请填单位编号或库房编号。", "place", "required")
    body = api.DrillOrder(**{"room" if "-" in place else "unit": place}, note=note)
    made = await run_in_threadpool(api.campaign, services, who, body)
    return RedirectResponse(f"/drills?campaign={made.id}", 303)


@router.post("/drills/plan")
async def arrange(request: Request, services: ServicesOf, who: Annotated[Principal, Depends(require(Action.DRILL))]) -> Response:
    """A standing order from the form."""
    form = await request.form()
    unit, days = str(form.get("unit", "")).strip(), str(form.get("every_days", "")).strip()
    if not days.isdecimal() or len(days) > len(str(api.MOST_DAYS)) or int(days) > api.MOST_DAYS:
        raise invalid("请填 0 至 366 的整数，0 为取消。", "every_days", "not a number of days")
    await run_in_threadpool(api.plan, api.StandingOrder(unit=unit[:12], every_days=int(days)), who, services)
    return RedirectResponse("/drills", 303)


@router.post("/watch-checks")
async def ask(request: Request, services: ServicesOf, who: Annotated[Principal, Depends(require(Action.WATCH_CHECK))]) -> Response:
    """查岗 from the form."""
    unit = str((await request.form()).get("unit", "")).strip()
    await run_in_threadpool(api.ask, api.Question(unit=unit[:12]), who, services)
    return RedirectResponse("/drills", 303)


@router.get("/watch-checks/{ident}")
def question(
    ident: Ident, request: Request, screens: ScreensOf, services: ServicesOf, who: Annotated[Principal, Depends(require(Action.HANDLE))]
) -> Response:
    """One question to the desk; the value itself stands on the board only."""
    with services.db.read() as session:
        row = session.get(WatchCheck, ident)
        if row is None:
            raise ProblemError(404, "没有这次查岗。")
        require_unit(session, who, row.unit)
        place = rooms.names(session, [row.room]).get(row.room, ("", ""))
    return screens.page(request, "watch_check.html", who=who, check=row, room_name=place[0])


@router.post("/watch-checks/{ident}/answer")
async def answer(ident: Ident, request: Request, services: ServicesOf, who: Annotated[Principal, Depends(require(Action.HANDLE))]) -> Response:
    """The desk's answer, from the board."""
    text = str((await request.form()).get("value", "")).strip()
    try:
        value = float(text)
    except ValueError as error:
        raise invalid("请填一个数。", "value", "not a number") from error
    if not -1000 < value < 10000:
        raise invalid("请填一个数。", "value", "out of range")
    await run_in_threadpool(api.answered, services, who, ident, value)
    return RedirectResponse("/", 303)
