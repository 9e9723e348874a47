"""Accounts that nobody has used for 90 days are disabled, with a notice to their unit; the person keeps roles and is told of alarms as before. Two
weeks before, a notice says so, which goes by itself when the account is used.

Spared are accounts with a living key (a program uses them), and the last account of an administrator's role: without it nobody could let anybody in
again. Those get a notice instead.
"""

from typing import Final

from sqlalchemy import Select, delete, func, select
from sqlalchemy.orm import Session

from server.org import notice_words, notices
from server.org.roles import ADMINISTRATORS
from server.store import audit
from server.store.tables import Account, WebSession
from server.store.tables_org import Notice
from server.store.tables_security import ApiKey

DAYS: Final = 90
SOON_DAYS: Final = 14
KIND: Final = "dormant"
_SOON: Final = "dormant-soon"
_DAY_MS: Final = 86_400_000


def run_once(session: Session, now: int) -> int:
    """Look at all accounts, in the caller's write transaction; returns how many were disabled. Whoever never signed in counts from the first look."""
    for account in session.scalars(select(Account).where(Account.used_at.is_(None))):
        account.used_at = now
    session.flush()
    _foretell(session, now)
    return sum(_put_out(session, account, now) for account in session.scalars(_idle(now, DAYS)).all())


def _idle(now: int, days: int) -> Select[Account]:
    """Accounts that may sleep and were not used for so many days, the oldest first."""
    living = select(ApiKey.account).where(ApiKey.revoked_at.is_(None), ApiKey.expires_at > now)
    asleep = Account.used_at <= now - days * _DAY_MS
    return select(Account).where(Account.disabled.is_(False), asleep, Account.id.not_in(living)).order_by(Account.used_at)


def _foretell(session: Session, now: int) -> None:
    """One notice per account that will be disabled within two weeks, until somebody has seen to it; what is no longer true is taken down."""
    keys = set()
    for account in session.scalars(_idle(now, DAYS - SOON_DAYS)).all():
        left = DAYS - (now - (account.used_at or now)) // _DAY_MS
        subject, key = f"account:{account.id}", f"{_SOON}:{account.id}"
        seen_to = select(Notice.id).where(Notice.kind == KIND, Notice.subject == subject, Notice.raised_at >= account.used_at)
        if left > 0 and not _last_of_role(session, account) and session.scalar(seen_to.where(Notice.closed_at.is_not(None)).limit(1)) is None:
            keys.add(key)
            who = {"login": account.login, "name": account.display_name}
            about = notice_words.ASLEEP_SOON % {**who, "days": DAYS - left, "left": left}
            notices.put_up(session, key=key, kind=KIND, level="warn", unit=account.unit, subject=subject, sentence=about, now=now)
    for standing in session.scalars(select(Notice.open_key).where(Notice.open_key.startswith(f"{_SOON}:"))).all():
        if standing is not None and standing not in keys:
            notices.take_down(session, standing, now)


def _put_out(session: Session, account: Account, now: int) -> bool:
    last = _last_of_role(session, account)
    text = notice_words.ASLEEP_LAST if last else notice_words.ASLEEP
    sentence = text % {"login": account.login, "name": account.display_name, "days": DAYS}
    level, key = ("alarm" if last else "warn"), f"{KIND}:{account.id}"
    new = notices.put_up(session, key=key, kind=KIND, level=level, unit=account.unit, subject=f"account:{account.id}", sentence=sentence, now=now)
    if last:
        return False
    account.disabled = True
    session.execute(delete(WebSession).where(WebSession.account == account.id))
    audit.append(session, "系统", "account_dormant", f"account:{account.id}", {"login": account.login, "days": DAYS}, now, unit=account.unit)
    return new


def _last_of_role(session: Session, account: Account) -> bool:
    if account.role not in ADMINISTRATORS:
        return False
    others = select(func.count()).where(Account.role == account.role, Account.disabled.is_(False), Account.id != account.id)
    return session.scalar(others) == 0
