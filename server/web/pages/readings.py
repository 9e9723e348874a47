"""人工抄录: the form of a room, its entries, and who is missing today."""

import secrets
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from server.org import readings
from server.org.readings import Entry, ReadingError
from server.store import manual
from server.store.tables import Room
from server.web.api import readings as api
from server.web.api.common import Viewer
from server.web.auth import Principal, ServicesOf, require_room
from server.web.formats import local
from server.web.in_place import Acting, person_at
from server.web.pages.common import ScreensOf
from server.web.problems import ProblemError, invalid
from server.web.rights import Action
from server.web.routers import page_router
from server.web.screens import Screens
from server.web.services import Services

router = page_router()

WEATHER = ("晴", "多云", "阴", "小雨", "大雨", "雾", "雪")
HALVES = ("上午", "下午")
_SHOWN = 40
_EMPTY = dict.fromkeys(("temperature", "humidity", "weather", "measures", "reader", "replaces", "via", "key", "taken_at"), "")


@router.get("/readings")
def missing(request: Request, screens: ScreensOf, services: ServicesOf, who: Viewer) -> Response:
    """今日待抄录: rooms without sensors that nobody has read yet."""
    with services.db.read() as session:
        found = readings.missing(session, who.unit, services.desk.sources.settings.times, services.workdays.works, services.clock())
    return screens.page(request, "readings.html", who=who, missing=found, halves=HALVES)


@router.get("/rooms/{code}/readings")
def page(
    code: str,
    request: Request,
    screens: ScreensOf,
    services: ServicesOf,
    who: Viewer,
    replaces: Annotated[int | None, Query(ge=1, lt=1 << 63)] = None,
) -> Response:
    """The form and the entries; `replaces` fills the form with the entry to correct."""
    require_room(services, who, code)
    with services.db.read() as session:
        rows = manual.page(session, code, before=None, limit=_SHOWN)
        wrong = next((row for row in rows if row.id == replaces), None)
    now = services.clock()
    values: dict[str, Any] = {
        "taken_at": f"{local(now if wrong is None else wrong.taken_at):%Y-%m-%dT%H:%M}",
        "reader": who.name,
        "key": secrets.token_urlsafe(18),
    }
    if wrong is not None:
        values |= {name: getattr(wrong, name) for name in ("temperature", "humidity", "weather", "measures", "reader")} | {"replaces": str(wrong.id)}
    return _show(request, screens, services, who, code, values, [], "")


@router.post("/rooms/{code}/readings")
async def enter(
    code: str, request: Request, screens: ScreensOf, services: ServicesOf, who: Annotated[Principal, Depends(Acting(Action.HANDLE))]
) -> Response:
    """Keep an entry; what looks odd comes back with the values, to be confirmed or changed."""
    require_room(services, who, code)
    form = await request.form()
    try:
        await run_in_threadpool(lambda: api.take(services, person_at(services, request, who, form, Action.HANDLE), _entry(code, form)))
    except ProblemError as problem:
        values = {key: str(value) for key, value in form.items() if not key.startswith("actor_")}
        doubts = problem.extra.get("doubts", [])
        return await run_in_threadpool(_show, request, screens, services, who, code, values, doubts, "" if doubts else problem.detail)
    return RedirectResponse(f"/rooms/{code}/readings", 303)


def _show(
    request: Request, screens: Screens, services: Services, who: Principal, code: str, values: dict[str, Any], doubts: list[str], refused: str
) -> Response:
    with services.db.read() as session:
        room = session.get_one(Room, code)
        rows = manual.page(session, code, before=None, limit=_SHOWN)
        replaced = {row.replaces for row in rows if row.replaces is not None}
    return screens.page(
        request,
        "room_readings.html",
        422 if doubts or refused else 200,
        who=who,
        room=room,
        rows=rows,
        replaced=replaced,
        values=_EMPTY | values,
        doubts=doubts,
        refused=refused,
        weather=WEATHER,
    )


def _entry(code: str, form: FormData) -> Entry:
    def text(name: str, most: int) -> str:
        return str(form.get(name, "")).strip()[:most]

    def number(name: str) -> float | None:
        written = text(name, 12).replace("，", ".").replace(",", ".")
        try:
            return float(written) if written else None
        except ValueError as error:
            raise invalid("温度和湿度请填数字。", f"form.{name}", "not a number") from error

    try:
        taken = readings.instant(text("taken_at", 16))
    except ReadingError as error:
        raise invalid(str(error), "form.taken_at", "not a time") from error
    replaces = text("replaces", 18)
    return Entry(
        room=code,
        taken_at=taken,
        temperature=number("temperature"),
        humidity=number("humidity"),
        reader=text("reader", 60),
        key=text("key", 64) or secrets.token_urlsafe(18),
        weather=text("weather", 20),
        measures=text("measures", 200),
        via="phone" if form.get("via") == "phone" else "form",
        replaces=int(replaces) if replaces.isascii() and replaces.isdigit() else None,
        confirmed=form.get("confirmed") == "1",
    )
