"""The audit log: append-only, each entry hashes the one before it, so that a changed or removed entry is found."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.store.tables import AuditEntry

GENESIS = "0" * 64


def append(session: Session, actor: str, action: str, subject: str, detail: dict[str, Any], now: int) -> AuditEntry:
    """Add an entry inside the caller's write transaction, which must hold the write lock (BEGIN IMMEDIATE) or the chain could fork."""
    previous = session.scalar(select(AuditEntry.chain).order_by(AuditEntry.id.desc()).limit(1)) or GENESIS
    entry = AuditEntry(at=now, actor=actor, action=action, subject=subject, detail=detail, chain=_link(previous, now, actor, action, subject, detail))
    session.add(entry)
    session.flush()
    return entry


def verify(session: Session) -> int | None:
    """Walk the chain; the id of the first entry that does not follow from the one before, or None when all do."""
    previous = GENESIS
    for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.id)):
        if entry.chain != _link(previous, entry.at, entry.actor, entry.action, entry.subject, entry.detail):
            return entry.id
        previous = entry.chain
    return None


def page(session: Session, *, before: int | None, limit: int) -> Sequence[AuditEntry]:
    """Entries with an id below `before`, newest first."""
    query = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    return session.scalars(query if before is None else query.where(AuditEntry.id < before)).all()


def _link(previous: str, at: int, actor: str, action: str, subject: str, detail: dict[str, Any]) -> str:
    body = json.dumps([previous, at, actor, action, subject, detail], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(body.encode()).hexdigest()
