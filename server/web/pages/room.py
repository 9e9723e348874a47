"""One room: live values, picture, alarms, coverage, charts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from server.live.board import OUTDOOR, PointView, RoomTile
from server.live.wire import HEADLINES
from server.org.sources import Source
from server.series import Bucket
from server.store import alarms, coverage, rooms, snapshots, units, works
from server.watch.commands import STAGES
from server.web.airing import airing
from server.web.api import history
from server.web.api.common import Viewer
from server.web.api.history import DAY_MS
from server.web.auth import ServicesOf, require_room
from server.web.formats import day_start
from server.web.pages.common import ScreensOf
from server.web.pages.rows import rows, worst_first
from server.web.pages.works import MINUTES
from server.web.problems import ProblemError
from server.web.rights import Action
from server.web.routers import page_router
from server.web.services import Services

router = page_router()

HOUR_MS = 3_600_000
QUANTITIES = ("temperature", "humidity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table under a chart; None is a gap."""

    time: int
    low: float | None = None
    mean: float | None = None
    high: float | None = None
    watched_ms: int = 0
    outdoor: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A quantity over a range: the table is made here, the picture by the browser from the API."""

    quantity: str
    span: str
    start: int
    end: int
    step_ms: int
    table_step_ms: int
    outdoor: str = ""
    lines: tuple[Line, ...] = ()
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """Coverage since midnight: the stretches as shares of the day so far, for a bar."""

    share: coverage.Share
    bars: list[tuple[str, float, float]] = field(default_factory=list)

    @property
    def parts(self) -> list[tuple[str, int]]:
        """Milliseconds per state."""
        return [(state, length) for state, length in self.share._asdict().items() if not state.startswith("counted")]


@router.get("/rooms/{code}")
def page(
    code: str, request: Request, screens: ScreensOf, services: ServicesOf, who: Viewer, part: Annotated[str, Query(pattern="^(live)?$")] = ""
) -> Response:
    """The room; part=live is what changes: head, alarms, values, coverage, picture."""
    require_room(services, who, code)
    now = services.clock()
    tile = services.board.room(code, now)
    if tile is None:
        raise ProblemError(404, "没有这间库房。")
    with services.db.read() as session:
        found = rows(session, services, worst_first(alarms.open_ones(session, code)), who, now)
        line = units.path(session, tile.fact.unit)
        names = units.names(session, line)
        person = rooms.person(session, code)
        phone = rooms.duty_phone(session, tile.fact.unit)
        planned = works.page(session, None, room=code, state=works.AHEAD)
        by_hand = coverage.report(session, code, now)
        still = snapshots.of_room(session, code) if who.may(Action.PICTURES) else None
        air = airing(services, session, tile, now)
        today = _today(coverage.stretches(session, [code], day_start(now), now)[code], now)
    return screens.page(
        request,
        "_room_live.html" if part == "live" else "room.html",
        who=who,
        tile=tile,
        points=sorted(tile.points, key=_place),
        rows=found,
        path=[(unit, names.get(unit, unit)) for unit in line],
        reachable=line if who.unit is None else line[line.index(who.unit) :],
        person=person,
        phone=phone,
        still=still,
        by_hand=by_hand,
        stages=STAGES,
        manual_minutes=round(services.settings.manual_min),
        today=today,
        air=air,
        charts=[] if part else _charts(services, tile, now),
        minutes=MINUTES,
        works=planned,
    )


def _place(view: PointView) -> tuple[bool, int, str, str]:
    """Inside before outside, what a tile shows first, then by name."""
    rank = HEADLINES.index(view.quantity) if view.quantity in HEADLINES else len(HEADLINES)
    return view.channel == OUTDOOR, rank, view.quantity, view.device


def _today(spans: Sequence[coverage.Stretch], now: int) -> Today:
    start = day_start(now)
    whole = max(1, now - start)
    bars = [(s.state, 100 * (s.since - start) / whole, 100 * (s.until - s.since) / whole) for s in spans]
    return Today(share=coverage.share(spans, start, now), bars=bars)


def _charts(services: Services, tile: RoomTile, now: int) -> list[Chart]:
    charts: list[Chart] = []
    for quantity in QUANTITIES:
        sources = history.sources(services, tile.code, quantity)
        if any(not source.outdoor for source in sources):
            charts.append(_chart(services, sources, quantity, "24h", now - DAY_MS, now, 600_000, HOUR_MS))
            charts.append(_chart(services, sources, quantity, "30d", now - 30 * DAY_MS, now, HOUR_MS, DAY_MS))
    return charts


def _chart(services: Services, sources: Sequence[Source], quantity: str, span: str, start: int, end: int, step_ms: int, table_step_ms: int) -> Chart:
    outdoor = next((source.name for source in sources if source.outdoor), "")
    chart = {"quantity": quantity, "span": span, "start": start, "end": end, "step_ms": step_ms, "table_step_ms": table_step_ms, "outdoor": outdoor}
    try:
        buckets = history.steps(services, sources, start, end, table_step_ms).buckets()
    except ProblemError:  # logged where it was raised; the page must not fail with the store
        return Chart(**chart, failed=True)  # type: ignore[arg-type]
    return Chart(**chart, lines=tuple(_lines(sources, buckets, start, end, table_step_ms)))  # type: ignore[arg-type]


def _lines(sources: Sequence[Source], buckets: Sequence[Bucket], start: int, end: int, step_ms: int) -> list[Line]:
    outside = {source.ident for source in sources if source.outdoor}
    grid = start - (start + 8 * HOUR_MS) % step_ms
    lines = [_line(time, [b for b in buckets if b.time == time], outside) for time in range(grid, end, step_ms)]
    return lines[::-1]


def _line(time: int, here: Sequence[Bucket], outside: set[int]) -> Line:
    inside = [bucket for bucket in here if bucket.point not in outside]
    reference = next((bucket.mean for bucket in here if bucket.point in outside), None)
    if not inside:
        return Line(time=time, outdoor=reference)
    weight = sum(bucket.watched_ms for bucket in inside) or len(inside)
    mean = sum(bucket.mean * (bucket.watched_ms or 1) for bucket in inside) / weight
    return Line(
        time=time,
        low=min(bucket.min for bucket in inside),
        mean=mean,
        high=max(bucket.max for bucket in inside),
        watched_ms=max(bucket.watched_ms for bucket in inside),
        outdoor=reference,
    )
