"""What is true of duty outside of the samples, told to the watch as conditions: shifts without anybody, providers that take nothing."""

from collections.abc import Callable, Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.duty import looks, readiness, vacancy
from server.duty.calendar import Workdays
from server.notify.outage import outages
from server.notify.texts import default_texts
from server.org import notice_words, notices
from server.store.session import Database
from server.store.tables import Alarm, Unit
from server.store.tables_org import Notice
from server.watch.commands import Command, Condition

_OUTAGE = "channel_outage"
_STANDING = select(Notice.open_key).where(Notice.open_key.startswith(f"{looks.REASON}:"))
DAY_MS = 86_400_000
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

    def ask_again(self, now: int) -> int:
        """Of 派查: call once more who has not answered; then the list says so, and for a day or until it is known a notice to the unit that asked."""
        with self._db.read() as session:
            if not looks.is_overdue(session, now) and _silent(session, now).keys() == set(session.scalars(_STANDING)):
                return 0
        with self._db.write() as session:
            done, silent = looks.remind(session, now), _silent(session, now)
            for key, (unit, sentence) in silent.items():
                notices.put_up(session, key=key, kind=looks.REASON, level="alarm", unit=unit, subject=key, sentence=sentence, now=now)
            for standing in session.scalars(_STANDING).all():
                if standing is not None and standing not in silent:
                    notices.take_down(session, standing, now)
            return done

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


def _silent(session: Session, now: int) -> dict[str, tuple[str, str]]:
    """Of each 派查 of the last day to which no answer came, unless somebody has closed its notice: key -> (unit, sentence)."""
    found = {
        f"{looks.REASON}:{call.id}": (call.unit, notice_words.UNANSWERED % {"by": call.by, "rooms": rooms})
        for call, rooms in looks.unanswered(session, now - DAY_MS)
    }
    seen_to = set(session.scalars(select(Notice.subject).where(Notice.subject.in_(found), Notice.closed_at.is_not(None))))
    return {key: what for key, what in found.items() if key not in seen_to}
