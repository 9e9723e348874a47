"""The list of alarms and one alarm in full."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from server.store import alarms, incidents
from server.store.notifications import Sent
from server.web import door
from server.web.api.common import Cursor, Viewer, decode_id, encode_cursor
from server.web.auth import ServicesOf, require_alarm
from server.web.pages.common import ScreensOf
from server.web.pages.rows import SILENT, WAITING, rows, worst_first
from server.web.rights import Action

router = APIRouter()

PER_PAGE = 100
VIEWS = {"open": "未结", "waiting": "待接手", "taken": "已接手", "silent": "暂停与停用", "closed": "已恢复"}
"""Filters of the list; `closed` is paged, the others show what is open."""
_TAKEN = ("active_acked", "latched_acked")
_STATES = {"waiting": WAITING, "taken": _TAKEN, "silent": SILENT}


@router.get("/alarms")
def listing(
    request: Request,
    screens: ScreensOf,
    services: ServicesOf,
    who: Viewer,
    view: Annotated[str, Query()] = "open",
    part: str = "",
    cursor: Cursor = "",
) -> Response:
    """The list, or with part=list only its rows."""
    view, now = view if view in VIEWS else "open", services.clock()
    with services.db.read() as session:
        everything = alarms.open_ones(session, who.unit)
        counts = {name: sum(alarm.state in states for alarm in everything) for name, states in _STATES.items()} | {"open": len(everything)}
        if view == "closed":
            found = list(alarms.page(session, who.unit, states=(alarms.CLOSED,), before=decode_id(cursor), limit=PER_PAGE + 1))
        else:
            found = [alarm for alarm in worst_first(everything) if view == "open" or alarm.state in _STATES[view]]
        more = encode_cursor(found[PER_PAGE - 1].id) if view == "closed" and len(found) > PER_PAGE else None
        shown = rows(session, services.board, found[:PER_PAGE] if view == "closed" else found, who, now)
    name = "_alarm_list.html" if part == "list" else "alarms.html"
    return screens.page(request, name, who=who, rows=shown, counts=counts, view=view, views=VIEWS, more=more)


@router.get("/alarms/{ident}")
def detail(ident: Annotated[int, Path(ge=1)], request: Request, screens: ScreensOf, services: ServicesOf, who: Viewer, done: str = "") -> Response:
    """One alarm: what happened, who was told, and every command that is possible now; works without scripts."""
    now = services.clock()
    with services.db.read() as session:
        alarm = require_alarm(session, who, ident)
        row = rows(session, services.board, [alarm], who, now)[0]
        changes = alarms.transitions(session, ident)
        told = [Sent(n, alarm.room, alarm.unit, alarm.level) for n in alarms.notifications(session, ident)] if who.may(Action.NOTIFICATIONS) else []
        upcoming = alarms.next_escalation(session, ident)
        incident = incidents.of_alarm(session, ident)
    said = door.DONE.get(done, "")
    return screens.page(request, "alarm.html", who=who, row=row, changes=changes, told=told, upcoming=upcoming, incident=incident, said=said)
