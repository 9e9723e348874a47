"""Changes that are no edit of a row: leave, disabling and taking back of people, merging units, room sheets, striking a holding.

Each deed checks, and with `write` carries out; it returns the unit that it belongs to, what was and will be, and what the watch must read again.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import select

from server.org import checks, merging, people
from server.org.checks import CheckError
from server.org.imports.plan import Context
from server.org.vocabulary import SHEET, SHEET_TEXT
from server.store import units
from server.store.tables import Gateway, Person, Point, Room, Unit
from server.store.tables_org import Holding, RoomPlan, RoomSheet

Outcome = tuple[str, dict[str, Any], dict[str, Any], dict[str, set[str]]]
Cells = Mapping[str, str]
_DAY_MS: Final = 86_400_000


def _person(context: Context, key: Cells) -> Person:
    person = context.session.scalar(select(Person).where(Person.code == key.get("code", "")))
    if person is None:
        raise CheckError("没有这个人")
    context.may(person.unit)
    return person


def leave(context: Context, key: Cells, after: Cells, write: bool) -> Outcome:
    """请假: from–to (days, both included), and who stands in. Cells: since, until, stand_in, why."""
    person, session = _person(context, key), context.session
    since, until = checks.day(after.get("since", "")), checks.day(after.get("until", "")) + _DAY_MS
    other = after.get("stand_in", "")
    stand_in = session.scalar(select(Person).where(Person.code == other)) if other else None
    if other and stand_in is None:
        raise CheckError(f"没有这个人：{other}")
    try:
        with session.begin_nested() as trial:
            people.leave(session, person, since=since, until=until, stand_in=stand_in, why=after.get("why", ""), by=context.by, now=context.now)
            if not write:
                trial.rollback()
    except people.NotPossibleError as error:
        raise CheckError(str(error)) from error
    return person.unit, {}, dict(after), {}


def disable(context: Context, key: Cells, after: Cells, write: bool) -> Outcome:
    """停用 a person. Cells: why."""
    person = _person(context, key)
    if person.disabled_at is not None:
        raise CheckError("已经停用")
    if write:
        people.disable(context.session, person, why=after.get("why", ""), by=context.by, now=context.now)
    return person.unit, {"state": "active"}, {"state": "disabled"} | dict(after), {}


def enable(context: Context, key: Cells, after: Cells, write: bool) -> Outcome:
    """恢复 a person. Cells: why."""
    person = _person(context, key)
    if person.disabled_at is None:
        raise CheckError("没有停用")
    if write:
        people.enable(context.session, person, why=after.get("why", ""), by=context.by, now=context.now)
    return person.unit, {"state": "disabled"}, {"state": "active"} | dict(after), {}


def merge(context: Context, key: Cells, after: Cells, write: bool) -> Outcome:
    """并入: a unit ends and its code is forwarded; what is at work in it goes to the other (merging.py). Cells: into."""
    session = context.session
    gone, into = session.get(Unit, key.get("code", "")), session.get(Unit, after.get("into", ""))
    if gone is None or into is None or gone.closed_at is not None or into.closed_at is not None:
        raise CheckError("没有这个单位，或已经并入别的单位")
    for unit in (gone, into):
        context.may(unit.code)
    if gone.code in units.path(session, into.code):
        raise CheckError("不能并入自己或自己的下级")
    if gone.parent is None:
        raise CheckError("最上级单位不能并入")
    merging.check(session, gone, into, context.now)
    rooms = set(session.scalars(select(Room.code).where(Room.unit == gone.code)))
    gateways = set(session.scalars(select(Gateway.code).where(Gateway.unit == gone.code)))
    told: dict[str, Any] = dict(after)
    if write:
        told["moved"] = merging.carry_out(session, gone, into, by=context.by, now=context.now)
    return gone.code, {"unit": gone.code, "name": gone.name}, told, {"unit": {gone.code, into.code}, "room": rooms, "gateway": gateways}


def _room(context: Context, code: str) -> Room:
    room = context.session.get(Room, code)
    if room is None:
        raise CheckError("没有这间库房")
    context.may(room.unit)
    return room


def sheet(context: Context, key: Cells, after: Cells, write: bool) -> Outcome:
    """一室一卡: the fields of vocabulary.SHEET, up to SHEET_TEXT characters each."""
    room = _room(context, key.get("code", ""))
    unknown = sorted(set(after) - set(SHEET))
    if unknown:
        raise CheckError(f"没有这一项：{'、'.join(unknown)}")
    long = next((SHEET[name] for name, text in after.items() if len(text) > SHEET_TEXT), None)
    if long is not None:
        raise CheckError(f"“{long}”最多 {SHEET_TEXT} 个字")
    row = context.session.get(RoomSheet, room.code)
    body = dict(row.body) if row is not None else {}
    fresh = body | {name: text.strip() for name, text in after.items()}
    differs = [name for name in SHEET if body.get(name, "") != fresh.get(name, "")]
    if not differs:
        raise CheckError("与现在一样，没有改动")
    if write:
        context.session.merge(RoomSheet(room=room.code, body=fresh, updated_at=context.now, by=context.by))
    return room.unit, {name: body.get(name, "") for name in differs}, {name: fresh[name] for name in differs}, {}


def strike(context: Context, key: Cells, _after: Cells, write: bool) -> Outcome:
    """移出: a holding leaves a room."""
    room = _room(context, key.get("room", ""))
    row = context.session.scalar(select(Holding).filter_by(room=room.code, fonds=key.get("fonds", ""), name=key.get("name", "")))
    if row is None:
        raise CheckError("没有这一项馆藏")
    before = {"fonds": row.fonds, "name": row.name, "volumes": row.volumes}
    if write:
        context.session.delete(row)
    return room.unit, before, {}, {}


def mark(context: Context, key: Cells, after: Cells, write: bool) -> Outcome:
    """标位: where a point of the room stands on its floor plan. Cells: point (id), x, y in percent of width and height; both empty take it off."""
    room = _room(context, key.get("code", ""))
    plan = context.session.get(RoomPlan, room.code)
    if plan is None:
        raise CheckError("还没有平面图")
    wanted = after.get("point", "")
    point = context.session.get(Point, int(wanted)) if wanted.isascii() and wanted.isdigit() and len(wanted) < 19 else None
    if point is None or point.room != room.code:
        raise CheckError("本库没有这个测点")
    share = checks.number(0, 100, required=False)
    x, y = share(after.get("x", "")), share(after.get("y", ""))
    if (x is None) != (y is None):
        raise CheckError("横向和纵向要一起填写")
    before = plan.marks.get(wanted)
    place = None if x is None or y is None else [float(str(x)) / 100, float(str(y)) / 100]
    if before == place:
        raise CheckError("与现在一样，没有改动")
    if write:
        plan.marks = {ident: at for ident, at in plan.marks.items() if ident != wanted} | ({} if place is None else {wanted: place})
        plan.updated_at, plan.by = context.now, context.by
    return room.unit, {"point": wanted, "at": before}, {"point": wanted, "at": place}, {}


DEEDS: Final[Mapping[str, Callable[[Context, Cells, Cells, bool], Outcome]]] = MappingProxyType(
    {"leave": leave, "disable": disable, "enable": enable, "merge": merge, "sheet": sheet, "strike": strike, "mark": mark}
)
