"""What the sensors say to a report: whether every alarm of an incident is gone, and whether the readings show the recovery that was claimed."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.duty import closure
from server.duty.cards import Card
from server.duty.incident_work import NotPossibleError
from server.series import GOOD, SeriesStore
from server.store import incidents
from server.store.tables import Alarm, Point, Transition
from server.store.tables_incident import Incident

BEFORE_MS = 30 * 60_000
_PRESENT = ("active_unacked", "active_acked")
_GONE = ("cleared_unacked", "latched_unacked", "latched_acked", "normal")


def says(session: Session, store: SeriesStore, card: Card, incident: Incident, now: int) -> closure.Verdict:
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
        again_at=_again(session, [alarm.id for alarm in alarms], incident.reported_at) if card.done.reset else None,
        readings={quantity: _readings(session, store, incident, quantity, now) for quantity in quantities},
    )
    return closure.judge(card.done, facts, now)


def _again(session: Session, alarms: Sequence[int], since: int) -> int | None:
    """When one of the alarms came, or came anew, after an instant."""
    came = select(func.min(Transition.at)).where(Transition.alarm.in_(alarms), Transition.name.in_(("raised", "re_raised")), Transition.at > since)
    return session.scalar(came)


def _readings(session: Session, store: SeriesStore, incident: Incident, quantity: str, now: int) -> Sequence[closure.Reading]:
    inside = (Point.channel != "outdoor", Point.device != "outdoor")
    point = session.scalar(select(Point.id).where(Point.room == incident.room, Point.quantity == quantity, *inside).order_by(Point.id).limit(1))
    if point is None:
        return ()
    rows = store.raw([point], (incident.reported_at or now) - BEFORE_MS, now + 1)
    return [(row.taken_at, row.value) for row in rows if row.quality == GOOD and row.value is not None]


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
