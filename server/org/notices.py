"""Notices: what people have to see that is no alarm of a sensor. Raised as often as one likes, there is one until somebody closes it."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.store import audit
from server.store.tables_org import Notice


def put_up(session: Session, *, key: str, kind: str, level: str, unit: str, subject: str, sentence: str, now: int) -> bool:
    """Raise a notice, or bring a standing one up to date. Returns whether it is new."""
    row = session.scalar(select(Notice).where(Notice.open_key == key))
    if row is not None:
        row.level, row.sentence = level, sentence[:300]
        return False
    session.add(Notice(open_key=key, kind=kind, level=level, unit=unit, subject=subject[:80], sentence=sentence[:300], raised_at=now))
    session.flush()
    return True


def take_down(session: Session, key: str, now: int) -> bool:
    """Close a standing notice whose reason is gone."""
    row = session.scalar(select(Notice).where(Notice.open_key == key))
    if row is None:
        return False
    row.open_key, row.closed_at, row.closed_by = None, now, "system"
    session.flush()
    return True


def close(session: Session, row: Notice, by: str, now: int) -> None:
    """A person has seen to it; audited."""
    if row.closed_at is None:
        row.open_key, row.closed_at, row.closed_by = None, now, by
        audit.append(session, by, "notice_closed", row.subject, {"note": row.sentence}, now)
        session.flush()
