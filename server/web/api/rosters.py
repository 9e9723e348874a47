"""Who watches when: shifts with their rotation, other people for a day, gaps, and who is on duty now."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Literal

from fastapi import Depends, Path, Query
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from server.duty import book as books
from server.duty import vacancy
from server.duty.calendar import Workdays
from server.duty.roster import gaps, shifts, who
from server.store import audit, people, units
from server.store.tables import Person
from server.store.tables_duty import Roster, RosterChange, UnitPair
from server.web.api.common import PROBLEMS, From, To, Viewer, at, span
from server.web.api.models import Body, Done
from server.web.auth import Principal, ServicesOf, require, require_unit
from server.web.problems import ProblemError, invalid
from server.web.rights import Action
from server.web.routers import api_router
from server.web.services import Services

router = api_router("duty", refusals=PROBLEMS)
UnitCode = Annotated[str, Path(max_length=12)]
Handling = Annotated[Principal, Depends(require(Action.HANDLE))]
Name = Annotated[str, StringConstraints(min_length=1, max_length=40, strip_whitespace=True)]
Words = Annotated[str, StringConstraints(max_length=200, strip_whitespace=True)]
DAY_MS = 86_400_000


class OnDutyView(BaseModel):
    """A person on duty."""

    person: str
    shift: str
    role: str
    until: datetime
    instead_of: str


class ShiftView(BaseModel):
    """One shift that takes place; `people` are personnel numbers, `names` their names, `changed`: a hand wrote it."""

    roster: str
    role: str
    day: date
    since: datetime
    until: datetime
    people: list[str]
    names: list[str]
    changed: bool


class GapView(BaseModel):
    """A shift with people who cannot be counted on; `empty`: nobody else is there."""

    since: datetime
    shift: str
    reasons: list[str]
    sentence: str
    empty: bool


SHORTEST_MIN, LONGEST_MIN = 30, 2880
"""Of a shift."""


class RosterBody(Body):
    """A shift of a unit and its rotation. `people`: personnel numbers in the order of their turns; a list within the list is a turn of several."""

    name: Name
    role: Literal["duty_officer", "duty_leader"] = "duty_officer"
    starts: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
    minutes: int = Field(ge=SHORTEST_MIN, le=LONGEST_MIN)
    days: Literal["all", "work", "rest"] = "all"
    turn_days: int = Field(default=1, ge=1, le=366)
    anchor: date
    people: list[str | list[str]] = Field(max_length=200)


class DayBody(Body):
    """Other people for one day of a shift; an empty list: it does not take place."""

    name: Name
    day: date
    people: list[str] = Field(max_length=50)
    why: Words = ""


class PairBody(Body):
    """结对代管: the code of the unit that stands in, empty for none."""

    stand_in: Annotated[str, StringConstraints(max_length=12, strip_whitespace=True)] = ""


@router.get("/units/{code}/duty", operation_id="onDuty")
def on_duty(code: UnitCode, asker: Viewer, services: ServicesOf) -> list[OnDutyView]:
    """Who is on duty in a unit now."""
    with services.db.read() as session:
        require_unit(session, asker, code)
        return duty_now(session, code, services.workdays, services.clock())


@router.get("/units/{code}/duty/gaps", operation_id="dutyGaps")
def duty_gaps(code: UnitCode, asker: Viewer, services: ServicesOf) -> list[GapView]:
    """Shifts of the next day with people who cannot be counted on."""
    now = services.clock()
    with services.db.read() as session:
        require_unit(session, asker, code)
        book = books.load(session, [code], services.workdays, now)
        found = gaps(book, code, now, now + vacancy.AHEAD_MS, vacancy.reaches)
    return [GapView(since=at(g.since), shift=g.shift.sheet.name, reasons=list(g.reasons), sentence=vacancy.sentence(g), empty=g.empty) for g in found]


@router.get("/units/{code}/rosters", operation_id="listShifts")
def list_shifts(code: UnitCode, asker: Viewer, services: ServicesOf, start: From = None, end: To = None) -> list[ShiftView]:
    """The shifts of a unit over a time, at most 62 days; without times the next seven."""
    now = services.clock()
    since, until = span(start, end, default=(now, now + 7 * DAY_MS), longest_ms=62 * DAY_MS)
    with services.db.read() as session:
        require_unit(session, asker, code)
        return month(session, code, services.workdays, since, until)


@router.put("/units/{code}/rosters", operation_id="setRoster")
def set_roster(code: UnitCode, body: RosterBody, asker: Handling, services: ServicesOf) -> Done:
    """Make a shift of a unit, or change the one of this name."""
    now = services.clock()
    with services.db.write() as session:
        require_unit(session, asker, code)
        row = _roster(session, code, body.name)
        if row is None:
            row = Roster(unit=code, name=body.name, starts_min=0, minutes=0, anchor="")
            session.add(row)
        hour, minute = body.starts.split(":")
        row.role, row.starts_min, row.minutes, row.days = body.role, int(hour) * 60 + int(minute), body.minutes, body.days
        row.turn_days, row.anchor = body.turn_days, body.anchor.isoformat()
        row.people = [_ids(session, turn) if isinstance(turn, list) else _ids(session, [turn])[0] for turn in body.people]
        audit.append(session, asker.name, "roster", f"unit:{code}", body.model_dump(mode="json"), now)
    return Done(sentence="班次已保存。")


@router.delete("/units/{code}/rosters", operation_id="endRoster")
def end_roster(code: UnitCode, name: Annotated[str, Query(max_length=40)], asker: Handling, services: ServicesOf) -> Done:
    """End a shift; what was signed stays."""
    now = services.clock()
    with services.db.write() as session:
        require_unit(session, asker, code)
        row = _roster(session, code, name)
        if row is None:
            raise ProblemError(409, "没有这个班次。")
        row.ended_at = now
        audit.append(session, asker.name, "roster.end", f"unit:{code}", {"name": name}, now)
    return Done(sentence="班次已停用。")


@router.put("/units/{code}/rosters/days", operation_id="setShift")
def set_shift(code: UnitCode, body: DayBody, asker: Handling, services: ServicesOf) -> Done:
    """Write other people over one day of a shift."""
    write_day(services, asker, code, body)
    return Done(sentence="这一天已改。")


def write_day(services: Services, asker: Principal, code: str, body: DayBody) -> None:
    """The same for page and API. Raises ProblemError 403, 404, 422."""
    now = services.clock()
    with services.db.write() as session:
        require_unit(session, asker, code)
        row = _roster(session, code, body.name)
        if row is None:
            raise ProblemError(409, "没有这个班次。")
        day = body.day.isoformat()
        change = session.scalar(select(RosterChange).where(RosterChange.roster == row.id, RosterChange.day == day))
        if change is None:
            change = RosterChange(roster=row.id, day=day, at=now)
            session.add(change)
        change.people, change.why, change.by, change.at = _ids(session, body.people), body.why, asker.name[:60], now
        audit.append(session, asker.name, "roster.day", f"unit:{code}", body.model_dump(mode="json"), now)


def duty_now(session: Session, code: str, workdays: Workdays, now: int) -> list[OnDutyView]:
    """Who is on duty by the roster; where there is none, who holds the duty."""
    book = books.load(session, [code], workdays, now)
    return [
        OnDutyView(
            person=one.watcher.name, shift=one.shift.sheet.name, role=one.shift.sheet.role, until=at(one.shift.until),
            instead_of=one.instead_of.name if one.instead_of is not None else "",
        )
        for one in who(book, code, "", now)
    ]  # fmt: skip


def names_on_duty(session: Session, code: str, workdays: Workdays, now: int) -> list[str]:
    """Names for the line 值班 on an alarm: the shift, else the duty officers of the unit, else of the nearest unit above that has one."""
    for unit in reversed(units.path(session, code)):
        if shift := [one.person for one in duty_now(session, unit, workdays, now)]:
            return shift
        officers = session.scalars(select(Person).where(Person.unit == unit, Person.duty == "duty_officer", Person.disabled_at.is_(None))).all()
        held = [holder.person.name for holder in people.on_duty(session, [unit], ["duty_officer"], now)]
        if found := list(dict.fromkeys([*(one.name for one in officers), *held])):
            return found
    return []


def month(session: Session, code: str, workdays: Workdays, since: int, until: int) -> list[ShiftView]:
    """The shifts of a unit over a time."""
    book = books.load(session, [code], workdays, since)
    codes = {row.id: row.code for row in session.scalars(select(Person).where(Person.id.in_(list(book.people))))}
    return [
        ShiftView(
            roster=shift.sheet.name, role=shift.sheet.role, day=shift.day, since=at(shift.since), until=at(shift.until),
            people=[codes[i] for i in shift.planned if i in codes], names=[book.people[i].name for i in shift.planned if i in book.people],
            changed=shift.changed,
        )
        for shift in shifts(book, code, since, until)
    ]  # fmt: skip


def _roster(session: Session, unit: str, name: str) -> Roster | None:
    return session.scalar(select(Roster).where(Roster.unit == unit, Roster.name == name, Roster.ended_at.is_(None)))


def codes_of(session: Session, unit: str, names: Sequence[str]) -> list[str]:
    """Personnel numbers of those who are named by number, or by name within the unit. A name of two people there is refused (422)."""
    staff = session.execute(select(Person.code, Person.name).where(Person.unit == unit, Person.name.in_(names), Person.disabled_at.is_(None))).all()
    found: dict[str, str] = {}
    for code, name in staff:
        if name in found:
            raise invalid(f"本单位有几个人叫{name}，请写人员编号。", "people", "ambiguous")
        found[name] = code
    return [found.get(name, name) for name in names]


def _ids(session: Session, codes: list[str]) -> list[int]:
    found = {row.code: row.id for row in session.scalars(select(Person).where(Person.code.in_(codes), Person.disabled_at.is_(None)))}
    if missing := [code for code in codes if code not in found]:
        raise invalid(f"没有姓名或编号为 {missing[0]} 的人员。", "body.people", "unknown")
    return [found[code] for code in codes]


# -- pairs --------------------------------------------------------------------------------------------------------------------------------


@router.get("/units/{code}/pair", operation_id="getPair")
def get_pair(code: UnitCode, asker: Viewer, services: ServicesOf) -> PairBody:
    """结对代管: the unit whose duty people stand in where this one has nobody; empty where there is none."""
    with services.db.read() as session:
        require_unit(session, asker, code)
        return PairBody(stand_in=pair_of(session, code))


@router.put("/units/{code}/pair", operation_id="setPair")
def set_pair(code: UnitCode, body: PairBody, asker: Handling, services: ServicesOf) -> PairBody:
    """Name the unit that stands in; empty ends it. The asker answers for both, so the pair is made by a level above them."""
    write_pair(services, asker, code, body.stand_in)
    return body


def write_pair(services: Services, asker: Principal, code: str, stand_in: str) -> None:
    """The same for page and API. Raises ProblemError 403, 404, 409."""
    with services.db.write() as session:
        require_unit(session, asker, code)
        if stand_in:
            require_unit(session, asker, stand_in)
        if stand_in == code:
            raise ProblemError(409, "单位不能与自己结对。")
        row = session.get(UnitPair, code)
        if row is not None and not stand_in:
            session.delete(row)
        elif stand_in:
            session.merge(UnitPair(unit=code, stand_in=stand_in))
        audit.append(session, asker.name, "unit.pair", f"unit:{code}", {"stand_in": stand_in}, services.clock())


def pair_of(session: Session, code: str) -> str:
    """The unit that stands in for one, '' where none does."""
    row = session.get(UnitPair, code)
    return "" if row is None else row.stand_in
