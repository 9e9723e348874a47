"""The coverage ledger."""

from datetime import datetime
from typing import Annotated

from fastapi import Query, Request
from pydantic import BaseModel, Field

from server import coverage as ledger
from server.store import coverage, rooms
from server.web.api.common import PROBLEMS, Cursor, From, Limit, To, Viewer, at, decode_cursor, page, span
from server.web.api.history import DAY_MS
from server.web.api.models import Page
from server.web.api.room_models import CoverageDetail, StretchView
from server.web.api.rooms import share_view
from server.web.auth import ServicesOf, require_room, require_unit
from server.web.formats import day_start
from server.web.routers import api_router

router = api_router("coverage", refusals=PROBLEMS)


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


class SumsView(BaseModel):
    """Sums over rooms and time. `watched_percent` is of `counted_s`: the seconds that `rooms` rooms in use (在用) have on record.

    `apart_s`: rooms that are being set up or tried out; `unknown_s`: no record, e.g. before a room was connected.
    """

    since: datetime = Field(serialization_alias="from")
    until: datetime = Field(serialization_alias="to")
    rooms: int
    counted_s: float
    states_s: dict[str, float]
    causes_s: dict[str, float]
    apart_s: float
    unknown_s: float
    watched_percent: float | None
    denominator: str


@router.get("/coverage/sums", operation_id="getCoverageSums")
def sums(
    who: Viewer,
    services: ServicesOf,
    unit: Annotated[str, Query(description="unit code; rooms in it and below it")] = "",
    room: Annotated[str, Query(max_length=16, description="only this room")] = "",
    start: From = None,
    end: To = None,
    daily: Annotated[bool, Query(description="one entry per day (Beijing) instead of one")] = False,
) -> list[SumsView]:
    """What was watched, by state and by cause, by default today. What has not happened yet is not accounted for."""
    now = services.clock()
    since, until = span(start, end, default=(day_start(now), max(now, day_start(now) + 1)), longest_ms=400 * DAY_MS)
    until = max(since, min(until, now))
    if room:
        require_room(services, who, room)
    with services.db.read() as session:
        if unit:
            require_unit(session, who, unit)
        found = ledger.sums(session, unit or who.unit, since, until, room=room, daily=daily)
    return [_sums_view(one) for one in found]


def _sums_view(one: ledger.Sums) -> SumsView:
    return SumsView(
        since=at(one.start), until=at(one.end), rooms=one.rooms, counted_s=one.counted / 1000, apart_s=one.apart / 1000,
        unknown_s=one.unknown / 1000, watched_percent=one.percent, states_s={name: length / 1000 for name, length in one.states.items()},
        causes_s={name: length / 1000 for name, length in sorted(one.causes.items())},
        denominator=f"在用库房 {one.rooms} 间有记录的时间，共 {one.counted / 3_600_000:.2f} 小时",
    )  # fmt: skip
