"""值班空缺: shifts to come in which nobody can be counted on, told before they begin."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.duty import book as books
from server.duty.calendar import Workdays
from server.duty.clock import local
from server.duty.roster import Gap, gaps
from server.duty.routing import e164, landline
from server.store.tables import Alarm
from server.store.tables_duty import Roster

RULE = "duty_vacancy"
AHEAD_MS = 24 * 3_600_000
SOON_MS = 2 * 3_600_000
REASONS = {
    "nobody": "没有排人", "left": "人员已离岗", "transferred": "人员已调离", "on_leave": "请假且无替班", "no_phone": "没有可拨打的号码",
    "unverified": "号码未验证",
}  # fmt: skip


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


def reaches(phone: str | None) -> bool:
    """Whether a number as written can be called."""
    return e164(phone) is not None or landline(phone) is not None


def look(session: Session, workdays: Workdays, now: int) -> list[Vacancy]:
    """The gaps of all units with a roster within the next day, and the units whose gap has closed."""
    units = session.scalars(select(Roster.unit).where(Roster.ended_at.is_(None)).distinct().order_by(Roster.unit)).all()
    book = books.load(session, units, workdays, now)
    found = {unit: found for unit in units if (found := [gap for gap in gaps(book, unit, now, now + AHEAD_MS, reaches) if gap.empty])}
    standing = session.scalars(select(Alarm.unit).where(Alarm.rule == RULE, Alarm.open_key.is_not(None), Alarm.cleared_at.is_(None))).all()
    ended = [Vacancy(unit, active=False) for unit in standing if unit not in found]
    return [*(_vacancy(unit, each, now) for unit, each in found.items()), *ended]


def _vacancy(unit: str, found: Sequence[Gap], now: int) -> Vacancy:
    first = min(found, key=lambda gap: gap.since)
    return Vacancy(unit, True, "urgent" if first.since - now <= SOON_MS else "alarm", sentence(first))


def sentence(gap: Gap) -> str:
    """A gap in words; the clock of its begin first, which the text message repeats."""
    begins = local(gap.since)
    why = "、".join(REASONS[reason] for reason in gap.reasons)
    return f"{begins:%H:%M} {begins.month}月{begins.day}日{gap.shift.sheet.name}：{why}"
