"""Roles, looking around as one, the quarterly review, emergency access: pages of the administrators about rights themselves."""

from typing import Annotated

from fastapi import Depends, Form, Request
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from server.org import emergency, review, sessions
from server.org.checks import CheckError
from server.store import organisation, units
from server.store.tables import Account
from server.store.tables_org import EmergencyAccess
from server.web import problems
from server.web.api.common import Asker
from server.web.auth import COOKIE, Principal, ServicesOf, require, require_unit
from server.web.pages.common import ScreensOf
from server.web.pages.organisation import Reader
from server.web.problems import ProblemError, invalid
from server.web.rights import ROLES, VIEWABLE, Action
from server.web.routers import page_router

router = page_router()

Looking = Annotated[Principal, Depends(require(Action.VIEW_AS))]
Reviewing = Annotated[Principal, Depends(require(Action.REVIEW))]
Emergency = Annotated[Principal, Depends(require(Action.EMERGENCY))]
Secret = Annotated[str, Form(max_length=200)]
Remark = Annotated[str, Form(max_length=200)]


def own_account(session: Session, who: Principal) -> Account:
    """The account of whoever asks. Raises ProblemError 403 for programs, which have none."""
    if who.account is None:
        raise ProblemError(403, "这里只供本人使用。", code="no_account")
    return session.get_one(Account, who.account)


@router.get("/roles")
def roles(request: Request, screens: ScreensOf, who: Reader, services: ServicesOf) -> Response:
    """Which role may do what, as the one table of rights says; and looking around as one."""
    shown = {role: actions for role, actions in ROLES.items() if role not in ("service", "gateway")}
    with services.db.read() as session:
        unit = units.names(session, [who.unit]).get(who.unit, "") if who.unit is not None else ""
    return screens.page(request, "roles.html", who=who, roles=shown, actions=list(Action), viewable=VIEWABLE, unit=unit)


@router.post("/roles/view-as")
def view_as(
    request: Request, who: Looking, services: ServicesOf, role: Annotated[str, Form(max_length=16)], unit: Annotated[str, Form(max_length=12)] = ""
) -> Response:
    """Look around as a role at a unit of one's own subtree. Until it is ended nothing can be changed."""
    if role not in VIEWABLE:
        raise invalid("请选择角色。", "role", "unknown role")
    with services.db.write() as session:
        account = own_account(session, who)
        wanted = unit.strip() or account.unit
        require_unit(session, who, wanted)
        sessions.view_as(session, request.cookies[COOKIE], role, wanted, services.clock())
    return RedirectResponse("/", 303)


@router.post("/roles/view-as/end")
def view_as_end(request: Request, who: Asker, services: ServicesOf) -> Response:
    """Be oneself again."""
    with services.db.write() as session:
        own_account(session, who)
        sessions.view_as(session, request.cookies[COOKIE], "", "", services.clock())
    return RedirectResponse("/roles", 303)


@router.get("/reviews")
def reviews(request: Request, screens: ScreensOf, services: ServicesOf, who: Reader, said: str = "", sign: bool = False) -> Response:
    """The quarterly review of one's unit and below: what is to be read and with `sign` signed, and who has signed."""
    with services.db.read() as session:
        unit = who.unit or next((top.code for top in units.tops(session)), "")
        found = review.standing(session, unit, services.clock(), to_sign=sign)
        signed = organisation.reviews(session, who.unit, limit=50)
        names = units.names(session, [unit, *(row.unit for row in signed)])
    return screens.page(request, "reviews.html", who=who, unit=unit, standing=found, signed=signed, names=names, said=said)


@router.post("/reviews")
def sign(who: Reviewing, services: ServicesOf, sha256: Annotated[str, Form(max_length=64)], password: Secret, remark: Remark = "") -> Response:
    """Sign: with the password again, for the list whose hash the page showed."""
    with services.db.read() as session:
        ident = own_account(session, who).id
    try:
        sessions.reprove(services.db, ident, password, services.clock(), services.settings.limits)
    except sessions.SignInRefusedError as refused:
        raise invalid(f"{refused}没有签署。", "password", "wrong") from refused
    with services.db.write() as session:
        account = own_account(session, who)
        try:
            review.sign(session, account.unit, sha256=sha256, by=who.name, remark=remark.strip(), now=services.clock())
        except CheckError as error:
            raise ProblemError(409, f"{error}。", code="conflict") from error
    return RedirectResponse("/reviews?said=signed", 303)


@router.get("/emergency")
def overview(request: Request, screens: ScreensOf, services: ServicesOf, who: Emergency, said: str = "") -> Response:
    """应急授权: what waits and what runs in one's subtree; ask, grant, end."""
    now = services.clock()
    with services.db.read() as session:
        found = [row for row in emergency.standing(session, now) if units.within(session, row.unit, who.unit)]
        people = {row.id: row.display_name for row in session.query(Account).where(Account.id.in_(_named(found)))}
        names = units.names(session, [row.unit for row in found])
    roles, most = emergency.ROLES, emergency.LONGEST_H
    return screens.page(request, "emergency.html", who=who, found=found, people=people, names=names, roles=roles, most=most, said=said)


def _named(found: list[EmergencyAccess]) -> set[int]:
    return {row.account for row in found} | {row.granted_by for row in found if row.granted_by is not None}


@router.post("/emergency")
def ask(who: Emergency, services: ServicesOf, role: Annotated[str, Form(max_length=16)], reason: Remark = "") -> Response:
    """Ask for another role's rights; somebody else has to grant it."""
    with services.db.write() as session:
        try:
            emergency.ask(session, own_account(session, who), role=role, reason=reason, now=services.clock())
        except CheckError as error:
            raise invalid(f"{error}。", "role", "not accepted") from error
    return RedirectResponse("/emergency?said=asked", 303)


@router.post("/emergency/{emergency_id}/grant")
def grant(
    emergency_id: int,
    who: Emergency,
    services: ServicesOf,
    password: Secret,
    hours: Annotated[int, Form(ge=1, le=emergency.LONGEST_H)] = 2,
    code: Annotated[str, Form(max_length=8)] = "",
) -> Response:
    """Grant somebody else's request, proven with one's own password and, where there is one, second factor."""
    now = services.clock()
    with services.db.read() as session:
        login = own_account(session, who).login
        _of_subtree(session, who, emergency_id)
    try:
        sessions.vouch(services.db, login, password, now, services.settings.limits, code=code)
    except sessions.SignInRefusedError as refused:
        raise invalid(str(refused), "password", "wrong") from refused
    with services.db.write() as session:
        try:
            emergency.grant(session, _of_subtree(session, who, emergency_id), own_account(session, who), hours=hours, now=now)
        except CheckError as error:
            raise ProblemError(409, f"{error}。", code="conflict") from error
    return RedirectResponse("/emergency?said=granted", 303)


@router.post("/emergency/{emergency_id}/end")
def end(emergency_id: int, who: Asker, services: ServicesOf) -> Response:
    """End a request or a grant: one's own, or, as an administrator, one of the subtree."""
    with services.db.write() as session:
        account = own_account(session, who)
        row = session.get(EmergencyAccess, emergency_id) if emergency_id < 1 << 63 else None
        if row is None or row.account != account.id:
            if not who.may(Action.EMERGENCY):
                raise ProblemError(403, problems.NO_ACTION)
            row = _of_subtree(session, who, emergency_id)
        emergency.end(session, row, by=account.login, now=services.clock())
    return RedirectResponse("/emergency" if who.may(Action.EMERGENCY) else "/me", 303)


def _of_subtree(session: Session, who: Principal, ident: int) -> EmergencyAccess:
    row = session.get(EmergencyAccess, ident) if ident < 1 << 63 else None
    if row is None:
        raise ProblemError(404, "没有这份申请。")
    if not units.within(session, row.unit, who.unit):
        raise ProblemError(403, problems.NO_RIGHT)
    return row
