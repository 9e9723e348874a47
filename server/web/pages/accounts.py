"""The account on the page of a person: opened, renewed and ended by the security administrator; a password is shown this once."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Form, Request
from starlette.responses import RedirectResponse, Response

from server.web.api import accounts as api
from server.web.api.accounts import AccountMade, AccountOrder, EndOrder, Granter, RenewOrder
from server.web.auth import Principal, ServicesOf
from server.web.pages.common import ScreensOf
from server.web.pages.organisation import person_page
from server.web.problems import ProblemError
from server.web.routers import page_router
from server.web.screens import Screens
from server.web.services import Services

router = page_router()

Reason = Annotated[str, Form(min_length=1, max_length=200)]


def _answer(request: Request, screens: Screens, services: Services, who: Principal, ident: int, made: Callable[[], AccountMade]) -> Response:
    try:
        account = made()
    except ProblemError as problem:
        if problem.status != 422:
            raise
        return person_page(request, screens, services, who, ident, 422, refused=problem.detail)
    return person_page(request, screens, services, who, ident, made=account)


@router.post("/people/{ident}/account")
def open_account(
    ident: int, request: Request, screens: ScreensOf, services: ServicesOf, who: Granter, role: Annotated[str, Form(max_length=32)], reason: Reason
) -> Response:
    """Open the account; `role` is "unit/role", one of those that the person's roles stand for."""
    unit, _, name = role.partition("/")
    order = AccountOrder.model_construct(role=name, unit=unit, reason=reason)
    return _answer(request, screens, services, who, ident, lambda: api.opened(services, who, ident, order))


@router.post("/people/{ident}/account/password")
def renew_password(
    ident: int, request: Request, screens: ScreensOf, services: ServicesOf, who: Granter, reason: Reason, second_factor: Annotated[str, Form()] = ""
) -> Response:
    """A new password; with `second_factor` the authenticator has to be enrolled anew."""
    order = RenewOrder(reason=reason, second_factor=bool(second_factor))
    return _answer(request, screens, services, who, ident, lambda: api.renewed(services, who, ident, order))


@router.post("/people/{ident}/account/revoke")
def end_account(ident: int, request: Request, screens: ScreensOf, services: ServicesOf, who: Granter, reason: Reason) -> Response:
    """End the account now."""
    try:
        api.ended(services, who, ident, EndOrder(reason=reason))
    except ProblemError as problem:
        if problem.status != 422:
            raise
        return person_page(request, screens, services, who, ident, 422, refused=problem.detail)
    return RedirectResponse(f"/people/{ident}?said=account_ended", 303)
