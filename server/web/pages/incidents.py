"""Incidents as pages: the list, one with its action card, and the cards of a room for the wall."""

from typing import Annotated

import segno
from fastapi import Depends, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.responses import RedirectResponse, Response

from server import stills
from server.duty import incident_file
from server.duty import incident_work as duty
from server.duty.sheet import photos_allowed
from server.store import incidents, rooms, units
from server.web.api import incident_files
from server.web.api.common import Cursor, Viewer, decode_id, encode_cursor
from server.web.api.incidents import change, require_incident
from server.web.auth import Principal, ServicesOf, require, require_room
from server.web.i18n import load
from server.web.in_place import Acting, person_at
from server.web.pages.common import ScreensOf
from server.web.pages.rows import rows, spoken_for
from server.web.problems import ProblemError, invalid
from server.web.rights import Action
from server.web.routers import page_router

router = page_router()

PER_PAGE = 50
VIEWS = {"active": "未办结", "reported": "待传感器核实", "closed": "已办结"}
_STATES = {"active": (incidents.OPEN, incidents.REPORTED), "reported": (incidents.REPORTED,), "closed": (incidents.CLOSED,)}
Ident = Annotated[int, Path(ge=1, lt=1 << 63)]


@router.get("/incidents")
def listing(
    request: Request, screens: ScreensOf, services: ServicesOf, who: Viewer, view: Annotated[str, Query()] = "active", cursor: Cursor = ""
) -> Response:
    """The list."""
    view = view if view in VIEWS else "active"
    with services.db.read() as session:
        found = incidents.page(session, who.unit, states=_STATES[view], before=decode_id(cursor), limit=PER_PAGE + 1)
        shown = found[:PER_PAGE]
        places = rooms.names(session, [row.room for row in shown if row.room])
        names = units.names(session, [row.unit for row in shown])
    more = encode_cursor(shown[-1].id) if len(found) > PER_PAGE else None
    return screens.page(request, "incidents.html", who=who, rows=shown, places=places, names=names, view=view, views=VIEWS, more=more)


@router.get("/incidents/{ident}")
def detail(ident: Ident, request: Request, screens: ScreensOf, services: ServicesOf, who: Viewer, paper: str = "") -> Response:
    """One incident; with paper=card its action card alone, for the printer."""
    with services.db.read() as session:
        incident = require_incident(session, who, ident)
        whole = incident_file.read(session, services.store, services.cards, incident, services.clock(), load(screens.language(request)))
        place = rooms.names(session, [incident.room]).get(incident.room) if incident.room else None
        unit_name = units.names(session, [incident.unit]).get(incident.unit, "")
        filed = incidents.dossier(session, ident)
        open_alarms = spoken_for([alarm for alarm in whole.alarms if alarm.closed_at is None])
        answering = rows(session, services, open_alarms, who, services.clock())
    title = f"{unit_name} {place[0].removeprefix(unit_name) if place else ''}".strip()
    if paper == "card":
        return screens.page(request, "cards.html", who=who, cards=[whole.filled], title=title, room=incident.room, qr="")
    return screens.page(
        request,
        "incident.html",
        who=who,
        whole=whole,
        title=title,
        codes=duty.CODES,
        dossier=filed,
        proposal=whole.proposal,
        may_photograph=photos_allowed(whole.photo_rule),
        answering=answering,
    )


@router.post("/incidents/{ident}/photos")
async def photograph(ident: Ident, request: Request, services: ServicesOf, who: Annotated[Principal, Depends(require(Action.HANDLE))]) -> Response:
    """A picture taken on site."""
    form = await request.form()
    file, note = form.get("file"), str(form.get("note", ""))[:200].strip()
    content = await file.read(stills.MOST_BYTES + 1) if isinstance(file, UploadFile) else b""
    await run_in_threadpool(incident_files.store, services, who, ident, content, note)
    return RedirectResponse(f"/incidents/{ident}", 303)


@router.post("/incidents/{ident}/{act}")
async def act(ident: Ident, act: str, request: Request, services: ServicesOf, who: Annotated[Principal, Depends(Acting(Action.HANDLE))]) -> Response:
    """A form of the page: step, log or report. Whoever ticks a step or writes finds himself where he was; a report's verdict stands at the top."""
    form = {key: value for key, value in (await request.form()).items() if isinstance(value, str)}
    await run_in_threadpool(_at, services, request, who, ident, act, form)
    place = {"step": f"#step-{form.get('number', '')}", "log": "#record"}.get(act, "")
    return RedirectResponse(f"/incidents/{ident}{place}", 303)


def _at(services: ServicesOf, request: Request, who: Principal, ident: int, act: str, form: dict[str, str]) -> None:
    with services.db.read() as session:
        require_incident(session, who, ident)
    _act(services, person_at(services, request, who, form, Action.HANDLE), ident, act, form)


def _act(services: ServicesOf, who: Principal, ident: int, act: str, form: dict[str, str]) -> None:
    now, text = services.clock(), form.get("text", "").strip()
    if len(text) > 1000:
        raise invalid("最多 1000 个字。", "text", "at most 1000 characters")
    if act == "step":
        number = form.get("number", "")
        if not (number.isascii() and number.isdigit() and len(number) == 1):
            raise invalid("处置卡没有这一步。", "number", "not a step")
        change(
            services, who, ident,
            lambda session, row: duty.tick(session, row, duty.card_of(services.cards, row), int(number), form.get("done") == "1", who.name, now),
        )  # fmt: skip
    elif act == "log":
        if not text:
            raise invalid("请写内容。", "text", "required")
        change(services, who, ident, lambda session, row: duty.log(session, row, text, who.name, now))
    elif act == "report":
        change(services, who, ident, lambda session, row: duty.report(session, row, form.get("code", ""), text, who.name, now))
    else:
        raise ProblemError(404, "没有这个地址。")


@router.get("/rooms/{code}/cards")
def room_cards(code: Annotated[str, Path(max_length=16)], request: Request, screens: ScreensOf, services: ServicesOf, who: Viewer) -> Response:
    """All twelve cards of a room, filled from its sheet: printed (A5) for the inside of the door and the folder of the 值班室."""
    require_room(services, who, code)
    with services.db.read() as session:
        room = rooms.get(session, code)
        if room is None:
            raise ProblemError(404, "没有这间库房。")
        found = incident_file.room_cards(session, services.cards, room.unit, room, load(screens.language(request)))
        unit_name = units.names(session, [room.unit]).get(room.unit, "")
        title = f"{unit_name} {room.name.removeprefix(unit_name)}"
    base = services.settings.public_url.rstrip("/") or str(request.base_url).rstrip("/")
    qr = segno.make(f"{base}/rooms/{code}", error="m").svg_inline(scale=3, dark="#000", light="#fff")
    return screens.page(request, "cards.html", who=who, cards=found, title=title, room=code, qr=qr)
