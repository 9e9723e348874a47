"""Questions about incidents: lists, one with its log, which incident an alarm belongs to."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from server.store.tables import Alarm, Point, Snapshot
from server.store.tables_incident import Dossier, Incident, IncidentAlarm, IncidentEntry, IncidentPhoto
from server.store.units import inside

OPEN, REPORTED, CLOSED = "open", "reported", "closed"
RUNNING = (OPEN, REPORTED)
STILL_MARGIN_MS = 10 * 60_000
"""Stills taken this long before the alarm or after the end belong to the incident."""


def page(
    session: Session, scope: str | None, *, states: Sequence[str] = (), since: int | None = None, before: int | None = None, limit: int = 50
) -> Sequence[Incident]:
    """Incidents of a subtree, newest first; `since` bounds the opening, `before` is an id."""
    query = select(Incident).where(inside(session, Incident.unit, scope))
    if states:
        query = query.where(Incident.state.in_(states))
    if since is not None:
        query = query.where(Incident.opened_at >= since)
    if before is not None:
        query = query.where(Incident.id < before)
    return session.scalars(query.order_by(Incident.id.desc()).limit(limit)).all()


def of_alarm(session: Session, alarm: int) -> Incident | None:
    """The incident that an alarm belongs to."""
    return session.scalar(select(Incident).join(IncidentAlarm, IncidentAlarm.incident == Incident.id).where(IncidentAlarm.alarm == alarm))


def new_owners(session: Session) -> list[tuple[int, str]]:
    """Incidents that are not closed and who has taken over the last of their alarms since, where that is somebody else than the owner on record."""
    taken = select(Incident.id, Alarm.acked_by, Incident.owner).join(IncidentAlarm, IncidentAlarm.incident == Incident.id)
    taken = taken.join(Alarm, Alarm.id == IncidentAlarm.alarm).where(Incident.state.in_(RUNNING), Alarm.acked_by != "").order_by(Alarm.acked_at)
    last = {row[0]: (row[1], row[2]) for row in session.execute(taken)}
    return [(ident, by) for ident, (by, owner) in last.items() if by[:60] != owner]


def strays(session: Session) -> Sequence[int]:
    """Incidents of members of a group whose incident runs, opened before the group was found, in which nobody has done anything."""
    group = aliased(IncidentAlarm)
    whole = aliased(Incident)
    worked = select(IncidentEntry.id).where(IncidentEntry.incident == Incident.id, IncidentEntry.kind.not_in(("opened", "joined"))).exists()
    query = select(Incident.id).join(Alarm, Alarm.id == Incident.alarm).join(group, group.alarm == Alarm.group_alarm)
    query = query.join(whole, whole.id == group.incident).where(Incident.state == OPEN, Incident.owner == "", whole.id != Incident.id)
    return session.scalars(query.where(whole.state.in_(RUNNING), ~worked).order_by(Incident.id)).all()


def recurred(session: Session) -> Sequence[int]:
    """Closed incidents one of whose alarms holds again: it had never been taken over, so that it is still the same alarm."""
    query = select(Incident.id).join(IncidentAlarm, IncidentAlarm.incident == Incident.id).join(Alarm, Alarm.id == IncidentAlarm.alarm)
    # By its end and not by its state, which has an index: the planner shall begin with the few alarms that are open, not with the incidents of years.
    query = query.where(Alarm.open_key.is_not(None), Alarm.state.in_(("active_unacked", "active_acked")), Incident.closed_at.is_not(None))
    return session.scalars(query.distinct().order_by(Incident.id)).all()


def alarms(session: Session, ident: int) -> Sequence[Alarm]:
    """The alarms of an incident, in order."""
    query = select(Alarm).join(IncidentAlarm, IncidentAlarm.alarm == Alarm.id).where(IncidentAlarm.incident == ident)
    return session.scalars(query.order_by(Alarm.id)).all()


def entries(session: Session, ident: int) -> Sequence[IncidentEntry]:
    """The work log, in order."""
    return session.scalars(select(IncidentEntry).where(IncidentEntry.incident == ident).order_by(IncidentEntry.id)).all()


def ticked(session: Session, ident: int) -> dict[int, IncidentEntry]:
    """The last tick of each step that is ticked now, by the number of the step from 1."""
    done: dict[int, IncidentEntry] = {}
    for entry in entries(session, ident):
        if entry.kind == "step":
            done[int(entry.data["step"])] = entry
        elif entry.kind == "unstep":
            done.pop(int(entry.data["step"]), None)
    return done


def stills(session: Session, incident: Incident, limit: int = 60) -> Sequence[Snapshot]:
    """Camera stills of the room around the incident, oldest first."""
    if incident.room is None:
        return ()
    query = select(Snapshot).where(Snapshot.room == incident.room, Snapshot.taken_at >= incident.opened_at - STILL_MARGIN_MS)
    if incident.closed_at is not None:
        query = query.where(Snapshot.taken_at <= incident.closed_at + STILL_MARGIN_MS)
    return session.scalars(query.order_by(Snapshot.taken_at).limit(limit)).all()


def dossier(session: Session, ident: int) -> Dossier | None:
    """The valid papers of an incident."""
    return session.scalar(select(Dossier).where(Dossier.incident == ident, Dossier.superseded.is_(False)).order_by(Dossier.id.desc()).limit(1))


def points(session: Session, room: str) -> Sequence[Point]:
    """The points of a room, in order."""
    return session.scalars(select(Point).where(Point.room == room).order_by(Point.id)).all()


def photos(session: Session, ident: int) -> Sequence[IncidentPhoto]:
    """Pictures that people took for an incident, in order."""
    return session.scalars(select(IncidentPhoto).where(IncidentPhoto.incident == ident).order_by(IncidentPhoto.id)).all()


def last_entry(session: Session, ident: int) -> int:
    """The id of the last entry of the work log that is not about filing; 0 without one."""
    query = select(func.max(IncidentEntry.id)).where(IncidentEntry.incident == ident, IncidentEntry.kind != "filed")
    return session.scalar(query) or 0


def unfiled(session: Session, limit: int = 20) -> Sequence[Incident]:
    """Closed incidents without papers, or with an entry that came later than their papers."""
    last = select(func.max(IncidentEntry.id)).where(IncidentEntry.incident == Dossier.incident, IncidentEntry.kind != "filed").scalar_subquery()
    filed = select(Dossier.incident).where(Dossier.superseded.is_(False), Dossier.upto >= last)
    query = select(Incident).where(Incident.state == CLOSED, Incident.id.not_in(filed)).order_by(Incident.id)
    return session.scalars(query.limit(limit)).all()
