"""Accounts and what proves them: argon2id passwords, PINs, certificates. Signing in: sessions.py. Instants are UTC ms."""

import secrets
import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from server.org import credentials
from server.store import audit
from server.store.tables import Account
from server.store.tables_security import AccountSecurity

ROLES = ("duty", "in_charge", "inspector", "keeper", "system", "security", "audit")

# argon2id, 19 MiB and two passes: the OWASP minimum. Two at a time, so that a burst of sign-ins cannot take the memory of the watch.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_turnstile = threading.Semaphore(2)
DUMMY = _hasher.hash(secrets.token_hex(16))
"""The hash of no password: an unknown login takes as long as a known one."""


def hash_password(password: str) -> str:
    """argon2id hash with its parameters, ready to store. Raises ValueError for a password of less than 8 characters."""
    if len(password) < 8:
        raise ValueError("a password has at least 8 characters")
    with _turnstile:
        return _hasher.hash(password)


def add_account(session: Session, *, login: str, password: str, role: str, unit: str, name: str, person: int | None = None) -> Account:
    """Create an account inside the caller's transaction. Raises ValueError for an unknown role or a short password."""
    if role not in ROLES:
        raise ValueError(f"{role!r} is not a role ({', '.join(ROLES)})")
    account = Account(login=login, password_hash=hash_password(password), role=role, unit=unit, display_name=name, person=person)
    session.add(account)
    session.flush()
    return account


def set_certificate(session: Session, account: Account, subject: str, now: int) -> bool:
    """Bind a verified client certificate to an account ("" lets go of it), in the caller's write transaction; False when it is somebody else's."""
    other = session.scalar(select(AccountSecurity.account).where(AccountSecurity.certificate == subject)) if subject else None
    if other not in (None, account.id):
        return False
    row = credentials.security(session, account.id)
    before, row.certificate = {"certificate": row.certificate}, subject[:200] or None
    what = f"account:{account.id}"
    audit.append(session, account.login, "certificate.bind", what, {}, now, unit=account.unit, before=before, after={"certificate": row.certificate})
    return True


def set_pin(session: Session, account: Account, pin: str, now: int) -> None:
    """A PIN for acting at a terminal, in the caller's write transaction. Raises credentials.WeakPasswordError."""
    credentials.check_pin(pin)
    with _turnstile:
        credentials.security(session, account.id).pin_hash = _hasher.hash(pin)
    audit.append(session, account.login, "pin.change", f"account:{account.id}", {}, now, unit=account.unit)


def set_password(session: Session, account: Account, password: str, now: int) -> None:
    """Change a password in the caller's write transaction and end all sessions. Raises credentials.WeakPasswordError."""
    credentials.check_password(password, account.login)
    if verify(account.password_hash, password):
        raise credentials.WeakPasswordError("新密码不能与原来的相同。")
    account.password_hash = hash_password(password)
    row = credentials.security(session, account.id)
    row.password_changed_at, row.must_change = now, False
    credentials.revoke(session, account, "", now)
    audit.append(session, account.login, "password.change", f"account:{account.id}", {}, now, unit=account.unit)


def verify(stored: str, password: str) -> bool:
    """Whether this is the password (or PIN) of a stored hash."""
    with _turnstile:
        try:
            return _hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
