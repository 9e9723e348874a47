"""开通清单: what is still missing before the first shift, with the place where it is seen to."""

from typing import Annotated

from fastapi import Depends, Request
from starlette.responses import Response

from server.duty import first_shift
from server.web.auth import Principal, ServicesOf, require
from server.web.pages.common import ScreensOf
from server.web.rights import Action
from server.web.routers import page_router
from server.web.services import Services

router = page_router()


def channels_of(services: Services) -> tuple[str, ...]:
    """The channels by which people are reached."""
    lines = services.forecast.lines if services.forecast is not None else None
    return () if lines is None else tuple(filter(None, (lines.channel, lines.voice, lines.email)))


def missing(services: Services, who: Principal) -> bool:
    """Whether an administrator is to be reminded of the list."""
    if not who.may(Action.ORGANISE):
        return False
    with services.db.read() as session:
        return not first_shift.complete(session, who.unit, channels_of(services), services.clock())


@router.get("/first-shift")
def checklist(request: Request, screens: ScreensOf, services: ServicesOf, who: Annotated[Principal, Depends(require(Action.PEOPLE))]) -> Response:
    """The list for the asker's own subtree."""
    with services.db.read() as session:
        found = list(first_shift.steps(session, who.unit, channels_of(services), services.clock()))
    return screens.page(request, "first_shift.html", who=who, steps=found, open=sum(not step.done for step in found))
