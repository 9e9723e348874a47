"""The gateway's own condition: how full its spool is, how far its clock is off, and what it had to give up; as points and as
entries of the logbook.

The points belong to the device `gateway`, which no configuration may name. `now` is UTC ms, `mono` monotonic ms.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any, Final

from contract.declarations import PointDeclaration
from contract.quantities import QUANTITIES
from contract.sample import PointKey, Sample
from edge.intake import Report
from edge.plan import OWN_DEVICE
from edge.rows import Lane
from edge.spool import Counters

_log = logging.getLogger("edge.condition")

INTERVAL_S: Final = 300.0
_FULL_S: Final = 30.0  # while it is filling up: after an outage the centre must hear it before back-fill has emptied the spool again
STEPS: Final = (0.7, 0.9)
"""Shares of the spool at which somebody is told at once."""
_QUANTITIES: Final = ("spool_fill", "clock_offset")
_JUMP_S: Final = 60.0  # a change of the clock's offset that is worth telling at once
_TOLD: Final = {"evicted": "spool_evicted", "expired": "spool_expired", "renewed": "spool_renewed", "lost": "spool_lost"}

Tell = Callable[..., None]


def declarations(room: str) -> tuple[PointDeclaration, ...]:
    """The points of a gateway that hangs in a room; none without one."""
    names = _QUANTITIES if room else ()
    return tuple(PointDeclaration(f"{OWN_DEVICE}/{name}", None, room, QUANTITIES[name].unit, INTERVAL_S, "health") for name in names)


class Condition:
    """`tell` takes entries of the logbook: kind, UTC ms, details. `room` is empty when nobody declared the points; then only the logbook is told."""

    def __init__(self, gateway: str, room: str, tell: Tell) -> None:
        self._gateway, self._room, self._tell = gateway, room, tell
        self._due = float("-inf")
        self._step = 0
        self._offset: float | None = None
        self._before = Counters()

    def look(self, fill: float, counters: Counters, offset_s: float | None, now: int, mono: float) -> list[Report]:
        """What is to be sent now. `fill` is the spool's, 0 to 1; `offset_s` what our clock shows more than the centre's, None while unknown."""
        self._tell_losses(counters, now)
        step = sum(fill >= limit for limit in STEPS)
        jumped = offset_s is not None and abs(offset_s - (self._offset or 0.0)) >= _JUMP_S
        if step > self._step:
            self._tell("spool_filling", now, fill=round(fill, 3))
            _log.warning("本机缓存已用 %.0f%%：与中心的连接中断太久？", 100 * fill)
        if jumped:
            self._tell("clock_offset", now, offset_s=offset_s)
        if not self._room or (mono < self._due and step == self._step and not jumped):
            self._step = step
            return []
        self._due, self._step, self._offset = mono + 1000 * (_FULL_S if step else INTERVAL_S), step, offset_s
        values = {"spool_fill": 100 * min(fill, 1.0), "clock_offset": offset_s}
        return list(self._reports(values.items(), now))

    def _reports(self, values: Iterable[tuple[str, float | None]], now: int) -> Iterable[Report]:
        for quantity, value in values:
            if value is not None:
                yield Report(Sample(PointKey(self._gateway, OWN_DEVICE, quantity), now, round(value, 3)), Lane.NORMAL, self._room)

    def _tell_losses(self, counters: Counters, now: int) -> None:
        """Readings that were given up or lost, and a spool that was replaced: counted since the last word."""
        before: dict[str, Any] = asdict(self._before)
        for name, kind in _TOLD.items():
            if (more := getattr(counters, name) - before[name]) > 0:
                self._tell(kind, now, count=more)
        self._before = Counters(**asdict(counters))
