"""What papers are made from: rooms with their points, samples at fixed times, hours, shares of time. Instants are UTC ms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from server.org.judging import earlier
from server.reports.period import DAY_MS, HOUR_MS
from server.series import GOOD, Compliance, Limits, SeriesStore
from server.series.batch import Floats, Ints
from server.series.figures import Figures
from server.series.partition import ZONE_MS
from server.store import manual, steps
from server.store.session import Database
from server.store.steps import Stretch
from server.store.tables import Gateway, Person, Point, Room, Unit

Bands = Mapping[str, tuple[float | None, float | None]]
CLIMATE = ("temperature", "humidity")
OUTDOOR = "outdoor"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSettings:
    """Set times of the register (Beijing), how far from them a sample may lie, and the operator's folder of forms.

    `deadline_ms` is how long a point of this interval may be silent: the live board's own rule, because the roll-ups are made with it.
    """

    times: tuple[str, str] = ("09:00", "15:00")
    tolerance_ms: int = 15 * 60_000
    forms: Path | None = None
    deadline_ms: Callable[[int | None], int] = lambda interval_ms: max(3 * (interval_ms or 300_000), 180_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where papers take their facts from. `bands` gives the limits of a room by its own rules; `generator` is name and version of this program."""

    db: Database
    store: SeriesStore
    bands: Callable[[Room], Bands]
    generator: str
    settings: ReportSettings = field(default_factory=ReportSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A room as papers see it: names, bands, points inside and outside by quantity, and how each point is judged."""

    code: str
    name: str
    unit: str
    unit_name: str
    medium: str
    stage: str
    demanded: tuple[str, ...]
    bands: Bands
    person: str
    inside: Mapping[str, tuple[int, ...]]
    outside: Mapping[str, tuple[int, ...]]
    outside_name: str
    limits: Mapping[int, Limits]

    @property
    def sensed(self) -> bool:
        """Whether sensors measure its climate."""
        return any(self.inside.get(quantity) for quantity in CLIMATE)

    def points(self, *, outdoor: bool = True) -> list[int]:
        """All points for temperature and humidity."""
        groups = (self.inside, self.outside) if outdoor else (self.inside,)
        return sorted({ident for group in groups for quantity in CLIMATE for ident in group.get(quantity, ())})

    def band(self, quantity: str) -> tuple[float | None, float | None]:
        """Limits of a quantity, open where it has none."""
        return self.bands.get(quantity, (None, None))


class Hour(NamedTuple):
    """Means of one hour; None where nothing was measured. `watched_ms` is the time both quantities are known for."""

    time: int
    temperature: float | None
    humidity: float | None
    watched_ms: int
    out_temperature: float | None = None
    out_humidity: float | None = None


class Reading(NamedTuple):
    """A sample chosen for a set time."""

    taken_at: int
    value: float


def places(session: Session, sources: Sources, rooms: Sequence[Room]) -> list[Place]:
    """The rooms with everything that papers need, in few queries however many they are."""
    codes = [room.code for room in rooms]
    inside = _inside(session, codes)
    shared = _Shared(session)
    names = {code: (name, parent) for code, name, parent in session.execute(select(Unit.code, Unit.name, Unit.parent))}
    people = _people(session, codes)
    past = steps.of(session, {point.id for some in inside.values() for point in some} | {point.id for point, _ in shared.points.values()})
    return [_place(sources, room, inside.get(room.code, []), shared, names, people.get(room.code, ""), past) for room in rooms]


def held(sources: Sources, session: Session, points: Iterable[Point]) -> dict[int, Limits]:
    """How long samples of points hold, also of the past; without bands."""
    listed = list(points)
    past = steps.of(session, {point.id for point in listed})
    return {point.id: _held(sources, point, past) for point in listed}


def _held(sources: Sources, point: Point, past: Mapping[int, Sequence[Stretch]]) -> Limits:
    allowed = sources.settings.deadline_ms
    return Limits(allowed(point.interval_ms), earlier=earlier(past.get(point.id, ()), allowed(point.interval_ms), allowed))


def nearest(store: SeriesStore, points: Sequence[int], instants: Sequence[int], tolerance_ms: int) -> dict[tuple[int, int], Reading]:
    """The good sample nearest to each instant, at most `tolerance_ms` away; by (point, instant). The earlier one wins a tie.

    `instants` lie at one time of day in Beijing, each on another day, ascending; the tolerance is below half a day.
    """
    if not points or not instants:
        return {}
    clock = (instants[0] + ZONE_MS) % DAY_MS
    batch = store.at_clock(points, instants[0] - tolerance_ms, instants[-1] + tolerance_ms + 1, clock, tolerance_ms)
    good = batch.take((batch.quality == GOOD) & np.isfinite(batch.value))
    instant = (good.taken_at + ZONE_MS - clock + DAY_MS // 2) // DAY_MS * DAY_MS + clock - ZONE_MS
    order = np.lexsort((good.taken_at, np.abs(good.taken_at - instant), instant, good.point))
    point, instant = good.point[order], instant[order]
    first = np.flatnonzero((np.diff(point, prepend=-1) != 0) | (np.diff(instant, prepend=-1) != 0))
    chosen = good.take(order[first])
    readings = map(Reading, chosen.taken_at.tolist(), chosen.value.tolist())
    return dict(zip(zip(chosen.point.tolist(), instant[first].tolist(), strict=True), readings, strict=True))


def hours(store: SeriesStore, place: Place, start: int, end: int, step_ms: int = HOUR_MS) -> list[Hour]:
    """Hourly means inside and outside, hour by hour without holes. Several points of a quantity are averaged."""
    times = range(start, end, step_ms)
    idents = place.points()
    figures = store.figures({ident: place.limits[ident] for ident in idents}, start, end, step_ms) if idents and times else Figures.none()

    def course(group: Mapping[str, tuple[int, ...]], quantity: str) -> _Course:
        return _course(figures, group.get(quantity, ()), start, step_ms, len(times))

    inside, outside = ([course(group, quantity) for quantity in CLIMATE] for group in (place.inside, place.outside))
    known = np.minimum(inside[0].watched, inside[1].watched).tolist()
    columns = (_listed(each.mean) for each in (*inside, *outside))
    return [Hour(*row) for row in zip(times, *(next(columns) for _ in range(2)), known, *columns, strict=True)]


def compliances(store: SeriesStore, found: Sequence[Place], start: int, end: int) -> dict[tuple[str, str], Compliance]:
    """Time in the room's band and time known, ms, by (room, quantity). Several points of a quantity are averaged, so that time counts once."""
    limits = {i: place.limits[i] for place in found for quantity in CLIMATE for i in place.inside.get(quantity, ())}
    known: dict[int, tuple[int, int]] = {}
    if limits and end > start:
        figures = store.figures(limits, start, end)
        known = dict(zip(figures.point.tolist(), zip(figures.in_band_ms.tolist(), figures.watched_ms.tolist(), strict=True), strict=True))
    result: dict[tuple[str, str], Compliance] = {}
    for place in found:
        for quantity in CLIMATE:
            parts = [known.get(ident, (0, 0)) for ident in place.inside.get(quantity, ())]
            count = max(len(parts), 1)
            result[place.code, quantity] = Compliance(sum(part[0] for part in parts) // count, sum(part[1] for part in parts) // count)
    return result


def share(part: int, whole: int) -> float | None:
    """Percent, None of nothing; cut to one decimal so that 99.96 is never complete."""
    return None if whole <= 0 else int(1000 * part / whole) / 10


def chunks(codes: Sequence[Room], size: int = 200) -> Iterable[Sequence[Room]]:
    """Rooms in portions, so that a province does not lie in memory at once."""
    return (codes[offset : offset + size] for offset in range(0, len(codes), size))


def _inside(session: Session, codes: Sequence[str]) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = defaultdict(list)
    for offset in range(0, len(codes), 500):
        query = select(Point).where(
            Point.room.in_(codes[offset : offset + 500]), Point.quantity.in_((*CLIMATE, "door")), Point.gateway != manual.GATEWAY
        )
        for point in session.scalars(query.order_by(Point.id)):
            found[point.room or ""].append(point)
    return found


class _Shared:
    """Outdoor probes of no room, by the unit of their gateway: a room uses those of the nearest unit above it."""

    def __init__(self, session: Session) -> None:
        outside = or_(Point.device == OUTDOOR, Point.channel == OUTDOOR)
        query = select(Point, Gateway).join(Gateway, Gateway.code == Point.gateway).where(Point.room.is_(None), Point.quantity.in_(CLIMATE), outside)
        self.points: dict[tuple[str, str], tuple[Point, str]] = {}
        for point, gateway in session.execute(query.order_by(Point.id)):
            self.points.setdefault((gateway.unit or "", point.quantity), (point, gateway.name or gateway.code))

    def of(self, unit: str | None, quantity: str, names: Mapping[str, tuple[str, str | None]]) -> tuple[Point, str] | None:
        """The nearest probe upwards."""
        while unit is not None and unit in names:
            if (unit, quantity) in self.points:
                return self.points[unit, quantity]
            unit = names[unit][1]
        return None


def _people(session: Session, codes: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for offset in range(0, len(codes), 500):
        query = select(Room.code, Person.name).join(Person, Person.id == Room.person).where(Room.code.in_(codes[offset : offset + 500]))
        found.update({row.code: row.name for row in session.execute(query)})
    return found


def _place(
    sources: Sources,
    room: Room,
    points: Sequence[Point],
    shared: _Shared,
    names: Mapping[str, tuple[str, str | None]],
    person: str,
    past: Mapping[int, Sequence[Stretch]],
) -> Place:
    bands = sources.bands(room)
    inside: dict[str, tuple[int, ...]] = {}
    outside: dict[str, tuple[int, ...]] = {}
    limits: dict[int, Limits] = {}
    for point in points:
        outdoor = point.channel == OUTDOOR
        group = outside if outdoor else inside
        group[point.quantity] = (*group.get(point.quantity, ()), point.id)
        low, high = (None, None) if outdoor else bands.get(point.quantity, (None, None))
        limits[point.id] = _held(sources, point, past)._replace(low=low, high=high)
    outside_name = "本库室外探头" if outside else ""
    for quantity in CLIMATE:
        found = None if quantity in outside else shared.of(room.unit, quantity, names)
        if found is not None:
            outside[quantity], outside_name = (found[0].id,), found[1]
            limits[found[0].id] = _held(sources, found[0], past)
    return Place(
        code=room.code,
        name=room.name,
        unit=room.unit,
        unit_name=names[room.unit][0],
        medium=room.medium,
        stage=room.stage,
        demanded=tuple(room.demanded),
        bands=bands,
        person=person,
        inside=inside,
        outside=outside,
        outside_name=outside_name,
        limits=limits,
    )


class _Course(NamedTuple):
    """What a quantity did step by step: the mean, NaN in a step without any, and the time for which it is known, ms."""

    mean: Floats
    watched: Ints


def _course(figures: Figures, idents: Sequence[int], start: int, step_ms: int, steps: int) -> _Course:
    """Of several points: their mean weighted by the time each is known for, and the longest such time."""
    weight, total, watched = np.zeros(steps), np.zeros(steps), np.zeros(steps, dtype=np.int64)
    for ident in idents:
        mine = figures.point == ident
        at, known = (figures.time[mine] - start) // step_ms, figures.watched_ms[mine]
        weight[at] += known
        total[at] += figures.mean[mine] * known
        watched[at] = np.maximum(watched[at], known)
    mean = np.full(steps, np.nan)
    np.divide(total, weight, out=mean, where=weight > 0)
    return _Course(mean, watched)


def _listed(values: Floats) -> list[float | None]:
    """As a list, with None for NaN."""
    return [None if isnan(value) else value for value in values.tolist()]
