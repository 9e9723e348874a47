"""Incidents 事件: opened by alarms, worked through by people, closed only when the sensor confirms what was reported.

`Incidents.run_once(now)` opens what alarms ask for and holds every report against the sensor; what people do is in incident_work.py, what the sensor
says in incident_sensor.py. An alarm is never changed here: a contradicted report is handed to `reopen`, which asks the watch.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from server.duty import closure
from server.duty import incident_sensor as sensor
from server.duty import incident_work as work
from server.duty.cards import Card, Cards
from server.duty.events import event_of
from server.duty.ladder import LEVELS
from server.series import SeriesStore
from server.store import incidents
from server.store.incidents import CLOSED, REPORTED
from server.store.session import Database
from server.store.tables import Alarm
from server.store.tables_incident import Incident, IncidentAlarm, IncidentEntry

T = TypeVar("T")

FORGOTTEN_MS = 7 * 86_400_000
"""An alarm older than this without an incident (imported, restored) opens none."""
TOGETHER = 4
"""Incidents that change in one transaction."""


class Incidents:
    """The follower of alarms. `reopen(alarm, sentence)` asks the watch to tell the next level; it may be called again after a crash."""

    def __init__(self, db: Database, store: SeriesStore, cards: Cards, reopen: Callable[[int, str], None]) -> None:
        self._db, self._store, self._cards, self._reopen = db, store, cards, reopen

    def run_once(self, now: int) -> int:
        """Open, join, follow who has it, and judge. Returns the number of incidents changed."""
        return self._open(now) + self._follow(now) + self._judge(now)

    def card(self, incident: Incident) -> Card:
        """The card of an incident."""
        return work.card_of(self._cards, incident)

    # -- opening ------------------------------------------------------------------------------------------------------------------------

    def _open(self, now: int) -> int:
        with self._db.read() as session:
            fresh = sorted(_waiting(session, now, 500), key=lambda alarm: alarm.kind != "group")
            idents = [alarm.id for alarm in fresh]
        for ident in idents:
            self._take(ident, now)
        return len(idents)

    def _take(self, ident: int, now: int) -> None:
        """One cause, one incident: an alarm joins that of its group, or the one that runs for the same place and card. Which one is looked up beside
        the writers (nobody else opens or closes any), so that an alarm waits for the writing alone."""
        with self._db.read() as session:
            alarm = session.get_one(Alarm, ident)
            event = event_of(alarm.rule, alarm.kind, alarm.quantity)
            card = self._cards.answering(event)
            running = _of_group(session, alarm) or _running(session, alarm, card.id)
        with self._db.write() as session:
            if running is not None:
                _join(session, alarm, session.get_one(Incident, running.id), now)
            else:
                _begin(session, alarm, event, card, now)

    # -- following ----------------------------------------------------------------------------------------------------------------------

    def _follow(self, now: int) -> int:
        """Who took over last is the owner; what opened before its group was found goes over to it; an alarm that comes again opens anew."""
        with self._db.read() as session:
            owners, strays, again = incidents.new_owners(session), incidents.strays(session), incidents.recurred(session)
        for taken in _few(owners):
            with self._db.write() as session:
                for ident, owner in taken:
                    session.get_one(Incident, ident).owner = owner[:60]
        for few in _few(strays):
            with self._db.write() as session:
                for ident in few:
                    _merge(session, session.get_one(Incident, ident), now)
        for few in _few(again):
            with self._db.write() as session:
                for ident in few:
                    incident = session.get_one(Incident, ident)
                    incident.closed_at = incident.keep_until = None
                    work.again(session, incident, "办结以后同一条告警再次产生。", now)
        return len(owners) + len(strays) + len(again)

    # -- closing ------------------------------------------------------------------------------------------------------------------------

    def _judge(self, now: int) -> int:
        with self._db.read() as session:
            reported = session.scalars(select(Incident).where(Incident.state == REPORTED).order_by(Incident.id)).all()
            verdicts = [(row, sensor.says(session, self._store, self.card(row), row, now)) for row in reported]
        settled = [(row, verdict) for row, verdict in verdicts if verdict.state != "waiting"]
        for row, verdict in settled:
            self._settle(row, verdict, now)
        return len(settled)

    def _settle(self, seen: Incident, verdict: closure.Verdict, now: int) -> None:
        sentence = f"{seen.reported_by} 报告：{work.CODES.get(seen.code, seen.code)}。{''.join(verdict.reasons)}"
        if verdict.state == "contradicted":
            # The watch is asked first, and outside of our transaction, which it needs itself. A crash in between asks it twice: the next level is
            # told again. The other way round nobody would be.
            self._reopen(seen.alarm, sentence)
        with self._db.write() as session:
            incident = session.get_one(Incident, seen.id)
            if incident.state != REPORTED or incident.reported_at != seen.reported_at:
                return  # somebody has reported anew meanwhile; that report is judged in the next round
            if verdict.state == "verified":
                work.close(session, incident, verdict.reasons, now)
            else:
                work.again(session, incident, sentence, now)


def _few(these: Sequence[T]) -> Iterator[Sequence[T]]:
    """As many as one transaction takes: an alarm waits for whoever writes before it."""
    return (these[start : start + TOGETHER] for start in range(0, len(these), TOGETHER))


def _begin(session: Session, alarm: Alarm, event: str, card: Card, now: int) -> None:
    begun = Incident(
        alarm=alarm.id, unit=alarm.unit, room=alarm.room, event=event, card=card.id, level=alarm.level, opened_at=alarm.raised_at,
        owner=alarm.acked_by,
    )  # fmt: skip
    session.add(begun)
    session.flush()
    session.add(IncidentAlarm(alarm=alarm.id, incident=begun.id))
    work.note(session, begun, "opened", now, text=f"告警 {alarm.number}", data={"alarm": alarm.id})


def _join(session: Session, alarm: Alarm, incident: Incident, now: int) -> None:
    session.add(IncidentAlarm(alarm=alarm.id, incident=incident.id))
    work.note(session, incident, "joined", now, text=f"告警 {alarm.number}", data={"alarm": alarm.id})
    if LEVELS.index(alarm.level) < LEVELS.index(incident.level):
        incident.level = alarm.level


def _merge(session: Session, stray: Incident, now: int) -> None:
    """An incident that nobody has touched goes over into that of its group; what it held stands in the log there."""
    whole = _of_group(session, session.get_one(Alarm, stray.alarm))
    if whole is None:
        return
    members = incidents.alarms(session, stray.id)
    session.execute(delete(IncidentAlarm).where(IncidentAlarm.incident == stray.id))
    session.execute(delete(IncidentEntry).where(IncidentEntry.incident == stray.id))
    session.delete(stray)
    session.flush()
    for alarm in members:
        _join(session, alarm, whole, now)


def _waiting(session: Session, now: int, limit: int) -> Sequence[Alarm]:
    """Alarms that belong to an incident and are in none: everything from 一般 up, and a 提示 that somebody has taken over; never drills."""
    query = (
        select(Alarm)
        .outerjoin(IncidentAlarm, IncidentAlarm.alarm == Alarm.id)
        .where(IncidentAlarm.alarm.is_(None), Alarm.raised_at > now - FORGOTTEN_MS, Alarm.drill.is_(False))
        .where((Alarm.level != "warn") | (Alarm.acked_by != ""))
        .order_by(Alarm.id)
    )
    return session.scalars(query.limit(limit)).all()


def _running(session: Session, alarm: Alarm, card: str) -> Incident | None:
    """The incident that an alarm joins: same place, same card, not closed."""
    query = select(Incident).where(Incident.unit == alarm.unit, Incident.card == card, Incident.state != CLOSED)
    query = query.where(Incident.room.is_(None) if alarm.room is None else Incident.room == alarm.room)
    return session.scalar(query.order_by(Incident.id.desc()).limit(1))


def _of_group(session: Session, alarm: Alarm) -> Incident | None:
    """The incident of the group that an alarm is folded into, unless that is closed."""
    found = incidents.of_alarm(session, alarm.group_alarm) if alarm.group_alarm is not None else None
    return None if found is None or found.state == CLOSED else found
