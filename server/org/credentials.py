"""What stands beside a password: its rules and age, the second factor (TOTP), keys for programs, terminals. Instants are UTC ms."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from itertools import pairwise

import pyotp
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from server.store import audit, units
from server.store.tables import Account, WebSession
from server.store.tables_security import AccountSecurity, ApiKey, Kiosk

PASSWORD_DAYS = 90
DAY_MS = 86_400_000
STEP_S = 30
ISSUER = "ArchiveWatch"
LONGEST_KEY_DAYS = 366

_CLASSES = (r"[a-z]", r"[A-Z]", r"[0-9]", r"[^a-zA-Z0-9]")
_COMMON = ("password", "passw0rd", "admin123", "qwerty", "12345678", "abc12345", "iloveyou", "letmein", "archivewatch", "welcome1", "11111111")


class WeakPasswordError(ValueError):
    """The password does not keep the rules; the sentence is for the person."""


def check_password(password: str, login: str) -> None:
    """Rules of level 3: at least 8 characters of three kinds (or 15 of any), not the login, none of the usual ones. Raises WeakPasswordError."""
    kinds = sum(bool(re.search(pattern, password)) for pattern in _CLASSES)
    plain = password.lower()
    if len(password) < 8 or (len(password) < 15 and kinds < 3):
        raise WeakPasswordError("密码至少 8 个字符，含大写、小写、数字、符号中的三种；15 个字符以上不限种类。")
    if (login and login.lower() in plain) or any(word in plain for word in _COMMON) or len(set(password)) < 5:
        raise WeakPasswordError("密码太容易猜到，请换一个。")


def check_pin(pin: str) -> None:
    """6 to 12 digits, at least three different ones, no row like 123456. Raises WeakPasswordError."""
    digits = pin.isascii() and pin.isdigit()
    rising = digits and all(int(after) - int(before) in (1, -1) for before, after in pairwise(pin))
    if not digits or not 6 <= len(pin) <= 12 or rising or len(set(pin)) < 3:
        raise WeakPasswordError("PIN 为 6 至 12 位数字，不能是连号，也不能只有一两种数字。")


def security(session: Session, account: int) -> AccountSecurity:
    """The row of an account, made when there is none, in the caller's write transaction."""
    row = session.get(AccountSecurity, account)
    if row is None:
        row = AccountSecurity(
            account=account, must_change=False, totp_required=False, totp_secret="", totp_waiting="", totp_step=0, visitor=False, pin_hash=""
        )  # fmt: skip
        session.add(row)
        session.flush()
    return row


def password_is_old(row: AccountSecurity | None, now: int) -> bool:
    """Whether a new password is due: asked for by hand, or after PASSWORD_DAYS."""
    if row is None:
        return False
    return row.must_change or (row.password_changed_at is not None and now - row.password_changed_at >= PASSWORD_DAYS * DAY_MS)


def is_open(row: AccountSecurity | None, now: int) -> bool:
    """Whether the account may be used at this time; visitors have a beginning and an end."""
    return row is None or ((row.valid_from or 0) <= now and (row.valid_until is None or now < row.valid_until))


# -- second factor ------------------------------------------------------------------------------------------------------------------------


def enrol(session: Session, account: Account, now: int) -> str:
    """A new secret that waits to be confirmed; returns the address for an authenticator (otpauth://). The old one counts until then."""
    row = security(session, account.id)
    row.totp_waiting = pyotp.random_base32()
    audit.append(session, account.login, "totp.enrol", f"account:{account.id}", {}, now, unit=account.unit)
    return pyotp.TOTP(row.totp_waiting).provisioning_uri(name=account.login, issuer_name=ISSUER)


def confirm(session: Session, account: Account, code: str, now: int) -> bool:
    """Put the waiting secret in force with a first code."""
    row = security(session, account.id)
    step = _step(row.totp_waiting, code, 0, now) if row.totp_waiting else None
    if step is None:
        return False
    row.totp_secret, row.totp_waiting, row.totp_step, row.totp_since = row.totp_waiting, "", step, now
    audit.append(session, account.login, "totp.confirm", f"account:{account.id}", {}, now, unit=account.unit)
    return True


def take_code(row: AccountSecurity, code: str, now: int) -> bool:
    """Whether a code is right; the same code never counts twice (RFC 6238 5.2)."""
    step = _step(row.totp_secret, code, row.totp_step, now)
    if step is not None:
        row.totp_step = step
    return step is not None


def _step(secret: str, code: str, after: int, now: int) -> int | None:
    """The step of 30 s to which a code belongs, later than `after`; one step is allowed to either side of the present one."""
    totp, present = pyotp.TOTP(secret), now // 1000 // STEP_S
    near = (step for step in (present - 1, present, present + 1) if step > after and secrets.compare_digest(totp.at(step * STEP_S), code.strip()))
    return next(near, None)


# -- sessions -----------------------------------------------------------------------------------------------------------------------------


def sessions(session: Session, account: int) -> Sequence[WebSession]:
    """Open sessions of an account, newest first."""
    return session.scalars(select(WebSession).where(WebSession.account == account).order_by(WebSession.last_seen_at.desc())).all()


def revoke(session: Session, account: Account, public: str, now: int) -> bool:
    """End one session by the public part of its hash (12 characters), `""` all of them. Returns whether there was one."""
    found = [row for row in sessions(session, account.id) if not public or row.token_hash.startswith(public)]
    if public and len(public) < 12:
        return False
    for row in found:
        session.delete(row)
    if found:
        audit.append(session, account.login, "session.revoke", f"account:{account.id}", {"sessions": len(found)}, now, unit=account.unit)
    return bool(found)


# -- keys and terminals ---------------------------------------------------------------------------------------------------------------------


def digest(key: str) -> str:
    """The form in which keys are kept."""
    return hashlib.sha256(key.encode()).hexdigest()


def make_key(session: Session, account: Account, *, name: str, actions: Sequence[str], days: int, now: int) -> str:
    """A key for a program with some of its owner's actions. Returned once. Raises ValueError for a life of more than a year."""
    if not 1 <= days <= LONGEST_KEY_DAYS:
        raise ValueError(f"1 … {LONGEST_KEY_DAYS} days")
    key = f"aw_{secrets.token_urlsafe(32)}"
    row = ApiKey(
        digest=digest(key),
        name=name[:60],
        account=account.id,
        unit=account.unit,
        actions=sorted(actions),
        created_at=now,
        expires_at=now + days * DAY_MS,
    )
    session.add(row)
    session.flush()
    audit.append(
        session, account.login, "key.make", f"key:{row.id}", {"name": row.name, "actions": row.actions, "days": days}, now, unit=account.unit
    )
    return key


def keys(session: Session, account: int) -> Sequence[ApiKey]:
    """Keys of an account that have not been revoked."""
    return session.scalars(select(ApiKey).where(ApiKey.account == account, ApiKey.revoked_at.is_(None)).order_by(ApiKey.id)).all()


def revoke_key(session: Session, account: Account, ident: int, now: int) -> bool:
    """End a key of one's own."""
    changed = session.execute(
        update(ApiKey).where(ApiKey.id == ident, ApiKey.account == account.id, ApiKey.revoked_at.is_(None)).values(revoked_at=now)
    )
    if changed.rowcount:  # type: ignore[attr-defined]
        audit.append(session, account.login, "key.revoke", f"key:{ident}", {}, now, unit=account.unit)
    return bool(changed.rowcount)  # type: ignore[attr-defined]


def key_owner(session: Session, key: str, now: int) -> tuple[ApiKey, Account] | None:
    """A live key of a live account; it ends when its owner no longer has the unit that it was made for."""
    query = select(ApiKey, Account, AccountSecurity).join(Account, Account.id == ApiKey.account)
    query = query.outerjoin(AccountSecurity, AccountSecurity.account == Account.id).where(ApiKey.digest == digest(key), ApiKey.revoked_at.is_(None))
    row = session.execute(query.where(ApiKey.expires_at > now, Account.disabled.is_(False))).first()
    if row is None or not is_open(row[2], now) or not units.within(session, row[0].unit, row[1].unit):
        return None
    return row[0], row[1]


def make_kiosk(session: Session, account: Account, *, name: str, now: int) -> str:
    """A terminal's token for the unit of whoever sets it up; returned once, kept by the terminal as a cookie."""
    token = secrets.token_urlsafe(32)
    row = Kiosk(digest=digest(token), name=name[:60], unit=account.unit, created_at=now, created_by=account.id)
    session.add(row)
    session.flush()
    audit.append(session, account.login, "kiosk.make", f"kiosk:{row.id}", {"name": row.name}, now, unit=account.unit)
    return token


def kiosk(session: Session, token: str) -> Kiosk | None:
    """A terminal that has not been ended. Neither idle time nor anybody's lock-out ends it."""
    return session.scalar(select(Kiosk).where(Kiosk.digest == digest(token), Kiosk.revoked_at.is_(None)))


def kiosks(session: Session, unit: str) -> Sequence[Kiosk]:
    """Terminals of a unit."""
    return session.scalars(select(Kiosk).where(Kiosk.unit == unit, Kiosk.revoked_at.is_(None)).order_by(Kiosk.id)).all()


def end_kiosk(session: Session, account: Account, ident: int, now: int) -> bool:
    """End a terminal of one's own unit."""
    row = session.get(Kiosk, ident)
    if row is None or row.unit != account.unit or row.revoked_at is not None:
        return False
    row.revoked_at = now
    audit.append(session, account.login, "kiosk.end", f"kiosk:{ident}", {}, now, unit=account.unit)
    return True
