"""Devices, gateways, imports, proposals, notices, roles, oneself: pages of those who keep the books; and the one form that edits them."""

from typing import Annotated

from fastapi import Depends, File, Form, Query, Request, UploadFile
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from server import stills
from server.org import checks, imports, last_sign_in, notices
from server.store import naming, organisation, people, units
from server.store.tables import Account, Person
from server.store.tables_org import ImportRun, Notice
from server.web import edits, problems
from server.web.api import imports as imports_api
from server.web.api import people as people_api
from server.web.api import sheets
from server.web.api.common import Cursor, Viewer, decode_id, encode_cursor
from server.web.auth import Principal, ServicesOf, principal, require, require_room
from server.web.pages.common import ScreensOf, by_script
from server.web.pages.organisation import PER_PAGE, Reader
from server.web.problems import ProblemError
from server.web.rights import Action
from server.web.routers import page_router
from server.web.services import Services

router = page_router()

Keeper = Annotated[Principal, Depends(require(Action.GATEWAYS))]
Organiser = Annotated[Principal, Depends(require(Action.ORGANISE))]
_DAY_MS = 86_400_000
DUE_DAYS = (30, 90)


@router.get("/devices")
def devices(
    request: Request,
    screens: ScreensOf,
    services: ServicesOf,
    who: Keeper,
    due: Annotated[int, Query(ge=0, le=400, description="calibrations that end within so many days")] = 0,
    gateway: Annotated[str, Query(max_length=40)] = "",
    cursor: Cursor = "",
) -> Response:
    """Points with their sensors' calibration."""
    now = services.clock()
    with services.db.read() as session:
        found = organisation.devices(
            session, who.unit, gateway=gateway, due_before=now + due * _DAY_MS if due else None, after=decode_id(cursor) or 0, limit=PER_PAGE + 1
        )
    more = encode_cursor(found[PER_PAGE - 1].point.id) if len(found) > PER_PAGE else None
    chosen = {"due": due, "gateway": gateway}
    return screens.page(
        request, "devices.html", who=who, found=found[:PER_PAGE], more=more, chosen=chosen, due_days=DUE_DAYS, soon=now + 30 * _DAY_MS
    )


@router.get("/imports")
def runs(request: Request, screens: ScreensOf, services: ServicesOf, who: Organiser, cursor: Cursor = "") -> Response:
    """Imports: start one, see the others."""
    with services.db.read() as session:
        found = organisation.runs(session, imports_api.seen_by(session, who), before=decode_id(cursor), limit=PER_PAGE + 1)
    more = encode_cursor(found[PER_PAGE - 1].id) if len(found) > PER_PAGE else None
    return screens.page(request, "imports.html", who=who, found=found[:PER_PAGE], more=more, kinds=imports.KINDS)


@router.post("/imports")
def start(
    who: Organiser,
    services: ServicesOf,
    file: Annotated[UploadFile, File()],
    kind: Annotated[str, Form(max_length=16)],
    dry_run: Annotated[str, Form(max_length=4)] = "",
) -> Response:
    """Begin an import and follow it."""
    run = imports_api.begin(services, who, kind, file.filename or kind, file.file.read(imports_api.MOST_BYTES + 1), dry_run=bool(dry_run))
    return RedirectResponse(f"/imports/{run}", 303)


@router.get("/imports/{ident}")
def run(
    ident: int, request: Request, screens: ScreensOf, services: ServicesOf, who: Organiser, part: Annotated[str, Query(pattern="^(live)?$")] = ""
) -> Response:
    """One import: progress, errors row by row, undo; part=live only what changes."""
    with services.db.read() as session:
        row = imports_api.visible(services, who, session.get(ImportRun, ident) if ident < 1 << 63 else None)
    return screens.page(request, "_import_live.html" if part else "import.html", who=who, run=row)


@router.post("/imports/{ident}/undo")
def undo(ident: int, who: Organiser, services: ServicesOf, reason: Annotated[str, Form(max_length=200)] = "") -> Response:
    """Take an import back."""
    if not reason.strip():
        raise problems.invalid("请填写原因。", "reason", "required")
    imports_api.undo(services, who, ident, reason.strip())
    return RedirectResponse(f"/imports/{ident}", 303)


@router.get("/changes")
def proposals(request: Request, screens: ScreensOf, services: ServicesOf, who: Reader, said: str = "", cursor: Cursor = "") -> Response:
    """Proposals of data keepers; the level above decides."""
    with services.db.read() as session:
        found = organisation.requests(session, who.unit, state="", before=decode_id(cursor), limit=PER_PAGE + 1)
        names = units.names(session, [row.unit for row in found])
        called = naming.names(session, [row.subject for row in found], [document for row in found for document in (row.before, row.after)])
    more = encode_cursor(found[PER_PAGE - 1].id) if len(found) > PER_PAGE else None
    return screens.page(request, "proposals.html", who=who, found=found[:PER_PAGE], names=names, called=called, more=more, said=said)


@router.post("/changes/{ident}/decision")
def decide(
    ident: int,
    who: Organiser,
    services: ServicesOf,
    approve: Annotated[str, Form(max_length=4)] = "",
    remark: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Approve (1) or send back."""
    done = edits.decide(services, who, ident, approve=approve == "1", remark=remark)
    return RedirectResponse(f"/changes?said={done.state}", 303)


@router.post("/edit")
async def edit(request: Request, screens: ScreensOf, services: ServicesOf, who: Reader) -> Response:
    """The one form of all edits: kind, key.*, cell.*, reason, back. A script gets the refusal into the form, so that nothing typed is lost."""
    form = await request.form()
    back = _field(form, "back")
    back = back if back.startswith("/") and not back.startswith(("//", "/\\")) else "/units"
    try:
        done = await run_in_threadpool(_edit, services, who, form)
    except ProblemError as problem:
        if not by_script(request):
            raise
        return screens.page(request, "_message.html", problem.status, who=who, sentence=problem.detail)
    target = f"{back}{'&' if '?' in back else '?'}said={done.state}"
    return Response(headers={"HX-Redirect": target}) if by_script(request) else RedirectResponse(target, 303)


def _edit(services: Services, who: Principal, form: FormData) -> edits.Done:
    parts: dict[str, dict[str, str]] = {"key": {}, "cell": {}}
    for name in form:
        group, dot, rest = name.partition(".")
        if dot and group in parts and len(rest) <= 40:
            values = [value for value in form.getlist(name) if isinstance(value, str)]
            parts[group][rest] = ";".join(value.strip()[:2000] for value in values if value)
    return edits.edit(services, who, _field(form, "kind"), parts["key"], parts["cell"], _field(form, "reason"))


def _field(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value.strip()[:200] if isinstance(value, str) else ""


@router.post("/rooms/{code}/plan")
def set_plan(code: str, who: Organiser, services: ServicesOf, file: Annotated[UploadFile, File()]) -> Response:
    """Put a floor plan in the place of the one before."""
    require_room(services, who, code)
    sheets.store_plan(services, who, code, file.file.read(stills.MOST_BYTES + 1))
    return RedirectResponse(f"/rooms/{code}/sheet?said=done", 303)


@router.get("/notices")
def listing(request: Request, screens: ScreensOf, services: ServicesOf, who: Viewer, cursor: Cursor = "") -> Response:
    """Notices that stand: calibrations that fall due, emergency access, failed feeds."""
    with services.db.read() as session:
        found = organisation.notices(session, who.unit, before=decode_id(cursor), limit=PER_PAGE + 1)
        names = units.names(session, [row.unit for row in found])
    more = encode_cursor(found[PER_PAGE - 1].id) if len(found) > PER_PAGE else None
    return screens.page(request, "notices.html", who=who, found=found[:PER_PAGE], names=names, more=more)


@router.post("/notices/{ident}/close")
def close(ident: int, who: Annotated[Principal, Depends(require(Action.CLOSE_NOTICE))], services: ServicesOf) -> Response:
    """A person has seen to it."""
    with services.db.write() as session:
        row = session.get(Notice, ident) if ident < 1 << 63 else None
        if row is None:
            raise ProblemError(404, "没有这条通告。")
        if not units.within(session, row.unit, who.unit):
            raise ProblemError(403, problems.NO_RIGHT)
        notices.close(session, row, who.name, services.clock())
    return RedirectResponse("/notices", 303)


@router.get("/me")
def me(request: Request, screens: ScreensOf, services: ServicesOf, who: Annotated[Principal, Depends(principal)]) -> Response:
    """What the system knows about the asker."""
    now = services.clock()
    with services.db.read() as session:
        account = session.get(Account, who.account) if who.account is not None else None
        last = last_sign_in.before(session, account.id, who.session) if account is not None else None
        row = session.get(Person, account.person) if account is not None and account.person is not None else None
        view = people_api.views(session, [row], who, now)[0] if row is not None else None
        away = people.absences_of(session, row.id) if row is not None else []
        unit = units.names(session, [who.unit])[who.unit] if who.unit is not None else ""
        offered = checks.way_orders(email=bool(row.email)) if row is not None else []
    return screens.page(request, "me.html", who=who, person=view, away=away, unit=unit, last=last, offered=offered, way_names=checks.WAY_NAMES)
