"""等保三级自查 as a page."""

from typing import Any

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from server.org import chain_check, level3
from server.web.api.level3 import Auditor, running
from server.web.auth import ServicesOf
from server.web.pages.common import ScreensOf
from server.web.routers import page_router

router = page_router()


@router.get("/level3")
def overview(request: Request, screens: ScreensOf, services: ServicesOf, who: Auditor, part: str = "") -> Response:
    """Each line held against the running system, now; with `part` only how far the walk over the whole audit log is."""
    with services.db.read() as session:
        walks: dict[str, Any] = {"waiting": chain_check.waiting(session), "newest": chain_check.newest(session), "at": services.clock()}
        if part:
            return screens.page(request, "_level3_chain.html", who=who, **walks)
        found = level3.lines(session, running(services))
    return screens.page(request, "level3.html", who=who, lines=found, wrong=sum(line.state == level3.WRONG for line in found), **walks)


@router.post("/level3/chain")
def verify(services: ServicesOf, who: Auditor) -> Response:
    """Have the whole audit log walked now."""
    with services.db.write() as session:
        chain_check.ask(session, who.name, services.clock())
    return RedirectResponse("/level3", 303)
