"""帮助: what the colours, digits and keys mean, what to do first, and the telephones of the duty rooms above. It works without scripts."""

from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import select
from starlette.responses import Response

from server.duty.answers import ASKS
from server.store import units
from server.store.tables import Unit
from server.web.auth import Principal, ServicesOf, principal
from server.web.pages.common import ScreensOf
from server.web.routers import page_router

router = page_router()

STATES = ("normal", "warn", "alarm", "urgent", "critical", "degraded", "blind", "maintenance")
"""Of a room, as the board shows them."""


@router.get("/help")
def assistance(request: Request, screens: ScreensOf, services: ServicesOf, who: Annotated[Principal, Depends(principal)]) -> Response:
    """For everybody who has signed in, whatever he may do."""
    with services.db.read() as session:
        line = units.path(session, who.unit) if who.unit else ()
        found = {row.code: row for row in session.scalars(select(Unit).where(Unit.code.in_(line), Unit.duty_phone.is_not(None)))}
        desks = [(found[code].name, found[code].duty_phone) for code in reversed(line) if code in found and found[code].duty_phone]
    return screens.page(request, "help.html", who=who, asks=ASKS, states=STATES, desks=desks)
