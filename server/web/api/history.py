"""History of a quantity in one room or several: buckets or raw samples, measured or derived, with the outdoor reference where there is one."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, NamedTuple

from fastapi import Query
from starlette.responses import Response

from contract.quantities import QUANTITIES
from server.org import sources as found_in
from server.org.judging import limits_of
from server.org.sources import Source
from server.series import Limits, SeriesError, derived
from server.series.batch import Batch, sorting
from server.series.derived import DERIVED
from server.series.figures import Figures
from server.web.api import history_shapes
from server.web.api.common import PROBLEMS, From, To, Viewer, at, span
from server.web.api.history_shapes import Bucket, History, Series
from server.web.api.room_models import HistoryView
from server.web.auth import Principal, ServicesOf, require_room
from server.web.problems import ProblemError, invalid
from server.web.routers import api_router
from server.web.services import Services

log = logging.getLogger("server.web")
router = api_router("history", refusals=PROBLEMS)

DAY_MS = 86_400_000
LONGEST_MS = 3_700 * DAY_MS
MOST_BUCKETS = 20_000
MOST_RAW = 50_000
MOST_ROOMS, MOST_QUANTITIES = 20, 8
_BEIJING_MS = 8 * 3_600_000
_STEPS_S = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
_PIECE_MS = 31 * DAY_MS
"""So much is read before the samples are counted: a range of years must not fill the memory to be refused."""


def sources(services: Services, room: str, quantity: str) -> list[Source]:
    """The points of a quantity in a room, and one outdoor reference: the room's own probe, else the shared one of the nearest unit."""
    with services.db.read() as session:
        return found_in.sources(session, room, quantity)


def steps(services: Services, found: Sequence[Source], start: int, end: int, step_ms: int) -> Figures:
    """Steps of the store, on a grid that begins at midnight in Beijing. Raises ProblemError 503 when the store cannot answer."""
    if not found:
        return Figures.none()
    with answering():
        return services.store.figures(judged(services, [s.ident for s in found]), start - (start + _BEIJING_MS) % step_ms, end, step_ms)


def judged(services: Services, points: Iterable[int]) -> dict[int, Limits]:
    """How points are judged: holds, also of the past, and bands."""
    with services.db.read() as session:
        return limits_of(session, services.board, points, services.watch_settings.allowed_ms)


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
    return _answer(views(services, who, [code], [quantity], (start, end), step, pixels)[0])


@router.get("/history", operation_id="compareHistory", response_model=list[HistoryView])
def compare(
    who: Viewer,
    services: ServicesOf,
    room: Annotated[list[str], Query(min_length=1, max_length=MOST_ROOMS, description="codes of the rooms to compare")],
    quantity: Annotated[list[str], Query(min_length=1, max_length=MOST_QUANTITIES, description="one or several, as `getHistory` has them")],
    start: From = None,
    end: To = None,
    step: Step = "",
    pixels: Pixels = None,
) -> Response:
    """The same of several rooms and quantities, each as `getHistory` gives it, in the order asked for: all quantities of a room, then the next."""
    return _answer(views(services, who, room, quantity, (start, end), step, pixels))


def views(
    services: Services,
    who: Principal,
    rooms: Sequence[str],
    quantities: Sequence[str],
    given: tuple[datetime | None, datetime | None],
    step: str = "",
    pixels: int | None = None,
) -> list[History]:
    """History of rooms in the order asked for, all quantities of one after the other. Raises ProblemError: 403, 404, 422, 503."""
    for code in rooms:
        require_room(services, who, code)
    asked = _Range.of(services.clock(), quantities, given, step, pixels)
    wanted = [(code, quantity) for code in dict.fromkeys(rooms) for quantity in dict.fromkeys(quantities)]
    with services.db.read() as session:
        found = {pair: found_in.sources(session, *pair) if pair[1] in QUANTITIES else [] for pair in wanted}
    parts = _measured(services, [source for some in found.values() for source in some], asked)
    return [_view(services, code, quantity, found[code, quantity], parts, asked) for code, quantity in wanted]


def _answer(content: History | list[History]) -> Response:
    return Response(history_shapes.encoded(content), media_type="application/json")


class _Range(NamedTuple):
    """What is asked for: instants in UTC ms, the step or None for raw samples."""

    since: int
    until: int
    step_ms: int | None

    @classmethod
    def of(cls, now: int, quantities: Iterable[str], given: tuple[datetime | None, datetime | None], step: str, pixels: int | None) -> "_Range":
        if not QUANTITIES.keys() | DERIVED.keys() >= set(quantities):
            raise invalid("没有这种测量量。", "query.quantity", f"one of {', '.join((*QUANTITIES, *DERIVED))}")
        since, until = span(*given, default=(now - DAY_MS, now), longest_ms=LONGEST_MS)
        return cls(since, until, None if step == "raw" else _step(step, since, until, pixels))


def _view(services: Services, code: str, quantity: str, found: Sequence[Source], parts: Mapping[int, list[Bucket]], asked: _Range) -> History:
    series = [_series(source, source.key, parts.get(source.ident, [])) for source in found]
    follows = not found and quantity in DERIVED
    if follows:
        series = _derived(services, code, quantity, asked)
    fact = services.board.room_fact(code)
    return History(
        room=code,
        quantity=quantity,
        unit=QUANTITIES[quantity].unit if quantity in QUANTITIES else DERIVED[quantity].unit,
        since=at(asked.since),
        until=at(asked.until),
        step_s=None if asked.step_ms is None else asked.step_ms // 1000,
        band=None if fact is None else fact.band.get(quantity),
        derived=follows,
        series=series,
    )


def _series(source: Source, key: str, shown: list[Bucket]) -> Series:
    return Series(point=key, point_id=source.ident, outdoor=source.outdoor, source=source.name, buckets=shown)


def _measured(services: Services, found: Sequence[Source], asked: _Range) -> dict[int, list[Bucket]]:
    """What was measured at each point, read from the store at once."""
    if asked.step_ms is not None:
        return history_shapes.steps(steps(services, found, asked.since, asked.until, asked.step_ms))
    points, read = sorted({source.ident for source in found}), list[Batch]()
    with answering():
        for since in range(asked.since, asked.until, _PIECE_MS):
            read.append(services.store.samples(points, since, min(since + _PIECE_MS, asked.until)) if points else Batch.of(()))
            _must_be_few(sum(map(len, read)))
    whole = Batch.joined(read)
    return history_shapes.raw(whole.take(sorting(whole.point, whole.taken_at)))


def _derived(services: Services, code: str, quantity: str, asked: _Range) -> list[Series]:
    with services.db.read() as session:
        pairs = found_in.pairs(session, code)
    airs = [derived.Air(pair.temperature.ident, pair.humidity.ident) for pair in pairs]
    limits = judged(services, {point for air in airs for point in air})
    shown: dict[derived.Air, list[Bucket]] = {}
    with answering():
        if asked.step_ms is None:
            for air in airs:
                times, values = derived.samples(services.store, air, limits, quantity, asked.since, asked.until)
                _must_be_few(len(times))
                shown[air] = history_shapes.samples(times, values)
        elif airs:
            grid = asked.since - (asked.since + _BEIJING_MS) % asked.step_ms
            found = derived.figures(services.store, airs, limits, quantity, grid, asked.until, asked.step_ms)
            shown = {air: next(iter(history_shapes.steps(some).values()), []) for air, some in found.items()}
    return [_series(pair.temperature, pair.temperature.named(quantity), shown[air]) for pair, air in zip(pairs, airs, strict=True)]


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


def _must_be_few(samples: int) -> None:
    if samples > MOST_RAW:
        raise invalid(f"一次最多取 {MOST_RAW} 条原始数据，请缩短时间。", "query.step", "too many raw samples")
