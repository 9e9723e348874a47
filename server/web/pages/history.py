"""历史: one room (and up to three beside it) over a range that stands in the address; every chart with its table, remarks, export."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated
from urllib.parse import quote

from fastapi import Query, Request
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from contract.quantities import EQUIPMENT, QUANTITIES, Kind
from server.series.derived import DERIVED
from server.store import annotations, rooms, units
from server.store.tables import Point, Room
from server.web.api import history as api
from server.web.api.annotations import NewAnnotation, annotate
from server.web.api.common import Viewer, at
from server.web.api.history import DAY_MS
from server.web.api.history_shapes import Bucket, History
from server.web.api.reports import HistoryOptions, OrderBody, place_order
from server.web.auth import Principal, ServicesOf, require_room
from server.web.formats import BEIJING, day_start, local
from server.web.pages.common import ScreensOf
from server.web.pages.history_events import beside as happened
from server.web.problems import NO_ACTION, ProblemError, invalid
from server.web.rights import Action
from server.web.routers import page_router
from server.web.services import Services

router = page_router()

MOST_COMPARED, MOST_QUANTITIES = 3, 6
SPANS = {"today": "今天", "24h": "近 24 小时", "7d": "近 7 天", "30d": "近 30 天", "month": "本月", "365d": "近一年"}
EXPORTS = ("csv", "xlsx", "json", "pdf")
STEPS = {0: "原始数据", 600: "10 分钟", 3600: "1 小时", 86_400: "1 天"}
_TABLE_STEPS_S = (600, 3600, 10_800, 86_400, 604_800)
_MOST_LINES = 60
_LONGEST_MS = 1_100 * DAY_MS
_WHEN = "%Y-%m-%dT%H:%M"


Line = tuple[int, float | None, float | None, float | None, list[float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A quantity: what the browser draws, and the table beneath. `lines` are (time, low, mean, high, means of the rooms compared)."""

    quantity: str
    name: str
    unit: str
    lines: list[Line] = field(default_factory=list)
    failed: bool = False


@router.get("/rooms/{code}/history")
def page(
    code: str,
    request: Request,
    screens: ScreensOf,
    services: ServicesOf,
    who: Viewer,
    span: Annotated[str, Query(max_length=8)] = "",
    since: Annotated[str, Query(max_length=16)] = "",
    until: Annotated[str, Query(max_length=16)] = "",
    quantity: Annotated[list[str] | None, Query(max_length=MOST_QUANTITIES)] = None,
    beside: Annotated[list[str] | None, Query(max_length=MOST_COMPARED)] = None,
) -> Response:
    """The page; `since` and `until` are local times as the inputs write them and go before `span`."""
    compared = [other for other in dict.fromkeys(beside or []) if other and other != code]
    for each in (code, *compared):
        require_room(services, who, each)
    now = services.clock()
    start, end, chosen_span = _range(span, since, until, now)
    with services.db.read() as session:
        room = session.get_one(Room, code)
        offered = _quantities(session, code)
        line = units.path(session, room.unit)
        names, remarks = units.names(session, line), annotations.within(session, code, start, end)
        others = _neighbours(session, room, who, [code, *compared])
        shown = {each: session.get_one(Room, each).name for each in (code, *compared)}
    wanted = [name for name in quantity or ["temperature", "humidity"] if name in offered] or list(offered)[:2]
    charts = [_chart(services, who, [code, *compared], name, offered[name], start, end) for name in wanted]
    return screens.page(
        request,
        "history.html",
        who=who,
        room=room,
        charts=charts,
        wanted=wanted,
        offered=offered,
        start=start,
        end=end,
        span=chosen_span,
        spans=SPANS,
        since=f"{local(start):{_WHEN}}",
        until=f"{local(end):{_WHEN}}",
        compared=compared,
        names=shown,
        others=others,
        remarks=remarks,
        happened=happened(services, who, code, start, end),
        exports=EXPORTS,
        steps=STEPS,
        derived=DERIVED,
        most=MOST_COMPARED,
        path=[(unit, names.get(unit, unit)) for unit in line],
        reachable=line if who.unit is None else line[line.index(who.unit) :],
        longer=_address(code, wanted, compared, start - (end - start) // 2, end + (end - start) // 2, now),
        earlier=_address(code, wanted, compared, start - (end - start), start, now),
        later=_address(code, wanted, compared, end, end + (end - start), now),
    )


@router.post("/rooms/{code}/history/export")
async def export(code: str, request: Request, services: ServicesOf, who: Viewer) -> Response:
    """Order the shown range as a file; the page of papers shows its progress."""
    form = await request.form()
    ident = await run_in_threadpool(_order, services, who, code, form)
    return RedirectResponse(f"/papers?job={ident}", 303)


@router.post("/rooms/{code}/history/remark")
async def remark(code: str, request: Request, services: ServicesOf, who: Viewer) -> Response:
    """Add a remark and come back to the same range."""
    if not who.may(Action.HANDLE):
        raise ProblemError(403, NO_ACTION)
    require_room(services, who, code)
    form = await request.form()
    text = str(form.get("text", "")).strip()[:500]
    if not text:
        raise invalid("请写批注内容。", "form.text", "is required")
    body = NewAnnotation(since=at(_instant(str(form.get("at", "")), "at")), text=text)
    await run_in_threadpool(annotate, code, body, who, services)
    back = f"since={quote(str(form.get('since', ''))[:16])}&until={quote(str(form.get('until', ''))[:16])}"
    return RedirectResponse(f"/rooms/{code}/history?{back}", 303)


def _order(services: Services, who: Principal, code: str, form: FormData) -> int:
    now = services.clock()
    start, end, _ = _range("", str(form.get("since", "")), str(form.get("until", "")), now)
    ending, step = str(form.get("format", "csv")), str(form.get("step", "600"))
    if ending not in EXPORTS or not step.isascii() or not step.isdigit() or int(step) not in STEPS:
        raise invalid("没有这种格式或间隔。", "form.format", "not offered")
    options = HistoryOptions(
        quantities=[str(value) for value in form.getlist("quantity")][:MOST_QUANTITIES] or ["temperature", "humidity"],
        rooms=[str(value) for value in form.getlist("beside") if value][:MOST_COMPARED],
        step=int(step),
        since=start,
        until=end,
    )
    period = f"{local(start):%Y-%m-%d}..{local(max(start, end - 1)):%Y-%m-%d}"
    require_room(services, who, code)
    return place_order(services, who, OrderBody(kind="history", code=code, period=period, format=ending, options=options))


def _range(span: str, since: str, until: str, now: int) -> tuple[int, int, str]:
    """(start, end, name of the span or ""). One instant alone reaches to now, or a week back. Raises ProblemError 422."""
    if since or until:
        end = _instant(until, "until") + (0 if "T" in until else DAY_MS) if until else now  # a day is meant with all its hours
        start = _instant(since, "since") if since else end - 7 * DAY_MS
        if end <= start:
            raise invalid("结束时间须晚于开始时间。", "query.until", "must be later")
        if end - start > _LONGEST_MS:
            raise invalid("一次最多看三年。", "query.since", "too long")
        return start, end, ""
    chosen = span if span in SPANS else "7d"
    if chosen == "today":
        return day_start(now), max(now, day_start(now) + 60_000), chosen
    if chosen == "month":
        first = local(now).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return round(first.timestamp()) * 1000, now, chosen
    days = 1 if chosen == "24h" else int(chosen.removesuffix("d"))
    return now - days * DAY_MS, now, chosen


def _instant(text: str, where: str) -> int:
    try:
        return round(datetime.strptime(text, _WHEN if "T" in text else "%Y-%m-%d").replace(tzinfo=BEIJING).timestamp()) * 1000
    except ValueError as error:
        raise invalid("时间写作 2026-10-01T08:00 或 2026-10-01。", f"query.{where}", "not a time") from error


def _quantities(session: Session, code: str) -> dict[str, str]:
    """What can be shown of a room, by name: what is measured there (not how its devices are), then what follows from temperature and humidity."""
    rows = session.query(Point.quantity).filter(Point.room == code).distinct()
    measured = [name for (name,) in rows if name in QUANTITIES and QUANTITIES[name].kind is not Kind.STATE and name not in EQUIPMENT]
    ordered = sorted(measured, key=lambda name: (("temperature", "humidity").index(name) if name in ("temperature", "humidity") else 2, name))
    found = {name: QUANTITIES[name].zh for name in ordered}
    if {"temperature", "humidity"} <= set(found):
        found |= {name: each.zh for name, each in DERIVED.items() if name not in found}
    return found


def _neighbours(session: Session, room: Room, who: Principal, taken: Sequence[str]) -> list[tuple[str, str]]:
    """Rooms that may be put beside this one: those of its unit, then of the unit above."""
    above = next(iter(units.path(session, room.unit)[-2:-1]), room.unit)
    scope = above if who.unit is None or units.within(session, above, who.unit) else room.unit
    codes = [code for code in rooms.codes(session, scope, after="", limit=60) if code not in taken]
    return [(code, name) for code, (name, _) in sorted(rooms.names(session, codes).items(), key=lambda item: (item[0][:12] != room.unit, item[0]))]


def _chart(services: Services, who: Principal, codes: Sequence[str], quantity: str, name: str, start: int, end: int) -> Chart:
    step_s = next((s for s in _TABLE_STEPS_S if (end - start) <= s * 1000 * _MOST_LINES), _TABLE_STEPS_S[-1])
    unit = QUANTITIES[quantity].unit if quantity in QUANTITIES else DERIVED[quantity].unit
    chart = Chart(quantity=quantity, name=name, unit=unit.replace("°C", "℃"))
    try:
        views = api.views(services, who, list(codes), [quantity], (at(start), at(end)), str(step_s))
    except ProblemError:  # logged where it was raised; the page must not fail with the store
        return replace(chart, failed=True)
    return replace(chart, lines=_lines(views, start, end, step_s * 1000))


def _lines(views: Sequence[History], start: int, end: int, step: int) -> list[Line]:
    tables = [_by_time(view) for view in views]
    grid = start - (start + 8 * 3_600_000) % step
    lines: list[Line] = []
    for time in range(grid, end, step):
        own = tables[0].get(time)
        low, mean, high = (None, None, None) if own is None else (own.min, own.mean, own.max)
        lines.append((time, low, mean, high, [None if (other := table.get(time)) is None else other.mean for table in tables[1:]]))
    return lines[::-1]


def _by_time(view: History) -> dict[int, Bucket]:
    """Buckets of the first point inside that has any."""
    series = next((each for each in view.series if not each.outdoor and each.buckets), None)
    return {} if series is None else {bucket.at: bucket for bucket in series.buckets}


def _address(code: str, quantities: Sequence[str], beside: Sequence[str], start: int, end: int, now: int) -> str:
    end = min(end, now)
    start = min(start, end - 3_600_000)
    parts = [
        f"since={local(start):{_WHEN}}",
        f"until={local(end):{_WHEN}}",
        *(f"quantity={name}" for name in quantities),
        *(f"beside={c}" for c in beside),
    ]
    return f"/rooms/{code}/history?{'&'.join(parts)}"
