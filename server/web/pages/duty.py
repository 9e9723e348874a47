"""值班 as pages: who is there, the month to write in, gaps, hand-over, load of people, texts."""

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import chain
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from server.duty import handover, load, vacancy
from server.duty.clock import local, midnight
from server.org.search import of_person
from server.store import rooms, units, works
from server.store.tables import Person, Room, Unit
from server.store.tables_duty import Roster
from server.web.api import duty as api
from server.web.api import hand_overs, looks, rosters
from server.web.api.common import Viewer
from server.web.auth import Principal, ServicesOf, require, require_unit
from server.web.pages.common import ScreensOf, signs, unit_asked
from server.web.problems import ProblemError, invalid
from server.web.rights import Action
from server.web.routers import page_router

router = page_router()

_MOST_STAFF = 300
ShiftQuery = Annotated[str, Query(max_length=40)]
UnitQuery = Annotated[str, Query(max_length=12)]
Handling = Annotated[Principal, Depends(require(Action.HANDLE))]
Telling = Annotated[Principal, Depends(require(Action.NOTIFICATIONS))]


def _neighbours(session: Session, top: Unit, who: Principal) -> list[Unit]:
    """The sisters of a unit that the asker may see: who could stand in for it."""
    sisters = units.children(session, top.parent) if top.parent is not None else ()
    return [one for one in sisters if one.code != top.code and units.within(session, one.code, who.unit)]


def _month(text: str, now: int) -> date:
    try:
        return date.fromisoformat(f"{text}-01") if text else local(now).date().replace(day=1)
    except ValueError as error:
        raise invalid("月份写作 2026-11。", "query.period", "not a month") from error


@router.get("/duty")
def desk(
    request: Request, screens: ScreensOf, services: ServicesOf, who: Viewer, unit: UnitQuery = "", period: str = "", shift: ShiftQuery = ""
) -> Response:
    """值班表 of a month: shifts in rows, days in columns; who may handle alarms may write in it. `shift` is the one to be changed."""
    now = services.clock()
    top = unit_asked(services, who, unit)
    first = _month(period if len(period) == 7 else "", now)
    following = (first + timedelta(days=32)).replace(day=1)
    with services.db.read() as session:
        found = rosters.month(session, top.code, services.workdays, midnight(first), midnight(following))
        shifts = session.scalars(select(Roster).where(Roster.unit == top.code, Roster.ended_at.is_(None)).order_by(Roster.starts_min)).all()
        here = rosters.duty_now(session, top.code, services.workdays, now)
        below = units.children(session, top.code)
        partner = rosters.pair_of(session, top.code)
        unwatched = bool(vacancy.unwatched(session, vacancy.rostered(session), now, among=Room.unit == top.code))
        neighbours = _neighbours(session, top, who)
        planned = works.ahead(session, top.code)
        places = rooms.names(session, [work.room for work in planned])
        editing = next((one for one in shifts if one.name == shift), None)
        staff = _staff(session, top.code, _turns(editing))
    days = [first + timedelta(days=n) for n in range((following - first).days)]
    cells = {(one.roster, one.day): one for one in found}
    codes = {one.id: one.code for one in staff}
    turns = [[codes[ident] for ident in turn if ident in codes] for turn in _turns(editing)] or [[one.code] for one in staff[:3]]
    return screens.page(
        request, "duty.html", who=who, unit=top, rosters=shifts, days=days, cells=cells, on_duty=here,
        gaps=rosters.duty_gaps(top.code, who, services), partner=partner, neighbours=neighbours, unwatched=unwatched,
        below=below, staff=staff, workdays=services.workdays, first=first, before=first - timedelta(days=1), following=following,
        today=local(now).date(), works=planned, places=places, editing=editing, turns=turns,
        staff_search=[{"code": one.code, "name": one.name, "search": one.search or of_person(one.name, one.code)} for one in staff],
    )  # fmt: skip


def _turns(roster: Roster | None) -> list[list[int]]:
    return [] if roster is None else [[turn] if isinstance(turn, int) else turn for turn in roster.people]


def _staff(session: Session, unit: str, turns: list[list[int]]) -> Sequence[Person]:
    """The people of a unit, and whoever else takes turns in the shift that is being changed: somebody who was transferred."""
    mine = and_(Person.unit == unit, Person.disabled_at.is_(None))
    return session.scalars(select(Person).where(or_(mine, Person.id.in_(chain(*turns)))).order_by(Person.code).limit(_MOST_STAFF)).all()


@router.post("/duty/day")
async def write_day(request: Request, services: ServicesOf, who: Handling) -> Response:
    """One cell of the month: other people for one day; none chosen means the shift does not take place."""
    form = await request.form()
    unit, day = str(form.get("unit", "")), str(form.get("day", ""))
    chosen = [code for code in form.getlist("people") if isinstance(code, str) and code]
    try:
        when = date.fromisoformat(day)
    except ValueError as error:
        raise invalid("日期写作 2026-11-26。", "day", "not a day") from error
    body = rosters.DayBody(name=str(form.get("name", "")), day=when, people=chosen, why=str(form.get("note", ""))[:200])
    rosters.write_day(services, who, unit, body)
    return RedirectResponse(f"/duty?unit={unit}&period={day[:7]}", 303)


@router.post("/duty/roster")
async def write_roster(request: Request, services: ServicesOf, who: Handling) -> Response:
    """Make a shift or change the one of this name; people by name or personnel number, a turn in a line."""
    form = {key: value for key, value in (await request.form()).items() if isinstance(value, str)}
    lines = [line.split() for line in form.get("people", "").splitlines() if line.strip()]
    with services.db.read() as session:
        require_unit(session, who, form.get("unit", ""))
        turns = [rosters.codes_of(session, form.get("unit", ""), line) for line in lines]
    if not turns:
        raise invalid("请选择轮值人员。", "people", "nobody")
    body = rosters.RosterBody.model_validate(
        {key: form[key] for key in ("name", "role", "starts", "days", "turn_days", "anchor") if key in form}
        | {"minutes": _minutes(form.get("hours", "")), "people": turns}
    )
    rosters.set_roster(form.get("unit", ""), body, who, services)
    return RedirectResponse(f"/duty?unit={form.get('unit', '')}", 303)


def _minutes(hours: str) -> int:
    try:
        minutes = round(float(hours) * 60)
    except (ValueError, OverflowError) as error:
        raise invalid("请填一个数。", "hours", "not a number") from error
    if not rosters.SHORTEST_MIN <= minutes <= rosters.LONGEST_MIN:
        raise invalid("一班为 0.5 至 48 小时。", "hours", "out of range")
    return minutes


@router.post("/duty/roster/end")
async def end_roster(request: Request, services: ServicesOf, who: Handling) -> Response:
    """No more of this shift; what took place stays."""
    form = await request.form()
    unit = str(form.get("unit", ""))
    rosters.end_roster(unit, str(form.get("name", ""))[:40], who, services)
    return RedirectResponse(f"/duty?unit={unit}", 303)


@router.post("/duty/pair")
async def pair(request: Request, services: ServicesOf, who: Handling) -> Response:
    """结对代管: name the unit that stands in, or none."""
    form = await request.form()
    unit = str(form.get("unit", ""))
    rosters.write_pair(services, who, unit, str(form.get("stand_in", ""))[:12])
    return RedirectResponse(f"/duty?unit={unit}", 303)


@router.get("/duty/hand-over")
def hand_over(request: Request, screens: ScreensOf, services: ServicesOf, who: Telling, unit: UnitQuery = "") -> Response:
    """交接班: the sheet as it would be signed now, the one that waits for its second signature, and the last ones."""
    now = services.clock()
    top = unit_asked(services, who, unit)
    with services.db.read() as session:
        since, until, body = handover.draft(session, top.code, now, services.workdays)
        sheets = list(handover.sheets(session, top.code))
        said = [body, *(sheet.body for sheet in sheets)]
        named = {row["room"] for one in said for row in one["open"]} | {str(item["subject"]) for one in said for item in one["pending"]}
        places = rooms.names(session, sorted(named - {""}))
    waiting = next((sheet for sheet in sheets if sheet.taken_at is None), None)
    return screens.page(
        request,
        "hand_over.html",
        who=who,
        unit=top,
        since=since,
        until=until,
        body=body,
        sheets=sheets,
        waiting=waiting,
        intact=handover.intact,
        places=places,
    )


@router.post("/duty/hand-over")
async def sign(request: Request, services: ServicesOf, who: Handling) -> Response:
    """Sign: 交班 makes the sheet, 接班 is the second signature."""
    form = await request.form()
    unit = str(form.get("unit", ""))
    if form.get("side") == "take":
        hand_overs.take(unit, who, services)
    else:
        hand_overs.give(unit, who, services, hand_overs.SignBody(remark=str(form.get("remark", ""))[:500]))
    return RedirectResponse(f"/duty/hand-over?unit={unit}", 303)


@router.get("/duty/load")
def human_load(request: Request, screens: ScreensOf, services: ServicesOf, who: Telling, unit: UnitQuery = "") -> Response:
    """人的负担: alarms per hour, who is woken how often, the worst rules with a proposal; of the last thirty days."""
    top = unit_asked(services, who, unit)
    return screens.page(
        request, "duty_load.html", who=who, unit=top, load=api.duty_load(top.code, who, services),
        reference=load.ACCEPTABLE_PER_HOUR, signs=signs(services),
    )  # fmt: skip


@router.get("/duty/looks")
def look_list(request: Request, screens: ScreensOf, services: ServicesOf, who: Telling, unit: UnitQuery = "", part: str = "") -> Response:
    """派查: one click, and how the answers stand; part=list only the list."""
    top = unit_asked(services, who, unit)
    found = looks.list_looks(top.code, who, services)
    return screens.page(request, "_looks.html" if part == "list" else "looks.html", who=who, unit=top, looks=found)


@router.post("/duty/looks")
async def send(request: Request, services: ServicesOf, who: Handling) -> Response:
    """派查 of all rooms of a unit and below that the system does not see."""
    form = await request.form()
    unit = str(form.get("unit", ""))
    looks.order_look(services, who, unit, [], str(form.get("note", ""))[:200])
    return RedirectResponse(f"/duty/looks?unit={unit}", 303)


@router.post("/duty/alarms/{ident}/look")
def send_for_alarm(ident: Annotated[int, Path(ge=1)], services: ServicesOf, who: Handling) -> Response:
    """派查 of every room that an alarm is about."""
    look = looks.look_for_alarm(ident, who, services)
    return RedirectResponse(f"/duty/looks?unit={look.unit}", 303)


@router.post("/duty/looks/answer")
async def answer(request: Request, services: ServicesOf, who: Handling) -> Response:
    """What somebody said by phone, recorded by the desk."""
    form = await request.form()
    unit, number = str(form.get("unit", "")), str(form.get("number", ""))
    if not number.isascii() or not number.isdigit() or len(number) > 18:
        raise ProblemError(404, "没有这条派查。")
    body = looks.LookAnswer(room=str(form.get("room", "")), answer=str(form.get("answer", "")), person=str(form.get("person", "")))
    await looks.answer_look(unit, int(number), body, who, services)
    return RedirectResponse(f"/duty/looks?unit={unit}", 303)


@router.get("/texts")
def texts(request: Request, screens: ScreensOf, who: Telling) -> Response:
    """短信模板: every registered text with its length."""
    return screens.page(request, "texts.html", who=who, texts=api.all_texts())
