"""Made-up histories for the benchmarks of the series store: rooms of several points, day by day, so that a month never lies in memory at once."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from server.series import Limits
from server.series.batch import Batch
from server.series.partition import DAY_MS, day_of, day_start

START = day_start(day_of(1_760_000_000_000))
MINUTE = 60_000
HOUR = 3_600_000
POINTS_OF_ROOM = 6
LOW, HIGH, HOLD_MS = 14.0, 24.0, 180_000


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
    """A batch for each day, in order of time as samples arrive: slow random walks with a sensor's noise at a
    resolution of 0.1, on whole seconds, 0.3 to 0.9 s late.
    """
    chance = np.random.default_rng(seed)
    instants = DAY_MS // plan.step_ms
    at = 19 + chance.normal(0, 2.0, plan.points)
    point = np.tile(np.arange(1, plan.points + 1, dtype=np.int64), instants)
    good, no_reason = np.full(len(point), 2, np.uint8), np.zeros(len(point), np.int32)
    for day in range(plan.days):
        walk = at + np.cumsum(chance.normal(0, 0.03, (instants, plan.points)), axis=0)
        at = 19 + 0.9 * (walk[-1] - 19)
        taken = START + day * DAY_MS + np.repeat(np.arange(instants, dtype=np.int64) * plan.step_ms, plan.points)
        late = np.repeat(chance.integers(300, 900, instants), plan.points)
        read = walk + chance.normal(0, 0.03, walk.shape)
        yield Batch(point, taken, np.round(read, 1).ravel(), good, taken + late, no_reason)


def pieces(batch: Batch, size: int) -> Iterator[Batch]:
    """The batch in portions of `size` rows."""
    for offset in range(0, len(batch), size):
        yield batch.take(np.arange(offset, min(offset + size, len(batch))))
