"""报表: order a paper, see what was made, with hashes and progress; scores beside it."""

from typing import Annotated

from fastapi import Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, RedirectResponse, Response

from server.reports.kinds import KINDS
from server.reports.period import local
from server.store import exports, rooms, units
from server.web.api import reports as api
from server.web.api.common import Cursor, Viewer, decode_id, encode_cursor
from server.web.auth import ServicesOf
from server.web.pages.common import ScreensOf
from server.web.routers import page_router

router = page_router()

PER_PAGE = 30
FORMATS = {"pdf": "PDF", "docx": "Word", "xlsx": "Excel", "csv": "CSV", "html": "HTML", "json": "JSON", "zip": "ZIP（每单位一份 PDF）"}
STATES = {"queued": "排队", "running": "正在生成", "done": "已生成", "failed": "没有做成"}


@router.get("/papers")
def page(
    request: Request,
    screens: ScreensOf,
    services: ServicesOf,
    who: Viewer,
    job: Annotated[int | None, Query(ge=1, lt=1 << 63)] = None,
    part: Annotated[str, Query(pattern="^(list)?$")] = "",
    cursor: Cursor = "",
    code: Annotated[str, Query(max_length=16)] = "",
) -> Response:
    """The form and the list; part=list is what changes while papers are being made."""
    now = services.clock()
    with services.db.read() as session:
        found = exports.page(session, who.unit, before=decode_id(cursor), limit=PER_PAGE + 1)
        shown = found[:PER_PAGE]
        places = rooms.names(session, [row.subject for row in shown])
        names = units.names(session, [row.unit for row in shown])
        choices = [(unit.code, unit.name) for unit in units.page(session, who.unit, after="", limit=200)]
        room_codes = rooms.codes(session, who.unit, after="", limit=300)
        room_names = rooms.names(session, room_codes)
    more = encode_cursor(shown[-1].id) if len(found) > PER_PAGE else None
    busy = any(row.state in ("queued", "running") for row in shown)
    last = local(now).replace(day=1)
    month = f"{last.year - (last.month == 1)}-{(last.month - 2) % 12 + 1:02d}"
    return screens.page(
        request,
        "_papers_list.html" if part == "list" else "papers.html",
        who=who,
        jobs=shown,
        job=job,
        places=places,
        unit_names=names,
        kinds=KINDS,
        formats=FORMATS,
        states=STATES,
        choices=choices,
        room_choices=[(c, room_names[c][0]) for c in room_codes],
        month=month,
        more=more,
        busy=busy,
        code=code,
    )


@router.post("/papers")
async def order(request: Request, services: ServicesOf, who: Viewer) -> Response:
    """Order a paper from the form."""
    form = await request.form()
    body = api.OrderBody(
        kind=str(form.get("kind", ""))[:24],
        code=(str(form.get("other", "")).strip() or str(form.get("subject", "")))[:16],
        period=str(form.get("period", ""))[:64],
        format=str(form.get("format", "pdf"))[:8],
    )
    ident = await run_in_threadpool(api.place_order, services, who, body)
    return RedirectResponse(f"/papers?job={ident}", 303)


@router.get("/papers/{export}/file")
def file(export: Annotated[int, Path(ge=1, lt=1 << 63)], services: ServicesOf, who: Viewer) -> FileResponse:
    """The file of a finished order."""
    return api.file(export, who, services)
