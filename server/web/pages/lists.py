"""Messages sent and the audit log, as pages."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from server.store import audit, notifications, rooms, units
from server.web import labels
from server.web.api.common import Cursor, decode_id, encode_cursor
from server.web.auth import Principal, ServicesOf, require
from server.web.pages.common import ScreensOf
from server.web.problems import NO_RIGHT, ProblemError
from server.web.rights import Action

router = APIRouter()

PER_PAGE = 50


@router.get("/sms")
def messages(
    request: Request,
    screens: ScreensOf,
    services: ServicesOf,
    who: Annotated[Principal, Depends(require(Action.NOTIFICATIONS))],
    state: Annotated[str, Query()] = "",
    part: str = "",
    cursor: Cursor = "",
) -> Response:
    """短信记录: who was told what, when, and whether it arrived; part=list only the rows."""
    state = state if state in labels.NOTIFICATION_STATES else ""
    with services.db.read() as session:
        found = notifications.page(session, who.unit, state=state, before=decode_id(cursor), limit=PER_PAGE + 1)
        shown = found[:PER_PAGE]
        places = rooms.names(session, [sent.room for sent in shown if sent.room])
        names = units.names(session, [sent.unit for sent in shown])
    more = encode_cursor(shown[-1].row.id) if len(found) > PER_PAGE else None
    name = "_sms_list.html" if part == "list" else "sms.html"
    return screens.page(request, name, who=who, sent=shown, places=places, names=names, state=state, more=more)


@router.get("/audit")
def log(
    request: Request, screens: ScreensOf, services: ServicesOf, who: Annotated[Principal, Depends(require(Action.AUDIT))], cursor: Cursor = ""
) -> Response:
    """审计日志, newest first."""
    with services.db.read() as session:
        if who.unit is not None and len(units.path(session, who.unit)) != 1:
            raise ProblemError(403, NO_RIGHT)
        found = list(audit.page(session, before=decode_id(cursor), limit=PER_PAGE + 1))
    more = encode_cursor(found[PER_PAGE - 1].id) if len(found) > PER_PAGE else None
    return screens.page(request, "audit.html", who=who, entries=found[:PER_PAGE], more=more)
