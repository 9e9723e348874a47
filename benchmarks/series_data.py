"""Made-up histories for the benchmarks of the series store: rooms of several points, day by day, so that a month never lies in memory at once.

Noise and resolution are those of common probes (simulators.faults: ±0.06 °C, ±0.35 %RH, both to 0.1); states repeat themselves with every polling, as
our gateways send them. How well samples compress depends on little else: a noiseless series takes a fifth.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from server.series import Limits
from server.series.batch import Batch, Floats
from server.series.partition import DAY_MS, day_of, day_start
from simulators.faults import SENSORS, Sensor

START = day_start(day_of(1_760_000_000_000))
MINUTE = 60_000
HOUR = 3_600_000
LOW, HIGH, HOLD_MS = 20.0, 52.0, 180_000  # one band for all series: temperature wavers about its lower limit, humidity about its upper


class Kind(NamedTuple):
    """How a quantity moves: about a level, with a daily swing and a walk (per square root of a minute), read by its sensor."""

    level: float
    swing: float
    walk: float
    sensor: Sensor


CLIMATE = (Kind(20, 0.8, 0.02, SENSORS["temperature"]), Kind(52, -2.5, 0.06, SENSORS["humidity"]))
KINDS: tuple[Kind | float, ...] = (*CLIMATE, 0.0, 0.003, *CLIMATE)  # of a room's points, in their order; a number: a state, and how often it is 1
POINTS_OF_ROOM = len(KINDS)


class Plan(NamedTuple):
    """How much: rooms of six points over so many days, a sample of each point every `step_ms`."""

    rooms: int
    days: int
    step_ms: int = MINUTE
    points_of_room: int = POINTS_OF_ROOM

    @property
    def points(self) -> int:
        return self.rooms * self.points_of_room

    @property
    def samples(self) -> int:
        return self.points * self.days * (DAY_MS // self.step_ms)

    @property
    def end(self) -> int:
        return START + self.days * DAY_MS

    def room(self, number: int) -> list[int]:
        """Point ids of a room."""
        first = 1 + number % self.rooms * self.points_of_room
        return list(range(first, first + self.points_of_room))

    def limits(self, points: list[int] | None = None) -> dict[int, Limits]:
        """How the points are judged: all of them, or these."""
        return dict.fromkeys(range(1, self.points + 1) if points is None else points, Limits(max(HOLD_MS, 3 * self.step_ms), LOW, HIGH))


def days(plan: Plan, seed: int = 1) -> Iterator[Batch]:
    """A batch for each day, in order of time as samples arrive: on whole seconds, 0.3 to 0.9 s late."""
    chance = np.random.default_rng(seed)
    instants = DAY_MS // plan.step_ms
    point = np.tile(np.arange(1, plan.points + 1, dtype=np.int64), instants)
    good, no_reason = np.full(len(point), 2, np.uint8), np.zeros(len(point), np.int32)
    drift = np.zeros(plan.points)
    for day in range(plan.days):
        read = np.empty((instants, plan.points))
        for number, kind in enumerate(KINDS[: plan.points_of_room]):
            mine = slice(number, None, plan.points_of_room)
            read[:, mine], drift[mine] = _day(kind, drift[mine], plan.step_ms, chance)
        taken = START + day * DAY_MS + np.repeat(np.arange(instants, dtype=np.int64) * plan.step_ms, plan.points)
        yield Batch(point, taken, read.ravel(), good, taken + np.repeat(chance.integers(300, 900, instants), plan.points), no_reason)


def _day(kind: Kind | float, drift: Floats, step_ms: int, chance: np.random.Generator) -> tuple[Floats, Floats]:
    """A day of one point of each room (rows are instants), and how far each has drifted at its end."""
    shape = (DAY_MS // step_ms, len(drift))
    if not isinstance(kind, Kind):
        return (chance.random(shape) < kind).astype(np.float64), drift
    walk = drift + np.cumsum(chance.normal(0, kind.walk * (step_ms / MINUTE) ** 0.5, shape), axis=0)
    swing = kind.swing * np.sin(np.linspace(0, 2 * np.pi, shape[0], endpoint=False))[:, None]
    read = kind.level + swing + walk + chance.normal(0, kind.sensor.sigma, shape)
    return np.round(np.round(read / kind.sensor.resolution) * kind.sensor.resolution, 4), 0.9 * walk[-1]


def pieces(batch: Batch, size: int) -> Iterator[Batch]:
    """The batch in portions of `size` rows."""
    for offset in range(0, len(batch), size):
        yield batch.take(np.arange(offset, min(offset + size, len(batch))))
