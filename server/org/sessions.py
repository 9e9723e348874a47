"""Signing in and browser sessions: lock-out, second factor, revocable sessions of which only a hash is kept. Instants are UTC ms."""

import hashlib
import logging
import secrets
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.orm import Session

from server.org import credentials, emergency, pins
from server.org.accounts import DUMMY, verify
from server.store import audit
from server.store.session import Database
from server.store.tables import Account, Person, WebSession
from server.store.tables_org import EmergencyAccess
from server.store.tables_security import AccountSecurity

_SEEN_EVERY_MS = 60_000
_USED_EVERY_MS: Final = 3_600_000
_WRONG: Final = "登录名或密码不对。"
_WRONG_PIN: Final = "登录名或 PIN 不对。"
_PIN_LOCKED: Final = "PIN 连续输错，暂时不能在终端上用，请稍后再试；登录不受影响。"

log = logging.getLogger("server.accounts")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInLimits:
    """Idle and absolute life of a session; failures in a row before an account is locked, and for how long."""

    idle_ms: int = 30 * 60_000
    absolute_ms: int = 24 * 3_600_000
    failures: int = 5
    lock_ms: int = 15 * 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a session belongs to, and until when it lasts if nothing more happens."""

    account: int
    login: str
    name: str
    role: str
    unit: str
    expires_at: int
    last_login_at: int | None = None
    duty: str = ""
    """What he must do before anything else: "password" (a new one) or "totp" (enrol a second factor)."""
    visitor: bool = False
    view_role: str = ""
    view_unit: str = ""
    """As whom he looks around, read only."""
    emergency_until: int | None = None
    """Until when `role` is one that another administrator has granted for an emergency."""


class SignInRefusedError(Exception):
    """The sign-in was refused; the text is for the person. `locked_until` is set while the account is locked."""

    def __init__(self, sentence: str, locked_until: int | None = None) -> None:
        super().__init__(sentence)
        self.locked_until = locked_until


class SecondFactorNeededError(SignInRefusedError):
    """Login and password are right, and the account wants the code of its authenticator too."""


def sign_in(db: Database, login: str, password: str, now: int, limits: SignInLimits, *, code: str = "", agent: str = "") -> tuple[str, Identity]:
    """Check a password, and the code where the account has a second factor, and open a session; returns its token and owner.

    Raises SignInRefusedError, SecondFactorNeededError. A wrong code counts as a failure like a wrong password.

    The answer does not tell an unknown login from a wrong password, and takes as long for either.
    """
    return _open(db, _proven(db, login, password, now, limits, code), now, limits, agent)


def vouch(db: Database, login: str, password: str, now: int, limits: SignInLimits, *, code: str = "") -> Identity:
    """Who that is, proven as in sign_in but without a session: the second of two people at one screen. Raises as sign_in."""
    ident = _proven(db, login, password, now, limits, code)
    with db.read() as session:
        found = _identity(session.get_one(Account, ident), now, now=now)
    _used(db, ident, now)
    return found


def vouch_by_pin(db: Database, login: str, pin: str, now: int, limits: SignInLimits) -> Identity:
    """Who acts at a terminal, for one act and so without a second factor. Wrong PINs lock PINs alone (pins.py). Raises SignInRefusedError."""
    with db.read() as session:
        account = session.scalar(select(Account).where(Account.login == login, Account.disabled.is_(False)))
        extra = session.get(AccountSecurity, account.id) if account is not None else None
        stored = extra.pin_hash if extra is not None and credentials.is_open(extra, now) else ""
        until = pins.locked_until(session, account.id, now, limits.lock_ms) if account is not None else None
        found = _identity(account, now, now=now) if account is not None else None
        tried = pins.tried(session, account, now) if account is not None else 0
    if until is not None:
        raise SignInRefusedError(_PIN_LOCKED, until)
    right = verify(stored or DUMMY, pin)
    if found is None:
        log.warning("a PIN for an unknown or disabled login %.60r", login)  # not audited, see _failed
        raise SignInRefusedError(_WRONG_PIN)
    if not right:
        with db.write() as session:
            until = pins.failed(session, session.get_one(Account, found.account), now, limits.failures, limits.lock_ms)
        raise SignInRefusedError(_WRONG_PIN if until is None else _PIN_LOCKED, until)
    _used(db, found.account, now, after=tried)
    return found


def _used(db: Database, ident: int, now: int, *, after: int | None = None) -> None:
    """He is who he says, without a session: whoever acts at terminals alone is no sleeper, and what locks is failures in a row: those of passwords,
    or the wrong PINs `after` which a right one came.
    """
    with db.read() as session:
        account = session.get_one(Account, ident)
        failed = account.failures if after is None else after
        known = not failed and account.used_at is not None and now - account.used_at < _USED_EVERY_MS
    if not known:
        with db.write() as session:
            account = session.get_one(Account, ident)
            account.used_at = now
            if after is None:
                account.failures = 0
            if account.person is not None:
                session.get_one(Person, account.person).last_seen_at = now


def reprove(db: Database, ident: int, password: str, now: int, limits: SignInLimits) -> None:
    """Have whoever is signed in give his password again, before something of his sign-in changes. A wrong one counts as a failed sign-in.

    Raises SignInRefusedError.
    """
    with db.read() as session:
        account = session.get_one(Account, ident)
        login, stored, failed, locked_until = account.login, account.password_hash, account.failures, account.locked_until
    if locked_until is not None and locked_until > now:
        raise SignInRefusedError("账号已锁定，请稍后再试。", locked_until)
    if not verify(stored, password):
        refused = _failed(db, ident, login, now, limits)
        raise SignInRefusedError("本人密码不对。" if refused.locked_until is None else str(refused), refused.locked_until)
    if failed:
        with db.write() as session:
            session.get_one(Account, ident).failures = 0


def _proven(db: Database, login: str, password: str, now: int, limits: SignInLimits, code: str) -> int:
    with db.read() as session:
        account = session.scalar(select(Account).where(Account.login == login))
        found = (account.id, account.password_hash, account.disabled, account.locked_until) if account else (0, DUMMY, True, None)
    ident, stored, disabled, locked_until = found
    if locked_until is not None and locked_until > now:
        raise SignInRefusedError("账号已锁定，请稍后再试。", locked_until)
    if not verify(stored, password) or disabled or not _second_factor(db, ident, code, now):
        raise _failed(db, ident, login, now, limits)
    return ident


def sign_in_by_certificate(db: Database, subject: str, now: int, limits: SignInLimits, *, agent: str = "") -> tuple[str, Identity]:
    """Open a session for whoever holds a client certificate that a trusted proxy has verified. Raises SignInRefusedError."""
    return _open(db, holder(db, subject, now).account, now, limits, agent)


def holder(db: Database, subject: str, now: int) -> Identity:
    """Whose client certificate that is. Raises SignInRefusedError."""
    with db.read() as session:
        query = select(Account).join(AccountSecurity, AccountSecurity.account == Account.id).where(AccountSecurity.certificate == subject)
        account = session.scalar(query.where(Account.disabled.is_(False))) if subject else None
        extra = session.get(AccountSecurity, account.id) if account is not None else None
        if account is None or not credentials.is_open(extra, now):
            raise SignInRefusedError("这张证书没有对应的账号。")
        found = _identity(account, now, extra=extra, now=now)
    _used(db, found.account, now)
    return found


def sign_in_by_code(db: Database, code: str, now: int, limits: SignInLimits, *, strong: bool, agent: str = "") -> tuple[str, Identity]:
    """Open a session for the person with this code, for whom the provider has vouched; `strong`: with a second factor. Raises SignInRefusedError.

    An account with a second factor of its own comes in only when the provider asked for one too.
    """
    with db.read() as session:
        query = select(Account).join(Person, Person.id == Account.person).where(Person.code == code, Person.disabled_at.is_(None))
        account = session.scalar(query.where(Account.disabled.is_(False)).order_by(Account.id))
        extra = session.get(AccountSecurity, account.id) if account is not None else None
        if account is None or not credentials.is_open(extra, now):
            log.warning("the provider vouched for %.60r, who has no account here", code)
            raise SignInRefusedError("统一身份认证里的这个人在本系统没有账号，请找本单位信息员。")
        ident, needs = account.id, extra is not None and (extra.totp_required or extra.totp_since is not None)
    if needs and not strong:
        raise SignInRefusedError("管理员须在统一身份认证用双因素登录，或在这里用密码和动态码登录。")
    return _open(db, ident, now, limits, agent)


def _second_factor(db: Database, ident: int, code: str, now: int) -> bool:
    with db.read() as session:
        row = session.get(AccountSecurity, ident)
        if not credentials.is_open(row, now):
            raise SignInRefusedError("账号不在有效期内。")
        if row is None or row.totp_since is None:
            return True
    if not code.strip():
        raise SecondFactorNeededError("请输入验证器上的 6 位动态码。")
    with db.write() as session:
        return credentials.take_code(session.get_one(AccountSecurity, ident), code, now)


_OWNER = (
    select(WebSession, Account, AccountSecurity, EmergencyAccess)
    .join(Account, Account.id == WebSession.account)
    .outerjoin(AccountSecurity, AccountSecurity.account == Account.id)
    .outerjoin(EmergencyAccess, emergency.running(Account.id, bindparam("now")))
    .where(WebSession.token_hash == bindparam("digest"))
    .order_by(EmergencyAccess.id.desc())
)


"""One question for every request, put into words once."""


def identify(db: Database, token: str, now: int, limits: SignInLimits, *, active: bool = True) -> Identity | None:
    """Whose session this is; None when it is unknown, revoked, idle for too long, too old or of an account that may not be used.

    Counts as activity unless `active` is False: a stream that is merely open.
    """
    digest = _digest(token)
    with db.read() as session:
        row = session.execute(_OWNER, {"digest": digest, "now": now}).first()
        if row is None or row[1].disabled or now >= _expiry(row[0], limits) or not credentials.is_open(row[2], now):
            return None
        web, account, extra, granted = row
        seen_at, identity = web.last_seen_at, _identity(account, _expiry(web, limits), extra=extra, now=now)
        identity = replace(identity, view_role=web.view_role, view_unit=web.view_unit)
        if granted is not None:
            identity = replace(identity, role=granted.role, unit=granted.unit, emergency_until=granted.until)
    if active and now - seen_at >= _SEEN_EVERY_MS:
        with db.write() as session:
            session.execute(update(WebSession).where(WebSession.token_hash == digest).values(last_seen_at=now))
    return identity


def view_as(session: Session, token: str, role: str, unit: str, now: int) -> None:
    """Have a session look around as a role at a unit ("" and "" end it), in the caller's write transaction; audited."""
    web = session.get_one(WebSession, _digest(token))
    if (web.view_role, web.view_unit) != (role, unit):
        before = {"role": web.view_role, "unit": web.view_unit}
        web.view_role, web.view_unit = role, unit
        account = session.get_one(Account, web.account)
        after = {"role": role, "unit": unit}
        audit.append(session, account.login, "view_as", f"account:{account.id}", {}, now, unit=account.unit, before=before, after=after)


def sign_out(db: Database, token: str, now: int) -> None:
    """Revoke a session; an unknown token is already what was wanted."""
    with db.write() as session:
        web = session.get(WebSession, _digest(token))
        if web is not None:
            account = session.get_one(Account, web.account)
            session.delete(web)
            audit.append(session, account.login, "session.close", f"account:{account.id}", {}, now, unit=account.unit)


def _failed(db: Database, ident: int, login: str, now: int, limits: SignInLimits) -> SignInRefusedError:
    with db.write() as session:
        account = session.get(Account, ident)
        if account is None or account.disabled:
            log.warning("sign-in refused for an unknown or disabled login %.60r", login)  # not audited: anybody could fill the chain
            return SignInRefusedError(_WRONG)
        account.failures += 1
        left = limits.failures - account.failures
        if left <= 0:
            account.failures, account.locked_until = 0, now + limits.lock_ms
        audit.append(session, login, "session.locked" if left <= 0 else "session.refused", f"account:{account.id}", {}, now, unit=account.unit)
        if left <= 0:
            return SignInRefusedError("密码连续输错，账号已锁定，请稍后再试。", account.locked_until)
    return SignInRefusedError(_WRONG)


def _open(db: Database, ident: int, now: int, limits: SignInLimits, agent: str = "") -> tuple[str, Identity]:
    token = secrets.token_urlsafe(32)
    with db.write() as session:
        account = session.get_one(Account, ident)
        last = session.scalar(select(func.max(WebSession.created_at)).where(WebSession.account == ident))
        session.execute(delete(WebSession).where(WebSession.account == ident, WebSession.expires_at < now, WebSession.created_at < (last or 0)))
        account.failures, account.locked_until, account.used_at = 0, None, now
        if account.person is not None:
            session.get_one(Person, account.person).last_seen_at = now
        web = WebSession(
            token_hash=_digest(token), account=ident, created_at=now, last_seen_at=now, expires_at=now + limits.absolute_ms,
            address=audit.origin().address, agent=agent[:120],
        )  # fmt: skip
        session.add(web)
        audit.append(session, account.login, "session.open", f"account:{ident}", {}, now, unit=account.unit)
        return token, _identity(account, _expiry(web, limits), last, extra=session.get(AccountSecurity, ident), now=now)


def _expiry(web: WebSession, limits: SignInLimits) -> int:
    return min(web.expires_at, web.last_seen_at + limits.idle_ms)


def _identity(account: Account, expires_at: int, last_login_at: int | None = None, *, extra: AccountSecurity | None = None, now: int = 0) -> Identity:
    duty = "password" if credentials.password_is_old(extra, now) else ""
    if not duty and extra is not None and extra.totp_required and extra.totp_since is None:
        duty = "totp"
    return Identity(
        account=account.id,
        login=account.login,
        name=account.display_name,
        role=account.role,
        unit=account.unit,
        expires_at=expires_at,
        last_login_at=last_login_at,
        duty=duty,
        visitor=extra is not None and extra.visitor,
    )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
