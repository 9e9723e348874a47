"""Messages sent and the audit log, as pages."""

import re
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Query, Request
from starlette.responses import Response

from server import watermark
from server.store import anchors, audit, naming, notifications, rooms, units
from server.web import labels
from server.web.api.audit import Auditor, Chosen
from server.web.api.common import Cursor, decode_id, encode_cursor
from server.web.auth import Principal, ServicesOf, require
from server.web.pages.common import ScreensOf
from server.web.rights import Action
from server.web.routers import page_router

router = page_router()

PER_PAGE = 50
DAY = re.compile(r"\d{4}-\d{2}-\d{2}$")


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
    state = state if state in labels.TABLES["notification"] else ""
    with services.db.read() as session:
        found = notifications.page(session, who.unit, state=state, before=decode_id(cursor), limit=PER_PAGE + 1)
        shown = found[:PER_PAGE]
        places = rooms.names(session, [sent.room for sent in shown if sent.room])
        names = units.names(session, [sent.unit for sent in shown])
    more = encode_cursor(shown[-1].row.id) if len(found) > PER_PAGE else None
    name = "_sms_list.html" if part == "list" else "sms.html"
    return screens.page(request, name, who=who, sent=shown, places=places, names=names, state=state, more=more)


@router.get("/audit")
def log(request: Request, screens: ScreensOf, services: ServicesOf, who: Auditor, chosen: Chosen, cursor: Cursor = "") -> Response:
    """审计日志, newest first: what concerns the auditor's unit and those below."""
    with services.db.read() as session:
        found = list(audit.page(session, before=decode_id(cursor), limit=PER_PAGE + 1, wanted=chosen))
        names = naming.of_entries(session, found[:PER_PAGE])
    more = encode_cursor(found[PER_PAGE - 1].id) if len(found) > PER_PAGE else None
    query = {name: value for name, value in request.query_params.items() if name in ("actor", "action", "q", "from", "to") and value}
    link, actions = urlencode(query), labels.AUDIT_ACTIONS
    return screens.page(request, "audit.html", who=who, entries=found[:PER_PAGE], names=names, more=more, query=query, link=link, actions=actions)


@router.get("/audit/anchors")
def evidence(request: Request, screens: ScreensOf, services: ServicesOf, who: Auditor, chosen: Chosen, day: str = "") -> Response:
    """审计锚点 of a day, to be printed, signed and handed upward."""
    with services.db.read() as session:
        found = anchors.of_day(session, day if DAY.match(day) else "", chosen.scope)
        names = units.names(session, [anchor.unit for anchor in found])
    return screens.page(request, "anchors.html", who=who, anchors=found, names=names, mark=watermark.line(who.name, who.unit or "", services.clock()))
