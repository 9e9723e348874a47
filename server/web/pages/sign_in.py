"""Sign-in page and sign-out."""

from datetime import datetime
from typing import Annotated

from fastapi import Form, Query, Request
from starlette.responses import RedirectResponse, Response

from server.org import sessions
from server.web.api.common import ms
from server.web.api.session import keep_session, open_session
from server.web.auth import COOKIE, ServicesOf, principal_or_none
from server.web.kept import MOST_KEPT, unpacked
from server.web.pages.common import ScreensOf
from server.web.problems import ProblemError
from server.web.routers import page_router
from server.web.whence import verified_subject

router = page_router()

CHANGED = "password"
"""The one thing that the form says to whoever comes from elsewhere; no other words of an address stand on it."""


@router.get("/login")
def form(request: Request, screens: ScreensOf, target: Annotated[str, Query(alias="next")] = "/", said: str = "") -> Response:
    """The form."""
    return screens.sign_in(request, target=own(target), said=said if said == CHANGED else "")


@router.post("/login")
def sign_in(
    request: Request,
    screens: ScreensOf,
    services: ServicesOf,
    login: Annotated[str, Form(max_length=60)] = "",
    password: Annotated[str, Form(max_length=200)] = "",
    code: Annotated[str, Form(max_length=8)] = "",
    target: Annotated[str, Form(alias="next")] = "/",
    kept_to: Annotated[str, Form(max_length=300)] = "",
    kept: Annotated[str, Form(max_length=MOST_KEPT)] = "",
) -> Response:
    """Check, then go to where the person wanted to go; a refusal says why and keeps the login. What a form held when the session ended is kept."""
    answer: Response = RedirectResponse(own(target), 303)
    try:
        open_session(services, request, answer, login, password, code)
    except ProblemError as refusal:
        locked = refusal.extra.get("locked_until")
        until = None if locked is None else ms(datetime.fromisoformat(locked))
        return screens.sign_in(
            request, refusal.status, target=own(target), login=login, error=refusal.detail, locked_until=until,
            wants_code=refusal.code == "second_factor", kept_to=kept_to, kept=kept,
        )  # fmt: skip
    if not kept_to or own(kept_to) != kept_to:
        return answer
    page = screens.page(request, "continue.html", who=principal_or_none(request), kept_to=kept_to, kept=unpacked(kept))
    page.raw_headers.extend(item for item in answer.raw_headers if item[0] == b"set-cookie")
    return page


@router.get("/login/certificate")
def by_certificate(request: Request, screens: ScreensOf, services: ServicesOf, target: Annotated[str, Query(alias="next")] = "/") -> Response:
    """Sign in with the client certificate that a trusted proxy has verified (headers X-Client-Verify and X-Client-Subject)."""
    subject = verified_subject(request, services.settings.trusted_proxies)
    try:
        if not subject:
            raise sessions.SignInRefusedError("没有收到经过验证的证书。")  # noqa: TRY301 - one door for all refusals
        agent = request.headers.get("user-agent", "")
        token, _ = sessions.sign_in_by_certificate(services.db, subject, services.clock(), services.settings.limits, agent=agent)
    except sessions.SignInRefusedError as refusal:
        return screens.sign_in(request, 401, target=own(target), error=str(refusal))
    answer = RedirectResponse(own(target), 303)
    keep_session(request, answer, token)
    return answer


@router.post("/logout")
def sign_out(request: Request, services: ServicesOf) -> Response:
    """Revoke the session and show the form."""
    sessions.sign_out(services.db, request.cookies.get(COOKIE, ""), services.clock())
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, path="/")
    return answer


def own(target: str) -> str:
    """A path on this site; anything else leads to the board (no open redirect)."""
    return target if target.startswith("/") and not target.startswith("//") and "\\" not in target else "/"
