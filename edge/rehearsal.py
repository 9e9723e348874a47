"""Drills on the gateway: beside a reading that a driver really brought, a tagged one with the value that was ordered.

It enters where the driver's answer enters, so a drill that arrives proves that the device answers, and the whole way behind it. The real reading is
kept as it is: a real fire during a drill is seen.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from contract.drill import DrillError, DrillOrder, drill_sample, read_order
from contract.readings import Reading
from contract.sample import PointKey, Quality
from edge.intake import Report
from edge.plan import PlannedPoint
from edge.rows import Lane

_log = logging.getLogger("edge.drill")
_AGAIN_MS: Final = 5_000  # a rule with a delay wants the value held; more often would only fill the spool
_MOST: Final = 20


class Rehearsal:
    """Orders that run. `order` may be called from any thread, `take` belongs to the buses' loop. `sound(drill, seconds)` tests the siren."""

    def __init__(self, points: Iterable[PlannedPoint], sound: Callable[[int, int], None]) -> None:
        self._points = {point.key.metric: point.key for point in points}
        self._sound, self._lock = sound, threading.Lock()
        self._running: dict[PointKey, tuple[DrillOrder, int]] = {}

    def order(self, text: str, now: int) -> None:
        """Take an order from the centre; one that names no point of ours, or comes too late, is refused with a line in the log."""
        try:
            order = read_order(text)
        except DrillError as error:
            _log.warning("演练命令不对：%s", error)
            return
        key = self._points.get(order.metric)
        if key is None or order.until <= now:
            _log.warning("演练 %d 不能进行：%s", order.id, "本机没有这个测点" if key is None else "已过期")
            return
        with self._lock:
            if len(self._running) < _MOST or key in self._running:
                self._running[key] = (order, 0)
        _log.info("演练 %d：%s", order.id, order.metric)

    def take(self, device: str, readings: Sequence[Reading], now: int) -> list[Report]:
        """Tagged readings beside those that a device has just answered with."""
        if not self._running:
            return []
        with self._lock:
            return [report for key in list(self._running) if key.device == device and (report := self._one(key, readings, now)) is not None]

    def _one(self, key: PointKey, readings: Sequence[Reading], now: int) -> Report | None:
        order, last = self._running[key]
        if order.until <= now:
            del self._running[key]
            return None
        answered = any(r.quantity == key.quantity and r.channel == key.channel and r.quality is not Quality.BAD for r in readings)
        if not answered or now - last < _AGAIN_MS:
            return None
        if not last and order.siren_s:
            self._sound(order.id, order.siren_s)
        self._running[key] = (order, now)
        return Report(drill_sample(key, now, order.value, order.id), Lane.URGENT)
