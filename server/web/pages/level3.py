"""等保三级自查 as a page."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from server.org import level3
from server.web.api.level3 import Auditor, running
from server.web.auth import ServicesOf
from server.web.pages.common import ScreensOf

router = APIRouter()


@router.get("/level3")
def overview(request: Request, screens: ScreensOf, services: ServicesOf, who: Auditor) -> Response:
    """Each line held against the running system, now."""
    with services.db.read() as session:
        found = level3.lines(session, running(services))
    return screens.page(request, "level3.html", who=who, lines=found, wrong=sum(line.state == level3.WRONG for line in found))
