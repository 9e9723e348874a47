"""Walks over the whole audit log: asked for by a person or by the night, done by a job that tells how far it is, and kept with what they found."""

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from server.org import notice_words, notices
from server.store import audit, units
from server.store.session import Database
from server.store.tables import AuditEntry
from server.store.tables_org import ChainCheck

_TELL_EVERY = 50_000
_NOTICE = "audit:chain"


def ask(session: Session, by: str, now: int) -> ChainCheck:
    """Have the whole log walked, in the caller's write transaction; one that waits or runs already is the answer."""
    audit.append(session, by, "audit_verify", "audit", {}, now)
    found = waiting(session)
    if found is None:
        total = session.scalar(select(func.max(AuditEntry.id))) or 0
        found = ChainCheck(asked_by=by, asked_at=now, done=0, total=total)
        session.add(found)
        session.flush()
    return found


def waiting(session: Session) -> ChainCheck | None:
    """The check that is asked for and not finished."""
    return session.scalar(select(ChainCheck).where(ChainCheck.finished_at.is_(None)).order_by(ChainCheck.id).limit(1))


def newest(session: Session) -> ChainCheck | None:
    """The last finished one."""
    return session.scalar(select(ChainCheck).where(ChainCheck.finished_at.is_not(None)).order_by(ChainCheck.id.desc()).limit(1))


def run(db: Database, ident: int, now: int) -> audit.Walk:
    """Walk now and keep what was found; `now` counts as its time. A notice stands for as long as the log does not hold."""

    def tell(done: int) -> None:
        with db.write() as session:
            session.execute(update(ChainCheck).where(ChainCheck.id == ident).values(done=done))

    with db.read() as session:
        walk = audit.walk(session, tell=tell, every=_TELL_EVERY)
    with db.write() as session:
        row = session.get_one(ChainCheck, ident)
        row.done, row.total, row.broken, row.finished_at = walk.rows, max(walk.rows, row.total), walk.broken, now
        _tell(session, walk.broken, now)
    return walk


def _tell(session: Session, broken: int | None, now: int) -> None:
    top = next((unit.code for unit in units.tops(session)), "")
    if broken is None:
        notices.take_down(session, _NOTICE, now)
    elif top:
        sentence = notice_words.CHAIN % {"row": broken}
        notices.put_up(session, key=_NOTICE, kind="audit", level="urgent", unit=top, subject="audit", sentence=sentence, now=now)
