"""How the alarm system itself does: the figures of ISA-18.2, and the standing states that it no longer sounds."""

from datetime import datetime
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field

from server.store import performance, rooms
from server.store.performance import ChronicRow
from server.web.api.common import PROBLEMS, From, To, Viewer, at, at_or_none, span
from server.web.api.history import DAY_MS
from server.web.auth import ServicesOf, require_unit
from server.web.routers import api_router

router = api_router("alarms", refusals=PROBLEMS)
Unit = Annotated[str, Query(description="unit code; everything in it and below it")]
_LEAST_DAYS = 30


class FigureView(BaseModel):
    """One figure with its target and the value from which it is poor. `at_least`: the target is a floor. `grade`: good | fair | poor | none."""

    name: str
    value: float | None
    target: float | None
    limit: float | None
    unit: str
    at_least: bool
    grade: str


class TagCount(BaseModel):
    """An alarm (subject and rule) and how often it asked for attention."""

    tag: str
    count: int


class FloodView(BaseModel):
    """A flood: more than ten annunciations within ten minutes, until fewer than five."""

    since: datetime = Field(serialization_alias="from")
    until: datetime = Field(serialization_alias="to")


class KpiView(BaseModel):
    """Figures of one desk. Drills, acknowledgements, members of groups and what was merely listed do not count as annunciations."""

    unit: str | None
    since: datetime = Field(serialization_alias="from")
    until: datetime = Field(serialization_alias="to")
    days: float = Field(description="the denominator")
    enough: bool = Field(description="at least 30 days, as the standard asks")
    annunciations: int
    figures: list[FigureView]
    levels: dict[str, int]
    top: list[TagCount]
    floods: list[FloodView]
    chattering: list[str]
    fleeting: list[str]
    known_late: int
    standing: int = Field(description="active now")
    shelved: int = Field(description="shelved now")
    chronic: int = Field(description="standing states now")


class ChronicView(BaseModel):
    """长期不达标: a standing state. `ended_at` is null while it stands."""

    alarm: int
    number: str
    room: str | None
    room_name: str
    unit: str
    rule: str
    quantity: str
    level: str
    since: datetime
    declared_at: datetime
    ended_at: datetime | None
    lasted_s: float


@router.get("/kpi", operation_id="getKpi")
def kpi(who: Viewer, services: ServicesOf, unit: Unit = "", start: From = None, end: To = None) -> KpiView:
    """The figures of a unit's desk, by default of the last 30 days."""
    now = services.clock()
    since, until = span(start, end, default=(now - _LEAST_DAYS * DAY_MS, now), longest_ms=400 * DAY_MS)
    until = min(until, max(now, since + 1))  # hours to come would make the month look quieter than it is
    with services.db.read() as session:
        if unit:
            require_unit(session, who, unit)
        desk = performance.desk(session, unit or who.unit, since, until)
    found = desk.performance
    return KpiView(
        unit=unit or who.unit, since=at(since), until=at(until), days=found.days, enough=found.days >= _LEAST_DAYS, annunciations=found.asked,
        figures=[FigureView(**one._asdict(), grade=one.grade) for one in found.figures], levels=found.levels,
        top=[TagCount(tag=tag, count=count) for tag, count in found.top],
        floods=[FloodView(since=at(first), until=at(last)) for first, last in found.floods],
        chattering=list(desk.chattering), fleeting=list(desk.fleeting), known_late=desk.known_late, standing=desk.standing, shelved=desk.shelved,
        chronic=desk.chronic,
    )  # fmt: skip


@router.get("/chronic", operation_id="listChronic")
def chronic(who: Viewer, services: ServicesOf, unit: Unit = "", start: From = None, end: To = None) -> list[ChronicView]:
    """Rooms that have been out of band for days to months: those now, or with `from` and `to` all that were then. The longest first."""
    now = services.clock()
    bounds = span(start, end, default=(0, now), longest_ms=20_000 * DAY_MS) if start is not None or end is not None else (None, None)
    with services.db.read() as session:
        if unit:
            require_unit(session, who, unit)
        found = performance.chronic(session, unit or who.unit, start=bounds[0], end=bounds[1])
        places = rooms.names(session, [row.alarm.room for row in found if row.alarm.room])
    return [_view(row, places.get(row.alarm.room or "", ("", ""))[0], now) for row in found]


def _view(row: ChronicRow, name: str, now: int) -> ChronicView:
    alarm, state = row.alarm, row.chronic
    return ChronicView(
        alarm=alarm.id, number=alarm.number, room=alarm.room, room_name=name, unit=alarm.unit, rule=alarm.rule, quantity=alarm.quantity,
        level=alarm.level, since=at(state.since), declared_at=at(state.declared_at), ended_at=at_or_none(state.ended_at),
        lasted_s=((state.ended_at or now) - state.since) / 1000,
    )  # fmt: skip
