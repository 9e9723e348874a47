"""What the figures of the alarm system are computed from: annunciations, times of activity, chattering and fleeting, standing states."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, String, and_, cast, exists, func, literal, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from alarms.performance import Asked, Held, Performance, measure
from server.store.tables import Alarm, AuditEntry, CoverageSpan, Transition
from server.store.tables_alarms import LimitChange
from server.store.tables_watch import Annunciation, Chronic
from server.store.units import inside

_SILENCING = ("shelved", "out_of_service")


class Desk(NamedTuple):
    """The figures of a unit and everything below it, and what does not enter them but is counted beside."""

    performance: Performance
    known_late: int
    standing: int
    shelved: int
    chronic: int
    chattering: tuple[str, ...]
    fleeting: tuple[str, ...]


class Place(NamedTuple):
    """The newest alarm of a tag."""

    alarm: int
    rule: str
    kind: str
    quantity: str
    room: str | None


class ChronicRow(NamedTuple):
    """A standing state with its alarm."""

    chronic: Chronic
    alarm: Alarm


def desk(session: Session, scope: str | None, start: int, end: int) -> Desk:
    """The figures of a subtree over [start, end)."""
    mine = (inside(session, Alarm.unit, scope), Alarm.drill.is_(False))
    asked = select(Annunciation.at, Alarm.subject, Alarm.rule, Annunciation.level).join(Alarm, Alarm.id == Annunciation.alarm).where(*mine)
    asked = asked.where(Annunciation.at >= start, Annunciation.at < end, _in_use(Annunciation.at))
    rows = [Asked(at, f"{subject}|{rule}", level) for at, subject, rule, level in session.execute(asked)]
    within = (*mine, Alarm.raised_at < end, or_(Alarm.closed_at.is_(None), Alarm.closed_at >= start))
    held = select(Alarm.subject, Alarm.rule, Alarm.raised_at, func.coalesce(Alarm.cleared_at, Alarm.closed_at)).where(*within)
    held = held.where(Alarm.known_late.is_(False), Alarm.group_alarm.is_(None), _in_use(Alarm.raised_at))
    active = [Held(f"{subject}|{rule}", since, until) for subject, rule, since, until in session.execute(held)]
    behaving = _behaving(session, (*mine, _in_use(Alarm.raised_at)), start, end)
    chattering, fleeting = behaving["chattering"], behaving["fleeting"]
    performance = measure(
        rows, active, start, end, chattering=len(chattering), fleeting=len(fleeting), unauthorised=_unauthorised(session, scope, start, end)
    )
    open_now = Alarm.closed_at.is_(None)
    late, standing, shelved = session.execute(
        select(
            func.count().filter(Alarm.known_late, Alarm.raised_at >= start, Alarm.raised_at < end),
            func.count().filter(open_now, Alarm.state.in_(("active_unacked", "active_acked")), Alarm.group_alarm.is_(None)),
            func.count().filter(open_now, Alarm.state == "shelved"),
        ).where(*mine, or_(open_now, Alarm.raised_at >= start))
    ).one()
    return Desk(
        performance, known_late=late, standing=standing, shelved=shelved, chronic=len(chronic(session, scope)), chattering=chattering,
        fleeting=fleeting,
    )  # fmt: skip


def _in_use(at: InstrumentedAttribute[int]) -> ColumnElement[bool]:
    """Whether an alarm's room was in use then: those that are being set up or tried ring at no desk and enter no figure."""
    held = and_(CoverageSpan.since <= at, or_(CoverageSpan.until.is_(None), CoverageSpan.until > at))
    return ~exists().where(CoverageSpan.room == Alarm.room, CoverageSpan.counted.is_(False), held)


def chronic(session: Session, scope: str | None, *, start: int | None = None, end: int | None = None) -> Sequence[ChronicRow]:
    """Standing states of a subtree, the longest first: those that stand now, or all that stood within [start, end)."""
    query = select(Chronic, Alarm).join(Alarm, Alarm.id == Chronic.alarm).where(inside(session, Alarm.unit, scope))
    if start is None or end is None:
        query = query.where(Chronic.ended_at.is_(None))
    else:
        query = query.where(Chronic.declared_at < end, or_(Chronic.ended_at.is_(None), Chronic.ended_at > start))
    return [ChronicRow(*row) for row in session.execute(query.order_by(Chronic.since, Chronic.id))]


def places(session: Session, tags: Iterable[str]) -> dict[str, Place]:
    """What the tags (`subject|rule`) stand for: the newest alarm of each."""
    wanted = [tuple(tag.rsplit("|", 1)) for tag in sorted(tags)]
    newest = select(func.max(Alarm.id)).where(tuple_(Alarm.subject, Alarm.rule).in_(wanted)).group_by(Alarm.subject, Alarm.rule)
    return {
        f"{alarm.subject}|{alarm.rule}": Place(alarm.id, alarm.rule, alarm.kind, alarm.quantity, alarm.room)
        for alarm in session.scalars(select(Alarm).where(Alarm.id.in_(newest)))
    }


def _unauthorised(session: Session, scope: str | None, start: int, end: int) -> int:
    """Suppressions by persons and changed limits of which the audit log says nothing: alarms silenced in the database, past every door."""
    silenced = select(Transition.alarm, Transition.at, Alarm.room).join(Alarm, Alarm.id == Transition.alarm)
    silenced = silenced.where(inside(session, Alarm.unit, scope), Transition.name.in_(_SILENCING), Transition.by != "")
    told = exists().where(
        AuditEntry.at == Transition.at,
        or_(AuditEntry.subject == literal("alarm:").concat(cast(Transition.alarm, String)), AuditEntry.subject == Alarm.room),
    )
    quiet = silenced.where(Transition.at >= start, Transition.at < end, ~told).subquery()
    changes = select(LimitChange.id).where(inside(session, LimitChange.unit, scope), LimitChange.created_at >= start, LimitChange.created_at < end)
    known = exists().where(
        AuditEntry.action == "limit.tighten",
        AuditEntry.at == LimitChange.created_at,
        AuditEntry.subject == func.coalesce(LimitChange.room, LimitChange.unit),
    )
    loose = changes.where(~known).subquery()
    return sum(session.scalar(select(func.count()).select_from(found)) or 0 for found in (quiet, loose))


def _behaving(session: Session, mine: Sequence[ColumnElement[bool]], start: int, end: int) -> dict[str, tuple[str, ...]]:
    """Tags of the alarms raised in [start, end) by their behaviour, chattering or fleeting."""
    query = select(Alarm.behaviour, Alarm.subject, Alarm.rule).where(*mine, Alarm.raised_at >= start, Alarm.raised_at < end).distinct()
    found: dict[str, list[str]] = {"chattering": [], "fleeting": []}
    for behaviour, subject, rule in session.execute(query.where(Alarm.behaviour.in_(found))):
        found[behaviour].append(f"{subject}|{rule}")
    return {behaviour: tuple(sorted(tags)) for behaviour, tags in found.items()}
