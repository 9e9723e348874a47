"""Who watches when, hand-over, 派查, tested numbers, human load, texts."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from server.duty import book as books
from server.duty import handover, load, looks, phones, vacancy
from server.duty.calendar import Workdays
from server.duty.roster import gaps, shifts, who
from server.notify.texts import SINGLE, default_texts, segments, utf16
from server.store import alarms, audit, people, units
from server.store.tables import Person, Room
from server.store.tables_duty import HandOver, LookCall, LookItem, Roster, RosterChange
from server.watch import commands
from server.web import door
from server.web.api.common import PROBLEMS, From, To, Viewer, at, at_or_none, span
from server.web.auth import Principal, ServicesOf, require, require_alarm, require_unit
from server.web.problems import NO_RIGHT, ProblemError, invalid
from server.web.rights import Action
from server.web.services import Services

router = APIRouter(tags=["duty"], responses=PROBLEMS)
UnitCode = Annotated[str, Path(max_length=12)]
Handling = Annotated[Principal, Depends(require(Action.HANDLE))]
Telling = Annotated[Principal, Depends(require(Action.NOTIFICATIONS))]
Phoning = Annotated[Principal, Depends(require(Action.PHONES))]
Name = Annotated[str, StringConstraints(min_length=1, max_length=40, strip_whitespace=True)]
Words = Annotated[str, StringConstraints(max_length=200, strip_whitespace=True)]
DAY_MS = 86_400_000
WORKDAYS = Workdays()
WAYS = {"sms": "sms", "voice": "voice"}
"""Ways instead of channels: the dispatcher takes the first channel that goes one."""


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


class RosterBody(BaseModel):
    """A shift of a unit and its rotation. `people`: personnel numbers in the order of their turns; a list within the list is a turn of several."""

    name: Name
    role: Literal["duty_officer", "duty_leader"] = "duty_officer"
    starts: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
    minutes: int = Field(ge=30, le=2880)
    days: Literal["all", "work", "rest"] = "all"
    turn_days: int = Field(default=1, ge=1, le=366)
    anchor: date
    people: list[str | list[str]] = Field(max_length=200)


class DayBody(BaseModel):
    """Other people for one day of a shift; an empty list: it does not take place."""

    name: Name
    day: date
    people: list[str] = Field(max_length=50)
    why: Words = ""


class SignBody(BaseModel):
    """A signature under the sheet."""

    remark: Annotated[str, StringConstraints(max_length=500, strip_whitespace=True)] = ""


class HandOverView(BaseModel):
    """A sheet; `intact`: it is still what was signed."""

    id: int
    unit: str
    since: datetime
    until: datetime
    body: dict[str, Any]
    sha256: str
    remark: str
    given_by: str
    given_at: datetime | None
    taken_by: str
    taken_at: datetime | None
    intact: bool


class LookBody(BaseModel):
    """派查: which rooms; none named means all of the unit and below that are blind."""

    rooms: list[Annotated[str, StringConstraints(max_length=16)]] = Field(default_factory=list, max_length=2000)
    note: Words = ""


class LookAnswer(BaseModel):
    """What somebody said by phone about one room, recorded by the desk."""

    room: Annotated[str, StringConstraints(max_length=16)]
    answer: Literal["normal", "problem"]
    person: Annotated[str, StringConstraints(min_length=1, max_length=60, strip_whitespace=True)]
    note: Words = ""


class LookItemView(BaseModel):
    """One room of a 派查."""

    room: str
    unit: str
    number: str
    state: str
    answered_at: datetime | None
    answered_by: str
    via: str
    proven: bool


class LookView(BaseModel):
    """A 派查 with how it stands."""

    number: int
    unit: str
    by: str
    at: datetime
    note: str
    counts: dict[str, int]
    items: list[LookItemView]


class CodeBody(BaseModel):
    """The code that came by text or call."""

    code: Annotated[str, StringConstraints(min_length=4, max_length=12, strip_whitespace=True)]


class Done(BaseModel):
    """A sentence for the person."""

    sentence: str


class TextView(BaseModel):
    """A registered text; lengths in UTF-16 units: longest filling, and with the reply hint; `segments` at the longest."""

    name: str
    text: str
    longest: int
    with_hint: int
    segments: int


# -- rosters ----------------------------------------------------------------------------------------------------------------------------


@router.get("/units/{code}/duty", operation_id="onDuty")
def on_duty(code: UnitCode, asker: Viewer, services: ServicesOf) -> list[OnDutyView]:
    """Who is on duty in a unit now."""
    with services.db.read() as session:
        require_unit(session, asker, code)
        return duty_now(session, code, services.clock())


@router.get("/units/{code}/duty/gaps", operation_id="dutyGaps")
def duty_gaps(code: UnitCode, asker: Viewer, services: ServicesOf) -> list[GapView]:
    """Shifts of the next day with people who cannot be counted on."""
    now = services.clock()
    with services.db.read() as session:
        require_unit(session, asker, code)
        book = books.load(session, [code], WORKDAYS, now)
        found = gaps(book, code, now, now + vacancy.AHEAD_MS, vacancy.reaches)
    return [GapView(since=at(g.since), shift=g.shift.sheet.name, reasons=list(g.reasons), sentence=vacancy.sentence(g), empty=g.empty) for g in found]


@router.get("/units/{code}/rosters", operation_id="listShifts")
def list_shifts(code: UnitCode, asker: Viewer, services: ServicesOf, start: From = None, end: To = None) -> list[ShiftView]:
    """The shifts of a unit over a time, at most 62 days; without times the next seven."""
    now = services.clock()
    since, until = span(start, end, default=(now, now + 7 * DAY_MS), longest_ms=62 * DAY_MS)
    with services.db.read() as session:
        require_unit(session, asker, code)
        return month(session, code, since, until)


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


def duty_now(session: Session, code: str, now: int) -> list[OnDutyView]:
    """Who is on duty by the roster; where there is none, who holds the duty."""
    book = books.load(session, [code], WORKDAYS, now)
    return [
        OnDutyView(
            person=one.watcher.name, shift=one.shift.sheet.name, role=one.shift.sheet.role, until=at(one.shift.until),
            instead_of=one.instead_of.name if one.instead_of is not None else "",
        )
        for one in who(book, code, "", now)
    ]  # fmt: skip


def names_on_duty(session: Session, code: str, now: int) -> list[str]:
    """Names for the line 值班 on an alarm: the shift, else the duty officers of the unit, else of the nearest unit above that has one."""
    for unit in reversed(units.path(session, code)):
        if shift := [one.person for one in duty_now(session, unit, now)]:
            return shift
        officers = session.scalars(select(Person).where(Person.unit == unit, Person.duty == "duty_officer", Person.disabled_at.is_(None))).all()
        held = [holder.person.name for holder in people.on_duty(session, [unit], ["duty_officer"], now)]
        if found := list(dict.fromkeys([*(one.name for one in officers), *held])):
            return found
    return []


def month(session: Session, code: str, since: int, until: int) -> list[ShiftView]:
    """The shifts of a unit over a time."""
    book = books.load(session, [code], WORKDAYS, since)
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


def _ids(session: Session, codes: list[str]) -> list[int]:
    found = {row.code: row.id for row in session.scalars(select(Person).where(Person.code.in_(codes), Person.disabled_at.is_(None)))}
    if missing := [code for code in codes if code not in found]:
        raise invalid(f"没有人员编号 {missing[0]}。", "body.people", "unknown")
    return [found[code] for code in codes]


# -- hand-over --------------------------------------------------------------------------------------------------------------------------


@router.get("/units/{code}/hand-overs", operation_id="listHandOvers")
def hand_overs(code: UnitCode, asker: Telling, services: ServicesOf) -> list[HandOverView]:
    """The last thirty sheets of a unit, newest first."""
    with services.db.read() as session:
        require_unit(session, asker, code)
        return [_sheet(row) for row in handover.sheets(session, code)]


@router.post("/units/{code}/hand-overs", operation_id="giveHandOver")
def give(code: UnitCode, asker: Handling, services: ServicesOf, body: SignBody | None = None) -> HandOverView:
    """交班: make the sheet of the shift that ends and sign it."""
    with services.db.write() as session:
        require_unit(session, asker, code)
        try:
            row = handover.give(session, code, asker.name, asker.account, "" if body is None else body.remark, services.clock(), WORKDAYS)
        except handover.SignError as error:
            raise ProblemError(409, str(error)) from error
        return _sheet(row)


@router.post("/units/{code}/hand-overs/take", operation_id="takeHandOver")
def take(code: UnitCode, asker: Handling, services: ServicesOf) -> HandOverView:
    """接班: the second signature, by somebody else."""
    with services.db.write() as session:
        require_unit(session, asker, code)
        row = session.scalar(select(HandOver).where(HandOver.unit == code, HandOver.taken_at.is_(None)))
        if row is None:
            raise ProblemError(404, "没有等待接班签名的记录。")
        try:
            handover.take(session, row, asker.name, asker.account, services.clock())
        except handover.SignError as error:
            raise ProblemError(409, str(error)) from error
        return _sheet(row)


def _sheet(row: HandOver) -> HandOverView:
    return HandOverView(
        id=row.id, unit=row.unit, since=at(row.since), until=at(row.until), body=row.body, sha256=row.sha256, remark=row.remark,
        given_by=row.given_by,
        given_at=at_or_none(row.given_at), taken_by=row.taken_by, taken_at=at_or_none(row.taken_at), intact=handover.intact(row),
    )  # fmt: skip


# -- 派查 ---------------------------------------------------------------------------------------------------------------------------------


@router.post("/units/{code}/looks", operation_id="sendToLook")
def send_to_look(code: UnitCode, body: LookBody, asker: Handling, services: ServicesOf) -> LookView:
    """派查: every room's duty room gets a call to look; without rooms, those of the unit that the system does not see."""
    return order_look(services, asker, code, body.rooms, body.note)


def order_look(services: Services, asker: Principal, code: str, wanted: list[str], note: str, alarm: int | None = None) -> LookView:
    """The same for page, API and groups. Raises ProblemError 403, 404, 422."""
    now = services.clock()
    blind = wanted or [tile.code for tile in services.board.rooms(now) if tile.state == "blind"]
    with services.db.write() as session:
        require_unit(session, asker, code)
        rooms = session.scalars(select(Room).where(Room.code.in_(blind), Room.unit.in_(units.below(code))).order_by(Room.code)).all()
        if len(rooms) < len(wanted):
            raise invalid("有的库房不在这个单位。", "body.rooms", "unknown")
        if not rooms:
            raise ProblemError(409, "现在没有值守中断的库房。")
        text = default_texts().with_marks("look", "place", "number")
        call = looks.order(session, code, rooms, asker.name[:60], note, now, text=text, sms="sms", voice="voice", alarm=alarm)
        return _look(session, call)


@router.post("/alarms/{ident}/look", operation_id="lookForAlarm")
def look_for_alarm(ident: Annotated[int, Path(ge=1)], asker: Handling, services: ServicesOf) -> LookView:
    """派查 of what an alarm is about: every room of a group, the rooms of the unit of a gateway that are blind, or the one room."""
    with services.db.read() as session:
        row = require_alarm(session, asker, ident)
        members = alarms.members(session, ident) if row.kind == "group" else [row]
        wanted = sorted({one.room for one in members if one.room is not None})
        unit = row.unit
    return order_look(services, asker, unit, wanted, "", ident)


@router.get("/units/{code}/looks", operation_id="listLooks")
def list_looks(code: UnitCode, asker: Telling, services: ServicesOf) -> list[LookView]:
    """The last ten 派查 of a unit, newest first."""
    with services.db.read() as session:
        require_unit(session, asker, code)
        rows = session.scalars(select(LookCall).where(LookCall.unit.in_(units.below(code))).order_by(LookCall.id.desc()).limit(10)).all()
        return [_look(session, row) for row in rows]


@router.post("/units/{code}/looks/{number}/answers", operation_id="answerLook")
async def answer_look(
    code: UnitCode, number: Annotated[int, Path(ge=1, lt=1 << 63)], body: LookAnswer, asker: Handling, services: ServicesOf
) -> Done:
    """代为答复: what a named person said by phone about one room; nothing wrong counts as watched by a person for an hour."""
    with services.db.read() as session:
        require_unit(session, asker, code)
        call = session.get(LookCall, number)
        item = session.scalar(select(LookItem).where(LookItem.call == number, LookItem.room == body.room))
        if call is None or item is None or not units.within(session, item.unit, code):
            raise ProblemError(404, "没有这条派查。")
        ident = item.id
    by = f"{body.person}（{asker.name}代为答复）"
    said = looks.answered(services.db, ident, 1 if body.answer == "normal" else 2, by, "page", True, services.clock())
    await report_if_normal(services, body.room, body.answer, by, body.note)
    return Done(sentence=said)


async def report_if_normal(services: Services, room: str, state: str, by: str, note: str = "") -> None:
    """Who looked and found nothing wrong watches the room for a while (人工值守)."""
    if state == "normal":
        await door.submit(services, commands.Report(room=room, by=by, note=note or "派查：平安"))


def _look(session: Session, call: LookCall) -> LookView:
    rows = looks.items(session, call.id)
    counts = {state: sum(row.state == state for row in rows) for state in ("waiting", "normal", "problem", "unreachable")}
    return LookView(
        number=call.id, unit=call.unit, by=call.by, at=at(call.at), note=call.note, counts=counts,
        items=[
            LookItemView(
                room=row.room, unit=row.unit, number=row.number, state=row.state, answered_at=at_or_none(row.answered_at),
                answered_by=row.answered_by,
                via=row.via, proven=row.proven,
            )
            for row in rows
        ],
    )  # fmt: skip


# -- numbers ----------------------------------------------------------------------------------------------------------------------------


def _person(session: Session, asker: Principal, code: str) -> Person:
    person = people.get(session, code)
    if person is None:
        raise ProblemError(404, "没有这个人员编号。")
    if not units.within(session, person.unit, asker.unit):
        raise ProblemError(403, NO_RIGHT)
    return person


@router.post("/people/{code}/phone/code", operation_id="sendPhoneCode")
def phone_code(code: Annotated[str, Path(max_length=32)], asker: Phoning, services: ServicesOf) -> Done:
    """Send a code to a person's number."""
    with services.db.write() as session:
        person = _person(session, asker, code)
        try:
            phones.send_code(
                session,
                person,
                sms="sms",
                voice="voice",
                text=default_texts().with_marks("verify", "code", "number"),
                by=asker.name,
                now=services.clock(),
            )
        except phones.PhoneError as error:
            raise ProblemError(409, str(error)) from error
    return Done(sentence="验证码已发出，10 分钟内有效。")


@router.post("/people/{code}/phone/confirm", operation_id="confirmPhone")
def phone_confirm(code: Annotated[str, Path(max_length=32)], body: CodeBody, asker: Phoning, services: ServicesOf) -> Done:
    """The code has come back: the number is proven."""
    with services.db.write() as session:
        person = _person(session, asker, code)
        try:
            phones.confirm(session, person, body.code, asker.name, services.clock())
        except phones.PhoneError as error:
            problem = ProblemError(409, str(error))
        else:
            return Done(sentence="号码已验证。")
    raise problem  # outside of the transaction, so that a wrong attempt is counted


@router.post("/people/{code}/phone/test", operation_id="testPhone")
def phone_test(code: Annotated[str, Path(max_length=32)], asker: Phoning, services: ServicesOf) -> Done:
    """The test message before the first shift."""
    with services.db.write() as session:
        person = _person(session, asker, code)
        try:
            phones.send_test(
                session, person, sms="sms", voice="voice", text=default_texts().with_marks("test", "number"), by=asker.name, now=services.clock()
            )
        except phones.PhoneError as error:
            raise ProblemError(409, str(error)) from error
    return Done(sentence="试发短信已发出。")


# -- load and texts ---------------------------------------------------------------------------------------------------------------------


@router.get("/units/{code}/duty/load", operation_id="dutyLoad")
def duty_load(code: UnitCode, asker: Telling, services: ServicesOf, start: From = None, end: To = None) -> load.Load:
    """Alarms per hour, night wake-ups per person and the worst rules with a proposal; without times the last thirty days."""
    now = services.clock()
    since, until = span(start, end, default=(now - 30 * DAY_MS, now), longest_ms=366 * DAY_MS)
    with services.db.read() as session:
        require_unit(session, asker, code)
        return load.measure(session, code, since, until)


@router.get("/texts", operation_id="listTexts")
def list_texts(asker: Telling) -> list[TextView]:
    """The registered texts with their lengths."""
    del asker
    return all_texts()


def all_texts() -> list[TextView]:
    """Every text with the length of its longest filling."""
    catalogue = default_texts()
    found = []
    for name, text in catalogue.texts.items():
        plain, hinted = (catalogue.longest(text, reply_hint=hint) for hint in (False, True))
        found.append(TextView(name=name, text=text, longest=utf16(plain), with_hint=utf16(hinted), segments=segments(hinted)))
    assert all(view.with_hint <= SINGLE for view in found)  # noqa: S101 - checked when the file was read
    return found
