"""限值 as a page: which limits hold in a room and why, the changes in and below a unit, and a tighter limit with its preview."""

from datetime import date, datetime, time, timedelta
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from alarms.model import Level
from contract.quantities import QUANTITIES
from server.store import limits, rooms, units
from server.web import faults
from server.web.api import limits as api
from server.web.api.common import Cursor, Viewer, decode_id, encode_cursor
from server.web.auth import Principal, ServicesOf, require, require_room
from server.web.formats import BEIJING
from server.web.pages.common import ScreensOf, signs
from server.web.problems import invalid
from server.web.rights import Action
from server.web.routers import page_router
from server.web.services import Services

router = page_router()
PER_PAGE = 50
Setter = Annotated[Principal, Depends(require(Action.LIMITS))]


@router.get("/limits")
def listing(
    request: Request,
    screens: ScreensOf,
    services: ServicesOf,
    who: Viewer,
    room: Annotated[str, Query(max_length=16)] = "",
    quantity: Annotated[str, Query(max_length=24)] = "humidity",
    cursor: Cursor = "",
) -> Response:
    """Changes, newest first; with a room also what holds there, level by level."""
    return _page(request, screens, services, who, room=room.strip(), quantity=quantity, cursor=cursor)


@router.post("/limits")
async def tighten(request: Request, screens: ScreensOf, services: ServicesOf, who: Setter) -> Response:
    """From the form: look at the last 30 days first (act=preview), or let it hold."""
    form = {name: str(value).strip() for name, value in (await request.form()).items()}
    body = _tightening(form)
    if form.get("act") == "save":
        await run_in_threadpool(api.tighten, body, who, services)
        return RedirectResponse(f"/limits?room={body.room}" if body.room else "/limits", 303)
    preview = await run_in_threadpool(api.preview, body, who, services, request)
    return await run_in_threadpool(
        _page, request, screens, services, who, room=body.room, quantity=form.get("quantity", "humidity"), typed=form, preview=preview
    )


@router.post("/limits/{limit_id}/revoke")
def revoke(limit_id: Annotated[int, Path(ge=1, lt=1 << 63)], services: ServicesOf, who: Setter) -> Response:
    """Take a change back."""
    api.revoke(limit_id, who, services)
    return RedirectResponse("/limits", 303)


def _tightening(form: dict[str, str]) -> api.Tightening:
    """Raises ProblemError for what the form's fields cannot hold."""
    try:
        minutes = _number(form, "minutes")
        body: dict[str, Any] = {name: form.get(name, "") for name in ("rule", "unit", "room", "level", "why")}
        body |= {"limit": _number(form, "limit"), "on_delay_s": None if minutes is None else minutes * 60, "until": _until(form)}
        return api.Tightening.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        field = "minutes" if first["loc"][0] == "on_delay_s" else first["loc"][0]
        raise invalid(faults.of(first).plain, f"form.{field}", first["msg"]) from error


def _number(form: dict[str, str], name: str) -> float | None:
    try:
        return float(form[name]) if form.get(name) else None
    except ValueError as error:
        raise invalid("请填一个数。", f"form.{name}", "not a number") from error


def _until(form: dict[str, str]) -> datetime | None:
    """The end of the day that was chosen."""
    try:
        return datetime.combine(date.fromisoformat(form["until"]) + timedelta(days=1), time.min, BEIJING) if form.get("until") else None
    except ValueError as error:
        raise invalid("日期写作 2026-11-26。", "form.until", "not a day") from error


def _page(
    request: Request, screens: ScreensOf, services: Services, who: Principal, *, room: str, quantity: str, cursor: str = "",
    typed: dict[str, str] | None = None, preview: api.Preview | None = None,
) -> Response:  # fmt: skip
    if room:
        require_room(services, who, room)
    now = services.clock()
    with services.db.read() as session:
        explained = limits.explain_room(session, services.rulebook.current, room, quantity) if room else None
        found = limits.page(session, who.unit, room=room, before=decode_id(cursor), limit=PER_PAGE + 1)
        shown = found[:PER_PAGE]
        places = rooms.names(session, [*(row.room for row in shown if row.room), *([room] if room else [])])
        names = units.names(session, [row.unit for row in shown])
    return screens.page(
        request, "limits.html", who=who, rows=shown, places=places, names=names, room=room, quantity=quantity, explained=explained,
        typed=typed or {"unit": "" if room else who.unit or "", "room": room}, preview=preview, quantities=sorted(QUANTITIES),
        rules=_offered(services, explained, quantity), signs=signs(services), levels=[level.word for level in Level],
        more=encode_cursor(found[PER_PAGE - 1].id) if len(found) > PER_PAGE else None, at=now,
    )  # fmt: skip


def _offered(services: Services, explained: dict[str, Any] | None, quantity: str) -> list[tuple[str, str, str]]:
    """(name, kind, quantity) of the rules that can be tightened: those of the room and quantity that is looked at, else all."""
    if explained is not None and explained["rules"]:
        return [(rule["rule"], rule["kind"], quantity) for rule in explained["rules"]]
    return sorted({(rule.name, rule.kind, rule.quantity) for rule in services.rulebook.current.rules})
