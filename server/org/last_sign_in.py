"""When and from where somebody signed in before this time, and who tried in vain since: he alone knows whether that was he."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.org import pins
from server.store.tables import AuditEntry
from server.store.tables_tree import WebSession

_FAILED = ("session.refused", "session.locked", pins.REFUSED, pins.LOCKED)


@dataclass(frozen=True, slots=True)
class LastSignIn:
    """The sign-in before the open one: when (UTC ms), from which address; `failed` are wrong passwords, PINs and codes from then on."""

    at: int
    address: str
    failed: int


def before(session: Session, account: int, public: str) -> LastSignIn | None:
    """The sign-in before the session with this public part; None when there was none, or no such session."""
    mine = session.scalar(select(WebSession).where(WebSession.account == account, WebSession.token_hash.startswith(public, autoescape=True)))
    if mine is None or not public:
        return None
    about = AuditEntry.subject == f"account:{account}"
    opened = select(AuditEntry).where(about, AuditEntry.action == "session.open", AuditEntry.at < mine.created_at)
    last = session.scalar(opened.order_by(AuditEntry.id.desc()).limit(1))
    if last is None:
        return None
    tried = select(func.count()).where(about, AuditEntry.action.in_(_FAILED), AuditEntry.at >= last.at)
    return LastSignIn(last.at, last.address, session.scalar(tried) or 0)
