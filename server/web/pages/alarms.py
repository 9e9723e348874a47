"""The list of alarms and one alarm in full."""

from typing import Annotated

from fastapi import Path, Query, Request
from starlette.responses import Response

from server.cases import explain_alarm
from server.series.figures import Figures
from server.store import alarms, incidents
from server.store.notifications import Sent
from server.store.performance import chronic
from server.store.tables import Alarm
from server.web import door
from server.web import trend as trends
from server.web.api import history
from server.web.api.common import Cursor, Viewer, decode_id, encode_cursor
from server.web.api.rosters import names_on_duty
from server.web.auth import ServicesOf, require_alarm
from server.web.pages.common import ScreensOf
from server.web.pages.rows import SILENT, WAITING, rows, spoken_for, with_called, worst_first
from server.web.problems import ProblemError
from server.web.rights import Action
from server.web.routers import page_router
from server.web.services import Services

router = page_router()

PER_PAGE = 100
LATEST = 20
"""Changes and messages on the page of an alarm: one that went to and fro for weeks has thousands, and what counts is at the end."""
VIEWS = {"open": "未结", "waiting": "待接手", "taken": "已接手", "silent": "暂停与停用", "standing": "长期不达标", "late": "补记", "closed": "已恢复"}
"""Filters of the list; `closed` and `late` go back in time; the others are what is open, worst first."""
_PAGED = ("closed", "late")
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
    place = decode_id(cursor)
    with services.db.read() as session:
        everything = spoken_for(alarms.open_briefs(session, who.unit))
        flood = services.board.flood(who.unit)
        counts = {name: sum(alarm.state in states for alarm in everything) for name, states in _STATES.items()} | {"open": len(everything)}
        if view in _PAGED:
            states, late = ((alarms.CLOSED,), None) if view == "closed" else ((), True)
            found = list(alarms.page(session, who.unit, states=states, known_late=late, before=place, limit=PER_PAGE + 1))
            more = found[PER_PAGE - 1].id if len(found) > PER_PAGE else None
        elif view == "standing":
            found, more = [row.alarm for row in chronic(session, who.unit)], None
        else:
            kept = [alarm for alarm in everything if view == "open" or alarm.state in _STATES[view]]
            first, last = place or 0, (place or 0) + PER_PAGE
            found = alarms.some(session, [alarm.id for alarm in worst_first(kept, flooded=flood is not None)[first:last]])
            more = last if len(kept) > last else None
        shown = rows(session, services, found[:PER_PAGE] if view in _PAGED else found, who, now)
    name = "_alarm_list.html" if part == "list" else "alarms.html"
    return screens.page(
        request, name, who=who, rows=shown, counts=counts, view=view, views=VIEWS, cursor=cursor,
        more=None if more is None else encode_cursor(more), paged=view in _PAGED, flood=flood, ticks=True,
    )  # fmt: skip


@router.get("/alarms/{ident}")
def detail(
    ident: Annotated[int, Path(ge=1)], request: Request, screens: ScreensOf, services: ServicesOf, who: Viewer, done: str = "", whole: bool = False
) -> Response:
    """One alarm: what happened lately, who was told (`whole`: from the beginning), and every command that is possible now; works without scripts."""
    now, newest = services.clock(), None if whole else LATEST + 1
    with services.db.read() as session:
        alarm = require_alarm(session, who, ident)
        row = with_called(session, rows(session, services, [alarm], who, now)[0])
        changes, also = alarms.transitions(session, ident, newest), alarms.also_taken(session, ident)
        messages = alarms.notifications(session, ident, newest) if who.may(Action.NOTIFICATIONS) else ()
        told = [Sent(n, alarm.room, alarm.unit, alarm.level) for n in messages]
        coming = services.forecast.of(session, ident, now) if services.forecast is not None else []
        present = names_on_duty(session, alarm.unit, services.workdays, services.clock())
        incident = incidents.of_alarm(session, ident)
        reasons = explain_alarm(session, ident)
        members = rows(session, services, worst_first(alarms.members(session, ident)), who, now) if alarm.kind == "group" else []
    said = door.DONE.get(done, "")
    return screens.page(
        request,
        "alarm.html",
        who=who,
        row=row,
        changes=changes if whole else changes[-LATEST:],
        also=also,
        told=told if whole else told[-LATEST:],
        earlier=not whole and max(len(changes), len(told)) > LATEST,
        coming=coming,
        incident=incident,
        said=said,
        rows=members,
        on_duty=present,
        reasons=reasons,
        drawable=trends.drawable(alarm),
    )


@router.get("/alarms/{ident}/trend")
def trend(ident: Annotated[int, Path(ge=1)], request: Request, screens: ScreensOf, services: ServicesOf, who: Viewer) -> Response:
    """The last hours of what the alarm is about: a part of its page, asked for by itself, so that a slow history never holds up a take-over."""
    now = services.clock()
    with services.db.read() as session:
        alarm = require_alarm(session, who, ident)
        row = rows(session, services, [alarm], who, now)[0]
    limit, drawable = alarm.limit if row.comparable else None, trends.drawable(alarm)
    shown = _trend(services, alarm, limit, now) if drawable else None
    return screens.page(request, "_trend.html", who=who, alarm=alarm, limit=limit, trend=shown, drawable=drawable)


def _trend(services: Services, alarm: Alarm, limit: float | None, now: int) -> trends.Trend | None:
    within = trends.span(alarm, now)
    sources = history.sources(services, alarm.room or "", alarm.quantity)
    of_room = not alarm.subject.startswith("point:")
    point = next((one.ident for one in sources if not one.outdoor and (of_room or alarm.subject == f"point:{one.ident}")), None)
    side = next((rule.ladder[0].side for rule in services.rulebook.current.rules if rule.name == alarm.rule), "")
    judged = {} if point is None else {point: trends.against(history.judged(services, [point])[point], limit, side)}
    try:
        with history.answering():
            found = services.store.figures(judged, *within) if judged else Figures.none()
    except ProblemError:  # logged where it was raised
        return None
    return trends.drawn(found, within, now, limit, alarm.raised_at)
