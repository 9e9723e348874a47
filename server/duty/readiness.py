"""Before the first shift: everybody in a roster gets a test message, and a drill; both are set going by themselves, in working hours.

Who has had neither when the shift is near counts as a gap in the roster (roster.py), which is an alarm.
"""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.duty import book as books
from server.duty import drills, phones
from server.duty.calendar import Workdays
from server.duty.clock import DAY_MS, time_of_day
from server.duty.roster import shifts
from server.store.tables import Notification, Person
from server.store.tables_drill import DrillCampaign
from server.store.tables_duty import Roster

AHEAD_MS = 7 * DAY_MS
"""How long before the first shift it begins."""
AGAIN_MS = 2 * DAY_MS
"""Nobody is sent a test message and no unit a drill more often than this."""
NOTE = "新上岗人员首班前演练"
HOUR_MS = 3_600_000
_HOURS = (int(9.5 * HOUR_MS), int(16.5 * HOUR_MS))


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody with a shift ahead who lacks a test (`test`) or a drill (`drill`)."""

    person: int
    unit: str
    test: bool
    drill: bool


def undrilled(session: Session, unit: str, workdays: Workdays, now: int) -> list[int]:
    """People with a shift of a unit ahead who have never had a drill."""
    book = books.load(session, [unit], workdays, now)
    planned = {ident for shift in shifts(book, unit, now, now + AHEAD_MS) for ident in shift.planned}
    return sorted(ident for ident in planned if ident in book.people and not book.people[ident].drilled)


def due(session: Session, workdays: Workdays, now: int) -> list[Newcomer]:
    """Who is to be prepared now: nobody outside of working hours."""
    if not (_HOURS[0] <= time_of_day(now) < _HOURS[1] and workdays.works_at(now)):
        return []
    units = session.scalars(select(Roster.unit).where(Roster.ended_at.is_(None)).distinct().order_by(Roster.unit)).all()
    book, found = books.load(session, units, workdays, now), {}
    for unit in units:
        for shift in shifts(book, unit, now, now + AHEAD_MS):
            for ident in shift.planned:
                watcher = book.people.get(ident)
                if watcher is not None and not watcher.left and not (watcher.verified and watcher.drilled):
                    found[ident, unit] = Newcomer(ident, unit, not watcher.verified, not watcher.drilled)
    return list(found.values())


def prepare(session: Session, one: Newcomer, text: str, now: int) -> int:
    """Send what is lacking and was not sent lately, within the caller's transaction. Returns how much was set going."""
    return int(one.test and _test(session, one, text, now)) + int(one.drill and _drill(session, one, now))


def _test(session: Session, one: Newcomer, text: str, now: int) -> bool:
    lately = select(Notification.id).where(Notification.person == one.person, Notification.reason == "test", Notification.created_at > now - AGAIN_MS)
    if session.scalar(lately.limit(1)) is not None:
        return False
    try:
        phones.send_test(session, session.get_one(Person, one.person), sms="sms", voice="voice", text=text, by="系统", now=now)
    except phones.PhoneError:
        return False  # without any number: the gap in the roster says so
    return True


def _drill(session: Session, one: Newcomer, now: int) -> bool:
    lately = select(DrillCampaign.id).where(DrillCampaign.unit == one.unit, DrillCampaign.note == NOTE, DrillCampaign.at > now - AGAIN_MS)
    if session.scalar(lately.limit(1)) is not None:
        return False
    wanted = drills.first_room(session, one.unit)
    if wanted is None:
        return False  # a unit without a room in use has no alarms either
    drills.order(session, one.unit, "系统", now, room=wanted, note=NOTE)
    return True
