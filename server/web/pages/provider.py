"""Sign-in through the provider (OIDC): there and back again."""

from typing import TYPE_CHECKING, Annotated

from fastapi import Query, Request
from starlette.responses import RedirectResponse, Response

from server.org import sessions
from server.org.vouching import ProviderError
from server.web.api.session import keep_session
from server.web.auth import ServicesOf
from server.web.pages.common import ScreensOf
from server.web.pages.sign_in import own
from server.web.problems import ProblemError
from server.web.routers import page_router
from server.web.services import Services

if TYPE_CHECKING:
    from server.org.oidc import Provider

router = page_router("/login/provider")

COOKIE = "aw_provider"
Text = Annotated[str, Query(max_length=2_000)]


def _provider(services: Services) -> "Provider":
    if services.provider is None:
        raise ProblemError(404, "没有配置统一身份认证。")
    return services.provider


def _redirect(request: Request, services: Services) -> str:
    base = services.settings.public_url.rstrip("/") or str(request.base_url).rstrip("/")
    return f"{base}/login/provider/back"


@router.get("")
def there(request: Request, services: ServicesOf, target: Annotated[str, Query(alias="next", max_length=300)] = "/") -> Response:
    """To the provider; the state is bound to this browser by a cookie."""
    provider = _provider(services)
    try:
        url, state = provider.begin(services.db, _redirect(request, services), own(target), services.clock())
    except ProviderError as error:
        raise ProblemError(503, str(error), code="provider") from error
    answer = RedirectResponse(url, 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, state, httponly=True, samesite="lax", secure=secure, path="/login/provider", max_age=600)
    return answer


@router.get("/back")
def back(request: Request, screens: ScreensOf, services: ServicesOf, state: Text = "", code: Text = "") -> Response:
    """From the provider: whoever it vouches for must be known here."""
    provider, now = _provider(services), services.clock()
    try:
        if not state or state != request.cookies.get(COOKIE):
            raise ProviderError("这次登录不是从这个浏览器开始的，请重新登录。")  # noqa: TRY301 - one door for all refusals
        with services.db.write() as session:
            row = provider.take(session, state, now)
            session.expunge(row)
        vouched = provider.finish(row, _redirect(request, services), code, now)
        agent = request.headers.get("user-agent", "")
        token, _ = sessions.sign_in_by_code(services.db, vouched.code, now, services.settings.limits, strong=vouched.strong, agent=agent)
    except (ProviderError, sessions.SignInRefusedError) as refusal:
        return screens.sign_in(request, 401, error=str(refusal))
    answer = RedirectResponse(vouched.target, 303)
    keep_session(request, answer, token)
    answer.delete_cookie(COOKIE, path="/login/provider")
    return answer
