"""Accounts that nobody has used for 90 days are disabled, with a notice to their unit; the person keeps roles and is told of alarms as before.

Spared are accounts with a living key (a program uses them), and the last account of an administrator's role: without it nobody could let anybody in
again. Those get a notice instead.
"""

from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from server.org import notices
from server.org.roles import ADMINISTRATORS
from server.store import audit
from server.store.tables import Account, WebSession
from server.store.tables_security import ApiKey

DAYS: Final = 90
KIND: Final = "dormant"
_DAY_MS: Final = 86_400_000


def run_once(session: Session, now: int) -> int:
    """Look at all accounts, in the caller's write transaction; returns how many were disabled. Whoever never signed in counts from the first look."""
    for account in session.scalars(select(Account).where(Account.used_at.is_(None))):
        account.used_at = now
    session.flush()
    living = select(ApiKey.account).where(ApiKey.revoked_at.is_(None), ApiKey.expires_at > now)
    idle = (
        select(Account)
        .where(Account.disabled.is_(False), Account.used_at <= now - DAYS * _DAY_MS, Account.id.not_in(living))
        .order_by(Account.used_at)
    )
    return sum(_put_out(session, account, now) for account in session.scalars(idle).all())


def _put_out(session: Session, account: Account, now: int) -> bool:
    last = _last_of_role(session, account)
    about = f"账号 {account.login}（{account.display_name}）已 {DAYS} 天没有登录，"
    sentence = about + ("是这一角色的最后一个账号，没有停用，请核对" if last else "已停用；本人仍在用时请安全管理员恢复")
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
