"""Incidents 事件: opened by alarms, worked through by people, closed only when the sensor confirms what was reported.

`Incidents.run_once(now)` opens what alarms ask for and holds every report against the sensor; people come in through `tick`, `log` and `report`,
each within the caller's transaction. An alarm is never changed here: a contradicted report is handed to `reopen`, which asks the watch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from server.duty import closure
from server.duty.cards import Card, Cards, Situation, fill
from server.duty.events import event_of
from server.duty.ladder import LEVELS
from server.duty.sheet import filling, photo_rule, photos_allowed
from server.series import GOOD, SeriesStore
from server.store import audit, incidents
from server.store.incidents import CLOSED, OPEN, REPORTED
from server.store.session import Database
from server.store.tables import Alarm, Point
from server.store.tables_incident import Incident, IncidentAlarm, IncidentEntry, IncidentPhoto

T = TypeVar("T")

CODES: Mapping[str, str] = MappingProxyType(
    {
        "real_hazard": "真实险情",
        "out_of_band": "环境超标",
        "human": "人为疏忽",
        "outage": "停电 / 断网",
        "weather": "天气影响",
        "device_fault": "设备故障",
        "false_alarm": "误报（灰尘、虫、水汽、光线）",
        "planned_work": "施工、保洁、消杀",
        "unknown": "原因不明",
    }
)
"""处置结论 of language.md 5.2; drills have no incident."""

FORGOTTEN_MS = 7 * 86_400_000
"""An alarm older than this without an incident (imported, restored) opens none."""
YEAR_MS = 366 * 86_400_000
KEEP_YEARS = {"critical": 30, "urgent": 10, "alarm": 10, "warn": 10}
"""Retention of the papers in years, ours: terms of 定期 10 and 30 years exist in archives practice; the operator's own schedule rules."""
TOGETHER = 4
"""Incidents that change in one transaction."""
BEFORE_MS = 30 * 60_000
_PRESENT = ("active_unacked", "active_acked")
_GONE = ("cleared_unacked", "latched_unacked", "latched_acked", "normal")


class NotPossibleError(ValueError):
    """What was asked does not fit the incident's state; the text is a sentence for the person."""


class Incidents:
    """The follower of alarms. `reopen(alarm, sentence)` asks the watch to tell the next level; it may be called again after a crash."""

    def __init__(self, db: Database, store: SeriesStore, cards: Cards, reopen: Callable[[int, str], None]) -> None:
        self._db, self._store, self._cards, self._reopen = db, store, cards, reopen

    def run_once(self, now: int) -> int:
        """Open, join, follow who has it, and judge. Returns the number of incidents changed."""
        return self._open(now) + self._follow(now) + self._judge(now)

    def card(self, incident: Incident) -> Card:
        """The card of an incident."""
        return card_of(self._cards, incident)

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
                    _again(session, incident, "办结以后同一条告警再次产生。", now)
        return len(owners) + len(strays) + len(again)

    # -- closing ------------------------------------------------------------------------------------------------------------------------

    def _judge(self, now: int) -> int:
        with self._db.read() as session:
            reported = session.scalars(select(Incident).where(Incident.state == REPORTED).order_by(Incident.id)).all()
            verdicts = [(row, sensor_says(session, self._store, self.card(row), row, now)) for row in reported]
        settled = [(row, verdict) for row, verdict in verdicts if verdict.state != "waiting"]
        for row, verdict in settled:
            self._settle(row, verdict, now)
        return len(settled)

    def _settle(self, seen: Incident, verdict: closure.Verdict, now: int) -> None:
        sentence = f"{seen.reported_by} 报告：{CODES.get(seen.code, seen.code)}。{''.join(verdict.reasons)}"
        if verdict.state == "contradicted":
            # The watch is asked first, and outside of our transaction, which it needs itself. A crash in between asks it twice: the next level is
            # told again. The other way round nobody would be.
            self._reopen(seen.alarm, sentence)
        with self._db.write() as session:
            incident = session.get_one(Incident, seen.id)
            if incident.state != REPORTED or incident.reported_at != seen.reported_at:
                return  # somebody has reported anew meanwhile; that report is judged in the next round
            if verdict.state == "verified":
                _close(session, incident, verdict.reasons, now)
            else:
                _again(session, incident, sentence, now)


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
    note(session, begun, "opened", now, text=f"告警 {alarm.number}", data={"alarm": alarm.id})


def _join(session: Session, alarm: Alarm, incident: Incident, now: int) -> None:
    session.add(IncidentAlarm(alarm=alarm.id, incident=incident.id))
    note(session, incident, "joined", now, text=f"告警 {alarm.number}", data={"alarm": alarm.id})
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


# -- people -----------------------------------------------------------------------------------------------------------------------------


Data = Mapping[str, object]


def note(session: Session, incident: Incident, kind: str, now: int, *, by: str = "", text: str = "", data: Data | None = None) -> None:
    """One line of the work log."""
    session.add(IncidentEntry(incident=incident.id, at=now, kind=kind, by=by, text=text, data=dict(data or {})))
    session.flush()


def tick(session: Session, incident: Incident, card: Card, step: int, done: bool, by: str, now: int) -> None:
    """Tick a step of the card, or take the tick back. Raises NotPossibleError for a step that the card has not, or a closed incident."""
    _must_be_open(incident)
    if not 1 <= step <= len(card.steps):
        raise NotPossibleError("处置卡没有这一步。")
    if (step in incidents.ticked(session, incident.id)) == done:
        return
    read = fill(card, filling(session, incident.room, incident.unit), Situation(event=incident.event)).steps[step - 1]
    note(session, incident, "step" if done else "unstep", now, by=by, text=read, data={"step": step})
    audit.append(session, by, "incident.step", f"incident:{incident.id}", {"step": step, "done": done}, now, unit=incident.unit)
    incident.owner = incident.owner or by


def log(session: Session, incident: Incident, text: str, by: str, now: int) -> None:
    """A line of the work log; also after closing, when something is remembered later."""
    note(session, incident, "log", now, by=by, text=text)
    audit.append(session, by, "incident.log", f"incident:{incident.id}", {"note": text}, now, unit=incident.unit)


def photograph(session: Session, incident: Incident, sha256: str, size: int, text: str, by: str, now: int) -> None:
    """A picture taken on site. Raises NotPossibleError where the room's sheet does not allow it."""
    if not photos_allowed(rule := photo_rule(session, incident.room)):
        raise NotPossibleError(f"本室拍照规定：{rule}，不能上传照片。" if rule else "本室一室一卡没有写明允许拍照，不能上传照片。")
    known = select(IncidentPhoto.id).where(IncidentPhoto.incident == incident.id, IncidentPhoto.sha256 == sha256)
    if session.scalar(known) is not None:
        return
    session.add(IncidentPhoto(incident=incident.id, at=now, by=by[:60], note=text[:200], sha256=sha256, bytes=size))
    note(session, incident, "photo", now, by=by, text=text, data={"sha256": sha256})
    audit.append(session, by, "incident.photo", f"incident:{incident.id}", {"sha256": sha256}, now, unit=incident.unit)


def report(session: Session, incident: Incident, code: str, text: str, by: str, now: int) -> None:
    """报告处置结论: from now on the sensor must confirm it. Raises NotPossibleError for an unknown code, an empty reason or a closed incident."""
    _must_be_open(incident)
    if code not in CODES:
        raise NotPossibleError("请选择处置结论。")
    if not text.strip():
        raise NotPossibleError("请写明采取了什么措施。")
    incident.state, incident.code, incident.note, incident.reported_at, incident.reported_by = REPORTED, code, text.strip(), now, by
    incident.owner = incident.owner or by
    note(session, incident, "report", now, by=by, text=text.strip(), data={"code": code})
    audit.append(session, by, "incident.report", f"incident:{incident.id}", {"code": code, "note": text.strip()}, now)


def _must_be_open(incident: Incident) -> None:
    if incident.state == CLOSED:
        raise NotPossibleError("事件已办结。")


def _close(session: Session, incident: Incident, reasons: Sequence[str], now: int) -> None:
    incident.state, incident.closed_at = CLOSED, now
    incident.keep_until = now + KEEP_YEARS.get(incident.level, 10) * YEAR_MS
    note(session, incident, "closed", now, text="".join(reasons), data={"code": incident.code})
    audit.append(session, "系统", "incident.closed", f"incident:{incident.id}", {"code": incident.code, "proof": "".join(reasons)}, now)


def _again(session: Session, incident: Incident, sentence: str, now: int) -> None:
    """退回: what was reported and what was measured."""
    note(session, incident, "reopened", now, text=sentence, data={"code": incident.code})
    incident.state, incident.reported_at, incident.reopened = OPEN, None, incident.reopened + 1
    audit.append(session, "系统", "incident.reopened", f"incident:{incident.id}", {"reason": sentence}, now)


# -- the sensor -------------------------------------------------------------------------------------------------------------------------


def card_of(cards: Cards, incident: Incident) -> Card:
    """The card of an incident; the one for `other` where the file no longer has it."""
    return cards.get(incident.card) or cards.answering("other")


def sensor_says(session: Session, store: SeriesStore, card: Card, incident: Incident, now: int) -> closure.Verdict:
    """How the sensor stands to the report now. Raises NotPossibleError when nothing was reported."""
    if incident.reported_at is None:
        raise NotPossibleError("还没有报告处置结论。")
    alarms = incidents.alarms(session, incident.id)
    gone = [alarm.cleared_at or alarm.closed_at or now for alarm in alarms]
    quantities = {claim.quantity for claim in card.done.claims} if incident.room else set()
    facts = closure.Facts(
        reported_at=incident.reported_at,
        gone_since=None if any(map(_holds, alarms)) or not gone else max(gone),
        locked=any(alarm.state.startswith("latched") for alarm in alarms),
        silent=_silent(session, incident.room) if card.done.fresh and incident.room else (),
        readings={quantity: _readings(session, store, incident, quantity, now) for quantity in quantities},
    )
    return closure.judge(card.done, facts, now)


def _readings(session: Session, store: SeriesStore, incident: Incident, quantity: str, now: int) -> Sequence[closure.Reading]:
    inside = (Point.channel != "outdoor", Point.device != "outdoor")
    point = session.scalar(select(Point.id).where(Point.room == incident.room, Point.quantity == quantity, *inside).order_by(Point.id).limit(1))
    if point is None:
        return ()
    rows = store.raw([point], (incident.reported_at or now) - BEFORE_MS, now + 1)
    return [(row.taken_at, row.value) for row in rows if row.quality == GOOD and row.value is not None]


# -- alarms -----------------------------------------------------------------------------------------------------------------------------


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


def _holds(alarm: Alarm) -> bool:
    """Whether the condition of an alarm holds, also beneath a shelf or a suppression."""
    if alarm.closed_at is not None or alarm.state in _GONE:
        return False
    return alarm.state in _PRESENT or alarm.cleared_at is None


def _silent(session: Session, room: str) -> tuple[str, ...]:
    """Quantities with an open silence alarm: the watch knows which points do not report."""
    query = select(Point.quantity).join(Alarm, Alarm.subject == "point:" + Point.id.cast(Alarm.subject.type))
    query = query.where(Point.room == room, Alarm.kind == "stale", Alarm.closed_at.is_(None), Alarm.cleared_at.is_(None))
    return tuple(sorted(set(session.scalars(query))))
