"""访客账号: visiting inspectors, and the watermark that they see across every page."""

from datetime import datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Form, Path, Request
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from server import watermark
from server.org.visitors import LONGEST_DAYS
from server.store import units
from server.web.api import visitors as api
from server.web.api.common import Asker, at
from server.web.api.visitors import Granter, VisitorOrder
from server.web.auth import Principal, ServicesOf
from server.web.pages.common import ScreensOf
from server.web.problems import ProblemError, invalid
from server.web.routers import page_router
from server.web.screens import Screens
from server.web.services import Services

router = page_router()

_ZONE = ZoneInfo("Asia/Shanghai")
Short = Annotated[str, Form(max_length=60)]


def _page(request: Request, screens: Screens, services: Services, who: Principal, status: int = 200, **shown: object) -> Response:
    found = api.listing(who, services)
    with services.db.read() as session:
        names = units.names(session, [one.unit for one in found])
    blank: dict[str, object] = {"made": None, "error": "", "filled": dict.fromkeys(("login", "name", "unit", "days", "reason"), "")}
    return screens.page(request, "visitors.html", status, who=who, found=found, names=names, longest=LONGEST_DAYS, **blank | shown)


@router.get("/visitors")
def overview(request: Request, screens: ScreensOf, services: ServicesOf, who: Granter) -> Response:
    """Visitors of the subtree, and the form for a new one."""
    return _page(request, screens, services, who)


@router.post("/visitors")
def make(
    request: Request, screens: ScreensOf, services: ServicesOf, who: Granter, login: Short = "", name: Short = "",
    unit: Annotated[str, Form(max_length=12)] = "", days: Annotated[str, Form(max_length=2)] = "1", reason: Annotated[str, Form(max_length=200)] = "",
) -> Response:  # fmt: skip
    """A new visitor from now until the end of the last day (Beijing); the password is on the answer and nowhere else."""
    filled = {"login": login, "name": name, "unit": unit, "days": days, "reason": reason}
    now = at(services.clock())
    try:
        if not days.isascii() or not days.isdigit() or not 1 <= int(days) <= LONGEST_DAYS:
            raise invalid(f"期限须为 1 至 {LONGEST_DAYS} 天。", "days", "1…30")
        last = datetime.combine(now.astimezone(_ZONE).date() + timedelta(days=int(days) - 1), datetime.max.time().replace(microsecond=0), _ZONE)
        made = api.made(services, who, VisitorOrder(login=login, name=name, unit=unit or who.unit or "", since=now, until=last, reason=reason))
    except ValidationError:
        return _page(request, screens, services, who, 422, error="请填写登录名、姓名和来访事由。", filled=filled)
    except ProblemError as problem:
        if problem.status != 422:
            raise
        return _page(request, screens, services, who, 422, error=problem.detail, filled=filled)
    return _page(request, screens, services, who, made=made)


@router.post("/visitors/{ident}/end")
def end(ident: Annotated[int, Path(ge=1, lt=1 << 63)], services: ServicesOf, who: Granter) -> Response:
    """End a visit now."""
    api.ended(services, who, ident)
    return RedirectResponse("/visitors", 303)


@router.get("/me/watermark.svg")
def mark(services: ServicesOf, who: Asker) -> Response:
    """Name and time as a tile, for the background of what a visitor looks at."""
    return Response(watermark.svg(watermark.line(who.name, who.unit or "", services.clock())), media_type="image/svg+xml")
