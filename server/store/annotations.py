"""Remarks of people on the curves of a room."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.store.tables_series import Annotation


def within(session: Session, room: str, start: int, end: int) -> Sequence[Annotation]:
    """Those of a room that touch [start, end) and were not removed, in order of time."""
    query = select(Annotation).where(
        Annotation.room == room, Annotation.removed_at.is_(None), Annotation.since < end, func.coalesce(Annotation.until, Annotation.since) >= start
    )
    return session.scalars(query.order_by(Annotation.since, Annotation.id)).all()


def add(session: Session, room: str, *, since: int, until: int | None, quantity: str, text: str, by: str, now: int) -> Annotation:
    """A new remark."""
    made = Annotation(room=room, since=since, until=until, quantity=quantity, text=text, by=by, created_at=now)
    session.add(made)
    session.flush()
    return made


def get(session: Session, ident: int) -> Annotation | None:
    """One remark, also a removed one."""
    return session.get(Annotation, ident)
