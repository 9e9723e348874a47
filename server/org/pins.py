"""Wrong PINs at terminals: a lock of their own. A board hangs where many pass by; who guesses there must not keep anybody out of his sign-in.

What counts them is the audit log, which nobody alters and which a restart does not forget.
"""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.store import audit
from server.store.tables import Account, AuditEntry

REFUSED, LOCKED = "pin.refused", "pin.locked"


def locked_until(session: Session, account: int, now: int, lock_ms: int) -> int | None:
    """Until when (UTC ms) an account's PIN is refused unseen; None when it may be tried."""
    last = _last_lock(session, account, now)
    return last + lock_ms if last is not None and now < last + lock_ms else None


def tried(session: Session, account: Account, now: int) -> int:
    """Wrong PINs in a row: since the account was last proven to be its owner's, or locked."""
    since = max(account.used_at or 0, _last_lock(session, account.id, now) or 0)
    wrong = select(func.count()).where(AuditEntry.subject == _about(account.id), AuditEntry.action == REFUSED)
    return session.scalar(wrong.where(AuditEntry.at > since, AuditEntry.at <= now)) or 0


def failed(session: Session, account: Account, now: int, failures: int, lock_ms: int) -> int | None:
    """Note a wrong PIN, in the caller's write transaction; until when PINs are locked if that was the last of `failures` in a row."""
    full = tried(session, account, now) + 1 >= failures
    audit.append(session, account.login, LOCKED if full else REFUSED, _about(account.id), {}, now, unit=account.unit)
    return now + lock_ms if full else None


def _last_lock(session: Session, account: int, now: int) -> int | None:
    # Entries from before the clock was put back lie ahead, and lock nobody out until it is there again.
    query = select(func.max(AuditEntry.at)).where(AuditEntry.subject == _about(account), AuditEntry.action == LOCKED, AuditEntry.at <= now)
    return session.scalar(query)


def _about(account: int) -> str:
    return f"account:{account}"
