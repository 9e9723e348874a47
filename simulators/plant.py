"""The physical truth behind every simulated sensor: rooms with air, paper, machines, visitors and incidents, driven by one seed.

The physics runs on a fixed grid of steps from `start_ms`, values between two grid points are interpolated: so a trajectory depends only on the seed,
the start and what was triggered when, not on how often somebody looked. Doors, smoke and overrides are exact to the millisecond.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from contract.quantities import quantity as known_quantity
from simulators import air, smoke, visits
from simulators.building import Building, Forcing, State, step
from simulators.noise import Floats, smooth
from simulators.rooms import INCIDENTS, Incident, Override, RoomSpec, UnknownRoomError, individual
from simulators.weather import DAY, HOUR, Weather

_CHUNK = 288  # steps whose forcing is prepared at once
_SPIN_UP = 2 * DAY  # machines settle before the start


class Plant:
    """All rooms of a simulation. Raises ValueError for duplicate codes or no rooms, UnknownCityError for a city without climate.

    `now` is UTC ms and only moves by `advance`.
    """

    def __init__(self, rooms: Sequence[RoomSpec], *, seed: int, start_ms: int, step_ms: int = 300_000) -> None:
        if not rooms or len({r.code for r in rooms}) != len(rooms):
            raise ValueError("a plant needs rooms with different codes")
        if not 0 < step_ms <= 300_000:
            raise ValueError(f"step of {step_ms} ms: the model is made for steps up to 300 s")
        self.rooms = tuple(rooms)
        self.seed = seed
        self.step_ms = step_ms
        self._index = {r.code: i for i, r in enumerate(self.rooms)}
        self._building = Building.of([individual(r, seed) for r in self.rooms])
        self._weather = {city: Weather(city, seed) for city in dict.fromkeys(r.city for r in self.rooms)}
        self._overrides: dict[tuple[int, str], Override] = {}
        self._incidents: dict[int, list[Incident]] = {}
        settle = _SPIN_UP // step_ms * step_ms
        self._grid = start_ms - settle  # instant of self._after
        self._chunk_start = self._grid - _CHUNK * step_ms
        self._after = self._initial(self._grid)
        self._before = self._after
        self.now = self._grid
        self.advance(start_ms)

    # -- time ------------------------------------------------------------------------------------------------

    def advance(self, to_ms: int) -> None:
        """Move to an instant. Raises ValueError when it lies in the past."""
        if to_ms < self.now:
            raise ValueError(f"time cannot run backwards: {to_ms} < {self.now}")
        while self._grid <= to_ms:
            self._before = self._after
            self._after = step(self._building, self._before, self._forcing(self._grid), self.step_ms / 1000.0)
            self._grid += self.step_ms
        self.now = to_ms

    def _initial(self, t_ms: int) -> State:
        """What two months of weather, the machines and the paper would have left behind."""
        hours = np.arange(t_ms - 60 * DAY, t_ms, HOUR, dtype=np.int64)
        past = {city: weather.series(hours) for city, weather in self._weather.items()}
        recent = np.array([past[r.city].temperature_c[-120:].mean() for r in self.rooms])
        warm = np.array([_between(t, r.heating, r.cooling) for t, r in zip(recent, self.rooms, strict=True)])
        water = np.array([air.absolute_humidity(past[r.city].temperature_c, past[r.city].humidity_percent).mean() for r in self.rooms])
        stack = np.array([past[r.city].temperature_c.mean() for r in self.rooms])
        reference = np.array([_between(t, r.heating, r.cooling) for t, r in zip(stack, self.rooms, strict=True)])
        outside = 100.0 * water / air.saturation(reference)
        humid = [_between(h, r.humidifier, r.dehumidifier) for h, r in zip(outside, self.rooms, strict=True)]
        temperature = np.array([t if r.initial_temperature is None else r.initial_temperature for t, r in zip(warm, self.rooms, strict=True)])
        phi = np.array([h if r.initial_humidity is None else r.initial_humidity for h, r in zip(humid, self.rooms, strict=True)]) / 100.0
        phi = np.clip(phi, 0.05, 0.97)
        return State(temperature, temperature.copy(), phi * air.saturation(temperature), phi, phi.copy(), np.full(len(phi), 430.0))

    def _forcing(self, t_ms: int) -> Forcing:
        if t_ms >= self._chunk_start + _CHUNK * self.step_ms:
            self._prepare(t_ms)
        k = (t_ms - self._chunk_start) // self.step_ms
        door, power = self._door[k], np.ones(len(self.rooms))
        if self._overrides or self._incidents:
            door = np.maximum(door, [self._held(i, t_ms, "door", "door_open", 1.0, 0.0) for i in range(len(self.rooms))])
            power = np.array([self._held(i, t_ms, "power", "power_cut", 0.0, 1.0) for i in range(len(self.rooms))])
        return Forcing(self._outside[k], self._outside_water[k], door, self._people[k], power, self._cooling[k])

    def _prepare(self, t_ms: int) -> None:
        """Weather and visits of the next chunk of steps."""
        self._chunk_start = t_ms
        times = t_ms + self.step_ms * np.arange(_CHUNK, dtype=np.int64)
        series = {city: weather.series(times) for city, weather in self._weather.items()}
        self._outside = np.column_stack([series[r.city].temperature_c for r in self.rooms])
        water = {city: air.absolute_humidity(s.temperature_c, s.humidity_percent) for city, s in series.items()}
        self._outside_water = np.column_stack([water[r.city] for r in self.rooms])
        spans = [visits.shares(self.seed, r.code, t_ms, self.step_ms, _CHUNK, r.visits_per_day) for r in self.rooms]
        self._door, self._people = np.column_stack([s[0] for s in spans]), np.column_stack([s[1] for s in spans])
        office = np.array([visits.working_hours(int(t)) for t in times], dtype=np.float64)
        self._cooling = np.column_stack([office if r.cooling_hours == "office" else np.ones(_CHUNK) for r in self.rooms])

    # -- acting on it ----------------------------------------------------------------------------------------

    def override(self, room: str, quantity: str, value: float | None) -> None:
        """Force a value from now on, exactly; None gives the point back to the physics. A forced door lets air through, power 0 stops the machines.

        Raises UnknownRoomError, UnknownQuantityError.
        """
        self.ramp(room, quantity, value, 0)

    def ramp(self, room: str, quantity: str, to: float | None, over_ms: int) -> None:
        """Force a value to move in a straight line from what it is now; None releases it. Raises UnknownRoomError, UnknownQuantityError."""
        key = (self._room(room), known_quantity(quantity).name)
        if to is None:
            self._overrides.pop(key, None)
            return
        origin = to if over_ms <= 0 else self.value(room, quantity)
        self._overrides[key] = Override(self.now, origin, to, over_ms)

    def forced(self, room: str, quantity: str) -> bool:
        """Whether a value is held by `override` (a ramp that has arrived counts too)."""
        held = self._overrides.get((self._room(room), quantity))
        return held is not None and self.now >= held.start + held.over_ms

    def trigger(self, room: str, kind: str, *, over_ms: int | None = None, lasts_ms: int | None = None) -> None:
        """Begin an incident of `rooms.INCIDENTS` now. `over_ms` sets the pace of smoke, `lasts_ms` ends it. Raises ValueError for an unknown kind."""
        if kind not in INCIDENTS:
            raise ValueError(f"unknown incident {kind!r}; known: {', '.join(INCIDENTS)}")
        pace = smoke.DEFAULT_OVER_MS.get(kind, 0) if over_ms is None else over_ms
        until = None if lasts_ms is None else self.now + lasts_ms
        self._incidents.setdefault(self._room(room), []).append(Incident(kind, self.now, until, max(pace, 1)))

    def clear(self, room: str) -> None:
        """End every incident and release every override of a room. Raises UnknownRoomError."""
        index = self._room(room)
        self._incidents.pop(index, None)
        self._overrides = {key: held for key, held in self._overrides.items() if key[0] != index}

    # -- looking at it ---------------------------------------------------------------------------------------

    def value(self, room: str, quantity: str) -> float:
        """The true value now, in the canonical unit; states are 0 or 1. Raises UnknownRoomError, UnknownQuantityError."""
        return self._at(self._room(room), known_quantity(quantity).name)

    def values(self, quantity: str) -> Floats:
        """The true value of every room, in the order of `rooms`. Fast for temperature and humidity. Raises UnknownQuantityError."""
        name = known_quantity(quantity).name
        if not (self._overrides or self._incidents):
            if name == "temperature":
                return self._now("temperature")
            if name == "humidity":
                return np.minimum(100.0 * self._now("water") / air.saturation(self._now("temperature")), 100.0)
        return np.array([self._at(i, name) for i in range(len(self.rooms))])

    def _room(self, code: str) -> int:
        try:
            return self._index[code]
        except KeyError:
            raise UnknownRoomError(code) from None

    def _at(self, i: int, name: str) -> float:
        held = self._overrides.get((i, name))
        if held is not None:
            return held.at(self.now)
        return _SOURCES[name](self, i) if name in _SOURCES else self._background(i, name)

    def _now(self, field: str) -> Floats:
        share = 1.0 - (self._grid - self.now) / self.step_ms
        before: Floats = getattr(self._before, field)
        after: Floats = getattr(self._after, field)
        return before + (after - before) * share

    def _active(self, i: int, kind: str, t_ms: int | None = None) -> bool:
        at = self.now if t_ms is None else t_ms
        return any(e.kind == kind and e.active(at) for e in self._incidents.get(i, ()))

    def _held(self, i: int, t_ms: int, quantity: str, kind: str, during: float, otherwise: float) -> float:
        held = self._overrides.get((i, quantity))
        if held is not None:
            return float(held.at(t_ms) >= 0.5)
        return during if self._active(i, kind, t_ms) else otherwise

    def _burning(self, i: int, effect: Callable[[str, float, float], float]) -> float:
        return sum(effect(e.kind, self.now - e.start, e.over_ms) for e in self._incidents.get(i, ()) if e.active(self.now))

    def _temperature(self, i: int) -> float:
        return float(self._now("temperature")[i]) + self._burning(i, smoke.warmth)

    def _humidity(self, i: int) -> float:
        full = air.saturation(np.array([self._temperature(i)]))
        return float(min(100.0 * self._now("water")[i] / full[0], 100.0))

    def _dew_point(self, i: int) -> float:
        return air.dew_point(self._at(i, "temperature"), self._at(i, "humidity"))

    def _smoke_density(self, i: int) -> float:
        return smoke.BACKGROUND + self._burning(i, smoke.density)

    def _smoke(self, i: int) -> float:
        return float(self._at(i, "smoke_density") >= smoke.TRIP)

    def _door_state(self, i: int) -> float:
        spec = self.rooms[i]
        visiting = visits.door_open(self.seed, spec.code, self.now, spec.visits_per_day)
        return float(visiting or self._active(i, "door_open"))

    def _motion(self, i: int) -> float:
        spec = self.rooms[i]
        return float(visits.current(self.seed, spec.code, self.now, spec.visits_per_day) is not None)

    def _leak(self, i: int) -> float:
        return float(self._active(i, "leak"))

    def _power(self, i: int) -> float:
        return float(not self._active(i, "power_cut"))

    def _outage_minutes(self, i: int) -> float:
        cuts = [e for e in self._incidents.get(i, ()) if e.kind == "power_cut" and e.active(self.now)]
        return max(((self.now - e.start) / 60_000 for e in cuts), default=0.0)

    def _runtime(self, i: int) -> float:
        return max(self.rooms[i].ups_minutes - self._outage_minutes(i), 0.0)

    def _battery(self, i: int) -> float:
        return 100.0 * self._runtime(i) / max(self.rooms[i].ups_minutes, 0.1)

    def _voltage(self, i: int) -> float:
        return self._background(i, "voltage") if self._at(i, "power") else 0.0

    def _illuminance(self, i: int) -> float:
        return 180.0 if self._at(i, "motion") and self._at(i, "power") else 0.3

    def _noise_level(self, i: int) -> float:
        return self._background(i, "noise") + 20.0 * self._at(i, "motion")

    def _co2(self, i: int) -> float:
        return float(self._now("co2")[i])

    def _co(self, i: int) -> float:
        return 0.4 + self._burning(i, smoke.carbon_monoxide)

    def _dust(self, i: int) -> float:
        return self._background(i, "pm25") + 400.0 * self._burning(i, smoke.density)

    def _coarse_dust(self, i: int) -> float:
        return 1.5 * self._at(i, "pm25")

    def _background(self, i: int, name: str) -> float:
        """A calm value that wanders over hours; 0 for what has no usual level (states, ultraviolet, age of the picture)."""
        mean, sigma = _CALM.get(name, (0.0, 0.0))
        if sigma == 0.0:
            return mean
        wander = smooth(self.seed, f"{self.rooms[i].code}/{name}", np.array([self.now / (6.0 * HOUR)]))
        return float(max(mean + sigma * wander[0], 0.0))


_CALM: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "pressure": (1010.0, 4.0),
        "o3": (0.01, 0.003),
        "nh3": (0.05, 0.02),
        "hcho": (0.03, 0.006),
        "tvoc": (140.0, 25.0),
        "pm25": (16.0, 5.0),
        "noise": (33.0, 1.5),
        "voltage": (226.0, 2.5),
    }
)

_SOURCES: Mapping[str, Callable[[Plant, int], float]] = MappingProxyType(
    {
        "temperature": Plant._temperature,
        "humidity": Plant._humidity,
        "dew_point": Plant._dew_point,
        "smoke_density": Plant._smoke_density,
        "smoke": Plant._smoke,
        "door": Plant._door_state,
        "motion": Plant._motion,
        "leak": Plant._leak,
        "power": Plant._power,
        "runtime": Plant._runtime,
        "battery": Plant._battery,
        "voltage": Plant._voltage,
        "illuminance": Plant._illuminance,
        "noise": Plant._noise_level,
        "co2": Plant._co2,
        "co": Plant._co,
        "pm25": Plant._dust,
        "pm10": Plant._coarse_dust,
    }
)


def _between(value: float, low: float | None, high: float | None) -> float:
    """What a machine with a lower and one with an upper setpoint make of a value."""
    return float(min(max(value, -1e9 if low is None else low), 1e9 if high is None else high))
