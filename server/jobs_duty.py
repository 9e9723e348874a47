"""What is true of duty outside of the samples, told to the watch as conditions: shifts without anybody, providers that take nothing."""

from collections.abc import Callable, Iterable

from sqlalchemy import select

from server.duty import readiness, vacancy
from server.duty.calendar import Workdays
from server.notify.outage import outages
from server.notify.texts import default_texts
from server.store.session import Database
from server.store.tables import Alarm, Unit
from server.watch.commands import Command, Condition

_OUTAGE = "channel_outage"
AGAIN_MS = 5 * 60_000
"""A condition that holds is repeated at this pace, in case the watch did not get it; one that does not is said once."""


class DutyConditions:
    """Looks and tells. `run_once(now)` returns how many conditions were told; `channels` are those whose provider may be out,
    `receipts` those of them that tell what became of a text."""

    def __init__(
        self, db: Database, workdays: Workdays, channels: Iterable[str], tell: Callable[[Command], object], receipts: Iterable[str] = ()
    ) -> None:
        self._db, self._workdays, self._channels, self._tell, self._receipts = db, workdays, tuple(channels), tell, tuple(receipts)
        self._text = default_texts().with_marks("test", "number")
        self._told: dict[tuple[str, str], tuple[Condition, int]] = {}

    def run_once(self, now: int) -> int:
        """One look."""
        found = self._look(now)
        fresh = [one for one in found if self._new(one, now)]
        for one in fresh:
            self._tell(one)
            self._told[one.rule, one.subject] = one, now
        return len(fresh)

    def prepare(self, now: int) -> int:
        """Before the first shift: a test message to whose number is not proven, a drill of the unit where somebody has never had one."""
        with self._db.read() as session:
            due = readiness.due(session, self._workdays, now)
        if not due:
            return 0
        with self._db.write() as session:
            return sum(readiness.prepare(session, one, self._text, now) for one in due)

    def _look(self, now: int) -> list[Condition]:
        with self._db.read() as session:
            top = session.scalar(select(Unit.code).where(Unit.parent.is_(None)).order_by(Unit.code).limit(1))
            vacancies = vacancy.look(session, self._workdays, now)
            broken = outages(session, self._channels, now, tell=self._receipts)
            gone = set(session.scalars(select(Alarm.subject).where(Alarm.rule == _OUTAGE, Alarm.closed_at.is_(None))))
        found = [
            Condition(subject=one.subject, rule=vacancy.RULE, active=one.active, unit=one.unit, level=one.level, note=one.note, by="系统")
            for one in vacancies
        ]
        if top is not None:
            found += [
                Condition(subject=subject, rule=_OUTAGE, active=subject.removeprefix("channel:") in broken, unit=top, level="urgent", by="系统")
                for subject in sorted(gone | {f"channel:{name}" for name in self._channels})  # also one that the settings no longer name
            ]
        return found

    def _new(self, one: Condition, now: int) -> bool:
        told, at = self._told.get((one.rule, one.subject), (None, 0))
        return told != one or (one.active and now - at >= AGAIN_MS)
