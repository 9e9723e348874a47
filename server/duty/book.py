"""The book of duty out of the database: rosters of some units with their people, leave and changes, ready for roster.py."""

from collections.abc import Iterable
from datetime import date

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from server.duty.calendar import Workdays
from server.duty.roster import Away, Book, Sheet, Watcher, turns_of
from server.store import drills
from server.store.tables import Person
from server.store.tables_duty import Roster, RosterChange
from server.store.tables_org import Absence


def load(session: Session, units: Iterable[str], workdays: Workdays, now: int) -> Book:
    """The book of these units as it stands at `now`, with leave that ends later."""
    rosters = session.scalars(select(Roster).where(Roster.unit.in_(list(units)), or_(Roster.ended_at.is_(None), Roster.ended_at > now))).all()
    if not rosters:
        return Book(workdays=workdays)
    sheets = tuple(sheet_of(row) for row in rosters)
    rows = session.scalars(select(RosterChange).where(RosterChange.roster.in_([row.id for row in rosters]))).all()
    changes = {(row.roster, date.fromisoformat(row.day)): tuple(int(one) for one in row.people) for row in rows}
    wanted = {one for sheet in sheets for turn in sheet.turns for one in turn} | {one for people in changes.values() for one in people}
    leave = _leave(session, wanted, now)
    people = wanted | {away.stand_in for one in leave.values() for away in one if away.stand_in is not None}
    return Book(sheets, changes, watchers(session, people), leave, workdays)


def sheet_of(row: Roster) -> Sheet:
    """A roster's row as a value. Raises ValueError for a row that is not one."""
    return Sheet(
        row.id, row.unit, row.name, row.role, row.starts_min, row.minutes, row.days, row.turn_days, date.fromisoformat(row.anchor),
        turns_of(row.people),
    )  # fmt: skip


def watchers(session: Session, people: Iterable[int]) -> dict[int, Watcher]:
    """Persons as the roster wants them."""
    wanted = list(people)
    rows, drilled = session.scalars(select(Person).where(Person.id.in_(wanted))), drills.drilled(session, wanted)
    return {
        row.id: Watcher(
            row.id,
            row.name,
            row.unit,
            row.phone,
            row.phone_verified_at is not None,
            row.disabled_at is not None,
            drilled=row.id in drilled,
            email=row.email,
            ways=tuple(row.ways),
        )
        for row in rows
    }


def _leave(session: Session, people: set[int], now: int) -> dict[int, tuple[Away, ...]]:
    """Leave of these people and of who stands in for them."""
    found: dict[int, tuple[Away, ...]] = {}
    asked: set[int] = set()
    while new := people - asked:
        asked |= new
        query = select(Absence).where(Absence.person.in_(new), Absence.until > now, Absence.cancelled_at.is_(None)).order_by(Absence.id.desc())
        for row in session.scalars(query):
            found[row.person] = (*found.get(row.person, ()), Away(row.since, row.until, row.stand_in))
            people = people | ({row.stand_in} if row.stand_in is not None else set())
    return found
