"""Sign in and out."""

from typing import Annotated

from fastapi import Request, Response
from pydantic import AliasChoices, Field, StringConstraints

from server.org import sessions
from server.web import rights
from server.web.api.common import PROBLEMS, Asker, at_or_none
from server.web.api.models import Body, SessionInfo
from server.web.auth import COOKIE, ServicesOf
from server.web.problems import ProblemError
from server.web.routers import api_router
from server.web.services import Services

router = api_router("session")


class SignIn(Body):
    """Login and password."""

    login: Annotated[str, StringConstraints(min_length=1, max_length=60), Field(validation_alias=AliasChoices("login", "username"))]
    password: Annotated[str, Field(min_length=1, max_length=200)]
    code: Annotated[str, Field(max_length=8, description="of the authenticator, where the account has one")] = ""


def open_session(services: Services, request: Request, response: Response, login: str, password: str, code: str = "") -> sessions.Identity:
    """Check a password and put the session's cookie onto an answer. Raises ProblemError 401, or 429 while the account is locked."""
    now = services.clock()
    try:
        token, who = sessions.sign_in(
            services.db, login, password, now, services.settings.limits, code=code, agent=request.headers.get("user-agent", "")
        )
    except sessions.SecondFactorNeededError as refusal:
        raise ProblemError(401, str(refusal), code="second_factor") from refusal
    except sessions.SignInRefusedError as refusal:
        if refusal.locked_until is None:
            raise ProblemError(401, str(refusal), code="sign_in_refused") from refusal
        wait = max(1, (refusal.locked_until - now + 999) // 1000)
        until = at_or_none(refusal.locked_until)
        assert until is not None  # noqa: S101 - checked above
        raise ProblemError(429, str(refusal), headers={"Retry-After": str(wait)}, locked_until=until.isoformat()) from refusal
    keep_session(request, response, token)
    return who


def keep_session(request: Request, response: Response, token: str) -> None:
    """The session's cookie. No max-age: it ends with the browser, and on the server by its own clock."""
    request.cookies[COOKIE] = token  # the rest of this request is the new session's
    response.set_cookie(COOKIE, token, httponly=True, samesite="lax", secure=request.url.scheme == "https", path="/")


@router.post(
    "/session",
    operation_id="signIn",
    responses={400: PROBLEMS[400], 401: PROBLEMS[401], 422: PROBLEMS[422], 429: PROBLEMS[401] | {"description": "locked"}},
)
def sign_in(body: SignIn, request: Request, response: Response, services: ServicesOf) -> SessionInfo:
    """Open a session; its token comes as a cookie."""
    who = open_session(services, request, response, body.login, body.password, body.code)
    return SessionInfo(
        login=who.login,
        name=who.name,
        role=who.role,
        unit=who.unit,
        actions=sorted(rights.ROLES.get(who.role, ())),
        expires_at=at_or_none(who.expires_at),
        last_login_at=at_or_none(who.last_login_at),
    )


@router.get("/session", operation_id="currentSession", responses={401: PROBLEMS[401]})
def current(who: Asker) -> SessionInfo:
    """Who is asking."""
    actions = sorted(rights.ROLES.get(who.role, ()))
    return SessionInfo(login=who.login, name=who.name, role=who.role, unit=who.unit, actions=actions, expires_at=at_or_none(who.expires_at))


@router.delete("/session", operation_id="signOut", status_code=204, responses={401: PROBLEMS[401]})
def sign_out(who: Asker, request: Request, response: Response, services: ServicesOf) -> None:  # noqa: ARG001 - only somebody signed in
    """Revoke the session."""
    sessions.sign_out(services.db, request.cookies.get(COOKIE, ""), services.clock())
    response.delete_cookie(COOKIE, path="/")
