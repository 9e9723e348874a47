"""Questions about messages to people."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.store.tables import Alarm, Notification
from server.store.units import inside


class Sent(NamedTuple):
    """A message with the place it is about."""

    row: Notification
    room: str | None
    unit: str
    level: str


def page(
    session: Session, scope: str | None, *, state: str = "", alarm: int | None = None, before: int | None = None, limit: int = 50
) -> Sequence[Sent]:
    """Messages about alarms of a subtree, newest first; `before` is an id."""
    query = select(Notification, Alarm.room, Alarm.unit, Alarm.level).join(Alarm, Alarm.id == Notification.alarm)
    query = query.where(inside(session, Alarm.unit, scope))
    if state:
        query = query.where(Notification.state == state)
    if alarm is not None:
        query = query.where(Notification.alarm == alarm)
    if before is not None:
        query = query.where(Notification.id < before)
    return [Sent(*found) for found in session.execute(query.order_by(Notification.id.desc()).limit(limit))]


def tries(session: Session, person: int, limit: int = 3) -> Sequence[Notification]:
    """The newest codes and test messages to a person: whether the number was reached."""
    query = select(Notification).where(Notification.person == person, Notification.reason.in_(("verify", "test")))
    return session.scalars(query.order_by(Notification.id.desc()).limit(limit)).all()
