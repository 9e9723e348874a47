"""The coverage ledger."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from server.store import coverage, rooms
from server.web.api.common import PROBLEMS, Cursor, From, Limit, To, Viewer, at, decode_cursor, page, span
from server.web.api.history import DAY_MS
from server.web.api.models import CoverageDetail, Page, StretchView
from server.web.api.rooms import share_view
from server.web.auth import ServicesOf, require_room
from server.web.formats import day_start

router = APIRouter(tags=["coverage"], responses=PROBLEMS)


@router.get("/coverage", operation_id="getCoverage")
def listing(
    who: Viewer,
    request: Request,
    services: ServicesOf,
    room: Annotated[str, Query(max_length=16, description="room code; left out: all rooms of the subtree, without their spans")] = "",
    start: From = None,
    end: To = None,
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Page[CoverageDetail]:
    """Coverage per room, by default of today (Beijing). What has not happened yet is not accounted for."""
    now = services.clock()
    since, until = span(start, end, default=(day_start(now), max(now, day_start(now) + 1)), longest_ms=400 * DAY_MS)
    until = max(since, min(until, now))
    if room:
        require_room(services, who, room)
    with services.db.read() as session:
        codes = [room] if room else list(rooms.codes(session, who.unit, after=decode_cursor(cursor) if cursor else "", limit=limit + 1))
        found = coverage.stretches(session, codes, since, until)
    items = [
        CoverageDetail(
            **share_view(code, since, until, coverage.share(found[code], since, until)).model_dump(),
            spans=[StretchView(since=at(s.since), until=at(s.until), state=s.state, cause=s.cause, detail=s.detail) for s in found[code] if room],
        )
        for code in codes
    ]
    return page(request, items, limit, codes[limit - 1] if len(codes) > limit else "")
