"""Accounts of people: the security administrator opens one for a role that the person holds, and it ends with that role, by whatever way it went.

One person has one account: that is how the three administrators and the duty roles stay apart. Within the caller's write transaction; UTC ms.
"""

import secrets
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from sqlalchemy import and_, delete, exists, or_, select, update
from sqlalchemy.orm import Session

from server.org import accounts, credentials, roles
from server.org.checks import CheckError
from server.org.roles import ADMINISTRATORS
from server.store import audit, people
from server.store.people import valid
from server.store.tables import Account, Person, Unit, WebSession
from server.store.tables_org import PersonRole
from server.store.tables_security import ApiKey

RIGHTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "duty": ("duty_officer", "duty_leader"),
        "in_charge": ("person_in_charge", "archivist", "archive_head", "leader_in_charge"),
        "inspector": ("inspector",),
        "keeper": ("data_keeper",),
        **{role: (role,) for role in ADMINISTRATORS},
    }
)
"""Role of an account -> roles of a person at a unit, one of which he must hold there."""
NOT_BELOW: Final = "管理员设在省厅和市局，县以下由单位信息员提出、上一级审批"


def of_person(session: Session, person: int) -> Account | None:
    """The account of a person, open or ended."""
    return session.scalar(select(Account).where(Account.person == person).order_by(Account.disabled, Account.id.desc()).limit(1))


def offered(session: Session, person: Person, now: int) -> list[tuple[str, str]]:
    """(unit, role of an account) that the person's roles of today stand for."""
    held = {(role.unit, role.role) for role in people.roles_of(session, [person.id], now).get(person.id, [])}
    return sorted({(unit, right) for unit, role in held for right, named in RIGHTS.items() if role in named})


def open_for(session: Session, person: Person, *, unit: str, role: str, by: str, by_person: int | None, reason: str, now: int) -> tuple[Account, str]:
    """Open (or open again) the person's account; returns it with its password, which is shown once. The login is the personnel number.

    Raises CheckError: for himself, for somebody who is disabled, for a role that he does not hold at that unit, for a second account.
    """
    account = of_person(session, person.id)
    if not reason.strip():
        raise CheckError("请写明原因")
    if by_person == person.id:
        raise CheckError("不能给自己开通账号，须由另一名安全管理员办理")
    if person.disabled_at is not None:
        raise CheckError("此人已停用")
    if (unit, role) not in offered(session, person, now):
        raise CheckError("此人在这个单位没有相应的任职，请先任命")
    check_place(session, role, unit)
    if account is not None and not account.disabled:
        raise CheckError("此人已有账号；一人一个账号，先停用原来的")
    password = secrets.token_urlsafe(12)
    if account is None:
        if session.scalar(select(Account.id).where(Account.login == person.code)) is not None:
            raise CheckError(f"登录名 {person.code} 已被占用")
        account = accounts.add_account(session, login=person.code, password=password, role=role, unit=unit, name=person.name, person=person.id)
    else:
        account.role, account.unit, account.display_name, account.disabled = role, unit, person.name, False
    account.used_at = now  # whoever never signs in counts from today
    _fresh(session, account, password, second_factor=True)
    after = {"login": account.login, "role": role, "unit": unit, "person": person.code}
    audit.append(session, by, "account_open", f"account:{account.id}", {}, now, unit=unit, after=after, reason=reason)
    return account, password


def check_place(session: Session, role: str, unit: str) -> None:
    """Raises CheckError for an administrator below province and city."""
    place = session.get_one(Unit, unit)
    if role in ADMINISTRATORS and not roles.administrable(place.level, place.parent):
        raise CheckError(NOT_BELOW)


def administered(session: Session, unit: str, now: int) -> bool:
    """Whether somebody is an administrator at this very unit, by role or by account."""
    held = select(PersonRole.id).where(PersonRole.unit == unit, PersonRole.role.in_(ADMINISTRATORS), valid(now))
    signs_in = select(Account.id).where(Account.unit == unit, Account.role.in_(ADMINISTRATORS), Account.disabled.is_(False))
    return any(session.scalar(query.limit(1)) is not None for query in (held, signs_in))


def renew(session: Session, account: Account, *, second_factor: bool, by: str, reason: str, now: int) -> str:
    """A new password for somebody who has forgotten his, shown once; `second_factor`: the authenticator is lost too. Sessions end.

    Raises CheckError.
    """
    if not reason.strip():
        raise CheckError("请写明原因")
    if account.disabled:
        raise CheckError("账号已停用")
    password = secrets.token_urlsafe(12)
    _fresh(session, account, password, second_factor=second_factor)
    detail = {"second_factor": second_factor}
    audit.append(session, by, "account_renew", f"account:{account.id}", detail, now, unit=account.unit, reason=reason)
    return password


def _fresh(session: Session, account: Account, password: str, *, second_factor: bool) -> None:
    account.password_hash, account.failures, account.locked_until = accounts.hash_password(password), 0, None
    row = credentials.security(session, account.id)
    row.must_change, row.totp_required = True, account.role in ADMINISTRATORS
    if second_factor:
        row.totp_secret, row.totp_waiting, row.totp_since = "", "", None
    session.execute(delete(WebSession).where(WebSession.account == account.id))


def end(session: Session, account: Account, *, by: str, reason: str, now: int) -> None:
    """Disable an account and end its sessions. Raises CheckError for one that is over, and for the last account of an administrator's role."""
    if not reason.strip():
        raise CheckError("请写明原因")
    if account.disabled:
        raise CheckError("账号已停用")
    others = select(Account.id).where(Account.role == account.role, Account.disabled.is_(False), Account.id != account.id)
    if account.role in ADMINISTRATORS and session.scalar(others.limit(1)) is None:
        raise CheckError("这是该管理员角色的最后一个账号，先开通接任者的账号")
    _disable(session, account, by=by, reason=reason, now=now)


def align(session: Session, now: int, *, by: str, persons: Collection[int] | None = None) -> int:
    """End the accounts whose role their person holds no more: moved, relieved, or gone. `persons` None looks at everybody. Returns how many ended."""
    held = [and_(Account.role == right, PersonRole.role.in_(named)) for right, named in RIGHTS.items()]
    stands = exists().where(PersonRole.person == Account.person, PersonRole.unit == Account.unit, valid(now), or_(*held))
    query = select(Account).where(Account.person.is_not(None), Account.disabled.is_(False), ~stands)
    if persons is not None:
        query = query.where(Account.person.in_(persons))
    found = session.scalars(query.order_by(Account.id)).all()
    for account in found:
        _disable(session, account, by=by, reason="任职已结束或调离", now=now)
    return len(found)


def _disable(session: Session, account: Account, *, by: str, reason: str, now: int) -> None:
    account.disabled = True
    row = credentials.security(session, account.id)
    row.pin_hash, row.certificate = "", None  # whoever opens it again some day begins anew
    session.execute(delete(WebSession).where(WebSession.account == account.id))
    session.execute(update(ApiKey).where(ApiKey.account == account.id, ApiKey.revoked_at.is_(None)).values(revoked_at=now))
    detail = {"login": account.login, "role": account.role}
    audit.append(session, by, "account_end", f"account:{account.id}", detail, now, unit=account.unit, reason=reason)
