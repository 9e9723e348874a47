"""History of a quantity in one room or several: buckets or raw samples, measured or derived, with the outdoor reference where there is one."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query
from pydantic import TypeAdapter
from starlette.responses import Response

from contract.quantities import QUANTITIES
from server.org import sources as found_in
from server.org.judging import limits_of
from server.org.sources import Source
from server.series import Bucket, SeriesError, derived
from server.series.derived import DERIVED
from server.web.api.common import PROBLEMS, From, To, Viewer, at, span
from server.web.api.room_models import BucketView, HistoryView, SeriesView
from server.web.auth import Principal, ServicesOf, require_room
from server.web.problems import ProblemError, invalid
from server.web.services import Services

log = logging.getLogger("server.web")
router = APIRouter(tags=["history"], responses=PROBLEMS)

DAY_MS = 86_400_000
LONGEST_MS = 3_700 * DAY_MS
MOST_BUCKETS = 20_000
MOST_RAW = 50_000
MOST_ROOMS = 20
_BEIJING_MS = 8 * 3_600_000
_STEPS_S = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
_ONE, _MANY = TypeAdapter(HistoryView), TypeAdapter(list[HistoryView])
_QUALITY = ("bad", "uncertain", "good", "stale")


def sources(services: Services, room: str, quantity: str) -> list[Source]:
    """The points of a quantity in a room, and one outdoor reference: the room's own probe, else the shared one of the nearest unit."""
    with services.db.read() as session:
        return found_in.sources(session, room, quantity)


def buckets(services: Services, found: Sequence[Source], start: int, end: int, step_ms: int) -> list[Bucket]:
    """Buckets of the store, on a grid that begins at midnight in Beijing. Raises ProblemError 503 when the store cannot answer."""
    grid = start - (start + _BEIJING_MS) % step_ms
    with answering():
        return services.store.figures(limits_of(services.board, [s.ident for s in found]), grid, end, step_ms).buckets() if found else []


@contextmanager
def answering() -> Iterator[None]:
    """A store that fails becomes ProblemError 503."""
    try:
        yield
    except SeriesError as error:
        log.warning("history cannot be read: %s", error)
        raise ProblemError(503, "历史数据暂时取不到，实时值守不受影响。", headers={"Retry-After": "10"}) from error


Quantity = Annotated[str, Query(description=f"measured, e.g. temperature, humidity; or derived from these two: {', '.join(DERIVED)}")]
Step = Annotated[str, Query(pattern="^(raw|[1-9][0-9]{0,7})?$", description="seconds, or `raw`; left out: chosen by the range, or by `pixels`")]
Pixels = Annotated[int | None, Query(ge=10, le=10_000, description="width of the drawing: one bucket with minimum and maximum per pixel")]


@router.get("/rooms/{code}/history", operation_id="getHistory", response_model=HistoryView)
def history(
    code: str,
    who: Viewer,
    services: ServicesOf,
    quantity: Quantity,
    start: From = None,
    end: To = None,
    step: Step = "",
    pixels: Pixels = None,
) -> Response:
    """Buckets of a quantity, or its raw samples. The default range is the last 24 hours."""
    return _answer(_ONE, views(services, who, [code], quantity, (start, end), step, pixels)[0])


@router.get("/history", operation_id="compareHistory", response_model=list[HistoryView])
def compare(
    who: Viewer,
    services: ServicesOf,
    room: Annotated[list[str], Query(min_length=1, max_length=MOST_ROOMS, description="codes of the rooms to compare")],
    quantity: Quantity,
    start: From = None,
    end: To = None,
    step: Step = "",
    pixels: Pixels = None,
) -> Response:
    """The same of several rooms, each as `getHistory` gives it, in the order asked for."""
    return _answer(_MANY, views(services, who, room, quantity, (start, end), step, pixels))


def views(
    services: Services,
    who: Principal,
    rooms: Sequence[str],
    quantity: str,
    given: tuple[datetime | None, datetime | None],
    step: str = "",
    pixels: int | None = None,
) -> list[HistoryView]:
    """History of rooms in the order asked for. Raises ProblemError: 403, 404, 422, 503."""
    for code in rooms:
        require_room(services, who, code)
    asked = _Range.of(services.clock(), quantity, given, step, pixels)
    return [_room(services, code, quantity, asked) for code in dict.fromkeys(rooms)]


def _answer(form: TypeAdapter[Any], content: object) -> Response:
    """Written in one go: the framework's way, object by object, takes ten times as long for a month of samples."""
    return Response(form.dump_json(content, by_alias=True), media_type="application/json")


class _Range(NamedTuple):
    """What is asked for: instants in UTC ms, the step or None for raw samples."""

    since: int
    until: int
    step_ms: int | None

    @classmethod
    def of(cls, now: int, quantity: str, given: tuple[datetime | None, datetime | None], step: str, pixels: int | None) -> "_Range":
        if quantity not in QUANTITIES and quantity not in DERIVED:
            raise invalid("没有这种测量量。", "query.quantity", f"one of {', '.join((*QUANTITIES, *DERIVED))}")
        since, until = span(*given, default=(now - DAY_MS, now), longest_ms=LONGEST_MS)
        return cls(since, until, None if step == "raw" else _step(step, since, until, pixels))


def _room(services: Services, code: str, quantity: str, asked: _Range) -> HistoryView:
    found = sources(services, code, quantity) if quantity in QUANTITIES else []
    series = _measured(services, found, asked) if found or quantity not in DERIVED else _derived(services, code, quantity, asked)
    fact = services.board.room_fact(code)
    return HistoryView(
        room=code,
        quantity=quantity,
        unit=QUANTITIES[quantity].unit if quantity in QUANTITIES else DERIVED[quantity].unit,
        since=at(asked.since),
        until=at(asked.until),
        step_s=None if asked.step_ms is None else asked.step_ms // 1000,
        band=None if fact is None else fact.band.get(quantity),
        derived=not found and quantity in DERIVED,
        series=series,
    )


def _measured(services: Services, found: Sequence[Source], asked: _Range) -> list[SeriesView]:
    parts = (
        _raw(services, found, asked.since, asked.until) if asked.step_ms is None else _views(buckets(services, found, *asked))  # type: ignore[arg-type]
    )
    return [_view(source, source.key, parts.get(source.ident, [])) for source in found]


def _derived(services: Services, code: str, quantity: str, asked: _Range) -> list[SeriesView]:
    with services.db.read() as session:
        pairs = found_in.pairs(session, code)
    airs = [derived.Air(pair.temperature.ident, pair.humidity.ident) for pair in pairs]
    limits = limits_of(services.board, {point for air in airs for point in air})
    shown: dict[derived.Air, list[BucketView]] = {}
    with answering():
        if asked.step_ms is None:
            for air in airs:
                times, values = derived.samples(services.store, air, limits, quantity, asked.since, asked.until)
                _must_be_few(len(times))
                shown[air] = [_point(time, value, "good") for time, value in zip(times, values, strict=True)]
        elif airs:
            grid = asked.since - (asked.since + _BEIJING_MS) % asked.step_ms
            found = derived.figures(services.store, airs, limits, quantity, grid, asked.until, asked.step_ms)
            shown = {air: next(iter(_views(some.buckets()).values()), []) for air, some in found.items()}
    return [_view(pair.temperature, pair.temperature.named(quantity), shown[air]) for pair, air in zip(pairs, airs, strict=True)]


def _view(source: Source, key: str, shown: list[BucketView]) -> SeriesView:
    return SeriesView(point=key, point_id=source.ident, outdoor=source.outdoor, source=source.name, buckets=shown)


def _step(step: str, since: int, until: int, pixels: int | None) -> int:
    if step:
        chosen = int(step) * 1000
    elif pixels is not None:
        chosen = -(-(until - since) // (1000 * pixels)) * 1000
        # A whole number of hours or days is read from the roll-ups.
        chosen = next((-(-chosen // width) * width for width in (DAY_MS, 3_600_000) if chosen >= width), chosen)
    else:
        chosen = next((s for s in _STEPS_S if (until - since) <= s * 1000 * 800), _STEPS_S[-1]) * 1000
    if (until - since) > chosen * MOST_BUCKETS:
        raise invalid(f"一次最多取 {MOST_BUCKETS} 段，请加大间隔或缩短时间。", "query.step", "too fine for this range")
    return chosen


def _views(found: Sequence[Bucket]) -> dict[int, list[BucketView]]:
    parts: dict[int, list[BucketView]] = {}
    for bucket in found:
        view = BucketView(
            time=at(bucket.time), min=bucket.min, mean=bucket.mean, max=bucket.max, count=bucket.count, watched_s=bucket.watched_ms / 1000
        )
        parts.setdefault(bucket.point, []).append(view)
    return parts


def _raw(services: Services, found: Sequence[Source], since: int, until: int) -> dict[int, list[BucketView]]:
    with answering():
        rows = services.store.raw([s.ident for s in found], since, until, MOST_RAW + 1) if found else []
    _must_be_few(len(rows))
    parts: dict[int, list[BucketView]] = {}
    for row in rows:
        parts.setdefault(row.point_id, []).append(_point(row.taken_at, row.value, _QUALITY[row.quality]))
    return parts


def _must_be_few(samples: int) -> None:
    if samples > MOST_RAW:
        raise invalid(f"一次最多取 {MOST_RAW} 条原始数据，请缩短时间。", "query.step", "too many raw samples")


def _point(time: int, value: float | None, quality: str) -> BucketView:
    return BucketView(time=at(time), min=value, mean=value, max=value, count=1, watched_s=0, quality=quality)
