"""Sign-in page and sign-out."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from server.org import accounts
from server.web.api.common import ms
from server.web.api.session import keep_session, open_session
from server.web.auth import COOKIE, ServicesOf
from server.web.pages.common import ScreensOf
from server.web.problems import ProblemError
from server.web.whence import is_trusted

router = APIRouter()


@router.get("/login")
def form(request: Request, screens: ScreensOf, target: Annotated[str, Query(alias="next")] = "/") -> Response:
    """The form."""
    return screens.page(request, "login.html", who=None, target=_own(target), login="", error=None, locked_until=None, wants_code=False)


@router.post("/login")
def sign_in(
    request: Request,
    screens: ScreensOf,
    services: ServicesOf,
    login: Annotated[str, Form(max_length=60)] = "",
    password: Annotated[str, Form(max_length=200)] = "",
    code: Annotated[str, Form(max_length=8)] = "",
    target: Annotated[str, Form(alias="next")] = "/",
) -> Response:
    """Check, then go to where the person wanted to go; a refusal says why and keeps the login."""
    answer = RedirectResponse(_own(target), 303)
    try:
        open_session(services, request, answer, login, password, code)
    except ProblemError as refusal:
        locked = refusal.extra.get("locked_until")
        until = None if locked is None else ms(datetime.fromisoformat(locked))
        return screens.page(
            request,
            "login.html",
            refusal.status,
            who=None,
            target=_own(target),
            login=login,
            error=refusal.detail,
            locked_until=until,
            wants_code=refusal.code == "second_factor",
        )
    return answer


@router.get("/login/certificate")
def by_certificate(request: Request, services: ServicesOf, target: Annotated[str, Query(alias="next")] = "/") -> Response:
    """Sign in with the client certificate that a trusted proxy has verified (headers X-Client-Verify and X-Client-Subject)."""
    peer = request.client.host if request.client else ""
    verified = request.headers.get("x-client-verify", "") == "SUCCESS"
    if not verified or not is_trusted(peer, services.settings.trusted_proxies):
        raise ProblemError(401, "没有收到经过验证的证书。", code="no_certificate")
    try:
        subject, agent = request.headers.get("x-client-subject", ""), request.headers.get("user-agent", "")
        token, _ = accounts.sign_in_by_certificate(services.db, subject, services.clock(), services.settings.limits, agent=agent)
    except accounts.SignInRefusedError as refusal:
        raise ProblemError(401, str(refusal), code="sign_in_refused") from refusal
    answer = RedirectResponse(_own(target), 303)
    keep_session(request, answer, token)
    return answer


@router.post("/logout")
def sign_out(request: Request, services: ServicesOf) -> Response:
    """Revoke the session and show the form."""
    accounts.sign_out(services.db, request.cookies.get(COOKIE, ""), services.clock())
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, path="/")
    return answer


def _own(target: str) -> str:
    """A path on this site; anything else leads to the board (no open redirect)."""
    return target if target.startswith("/") and not target.startswith("//") and "\\" not in target else "/"
