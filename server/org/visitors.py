"""Accounts for visiting inspectors: they read one unit and what lies below it, for a limited time, with their name across every page."""

import secrets
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.org import accounts, credentials
from server.store import audit, units
from server.store.tables import Account
from server.store.tables_security import AccountSecurity

LONGEST_DAYS = 30
_DAY_MS = 86_400_000


class Visitor(NamedTuple):
    """An account and its limits."""

    account: Account
    limits: AccountSecurity


class VisitorRefusedError(ValueError):
    """The account cannot be made so; the sentence is for the person."""


def make(session: Session, by: str, *, login: str, name: str, unit: str, since: int, until: int, reason: str, now: int) -> tuple[Account, str]:
    """The account and its password, which is shown once. UTC ms. Raises VisitorRefusedError."""
    if not login.strip() or not name.strip() or not reason.strip():
        raise VisitorRefusedError("请填写登录名、姓名和来访事由。")
    if not since < until or until <= now or until - since > LONGEST_DAYS * _DAY_MS:
        raise VisitorRefusedError(f"期限须在今后，且不超过 {LONGEST_DAYS} 天。")
    if session.scalar(select(Account.id).where(Account.login == login)) is not None:
        raise VisitorRefusedError("这个登录名已经有了。")
    password = secrets.token_urlsafe(12)
    account = accounts.add_account(session, login=login.strip(), password=password, role="inspector", unit=unit, name=name.strip())
    row = credentials.security(session, account.id)
    row.visitor, row.valid_from, row.valid_until = True, since, until
    after = {"login": login, "name": name, "since": since, "until": until}
    audit.append(session, by, "visitor.make", f"account:{account.id}", {}, now, unit=unit, after=after, reason=reason)
    return account, password


def listing(session: Session, scope: str | None) -> Sequence[Visitor]:
    """Visitors of a subtree, the newest first."""
    query = select(Account, AccountSecurity).join(AccountSecurity, AccountSecurity.account == Account.id).where(AccountSecurity.visitor.is_(True))
    query = query.where(Account.unit.in_(units.below(scope))).order_by(Account.id.desc()).limit(500)
    return [Visitor(account, limits) for account, limits in session.execute(query)]


def end(session: Session, by: str, ident: int, scope: str | None, now: int) -> bool:
    """End a visit now; open sessions end with it. False when there is no such visitor in the subtree."""
    account = session.get(Account, ident) if ident < 1 << 63 else None
    row = session.get(AccountSecurity, ident) if account is not None else None
    if account is None or row is None or not row.visitor or not units.within(session, account.unit, scope):
        return False
    row.valid_until = min(now, row.valid_until or now)
    account.disabled = True
    credentials.revoke(session, account, "", now)
    audit.append(session, by, "visitor.end", f"account:{ident}", {}, now, unit=account.unit)
    return True
