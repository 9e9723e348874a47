"""Whose turn it is on a bus. `mono` is monotonic ms.

Deadlines are kept, and a missed one is not made up for. Turns of healthy devices lie in a heap; those of devices in trouble, which are few, in
a list, because their time also depends on how long the device is to be left alone. A device in quarantine is only asked when no healthy one is
waiting, or after a minute. So the choice costs the same on a line with three devices and with three hundred.
"""

import heapq
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from edge.health import Health, quarantined
from edge.plan import Device, Job

_FIRST_MS: Final = 3_000
_PROBE_WAITS_MS: Final = 60_000


@dataclass(slots=True)
class Turn:
    """A job and when it is due. `phase` is its place in the period, from the second reading on."""

    job: Job
    due: float
    phase: float
    begun: bool = False

    def serve(self, mono: float, base: float) -> None:
        """It is read now: set the next due instant. What was missed is not made up for."""
        period = self.job.period_s * 1000
        if not self.begun:
            self.begun, self.due = True, base + self.phase - period
        self.due += period * max(1, math.ceil((mono - self.due) / period + 1e-9))


def _turn(job: Job, noise: random.Random) -> Turn:
    """First readings come soon after the start; then each job has its own place in the period, so that neither devices nor gateways keep step."""
    period = job.period_s * 1000
    return Turn(job, noise.uniform(0, min(period, _FIRST_MS)), noise.uniform(0, period))


@dataclass(order=True, slots=True)
class _Entry:
    due: float
    number: int
    turn: Turn = field(compare=False)


class Schedule:
    """The turns of one bus, the first ones after `start`. `health` tells how a device is."""

    def __init__(self, devices: Sequence[Device], noise: random.Random, health: Callable[[str], Health]) -> None:
        self._health = health
        self._numbers = count()
        self._waiting: list[_Entry] = []
        self._troubled: list[Turn] = []
        self._turns = [_turn(job, noise) for device in devices for job in device.jobs]

    def start(self, mono: float) -> None:
        """The bus begins now."""
        for turn in self._turns:
            turn.due += mono
            self.put(turn)

    def put(self, turn: Turn) -> None:
        """Give a turn back after it was served."""
        if self._health(turn.job.device.name).failures:
            self._troubled.append(turn)
        else:
            heapq.heappush(self._waiting, _Entry(turn.due, next(self._numbers), turn))

    def take(self, mono: float) -> Turn | None:
        """The longest overdue turn, which must be put back; None when nothing is due."""
        self._sort()
        found = [turn for turn in self._troubled if self.due_at(turn) <= mono]
        if self._waiting and self._waiting[0].due <= mono:
            found.append(self._waiting[0].turn)
        if not found:
            return None
        chosen = min(found, key=lambda turn: (self._yields(turn, mono), self.due_at(turn)))
        if self._waiting and chosen is self._waiting[0].turn:
            heapq.heappop(self._waiting)
        else:
            self._troubled.remove(chosen)
        return chosen

    def _sort(self) -> None:
        """Move turns whose device failed or recovered since to where they belong."""
        if self._troubled:
            moved, self._troubled = self._troubled, []
            for turn in moved:
                self.put(turn)
        while self._waiting and self._health(self._waiting[0].turn.job.device.name).failures:
            self._troubled.append(heapq.heappop(self._waiting).turn)

    def due_at(self, turn: Turn) -> float:
        """When a turn may be served: at its time, and not before its device may be asked again."""
        return max(turn.due, self._health(turn.job.device.name).retry_at)

    def _yields(self, turn: Turn, mono: float) -> bool:
        device = turn.job.device
        return quarantined(self._health(device.name), device.profile.health) and mono - self.due_at(turn) < _PROBE_WAITS_MS

    def next_due(self) -> float:
        """When `take` may have something; infinity on a bus without turns."""
        first = self._waiting[0].due if self._waiting else math.inf
        return min(first, min(map(self.due_at, self._troubled), default=math.inf))
