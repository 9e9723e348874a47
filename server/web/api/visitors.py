"""Accounts of visiting inspectors."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Path
from pydantic import AwareDatetime, BaseModel, Field

from server.org import visitors
from server.web.api.common import PROBLEMS, at, ms
from server.web.api.models import Body
from server.web.auth import Principal, ServicesOf, require, require_unit
from server.web.problems import ProblemError, invalid
from server.web.rights import Action
from server.web.routers import api_router
from server.web.services import Services

router = api_router("accounts", refusals=PROBLEMS)

Granter = Annotated[Principal, Depends(require(Action.GRANT))]


class VisitorOrder(Body):
    """A visit: who, where, from when until when (at most 30 days), why."""

    login: str = Field(min_length=1, max_length=60)
    name: str = Field(min_length=1, max_length=60)
    unit: str = Field(max_length=12)
    since: AwareDatetime
    until: AwareDatetime
    reason: str = Field(min_length=1, max_length=200)


class VisitorView(BaseModel):
    """A visitor's account."""

    id: int
    login: str
    name: str
    unit: str
    since: datetime
    until: datetime
    open: bool


class VisitorMade(VisitorView):
    """A new one; the password is told this once."""

    password: str


def made(services: Services, who: Principal, order: VisitorOrder) -> VisitorMade:
    """Make the account. Raises ProblemError 403, 404, 422."""
    now = services.clock()
    with services.db.write() as session:
        require_unit(session, who, order.unit)
        try:
            account, password = visitors.make(
                session, who.name, login=order.login, name=order.name, unit=order.unit, since=ms(order.since), until=ms(order.until),
                reason=order.reason, now=now,
            )  # fmt: skip
        except visitors.VisitorRefusedError as refusal:
            raise invalid(str(refusal), "body.until", "not accepted") from refusal
        view = VisitorView(
            id=account.id, login=account.login, name=account.display_name, unit=account.unit, since=order.since, until=order.until, open=True
        )
    return VisitorMade(**view.model_dump(), password=password)


def ended(services: Services, who: Principal, ident: int) -> None:
    """End a visit. Raises ProblemError 404."""
    with services.db.write() as session:
        if not visitors.end(session, who.name, ident, who.unit, services.clock()):
            raise ProblemError(404, "没有这个访客账号。")


@router.get("/visitors", operation_id="listVisitors")
def listing(who: Granter, services: ServicesOf) -> list[VisitorView]:
    """Visitors of the asker's subtree, newest first."""
    now = services.clock()
    with services.db.read() as session:
        return [
            VisitorView(
                id=one.account.id, login=one.account.login, name=one.account.display_name, unit=one.account.unit,
                since=at(one.limits.valid_from or 0),
                until=at(one.limits.valid_until or 0), open=not one.account.disabled and (one.limits.valid_until or 0) > now,
            )
            for one in visitors.listing(session, who.unit)
        ]  # fmt: skip


@router.post("/visitors", operation_id="makeVisitor", status_code=201)
def make(body: VisitorOrder, who: Granter, services: ServicesOf) -> VisitorMade:
    """An account that reads one unit and below, for a limited time."""
    return made(services, who, body)


@router.delete("/visitors/{ident}", operation_id="endVisitor", status_code=204)
def end(ident: Annotated[int, Path(ge=1, lt=1 << 63)], who: Granter, services: ServicesOf) -> None:
    """End a visit now."""
    ended(services, who, ident)
