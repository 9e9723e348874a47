"""Replies by SMS: taken once, acted upon once, by whatever way and however often they come."""

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from server.store import audit
from server.store.tables import Notification
from server.store.tables_duty import Reply

CALLBACK = "callback"


def take(session: Session, sid: str, phone: str, text: str, said_at: int, now: int, channel: str = CALLBACK) -> int | None:
    """Put a reply on record within the caller's write transaction. Returns its id, None when it is there already."""
    if session.scalar(select(Reply.id).where(Reply.sid == sid[:80])) is not None:
        return None
    text = text.replace("\0", "")[:500]  # PostgreSQL takes none, and one such text would keep all others out
    row = Reply(sid=sid[:80], channel=channel, phone=phone[:20], text=text, said_at=said_at, taken_at=now)
    session.add(row)
    audit.append(session, phone[:60], "sms_reply", f"sms:{sid}"[:120], {"via": "sms", "note": text}, now)
    session.flush()
    return row.id


def acted(session: Session, ident: int, answer: str, now: int) -> None:
    """It has been acted upon."""
    session.execute(update(Reply).where(Reply.id == ident).values(acted_at=now, answer=answer[:100]))


def waiting(session: Session, now: int, callback_ms: int) -> Sequence[Reply]:
    """What is taken and not acted upon, in the order in which it was said. What a callback brought belongs to the request that brought it, for
    `callback_ms`: after that the request is dead."""
    query = select(Reply).where(Reply.acted_at.is_(None))
    query = query.where((Reply.channel != CALLBACK) | (Reply.taken_at <= now - callback_ms))
    return session.scalars(query.order_by(Reply.said_at, Reply.id)).all()


def was_called(session: Session, phone: str) -> bool:
    """Whether we have ever written to a telephone: nobody else gets an answer, or two machines would write to each other."""
    return session.scalar(select(Notification.id).where(Notification.phone == phone).limit(1)) is not None
