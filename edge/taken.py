"""The instant of a sample, which is its key in the series: unique and increasing per point, on whole seconds where that is precise enough.

When the wall clock is set back, the seconds that follow have been used already. They get another last digit (the count of such steps, 1 to 999 ms),
so that no sample is taken for a repetition of an older one; the count survives restarts. The second in which the agent started is not used as a
whole one either: the run before may have.
"""

import logging
from pathlib import Path
from typing import Final

from edge.statefile import write_atomic

_log = logging.getLogger("edge.clock")
_STEP_MS: Final = 2_000  # a clock that goes back by less is being slewed


class Stamper:
    """`path` keeps the newest instant ever used and the number of backward steps."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._newest, self._steps = _stored(path)
        self._written = self._newest
        self._last: dict[str, int] = {}
        self._started: int | None = None

    def stamp(self, metric: str, now: int, *, event: int | None = None, whole_second: bool = False) -> int:
        """The instant for a sample of `metric` that is read at `now` (UTC ms), or that happened at the device's own time `event`."""
        if now < self._newest - _STEP_MS:
            self._step_back(now)
        self._newest = max(self._newest, now)
        self._started = now if self._started is None else self._started
        taken = now if event is None else event
        if whole_second and (second := now - now % 1000) >= self._started:
            taken = second + self._steps % 1000
        taken = max(taken, self._last.get(metric, taken - 1) + 1)
        self._last[metric] = taken
        return taken

    def _step_back(self, now: int) -> None:
        self._steps += 1
        _log.warning("时钟倒退了 %.0f 秒（第 %d 次）：已避开用过的时刻", (self._newest - now) / 1000, self._steps)
        self._newest = now
        self._started = now
        self._last.clear()
        self.save()

    def save(self) -> None:
        """Write down how far the clock has come; called now and then, and at the end."""
        if self._newest != self._written:
            try:
                write_atomic(self._path, f"{self._newest} {self._steps}")
                self._written = self._newest
            except OSError as error:
                _log.debug("%s: %s", self._path, error.strerror)


def _stored(path: Path) -> tuple[int, int]:
    try:
        newest, steps = path.read_text(encoding="utf-8").split()
        return int(newest), int(steps)
    except (OSError, ValueError):
        return 0, 0
