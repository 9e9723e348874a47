"""People and devices as lists."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query, Request
from pydantic import BaseModel
from sqlalchemy.orm import Session

from server.org.rows import day
from server.store import organisation, people, units
from server.store.tables import Person
from server.web import problems
from server.web.api.common import PROBLEMS, Cursor, Limit, at_or_none, decode_cursor, decode_id, page
from server.web.api.models import Page
from server.web.auth import Principal, ServicesOf, require, require_room
from server.web.formats import Formats
from server.web.i18n import SOURCE, Words
from server.web.problems import ProblemError
from server.web.rights import Action
from server.web.routers import api_router

router = api_router("people", refusals=PROBLEMS)

_FORMATS = Formats(Words(SOURCE))

Reader = Annotated[Principal, Depends(require(Action.PEOPLE))]


class RoleView(BaseModel):
    """A role at a unit."""

    unit: str
    role: str


class PersonView(BaseModel):
    """A person. The number is masked for those who may not see it."""

    id: int
    code: str
    name: str
    unit: str
    unit_name: str
    phone: str | None
    phone_verified: bool
    landline: bool
    ways: list[str]
    roles: list[RoleView]
    away_until: datetime | None
    disabled_at: datetime | None


class PointView(BaseModel):
    """A point with its calibration."""

    id: int
    gateway: str
    device: str
    quantity: str
    channel: str
    room: str | None
    unit: str
    serial: str
    calibrated_on: str | None
    valid_until: str | None


@router.get("/people", operation_id="listPeople")
def listing(
    who: Reader,
    request: Request,
    services: ServicesOf,
    unit: Annotated[str, Query(max_length=12, description="this unit and below")] = "",
    q: Annotated[str, Query(max_length=40, description="part of a name, of its pinyin, of a code")] = "",
    role: Annotated[str, Query(max_length=24)] = "",
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Page[PersonView]:
    """People by code."""
    now = services.clock()
    with services.db.read() as session:
        scope = narrowed(session, who, unit)
        after = decode_cursor(cursor) if cursor else ""
        rows = people.page(session, scope, now=now, text=q.strip(), phones=who.may(Action.PHONES), role=role, after=after, limit=limit + 1)
        found = views(session, rows, who, now)
    return page(request, found, limit, found[limit - 1].code if len(found) > limit else "")


@router.get("/people/{ident}", operation_id="getPerson")
def detail(ident: int, who: Reader, services: ServicesOf) -> PersonView:
    """One person."""
    with services.db.read() as session:
        return views(session, [person_of(session, who, ident)], who, services.clock())[0]


@router.get("/points", operation_id="listPoints", tags=["gateways"])
def points(
    who: Annotated[Principal, Depends(require(Action.GATEWAYS))],
    request: Request,
    services: ServicesOf,
    room: Annotated[str, Query(max_length=16)] = "",
    gateway: Annotated[str, Query(max_length=40)] = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Page[PointView]:
    """Points of claimed gateways by id."""
    if room:
        require_room(services, who, room)
    with services.db.read() as session:
        rows = organisation.devices(session, who.unit, room=room, gateway=gateway, after=decode_id(cursor) or 0, limit=limit + 1)
        found = [_point(row) for row in rows]
    return page(request, found, limit, found[limit - 1].id if len(found) > limit else "")


def narrowed(session: Session, who: Principal, unit: str) -> str | None:
    """The scope of a list: the asker's, or a unit below it. Raises ProblemError 403, 404."""
    if not unit:
        return who.unit
    if not units.path(session, unit):
        raise ProblemError(404, "没有这个单位。")
    if not units.within(session, unit, who.unit):
        raise ProblemError(403, problems.NO_RIGHT)
    return unit


def person_of(session: Session, who: Principal, ident: int) -> Person:
    """A person of the asker's subtree. Raises ProblemError 403, 404."""
    row = session.get(Person, ident) if ident < 1 << 63 else None
    if row is None:
        raise ProblemError(404, "没有这个人。")
    if not units.within(session, row.unit, who.unit):
        raise ProblemError(403, problems.NO_RIGHT)
    return row


def views(session: Session, rows: Sequence[Person], who: Principal, now: int) -> list[PersonView]:
    """People with their roles and leave, numbers masked where the asker may not see them."""
    ids = [row.id for row in rows]
    roles, away = people.roles_of(session, ids, now), people.absences(session, ids, now)
    names = units.names(session, list({row.unit for row in rows}))
    plain = who.may(Action.PHONES)
    return [
        PersonView(
            id=row.id, code=row.code, name=row.name, unit=row.unit, unit_name=names.get(row.unit, row.unit),
            phone=row.phone if plain or not row.phone else _FORMATS.masked(row.phone), phone_verified=row.phone_verified_at is not None,
            landline=row.landline, ways=list(row.ways), roles=[RoleView(unit=role.unit, role=role.role) for role in roles.get(row.id, [])],
            away_until=at_or_none(away[row.id].until) if row.id in away else None, disabled_at=at_or_none(row.disabled_at),
        )
        for row in rows
    ]  # fmt: skip


def _point(device: organisation.Device) -> PointView:
    row, record = device.point, device.calibration
    return PointView(
        id=row.id, gateway=row.gateway, device=row.device, quantity=row.quantity, channel=row.channel, room=row.room, unit=device.gateway.unit or "",
        serial=record.serial if record else "", calibrated_on=day(record.calibrated_at) if record else None,
        valid_until=day(record.valid_until) if record else None,
    )  # fmt: skip
