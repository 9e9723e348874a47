"""处置卡夹: the action cards of a unit's own rooms on one page, which the browser keeps for the time when the centre cannot be reached (sw.js)."""

from typing import Annotated

from fastapi import Query, Request
from sqlalchemy import select
from starlette.responses import Response

from server.duty import incident_file
from server.store import units
from server.store.tables import Room
from server.web.api.common import Viewer
from server.web.auth import ServicesOf
from server.web.i18n import load
from server.web.pages.common import ScreensOf, unit_asked
from server.web.routers import page_router

router = page_router()
MOST_ROOMS = 12


@router.get("/duty/cards")
def folder(
    request: Request, screens: ScreensOf, services: ServicesOf, who: Viewer, unit: Annotated[str, Query(max_length=12)] = "", kept: str = ""
) -> Response:
    """The folder of a unit; `kept`: the copy that the browser keeps. A unit without rooms gets the cards without a room."""
    top, said = unit_asked(services, who, unit), load(screens.language(request))
    with services.db.read() as session:
        own = session.scalars(select(Room).where(Room.unit == top.code, Room.stage != "retired").order_by(Room.code)).all()
        cards = [(room, incident_file.room_cards(session, services.cards, top.code, room, said)) for room in own[:MOST_ROOMS]]
        general = [] if own else incident_file.room_cards(session, services.cards, top.code, None, said)
        above = units.get(session, top.parent) if top.parent is not None else None
    return screens.page(
        request, "card_folder.html", who=who, unit=top, rooms=cards, general=general, above=above, more=max(len(own) - MOST_ROOMS, 0), kept=bool(kept)
    )
