"""History of a quantity in a room: buckets or raw samples, per point, with the outdoor reference where there is one."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query

from contract.quantities import QUANTITIES
from server.history.limits import limits_of
from server.live.board import OUTDOOR
from server.series import Bucket, Row, SeriesError
from server.store import rooms
from server.store.tables import Point
from server.web.api.common import PROBLEMS, From, To, Viewer, at, span
from server.web.api.models import BucketView, HistoryView, SeriesView
from server.web.auth import ServicesOf, require_room
from server.web.problems import ProblemError, invalid
from server.web.services import Services

log = logging.getLogger("server.web")
router = APIRouter(tags=["history"], responses=PROBLEMS)

DAY_MS = 86_400_000
LONGEST_MS = 3_700 * DAY_MS
MOST_BUCKETS = 20_000
MOST_RAW = 50_000
_BEIJING_MS = 8 * 3_600_000
_STEPS_S = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
_QUALITY = ("bad", "uncertain", "good", "stale")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A point whose history is shown; `name` says where an outdoor reference stands."""

    ident: int
    key: str
    outdoor: bool = False
    name: str = ""


def sources(services: Services, room: str, quantity: str) -> list[Source]:
    """The points of a quantity in a room, and one outdoor reference: the room's own probe, else the shared one of the nearest unit."""
    with services.db.read() as session:
        own = [_source(row, row.channel == OUTDOOR, row.device) for row in rooms.points(session, room, quantity)]
        here = rooms.get(session, room)
        if here is None or any(source.outdoor for source in own):
            return own
        shared = rooms.shared_outdoor(session, here.unit, quantity)
        return own if shared is None else [*own, _source(shared[0], True, shared[1])]


def buckets(services: Services, found: Sequence[Source], start: int, end: int, step_ms: int) -> list[Bucket]:
    """Buckets of the store, on a grid that begins at midnight in Beijing. Raises ProblemError 503 when the store cannot answer."""
    grid = start - (start + _BEIJING_MS) % step_ms
    try:
        return services.store.figures(limits_of(services.board, [s.ident for s in found]), grid, end, step_ms).buckets() if found else []
    except SeriesError as error:
        log.warning("history cannot be read: %s", error)
        raise ProblemError(503, "历史数据暂时取不到，实时值守不受影响。", headers={"Retry-After": "10"}) from error


@router.get("/rooms/{code}/history", operation_id="getHistory")
def history(
    code: str,
    who: Viewer,
    services: ServicesOf,
    quantity: Annotated[str, Query(description="e.g. temperature, humidity")],
    start: From = None,
    end: To = None,
    step: Annotated[str, Query(pattern="^(raw|[1-9][0-9]{0,7})?$", description="seconds, or `raw`; left out: chosen by the range")] = "",
) -> HistoryView:
    """Buckets of a quantity, or its raw samples. The default range is the last 24 hours."""
    require_room(services, who, code)
    if quantity not in QUANTITIES:
        raise invalid("没有这种测量量。", "query.quantity", f"one of {', '.join(QUANTITIES)}")
    now = services.clock()
    since, until = span(start, end, default=(now - DAY_MS, now), longest_ms=LONGEST_MS)
    found = sources(services, code, quantity)
    step_ms = None if step == "raw" else _step(step, since, until)
    parts = _raw(services, found, since, until) if step_ms is None else _buckets(services, found, since, until, step_ms)
    tile = services.board.room(code, now)
    return HistoryView(
        room=code,
        quantity=quantity,
        unit=QUANTITIES[quantity].unit,
        since=at(since),
        until=at(until),
        step_s=None if step_ms is None else step_ms // 1000,
        band=None if tile is None else tile.fact.band.get(quantity),
        series=[
            SeriesView(point=source.key, point_id=source.ident, outdoor=source.outdoor, source=source.name, buckets=parts.get(source.ident, []))
            for source in found
        ],
    )


def _source(row: Point, outdoor: bool, name: str) -> Source:
    key = "/".join(part for part in (row.gateway, row.device, row.quantity, row.channel) if part)
    return Source(ident=row.id, key=key, outdoor=outdoor, name=name if outdoor else "")


def _step(step: str, since: int, until: int) -> int:
    seconds = int(step) if step else next((s for s in _STEPS_S if (until - since) <= s * 1000 * 800), _STEPS_S[-1])
    if (until - since) > seconds * 1000 * MOST_BUCKETS:
        raise invalid(f"一次最多取 {MOST_BUCKETS} 段，请加大间隔或缩短时间。", "query.step", "too fine for this range")
    return seconds * 1000


def _buckets(services: Services, found: Sequence[Source], since: int, until: int, step_ms: int) -> dict[int, list[BucketView]]:
    parts: dict[int, list[BucketView]] = {}
    for bucket in buckets(services, found, since, until, step_ms):
        view = BucketView(
            time=at(bucket.time), min=bucket.min, mean=bucket.mean, max=bucket.max, count=bucket.count, watched_s=bucket.watched_ms / 1000
        )
        parts.setdefault(bucket.point, []).append(view)
    return parts


def _raw(services: Services, found: Sequence[Source], since: int, until: int) -> dict[int, list[BucketView]]:
    try:
        rows = services.store.raw([s.ident for s in found], since, until, MOST_RAW + 1) if found else []
    except SeriesError as error:
        raise ProblemError(503, "历史数据暂时取不到，实时值守不受影响。", headers={"Retry-After": "10"}) from error
    if len(rows) > MOST_RAW:
        raise invalid(f"一次最多取 {MOST_RAW} 条原始数据，请缩短时间。", "query.step", "too many raw samples")
    parts: dict[int, list[BucketView]] = {}
    for row in rows:
        parts.setdefault(row.point_id, []).append(_sample(row))
    return parts


def _sample(row: Row) -> BucketView:
    return BucketView(time=at(row.taken_at), min=row.value, mean=row.value, max=row.value, count=1, watched_s=0, quality=_QUALITY[row.quality])
