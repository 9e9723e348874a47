"""Who watches when: pure, from the rosters, what a hand wrote over them, leave with stand-ins, and the calendar. Instants are UTC ms.

A roster is one shift of a unit (夜班 18:00–08:00 on all days …) and a rotation through it. The turns are counted over the days on which the shift
takes place, so that with seven people and a shift on rest days not always the same two sit there on Sundays.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from server.duty.calendar import Workdays
from server.duty.clock import local, midnight

MINUTE_MS = 60_000
Reaches = Callable[[str | None], bool]
"""Whether a phone as written can be called at all; who knows the channels says so."""
_CHAIN = 4


@dataclass(frozen=True, slots=True)
class Watcher:
    """A person as the roster knows him. `phone` as written; `verified` that number was tested; `left` disabled; `drilled`: has had a drill."""

    id: int
    name: str
    unit: str
    phone: str | None = None
    verified: bool = False
    left: bool = False
    drilled: bool = True
    email: str = ""
    ways: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Sheet:
    """One shift and its rotation; fields as in table roster. A turn is a tuple of person ids."""

    id: int
    unit: str
    name: str
    role: str
    starts_min: int
    minutes: int
    days: str
    turn_days: int
    anchor: date
    turns: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Away:
    """Leave from `since` until `until`, and who stands in."""

    since: int
    until: int
    stand_in: int | None


@dataclass(frozen=True, slots=True)
class Shift:
    """One shift that takes place. `planned` are the people of the rotation or of the change; `changed` = a hand wrote it."""

    sheet: Sheet
    day: date
    since: int
    until: int
    planned: tuple[int, ...]
    changed: bool


@dataclass(frozen=True, slots=True)
class OnDuty:
    """A person on duty; `instead_of` is the person he stands in for."""

    watcher: Watcher
    shift: Shift
    instead_of: Watcher | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """A shift with people who cannot be counted on; `empty`: nobody else is there. `reasons` are keys of server/duty/vacancy.py REASONS."""

    unit: str
    since: int
    shift: Shift
    reasons: tuple[str, ...]
    empty: bool


@dataclass(frozen=True, slots=True)
class Book:
    """Everything that decides who is on duty in some units."""

    sheets: tuple[Sheet, ...] = ()
    changes: Mapping[tuple[int, date], tuple[int, ...]] = field(default_factory=dict)
    people: Mapping[int, Watcher] = field(default_factory=dict)
    leave: Mapping[int, tuple[Away, ...]] = field(default_factory=dict)
    workdays: Workdays = field(default_factory=Workdays)


def turns_of(people: Iterable[object]) -> tuple[tuple[int, ...], ...]:
    """The turns of table roster: ids, or lists of ids. Raises ValueError for anything else."""
    found: list[tuple[int, ...]] = []
    for turn in people:
        given = list(turn) if isinstance(turn, list | tuple) else [turn]
        members = tuple(one for one in given if isinstance(one, int) and not isinstance(one, bool))
        if not members or len(members) != len(given):
            raise ValueError("a turn is a person id or a list of person ids")
        found.append(members)
    return tuple(found)


def shifts(book: Book, unit: str, start: int, end: int) -> list[Shift]:
    """The shifts of a unit that touch start ≤ t < end, in order of time."""
    first, last = local(start).date() - timedelta(days=2), local(end).date()
    found = []
    for sheet in book.sheets:
        if sheet.unit != unit:
            continue
        day = first
        while day <= last:
            shift = _shift(book, sheet, day)
            if shift is not None and shift.since < end and shift.until > start:
                found.append(shift)
            day += timedelta(days=1)
    return sorted(found, key=lambda shift: (shift.since, shift.sheet.id))


def who(book: Book, unit: str, role: str, now: int) -> tuple[OnDuty, ...]:
    """Who is on duty in a unit at an instant in a role ('' = any), with leave replaced by who stands in. Nobody whose account of it is empty."""
    found: dict[int, OnDuty] = {}
    for shift in shifts(book, unit, now, now + 1):
        if role in ("", shift.sheet.role):
            for one in present(book, shift, now):
                found.setdefault(one.watcher.id, one)
    return tuple(found.values())


def present(book: Book, shift: Shift, at: int) -> Iterator[OnDuty]:
    """Those of a shift who are really there at an instant: on leave the stand-in, left or unknown nobody."""
    for ident in shift.planned:
        there = _stands(book, ident, at)
        if there is not None and (watcher := book.people.get(there)) is not None and not watcher.left:
            yield OnDuty(watcher, shift, book.people.get(ident) if there != ident else None)


def gaps(book: Book, unit: str, start: int, end: int, reaches: Reaches) -> list[Gap]:
    """Shifts that go on at `start` or begin before `end` and in which somebody cannot be counted on, the empty ones first."""
    return gaps_of(book, unit, shifts(book, unit, start, end), start, reaches)


def gaps_of(book: Book, unit: str, ahead: Iterable[Shift], start: int, reaches: Reaches) -> list[Gap]:
    """The same of shifts that are known already."""
    found = []
    for shift in ahead:
        at = max(shift.since, start)
        doubts = [_doubt(book, shift, ident, at, reaches) for ident in shift.planned]
        reasons = tuple(dict.fromkeys(doubt for doubt in doubts if doubt)) or (() if doubts else ("nobody",))
        if reasons:
            found.append(Gap(unit, shift.since, shift, reasons, empty="" not in doubts))
    return sorted(found, key=lambda gap: (not gap.empty, gap.since))


def hole(ahead: Iterable[Shift], start: int, end: int) -> int | None:
    """The first instant of start ≤ t < end in which no shift takes place (they come in order of time); None when they follow each other."""
    covered = start
    for shift in ahead:
        if shift.since > covered:
            break
        covered = max(covered, shift.until)
    return covered if covered < end else None


def _doubt(book: Book, shift: Shift, ident: int, at: int, reaches: Reaches) -> str:
    """Why a person of a shift (or who stands in) cannot be counted on; '' when he can."""
    there = _stands(book, ident, at)
    watcher = book.people.get(there) if there is not None else None
    doubts = (
        (there is None, "on_leave"),
        (watcher is None or watcher.left, "left"),
        (watcher is not None and watcher.unit != shift.sheet.unit and there == ident, "transferred"),
        (watcher is not None and not reaches(watcher.phone), "no_phone"),
        (watcher is not None and not watcher.verified, "unverified"),
        (watcher is not None and not watcher.drilled, "undrilled"),
    )
    return next((word for holds, word in doubts if holds), "")


def _shift(book: Book, sheet: Sheet, day: date) -> Shift | None:
    """The shift of one day; None when it does not take place."""
    given = book.changes.get((sheet.id, day))
    if given is None and (day < sheet.anchor or not _takes_place(sheet.days, day, book.workdays)):
        return None
    if given is not None and not given:
        return None
    people = given if given is not None else _turn(sheet, day, book.workdays)
    since = midnight(day) + sheet.starts_min * MINUTE_MS
    return Shift(sheet, day, since, since + sheet.minutes * MINUTE_MS, people, given is not None)


def _takes_place(days: str, day: date, workdays: Workdays) -> bool:
    return days == "all" or workdays.works(day) is (days == "work")


def _turn(sheet: Sheet, day: date, workdays: Workdays) -> tuple[int, ...]:
    if not sheet.turns:
        return ()
    if sheet.days == "all":
        passed = (day - sheet.anchor).days
    else:
        passed = sum(_takes_place(sheet.days, sheet.anchor + timedelta(days=n), workdays) for n in range((day - sheet.anchor).days))
    return sheet.turns[passed // max(sheet.turn_days, 1) % len(sheet.turns)]


def _stands(book: Book, ident: int, at: int) -> int | None:
    """Who answers for a person at an instant; None when he is away and nobody stands in."""
    current: int | None = ident
    for _ in range(_CHAIN):
        away = next((one for one in _leave(book, current) if one.since <= at < one.until), None)
        if away is None:
            return current
        current = away.stand_in
    return None


def _leave(book: Book, ident: int | None) -> Sequence[Away]:
    return () if ident is None else book.leave.get(ident, ())
