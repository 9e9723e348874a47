"""Questions about alarms: lists for people, one alarm with everything that happened to it."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from sqlalchemy import Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from server.store.tables import Alarm, EscalationStep, Notification, Transition
from server.store.tables_watch import AlarmGroup, AlarmGroupMember
from server.store.units import inside

OPEN = "open"
CLOSED = "closed"
Line = TypeVar("Line")
NUMBER_LENGTH = 6
"""Digits of the number that every message of an alarm carries."""


def page(
    session: Session,
    scope: str | None,
    *,
    states: Sequence[str] = (),
    level: str = "",
    room: str = "",
    number: str = "",
    known_late: bool | None = None,
    since: int | None = None,
    until: int | None = None,
    before: int | None = None,
    limit: int = 50,
) -> Sequence[Alarm]:
    """Alarms of a subtree, newest first. `states` are ISA states or `open` / `closed`; `since` and `until` bound `raised_at`; `before` is an id."""
    query = select(Alarm).where(inside(session, Alarm.unit, scope))
    if OPEN in states:
        query = query.where(Alarm.closed_at.is_(None))
    elif CLOSED in states:
        query = query.where(Alarm.closed_at.is_not(None))
    elif states:
        query = query.where(Alarm.state.in_(states))
    for condition, wanted in (
        (Alarm.level == level, level),
        (Alarm.room == room, room),
        (Alarm.number == number, number),
        (Alarm.known_late.is_(bool(known_late)), known_late is not None),
        (Alarm.raised_at >= (since or 0), since is not None),
        (Alarm.raised_at < (until or 0), until is not None),
        (Alarm.id < (before or 0), before is not None),
    ):
        if wanted:
            query = query.where(condition)
    return session.scalars(query.order_by(Alarm.id.desc()).limit(limit)).all()


def get(session: Session, ident: int) -> Alarm | None:
    """One alarm."""
    return session.get(Alarm, ident)


def open_ones(session: Session, room: str) -> Sequence[Alarm]:
    """Open alarms of one room, newest first."""
    return session.scalars(select(Alarm).where(Alarm.room == room, Alarm.closed_at.is_(None)).order_by(Alarm.id.desc())).all()


class Brief(NamedTuple):
    """What an alarm's place in a list depends on."""

    id: int
    state: str
    level: str
    kind: str
    rule: str
    quantity: str
    raised_at: int
    group_alarm: int | None


def open_briefs(session: Session, scope: str | None) -> list[Brief]:
    """All open alarms of a subtree, however many: only what a list needs to count and to sort them."""
    query = select(*(getattr(Alarm, name) for name in Brief._fields)).where(Alarm.closed_at.is_(None), inside(session, Alarm.unit, scope))
    return [Brief(*row) for row in session.execute(query)]


def some(session: Session, idents: Sequence[int]) -> list[Alarm]:
    """Alarms by id, in the given order."""
    found = {alarm.id: alarm for alarm in session.scalars(select(Alarm).where(Alarm.id.in_(idents)))}
    return [found[ident] for ident in idents if ident in found]


def members(session: Session, group: int) -> Sequence[Alarm]:
    """What a group alarm stands for, those that have left it included, in the order in which they joined."""
    query = (
        select(Alarm)
        .join(AlarmGroupMember, AlarmGroupMember.alarm == Alarm.id)
        .join(AlarmGroup, AlarmGroup.id == AlarmGroupMember.group_id)
        .where(AlarmGroup.alarm == group)
    )
    return session.scalars(query.order_by(AlarmGroupMember.id)).all()


def latest_by_room(session: Session, codes: Sequence[str]) -> dict[str, Alarm]:
    """The newest alarm of each room that ever had one."""
    newest = select(func.max(Alarm.id)).where(Alarm.room.in_(codes)).group_by(Alarm.room)
    return {alarm.room: alarm for alarm in session.scalars(select(Alarm).where(Alarm.id.in_(newest))) if alarm.room}


def transitions(session: Session, ident: int, newest: int | None = None) -> Sequence[Transition]:
    """What happened to an alarm, in order; only the `newest` so many."""
    return _in_order(session, select(Transition).where(Transition.alarm == ident), Transition.id, newest)


def notifications(session: Session, ident: int, newest: int | None = None) -> Sequence[Notification]:
    """Who was told about an alarm, in order; only the `newest` so many."""
    return _in_order(session, select(Notification).where(Notification.alarm == ident), Notification.id, newest)


def _in_order(session: Session, query: Select[Line], ident: InstrumentedAttribute[int], newest: int | None) -> Sequence[Line]:
    if newest is None:
        return session.scalars(query.order_by(ident)).all()
    return session.scalars(query.order_by(ident.desc()).limit(newest)).all()[::-1]


def also_taken(session: Session, ident: int) -> Sequence[str]:
    """Who answered that they take an alarm over when somebody already had, in order."""
    return session.scalars(
        select(Transition.by).where(Transition.alarm == ident, Transition.name == "also_acknowledged").order_by(Transition.id)
    ).all()


def next_escalation(session: Session, ident: int) -> EscalationStep | None:
    """The step of the escalation that comes next, if one is pending."""
    query = select(EscalationStep).where(EscalationStep.alarm == ident, EscalationStep.state == "pending").order_by(EscalationStep.due)
    return session.scalar(query.limit(1))
