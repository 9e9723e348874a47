"""Rooms as they are now."""

from typing import Annotated, Any

from fastapi import Query, Request
from pydantic import BaseModel, Field

from server.live import wire
from server.live.board import STATES, RoomTile
from server.store import coverage
from server.web.airing import airing
from server.web.api.common import PROBLEMS, Cursor, Limit, Viewer, at, at_or_none, decode_cursor, page
from server.web.api.models import Page
from server.web.api.room_models import CoverageView, PointValue, RoomDetail, RoomView
from server.web.auth import ServicesOf, require_room, require_unit
from server.web.formats import day_start
from server.web.problems import ProblemError, invalid
from server.web.routers import api_router

router = api_router("rooms", refusals=PROBLEMS)


def summary(tile: RoomTile) -> dict[str, Any]:
    """A room's state, headline values and worst alarm, with its names."""
    fact = tile.fact
    names = {"code": fact.code, "unit": fact.unit, "unit_name": fact.unit_name, "name": fact.name, "short_name": fact.short_name}
    now = wire.tile(tile)
    return names | {"medium": fact.medium, "stage": fact.stage} | {key: now[key] for key in now if key not in ("room", "group")}


def share_view(room: str, start: int, end: int, share: coverage.Share) -> CoverageView:
    """Coverage of a room over [start, end)."""
    return CoverageView(
        room=room,
        since=at(start),
        until=at(end),
        watched_s=share.watched / 1000,
        degraded_s=share.degraded / 1000,
        blind_s=share.blind / 1000,
        manual_s=share.manual / 1000,
        unknown_s=share.unknown / 1000,
        counted_s=share.counted / 1000,
        watched_percent=share.percent,
    )


@router.get("/rooms", operation_id="listRooms")
def listing(
    who: Viewer,
    request: Request,
    services: ServicesOf,
    unit: Annotated[str, Query(description="unit code; rooms in it and below it")] = "",
    state: Annotated[str, Query(description="one or more states, comma separated")] = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Page[RoomView]:
    """Rooms by code."""
    wanted = set(filter(None, state.split(",")))
    if wanted - set(STATES):
        raise invalid("没有这种状态。", "query.state", f"one of {', '.join(STATES)}")
    if unit:
        with services.db.read() as session:
            require_unit(session, who, unit)
    after = decode_cursor(cursor) if cursor else ""
    now = services.clock()
    codes = [tile.code for tile in services.board.overview(now, unit or who.unit) if tile.code > after and (not wanted or tile.state in wanted)]
    tiles = (services.board.room(code, now) for code in codes[: limit + 1])
    views = [RoomView.model_validate(summary(tile)) for tile in tiles if tile is not None]
    return page(request, views, limit, views[limit - 1].code if len(views) > limit else "")


class VentilationView(BaseModel):
    """Whether to open the windows, by the water in both airs. `advice` null: a value of one of the two airs is missing or old."""

    advice: str | None = Field(None, description="open | keep | close")
    reason: str | None = Field(None, description="drier | hardly_drier | wetter | too_cold_or_hot | bad_weather")
    inside_g_m3: float | None = None
    outside_g_m3: float | None = None
    becomes_rh: float | None = Field(None, description="%RH that the outdoor air would have at the room's temperature")


@router.get("/rooms/{code}/ventilation", operation_id="getVentilation")
def ventilation(code: str, who: Viewer, services: ServicesOf) -> VentilationView:
    """Ventilation advice of this moment."""
    require_room(services, who, code)
    now = services.clock()
    tile = services.board.room(code, now)
    if tile is None:
        raise ProblemError(404, "没有这间库房。")
    with services.db.read() as session:
        found = airing(services, session, tile, now)
    return VentilationView() if found is None else VentilationView(**found._asdict())


@router.get("/rooms/{code}", operation_id="getRoom")
def detail(code: str, who: Viewer, services: ServicesOf) -> RoomDetail:
    """A room with all its points, open alarms and today's coverage."""
    require_room(services, who, code)
    now = services.clock()
    tile = services.board.room(code, now)
    if tile is None:
        raise ProblemError(404, "没有这间库房。")
    start = day_start(now)
    with services.db.read() as session:
        spans = coverage.stretches(session, [code], start, now)[code]
    return RoomDetail(
        **summary(tile),
        band=dict(tile.fact.band),
        demanded=list(tile.fact.demanded),
        maintenance_until=at_or_none(tile.fact.maintenance_until),
        maintenance_reason=tile.fact.maintenance_reason,
        points=[PointValue.model_validate(wire.point(view)) for view in tile.points],
        alarms=[wire.alarm(alarm) for alarm in tile.alarms],
        coverage_today=share_view(code, start, now, coverage.share(spans, start, now)),
    )
