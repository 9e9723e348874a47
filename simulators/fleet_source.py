"""Where the readings of the fleet come from, and which points it has when no file names them."""

from collections.abc import Sequence
from typing import Protocol

from contract.sample import Sample
from simulators.faults import Probe
from simulators.ledger import value_at
from simulators.plant import Plant
from simulators.province_rows import Point, Room, room_spec
from simulators.weather import Weather


class Source(Protocol):
    """Something that can be measured."""

    def read(self, points: Sequence[Point], at: int) -> list[Sample]:
        """One reading per point, taken at `at` (UTC ms); `at` never runs backwards."""


class LedgerSource:
    """Self-describing values: `ledger.value_at(point, taken_at)`."""

    def __init__(self) -> None:
        self._names: dict[Point, str] = {}

    def read(self, points: Sequence[Point], at: int) -> list[Sample]:
        """One reading per point."""
        return [Sample(p.key, at, value_at(self._names.get(p) or self._name(p), at)) for p in points]

    def _name(self, point: Point) -> str:
        return self._names.setdefault(point, str(point.key))


class PlantSource:
    """The simulated rooms through imperfect sensors, and the weather for points without a room.

    Raises ValueError for a point in a room that is not among `rooms`, UnknownCityError for a unit outside the province.
    """

    def __init__(self, points: Sequence[Point], rooms: Sequence[Room], *, seed: int, start: int) -> None:
        measured = {p.room for p in points if p.room}
        specs = [room_spec(room) for room in rooms if room.code in measured]
        if missing := measured - {spec.code for spec in specs}:
            raise ValueError(f"rooms.csv has no room {min(missing)}")
        self._plant = Plant(specs, seed=seed, start_ms=start) if specs else None
        self._weather = {p.unit: Weather(p.unit, seed) for p in points if not p.room}
        self._probes = {p: Probe(p.quantity, seed, str(p.key)) for p in points}

    def read(self, points: Sequence[Point], at: int) -> list[Sample]:
        """One reading per point."""
        if self._plant is not None:
            self._plant.advance(max(at, self._plant.now))
        return [Sample(p.key, at, round(self._probes[p].read(self._true(p, at), at), 4)) for p in points]

    def _true(self, point: Point, at: int) -> float:
        if point.room and self._plant is not None:
            return self._plant.value(point.room, point.quantity)
        outdoor = self._weather[point.unit].at(at)
        return outdoor.temperature_c if point.quantity == "temperature" else outdoor.humidity_percent


def synthetic(gateways: int, points: int, interval_s: int, *, group: str = "350100", prefix: str = "FL") -> list[Point]:
    """Points that no file names: temperature and humidity in turn, devices th1, th2, …; unit is the city of the group.

    Raises ValueError for counts below 1.
    """
    if min(gateways, points, interval_s) < 1:
        raise ValueError("gateways, points and interval must be at least 1")
    made = []
    for g in range(1, gateways + 1):
        named = (f"{prefix}-{g:04d}", f"负载网关{g}", f"{group}000000", group)
        for p in range(points):
            quantity = "humidity" if p % 2 else "temperature"
            made.append(Point(*named, f"th{p // 2 + 1}", "", quantity, "", "", interval_s, "measure", "fleet"))
    return made
