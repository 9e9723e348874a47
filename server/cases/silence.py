"""When something counted as absent, found anew from what is stored; and how bad a group's members were. All instants UTC ms, stretches half open."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from alarms.grouping import level_of
from alarms.model import Level
from server.settings import WatchSettings
from server.store import coverage, lines
from server.store.tables import Alarm, Point, Transition
from server.store.tables_alarms import RuleSetVersion
from server.store.tables_watch import AlarmGroup, AlarmGroupMember, ServerOutage

Absence = tuple[int, int]


def of_alarm(session: Session, alarm: Alarm, end: int, off_delay_ms: int) -> Iterator[Absence]:
    """Silence after smoke: what the alarm's own record says of when the room was lost and, a delay before it let go, was heard again."""
    since: int | None = None
    changes = select(Transition.name, Transition.at).where(Transition.alarm == alarm.id).order_by(Transition.at, Transition.id)
    for name, at in session.execute(changes):
        if name in ("raised", "re_raised") and since is None:
            since = at
        elif name in ("cleared", "latched") and since is not None:
            yield since, at - off_delay_ms
            since = None
    if since is not None:
        yield since, end


def of_room(session: Session, room: str, start: int, end: int) -> Iterator[Absence]:
    """Blind stretches of the ledger. What is blind because the server was away counts from its return."""
    since: int | None = None
    for stretch in coverage.stretches(session, [room], start, end).get(room, []):
        if stretch.state != "blind":
            if since is not None:
                yield since, stretch.since
            since = None
        elif since is None and stretch.cause != "server":
            since = stretch.since
    if since is not None:
        yield since, end


def of_point(session: Session, settings: WatchSettings, point: Point, heard: Sequence[int], start: int, end: int) -> Iterator[Absence]:
    """Where a point was silent for longer than it may, as the watch counts: not while the server was deaf, and after its gateway's return it has
    its whole time again. `heard`: its usable samples; one that has never spoken owes its first since the server has known it, and ran, and its
    gateway came."""
    allowed = settings.allowed_ms(point.interval_ms)
    lost = list(lines.absences(session, point.gateway, end, here=(lines.FLAPPING, lines.BACK)))
    query = select(ServerOutage).where(ServerOutage.ended > start, ServerOutage.began < end).order_by(ServerOutage.began)
    deaf = [(outage.began, outage.ended) for outage in session.scalars(query)]
    signs = [point.created_at, *heard] if not heard or start < point.created_at < heard[0] else heard
    holdoff = int(settings.restart_holdoff_s * 1000)
    started = session.scalar(select(func.min(RuleSetVersion.since))) or 0
    here = lines.first_here(session, point.gateway)
    for last, again in pairwise([*signs, end]):
        due, never = last + allowed, last not in heard
        grace = here + allowed if never and here is not None and here >= last else 0
        if never:
            due = max(due, started + holdoff, grace)
        since = _silent_from(last, due, deaf, holdoff, lost, allowed, never=never, grace=grace)
        if since < again:
            yield since, again


def _silent_from(
    last: int, due: int, deaf: Sequence[Absence], holdoff: int, lost: Sequence[Absence], allowed: int, *, never: bool, grace: int
) -> int:
    """`grace`: until when it has time since its gateway came; what is left of that when the gateway goes is all that it has after the next return."""
    away = sorted([*((began, ended, True) for began, ended in deaf), *((gone, back, False) for gone, back in lost)])
    for began, ended, server in away:
        if began <= due and ended > last:
            if server:
                due = max(due + ended - max(began, last), ended + holdoff)
            elif due < ended or never:
                due = grace = ended + WatchSettings.grace_ms(allowed, max(grace - began, 0))
    return due


def levels(session: Session, alarm: int, end: int) -> Iterator[tuple[int, float]]:
    """(instant, level) whenever the worst of a group's active members may have changed; 0 when none is left."""
    group = session.scalar(select(AlarmGroup).where(AlarmGroup.alarm == alarm))
    if group is None:
        return
    members = session.scalars(select(AlarmGroupMember).where(AlarmGroupMember.group_id == group.id)).all()
    told: dict[int, list[Transition]] = {member.alarm: [] for member in members}
    for row in session.scalars(select(Transition).where(Transition.alarm.in_(told)).order_by(Transition.at, Transition.id)):
        told[row.alarm].append(row)
    instants = {instant for member in members for instant in (member.joined_at, member.left_at) if instant is not None and instant <= end}
    began = min(instants, default=end)
    instants |= {row.at for rows in told.values() for row in rows if began <= row.at <= end}
    for instant in sorted(instants):
        there = [m.alarm for m in members if m.joined_at <= instant and (m.left_at is None or instant < m.left_at)]
        found = [level for ident in there if (level := _level_at(told[ident], instant)) is not None]
        yield instant, float(level_of(group.cause, found))


def _level_at(told: Sequence[Transition], instant: int) -> Level | None:
    """How bad an alarm was at an instant; None when it was not active (it may have left its group then, and come back later)."""
    last = next((row for row in reversed(told) if row.at <= instant), None)
    return Level.of(last.level) if last is not None and last.after.startswith("active") else None
