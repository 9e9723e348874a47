"""A person's telephone and ways on his page: prove the number by a code, send the test message, put the ways in order; and one's own on /me."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import Depends, Form, Request
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from server.duty import phones
from server.org import checks
from server.store.tables import Account, Person
from server.web.api import people as people_api
from server.web.api import phones as api
from server.web.auth import Principal, ServicesOf, principal
from server.web.pages.common import ScreensOf
from server.web.pages.organisation import person_page
from server.web.problems import ProblemError, invalid
from server.web.routers import page_router

router = page_router()

Ways = Annotated[str, Form(max_length=40)]
NO_PERSON = "这个账号没有对应的人员资料，没有可以通知的号码。请本单位信息员先登记你的人员资料，再请系统管理员由此开通账号。"


def _order(ways: str) -> Sequence[str]:
    try:
        return checks.way_list(ways)
    except checks.CheckError as error:
        raise invalid(str(error), "ways", "unknown or repeated way") from error


@router.post("/people/{ident}/phone/{act}")
def phone(
    ident: int, act: Literal["code", "confirm", "test"], request: Request, screens: ScreensOf, services: ServicesOf, who: api.Phoning,
    code: Annotated[str, Form(max_length=12)] = "",
) -> Response:  # fmt: skip
    """Send a code, take it back, or send the test message."""
    with services.db.read() as session:
        person = people_api.person_of(session, who, ident)
    try:
        if act == "code":
            api.phone_code(person.code, who, services)
        elif act == "test":
            api.phone_test(person.code, who, services)
        else:
            api.phone_confirm(person.code, api.CodeBody.model_construct(code=code.strip()), who, services)
    except ProblemError as problem:
        if problem.status != 409:
            raise
        return person_page(request, screens, services, who, ident, 409, phone_refused=problem.detail)
    return RedirectResponse(f"/people/{ident}?said=phone_{act}", 303)


@router.post("/people/{ident}/ways")
def ways_of(ident: int, services: ServicesOf, who: api.Phoning, ways: Ways = "") -> Response:
    """In which order a person is reached; empty gives the product's own order."""
    order = _order(ways)
    with services.db.write() as session:
        _set(session, people_api.person_of(session, who, ident), order, who, services.clock())
    return RedirectResponse(f"/people/{ident}?said=done", 303)


@router.post("/me/ways")
def my_ways(who: Annotated[Principal, Depends(principal)], services: ServicesOf, ways: Ways = "") -> Response:
    """In which order the asker wants to be reached; empty gives the product's own order."""
    order = _order(ways)
    with services.db.write() as session:
        account = session.get(Account, who.account) if who.account is not None else None
        row = session.get(Person, account.person) if account is not None and account.person is not None else None
        if row is None:
            raise ProblemError(409, NO_PERSON)
        _set(session, row, order, who, services.clock())
    return RedirectResponse("/me", 303)


def _set(session: Session, person: Person, order: Sequence[str], who: Principal, now: int) -> None:
    try:
        phones.set_ways(session, person, order, who.name, now)
    except phones.PhoneError as error:
        raise ProblemError(409, str(error)) from error
