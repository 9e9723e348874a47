"""Accounts of people, as the security administrator opens, renews and ends them. A password is in the answer once and nowhere else."""

from typing import Annotated

from fastapi import Depends
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from server.org import granting
from server.org.checks import CheckError
from server.store.tables import Account
from server.web import problems
from server.web.api.common import PROBLEMS
from server.web.api.models import Body
from server.web.api.people import person_of
from server.web.auth import Principal, ServicesOf, require, require_unit
from server.web.problems import ProblemError, invalid
from server.web.rights import Action
from server.web.routers import api_router
from server.web.services import Services

router = api_router("accounts", refusals=PROBLEMS)

Granter = Annotated[Principal, Depends(require(Action.GRANT))]


class AccountOrder(Body):
    """The account's role, at a unit where the person holds it, and why."""

    role: str = Field(max_length=16)
    unit: str = Field(max_length=12)
    reason: str = Field(min_length=1, max_length=200)


class RenewOrder(Body):
    """Why a new password; `second_factor`: the authenticator is lost as well and has to be enrolled anew."""

    reason: str = Field(min_length=1, max_length=200)
    second_factor: bool = False


class EndOrder(Body):
    """Why the account ends."""

    reason: str = Field(min_length=1, max_length=200)


class AccountView(BaseModel):
    """A person's account."""

    login: str
    role: str
    unit: str
    open: bool


class AccountMade(AccountView):
    """A new or renewed one; the password is told this once and must be changed at the first sign-in."""

    password: str


@router.post("/people/{ident}/account", operation_id="openAccount", status_code=201)
def open_account(ident: int, body: AccountOrder, who: Granter, services: ServicesOf) -> AccountMade:
    """Open the account of a person for a role that he holds. One person has one account."""
    return opened(services, who, ident, body)


@router.post("/people/{ident}/account/password", operation_id="renewPassword")
def renew_password(ident: int, body: RenewOrder, who: Granter, services: ServicesOf) -> AccountMade:
    """A new password for somebody who has lost his."""
    return renewed(services, who, ident, body)


@router.post("/people/{ident}/account/revoke", operation_id="revokeAccount", status_code=204)
def end_account(ident: int, body: EndOrder, who: Granter, services: ServicesOf) -> None:
    """End an account and its sessions now."""
    ended(services, who, ident, body)


def opened(services: Services, who: Principal, ident: int, order: AccountOrder) -> AccountMade:
    """Open an account. Raises ProblemError 403, 404, 422."""
    now = services.clock()
    with services.db.write() as session:
        person = person_of(session, who, ident)
        require_unit(session, who, order.unit)
        try:
            account, password = granting.open_for(
                session, person, unit=order.unit, role=order.role, by=who.name, by_person=_own_person(session, who), reason=order.reason, now=now
            )
        except CheckError as error:
            raise invalid(f"{error}。", "body.role", "not accepted") from error
        return AccountMade(**_view(account), password=password)


def renewed(services: Services, who: Principal, ident: int, order: RenewOrder) -> AccountMade:
    """A new password. Raises ProblemError 403, 404, 422."""
    with services.db.write() as session:
        account = _account(session, who, ident)
        try:
            password = granting.renew(session, account, second_factor=order.second_factor, by=who.name, reason=order.reason, now=services.clock())
        except CheckError as error:
            raise invalid(f"{error}。", "body.reason", "not accepted") from error
        return AccountMade(**_view(account), password=password)


def ended(services: Services, who: Principal, ident: int, order: EndOrder) -> None:
    """End an account. Raises ProblemError 403, 404, 422."""
    with services.db.write() as session:
        try:
            granting.end(session, _account(session, who, ident), by=who.name, reason=order.reason, now=services.clock())
        except CheckError as error:
            raise invalid(f"{error}。", "body.reason", "not accepted") from error


def _account(session: Session, who: Principal, ident: int) -> Account:
    """The account of a person in reach; not one's own, whose password is changed at 安全设置. Raises ProblemError 403, 404."""
    account = granting.of_person(session, person_of(session, who, ident).id)
    if account is None:
        raise ProblemError(404, "此人没有账号。")
    if account.id == who.account:
        raise ProblemError(403, problems.NO_ACTION)
    require_unit(session, who, account.unit)
    return account


def _own_person(session: Session, who: Principal) -> int | None:
    row = session.get(Account, who.account) if who.account is not None else None
    return None if row is None else row.person


def _view(account: Account) -> dict[str, object]:
    return {"login": account.login, "role": account.role, "unit": account.unit, "open": not account.disabled}
