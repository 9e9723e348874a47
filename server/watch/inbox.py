"""What waits for the writer, in two lanes: news of smoke, leaks and doors, and commands, go before climate.

A group is what one transaction judges. Hurried inputs make a group of their own at once, behind whatever waits of the same gateway (its order is
kept: an older sample behind a newer one would count as late). After such a group the others have their turn, so that nobody starves.
"""

import queue
import time
from collections import deque
from concurrent.futures import Future
from typing import Any

from server.watch.commands import Command
from server.watch.inputs import GatewayBirth, GatewayData, GatewayDeath

GROUP_LIMIT, GROUP_SAMPLES = 64, 1_000
"""A group is closed at so many inputs or samples: what comes behind it, maybe smoke, must not wait for the judging of a whole province."""
FEW, FEW_MS = 8, 8
"""While groups are this small it pays nothing to wait long for more: then a group is gathered for so many ms only."""

Item = GatewayBirth | GatewayData | GatewayDeath | Command
Entry = tuple[Item, "Future[Any]"]


class Inbox:
    """Any thread puts; one thread takes."""

    def __init__(self, gather_ms: int) -> None:
        self._arrivals: queue.SimpleQueue[Entry] = queue.SimpleQueue()
        self._waiting: deque[Entry] = deque()
        self._gather_ms, self._few, self._hurried_last = gather_ms, True, False
        self._weight = 0

    def put(self, item: Item) -> "Future[Any]":
        """Add an input; the future is answered after the commit that holds it."""
        future: Future[Any] = Future()
        self._arrivals.put((item, future))
        return future

    def __len__(self) -> int:
        return self._arrivals.qsize() + len(self._waiting)

    def take(self, wait_ms: int = 0, *, alone: bool = False) -> list[Entry]:
        """The next group; waits up to `wait_ms` for its first input, then a little for others. Empty when nothing has come.

        `alone`: no more than one input, in the order of arrival.
        """
        hurried = self._receive(wait_ms)
        if alone:
            return self._in_order(most=1)
        if hurried and not self._hurried_last:
            group, self._hurried_last = self._hurried(), True
        else:
            group, self._hurried_last = self._in_order(), False
        self._few = len(group) < FEW
        return group

    def _receive(self, wait_ms: int) -> bool:
        """Take in what has come, until the group's time is over, it is full, or something hurries."""
        hurried = any(hurries(item) for item, _ in self._waiting)
        until: float | None = None
        while True:
            timeout = 0.0 if hurried or not wait_ms else wait_ms / 1000 if until is None and not self._waiting else self._left(until)
            try:
                entry = self._arrivals.get(timeout=timeout) if timeout > 0 else self._arrivals.get_nowait()
            except queue.Empty:
                return hurried
            self._waiting.append(entry)
            self._weight += weight(entry[0])
            hurried = hurried or hurries(entry[0])
            if until is None:
                until = time.monotonic() + (min(FEW_MS, self._gather_ms) if self._few else self._gather_ms) / 1000

    def _left(self, until: float | None) -> float:
        full = len(self._waiting) >= GROUP_LIMIT or self._weight >= GROUP_SAMPLES
        return 0.0 if full or until is None else until - time.monotonic()

    def _hurried(self) -> list[Entry]:
        """Everything that hurries, and what waits of the same gateways before it."""
        last = {gateway_of(item): place for place, (item, _) in enumerate(self._waiting) if hurries(item)}
        group: list[Entry] = []
        others: deque[Entry] = deque()
        for place, entry in enumerate(self._waiting):
            mine = place <= last.get(gateway_of(entry[0]), -1)
            (group if mine else others).append(entry)
            self._weight -= weight(entry[0]) if mine else 0
        self._waiting = others
        return group

    def _in_order(self, most: int = GROUP_LIMIT) -> list[Entry]:
        group: list[Entry] = []
        samples = 0
        while self._waiting and len(group) < most and samples < GROUP_SAMPLES:
            entry = self._waiting.popleft()
            group.append(entry)
            samples += weight(entry[0])
        self._weight -= samples
        return group


def hurries(item: Item) -> bool:
    """Whether it goes before the others."""
    return isinstance(item, Command) or (isinstance(item, GatewayData) and item.urgent)


def gateway_of(item: Item) -> str:
    """Whose order is to be kept; "" for commands, which have none."""
    return "" if isinstance(item, Command) else item.gateway


def weight(item: Item) -> int:
    """How much there is to judge, in samples."""
    return len(item.samples) if isinstance(item, GatewayData) else len(item.points) if isinstance(item, GatewayBirth) else 1
