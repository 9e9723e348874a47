"""Units, rooms, people: the books of the organisation as pages. Every edit goes through the one door of server/web/edits.py."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Query, Request
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from server.duty import numbers
from server.org import checks, granting, rows
from server.org.imports import KINDS
from server.store import alarms, notifications, organisation, people, units
from server.store import rooms as room_queries
from server.store.tables import Unit
from server.web.api import people as people_api
from server.web.api import sheets
from server.web.api.common import Cursor, Viewer, decode_cursor, encode_cursor
from server.web.auth import Principal, ServicesOf, require, require_room, require_unit
from server.web.pages.common import ScreensOf
from server.web.rights import Action
from server.web.routers import page_router
from server.web.screens import Screens
from server.web.services import Services

router = page_router()

PER_PAGE = 50
Reader = Annotated[Principal, Depends(require(Action.PEOPLE))]
Text = Annotated[str, Query(max_length=40)]


def _branches(session: Session, found: Sequence[Unit]) -> list[tuple[Unit, int, int]]:
    """Units with how many rooms they and those below have, and how many units lie directly below."""
    codes = [unit.code for unit in found]
    counts, below = units.rooms_per_unit(session, codes), units.children_per_unit(session, codes)
    return [(unit, counts.get(unit.code, 0), below.get(unit.code, 0)) for unit in found]


_OF_UNITS = {"parent"}
"""Particulars of a unit's history that are codes of units and told as their names; a code that a merger ends is looked for as a code."""


@router.get("/units")
def tree(request: Request, screens: ScreensOf, services: ServicesOf, who: Viewer) -> Response:
    """The tree of units, opened at the asker's own; branches come when they are asked for."""
    with services.db.read() as session:
        top = [session.get_one(Unit, who.unit)] if who.unit is not None else units.tops(session)
        roots = _branches(session, top)
        first = _branches(session, units.children(session, top[0].code)) if len(top) == 1 else []
    return screens.page(request, "units.html", who=who, roots=roots, first=first)


@router.get("/units/{code}/children")
def branch(code: str, request: Request, screens: ScreensOf, services: ServicesOf, who: Viewer) -> Response:
    """The units directly under one, as a part of the tree."""
    with services.db.read() as session:
        require_unit(session, who, code)
        found = _branches(session, units.children(session, code))
    return screens.page(request, "_unit_children.html", who=who, branches=found)


@router.get("/units/{code}")
def unit(code: str, request: Request, screens: ScreensOf, services: ServicesOf, who: Viewer, said: str = "") -> Response:
    """One unit: its way up, what lies under it, its history. The code of a merged unit is forwarded."""
    with services.db.read() as session:
        today = organisation.forwarded(session, code)
        require_unit(session, who, today)
        if today != code:
            return RedirectResponse(f"/units/{today}?said=merged", 303)
        row = session.get_one(Unit, code)
        line = units.path(session, code)
        names = units.names(session, line)
        children = _branches(session, units.children(session, code))
        found = organisation.room_rows(session, code, own=True, after="", limit=PER_PAGE)
        holders = people.holders(session, [code], [], services.clock()) if who.may(Action.PEOPLE) else []
        history = organisation.history(session, f"unit:{code}")
        told = units.names(
            session, [str(end[key]) for change in history for end in (change.before or {}, change.after or {}) for key in _OF_UNITS & end.keys()]
        )
        cells = rows.unit(session, {"code": code}, services.clock())
    reachable = line if who.unit is None or who.unit not in line else line[line.index(who.unit) :]
    return screens.page(
        request, "unit.html", who=who, unit=row, path=[(c, names.get(c, c)) for c in line], reachable=reachable, children=children, rooms=found,
        holders=holders, history=history, names=told, cells=cells, columns=KINDS["units"].columns, said=said,
    )  # fmt: skip


@router.get("/rooms")
def rooms(
    request: Request,
    screens: ScreensOf,
    services: ServicesOf,
    who: Viewer,
    q: Text = "",
    kind: Annotated[str, Query(max_length=24)] = "",
    stage: Annotated[str, Query(max_length=24)] = "",
    unit: Annotated[str, Query(max_length=12)] = "",
    cursor: Cursor = "",
) -> Response:
    """Rooms of every kind, by code."""
    with services.db.read() as session:
        scope = people_api.narrowed(session, who, unit)
        after = decode_cursor(cursor) if cursor else ""
        found = organisation.room_rows(session, scope, text=q.strip(), kind=kind, stage=stage, after=after, limit=PER_PAGE + 1)
    more = encode_cursor(found[PER_PAGE - 1][0].code) if len(found) > PER_PAGE else None
    chosen = {"q": q, "kind": kind, "stage": stage, "unit": unit}
    return screens.page(request, "rooms.html", who=who, found=found[:PER_PAGE], more=more, chosen=chosen)


@router.get("/rooms/{code}/sheet")
def sheet(code: str, request: Request, screens: ScreensOf, services: ServicesOf, who: Viewer, said: str = "") -> Response:
    """一室一卡, with what is kept in the room, the floor plan and its points; edited here as well."""
    require_room(services, who, code)
    with services.db.read() as session:
        key = {"code": code}
        cells = rows.room(session, key, services.clock()) or {}
        person = room_queries.person(session, code)
        phone = room_queries.duty_phone(session, cells["unit"])
        devices = organisation.devices(session, who.unit, room=code, after=0, limit=200)
        plan = organisation.plan(session, code)
        names = units.names(session, [cells["unit"]])
    found = sheets.sheet(code, who, services)
    marks = {device.point.id: plan.marks[str(device.point.id)] for device in devices if plan and str(device.point.id) in plan.marks}
    return screens.page(
        request, "sheet.html", who=who, code=code, cells=cells, sheet=found, person=person, phone=phone, devices=devices, plan=plan, marks=marks,
        unit_name=names.get(cells["unit"], ""), columns=KINDS["rooms"].columns, holding_columns=KINDS["holdings"].columns, said=said,
    )  # fmt: skip


@router.get("/people")
def persons(
    request: Request,
    screens: ScreensOf,
    services: ServicesOf,
    who: Reader,
    q: Text = "",
    role: Annotated[str, Query(max_length=24)] = "",
    unit: Annotated[str, Query(max_length=12)] = "",
    cursor: Cursor = "",
) -> Response:
    """People of the subtree."""
    now = services.clock()
    with services.db.read() as session:
        scope = people_api.narrowed(session, who, unit)
        after = decode_cursor(cursor) if cursor else ""
        found = people.page(session, scope, now=now, text=q.strip(), phones=who.may(Action.PHONES), role=role, after=after, limit=PER_PAGE + 1)
        shown = people_api.views(session, found[:PER_PAGE], who, now)
    more = encode_cursor(shown[-1].code) if len(found) > PER_PAGE else None
    chosen = {"q": q, "role": role, "unit": unit}
    return screens.page(request, "people.html", who=who, found=shown, more=more, chosen=chosen, columns=KINDS["people"].columns)


@router.get("/people/{ident}")
def person(ident: int, request: Request, screens: ScreensOf, services: ServicesOf, who: Reader, said: str = "") -> Response:
    """One person: roles now and before, leave, account, edits."""
    return person_page(request, screens, services, who, ident, said=said)


def person_page(
    request: Request, screens: Screens, services: Services, who: Principal, ident: int, status: int = 200, *, said: str = "", **shown: object
) -> Response:
    """The page of a person. `shown`: `made`, an account whose password is told this once, or `refused`, why there is none; `phone_refused`."""
    now = services.clock()
    with services.db.read() as session:
        row = people_api.person_of(session, who, ident)
        view = people_api.views(session, [row], who, now)[0]
        held = people.history(session, ident)
        away = people.absences_of(session, ident)
        history = organisation.history(session, f"person:{ident}")
        cells = rows.person(session, {"code": row.code}, now) or {}
        account = granting.of_person(session, ident) if who.may(Action.GRANT) else None
        offered = granting.offered(session, row, now) if who.may(Action.GRANT) else []
        moves = [end["unit"] for change in history if change.kind == "transfer" for end in (change.before, change.after)]
        names = units.names(session, [role.unit for role in held] + moves + ([account.unit] if account else []))
        tried = notifications.tries(session, ident) if who.may(Action.PHONES) else []
        if not who.may(Action.PHONES):
            cells.pop("phone", None)
    blank: dict[str, object] = {"made": None, "refused": "", "phone_refused": ""}
    return screens.page(
        request, "person.html", status, who=who, person=view, row=row, held=held, names=names, away=away, history=history, cells=cells,
        columns=[column for column in KINDS["people"].columns if column.name in cells], account=account, offered=offered, said=said,
        tried=tried, way_orders=checks.way_orders(email=bool(row.email)), way_names=checks.WAY_NAMES, **blank | shown,
    )  # fmt: skip


@router.get("/search")
def search(request: Request, screens: ScreensOf, services: ServicesOf, who: Viewer, q: Text = "") -> Response:
    """Units, rooms and people by name, pinyin or code; an alarm by the 编号 that its messages carry."""
    number = "".join(q.split())
    with services.db.read() as session:
        called = alarms.page(session, who.unit, number=number, limit=1) if numbers.valid(number) else []
        if called:
            return RedirectResponse(f"/alarms/{called[0].id}", 303)
        hits = organisation.search(session, who.unit, q, people=who.may(Action.PEOPLE), limit=20)
    if len(hits) == 1:
        return RedirectResponse(_address(hits[0]), 303)
    return screens.page(request, "search.html", who=who, q=q, hits=[(hit, _address(hit)) for hit in hits])


def _address(hit: organisation.Hit) -> str:
    return {"unit": "/units/", "room": "/rooms/", "person": "/people/"}[hit.kind] + hit.ident
