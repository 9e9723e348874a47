"""值班空缺: shifts to come in which nobody can be counted on, and units that have nobody at all, told before the hour comes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import ColumnElement, or_, select, true
from sqlalchemy.orm import Session

from server.duty import book as books
from server.duty.calendar import Workdays
from server.duty.clock import local
from server.duty.roster import Gap, gaps_of, hole, shifts
from server.duty.routing import e164, landline
from server.store import people
from server.store.tables import Alarm, Person, Room, Unit
from server.store.tables_duty import Roster, UnitPair

RULE = "duty_vacancy"
AHEAD_MS = 24 * 3_600_000
SOON_MS = 2 * 3_600_000
EVENING = "18:00"
"""From when a unit without a roster is on its own: until then somebody of it is in the office."""
REASONS = {
    "nobody": "没有排人", "left": "人员已离岗", "transferred": "人员已调离", "on_leave": "请假且无替班", "no_phone": "没有可拨打的号码",
    "unverified": "号码未验证", "undrilled": "还没有参加过演练",
}  # fmt: skip
UNWATCHED = "没有值班表，也没有可以呼叫的值班员、值班室电话或结对单位"
LEFT_OUT = "值班表没有排到这个时段，也没有可以呼叫的值班员、值班室电话或结对单位"
_DUTIES = ("duty_officer", "person_in_charge", "duty_leader")


@dataclass(frozen=True, slots=True)
class Vacancy:
    """What the watch is to be told of a unit: a gap with its level and sentence, or that there is none any more."""

    unit: str
    active: bool
    level: str = "alarm"
    note: str = ""

    @property
    def subject(self) -> str:
        """Alarm subject."""
        return f"unit:{self.unit}"


@lru_cache(maxsize=8_192)
def reaches(phone: str | None) -> bool:
    """Whether a number as written can be called."""
    return e164(phone) is not None or landline(phone) is not None


def look(session: Session, workdays: Workdays, now: int) -> list[Vacancy]:
    """The gaps of all units within the next day, the units with rooms in use that have nobody to call (without a roster, or in hours that it leaves
    out: a roster of working days on a holiday), and those where that is over."""
    units, until = rostered(session), now + AHEAD_MS
    book = books.load(session, units, workdays, now)
    ahead = {unit: shifts(book, unit, now, until) for unit in units}
    holes = {unit: since for unit, found in ahead.items() if (since := hole(found, now, until)) is not None}
    planned = ((unit, [gap for gap in gaps_of(book, unit, found, now, reaches) if gap.empty]) for unit, found in ahead.items())
    vacant = {unit: _left_out(unit, holes.get(unit), now) for unit in unwatched(session, [unit for unit in units if unit not in holes], now)}
    vacant |= {unit: _vacancy(unit, found, now) for unit, found in planned if found}
    standing = session.scalars(select(Alarm.unit).where(Alarm.rule == RULE, Alarm.open_key.is_not(None), Alarm.cleared_at.is_(None))).all()
    return [*vacant.values(), *(Vacancy(unit, active=False) for unit in standing if unit not in vacant)]


def rostered(session: Session) -> Sequence[str]:
    """Units with a roster."""
    return session.scalars(select(Roster.unit).where(Roster.ended_at.is_(None)).distinct().order_by(Roster.unit)).all()


def unwatched(session: Session, rostered: Iterable[str], now: int, *, among: ColumnElement[bool] | None = None) -> list[str]:
    """Units with rooms in use, without a roster of their own or of a paired unit, and without anybody who could be called. `among`: what else is
    asked of the rooms (a unit, a subtree).
    """
    in_use = select(Room.unit).where(Room.stage == "in_use", true() if among is None else among)
    used = set(session.scalars(in_use.distinct())) - set(rostered)
    if not used:
        return []
    pairs = {row.unit: row.stand_in for row in session.scalars(select(UnitPair).where(UnitPair.unit.in_(in_use))) if row.unit in used}
    asked = used | set(pairs.values())
    desks = session.execute(select(Unit.code, Unit.duty_phone).where(or_(Unit.code.in_(in_use), Unit.code.in_(sorted(pairs.values())))))
    able = set(rostered) | {unit for unit, phone in desks if reaches(phone)}
    # Most units have a duty room: only of the others is everybody looked through, four times a minute in a province of sixty thousand people.
    if silent := asked - able:
        able |= {unit for unit, phone in _phones(session, silent, now) if reaches(phone)}
    return sorted(unit for unit in used if unit not in able and pairs.get(unit) not in able)


def _phones(session: Session, units: set[str], now: int) -> list[tuple[str, str | None]]:
    """(unit, number) of everybody who holds a duty there now or stands in for who does; also of the persons of the rooms."""
    own = session.execute(select(Person.unit, Person.phone).where(Person.unit.in_(units), Person.duty.in_(_DUTIES), Person.disabled_at.is_(None)))
    rooms = select(Room.unit, Person.phone).join(Person, Person.id == Room.person).where(Room.unit.in_(units), Person.disabled_at.is_(None))
    held = [(holder.unit, holder.person.phone) for holder in people.on_duty(session, list(units), _DUTIES, now)]
    return [*((row[0], row[1]) for found in (own, session.execute(rooms)) for row in found), *held]


def _left_out(unit: str, since: int | None, now: int) -> Vacancy:
    """A unit on its own: from the evening, or from when its roster leaves hours out."""
    if since is None:
        return Vacancy(unit, True, "alarm", f"{EVENING} 起：{UNWATCHED}")
    begins = local(since)
    return Vacancy(unit, True, "urgent" if since - now <= SOON_MS else "alarm", f"{begins:%H:%M} {begins.month}月{begins.day}日起：{LEFT_OUT}")


def _vacancy(unit: str, found: Sequence[Gap], now: int) -> Vacancy:
    first = min(found, key=lambda gap: gap.since)
    return Vacancy(unit, True, "urgent" if first.since - now <= SOON_MS else "alarm", sentence(first))


def sentence(gap: Gap) -> str:
    """A gap in words; the clock of its begin first, which the text message repeats."""
    begins = local(gap.since)
    why = "、".join(REASONS[reason] for reason in gap.reasons)
    return f"{begins:%H:%M} {begins.month}月{begins.day}日{gap.shift.sheet.name}：{why}"
