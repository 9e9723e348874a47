"""运行指标: the alarm system against ISA-18.2, what misbehaves by name, what stands for days, what was watched; each with its denominator."""

from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from server import coverage
from server.store import performance, rooms, units
from server.web.api.common import Viewer
from server.web.api.history import DAY_MS
from server.web.auth import ServicesOf, require_unit
from server.web.pages.common import ScreensOf
from server.web.routers import page_router

router = page_router()
DAYS = (1, 7, 30, 90)


@router.get("/performance")
def page(
    request: Request,
    screens: ScreensOf,
    services: ServicesOf,
    who: Viewer,
    unit: Annotated[str, Query(max_length=12)] = "",
    days: Annotated[int, Query(ge=1, le=400)] = 30,
) -> Response:
    """The figures of a unit's desk over the last days."""
    now = services.clock()
    start = now - days * DAY_MS
    with services.db.read() as session:
        if unit:
            require_unit(session, who, unit)
        top = unit or who.unit
        desk = performance.desk(session, top, start, now)
        tags = performance.places(session, {*desk.chattering, *desk.fleeting, *(tag for tag, _ in desk.performance.top)})
        standing = performance.chronic(session, top)
        [watched] = coverage.sums(session, top, start, now)
        places = rooms.names(session, [row.alarm.room for row in standing if row.alarm.room] + [one.room for one in tags.values() if one.room])
        names = units.names(session, [top] if top else [])
    return screens.page(
        request, "performance.html", who=who, unit=top, unit_name=names.get(top or "", ""), days=days, offered=DAYS, desk=desk,
        found=desk.performance, tags=tags, standing=standing, places=places, watched=watched, start=start,
    )  # fmt: skip
