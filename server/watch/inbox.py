"""What waits for the writer, in two lanes: news of smoke, leaks and doors, and commands, go before climate.

A group is what one transaction judges. Hurried inputs make a group of their own at once, behind whatever waits of the same gateway (its order is
kept: an older sample behind a newer one would count as late); one that comes while others are judged ends their group and is its last. After such a
group the others have their turn, so that nobody starves.
"""

import math
import queue
import threading
from collections import Counter, deque
from concurrent.futures import Future
from typing import Any

from server.watch.commands import Command
from server.watch.inputs import GatewayBirth, GatewayData, GatewayDeath

GROUP_LIMIT, GROUP_SAMPLES = 128, 2_000
"""A group is closed at so many inputs or samples: what comes behind it, maybe smoke, must not wait for the judging of a whole province."""
FEW, FEW_MS = 8, 8
"""While groups are this small it pays nothing to wait long for more: then a group is gathered for so many ms only."""

UNCUT_SAMPLES = 400
"""So much of a group is judged whatever hurries, or a storm of alarms would keep everything else waiting for ever."""

BREATH_MS = 2
"""With a backlog, too, the threads that bring news have so long between two groups: what hurries is found and goes next."""

Item = GatewayBirth | GatewayData | GatewayDeath | Command
Entry = tuple[Item, "Future[Any]"]


class _Waiting:
    """An entry in its place in the order of arrival; taken out of turn, it is passed over when its place comes up."""

    __slots__ = ("entry", "taken")

    def __init__(self, entry: Entry) -> None:
        self.entry, self.taken = entry, False


class Inbox:
    """Any thread puts; one thread takes. What taking costs does not grow with what waits, or a backlog would keep itself alive."""

    def __init__(self, gather_ms: int) -> None:
        self._arrivals: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._stir = threading.Event()
        self._waiting: deque[_Waiting] = deque()
        self._of_gateway: dict[str, deque[_Waiting]] = {}
        self._hurried: Counter[str] = Counter()
        self._gather_ms, self._few, self._hurried_last = gather_ms, True, False
        self._count = self._weight = 0
        self._uncut = math.inf

    def put(self, item: Item) -> "Future[Any]":
        """Add an input; the future is answered after the commit that holds it."""
        future: Future[Any] = Future()
        self._arrivals.put((item, future))
        if hurries(item):
            self._stir.set()
        return future

    def wake(self) -> None:
        """End a wait for the first input: the writer is to stop."""
        self._arrivals.put(None)

    def __len__(self) -> int:
        return self._arrivals.qsize() + self._count

    def take(self, wait_ms: int = 0, *, alone: bool = False) -> list[Entry]:
        """The next group; waits up to `wait_ms` for its first input, then a little for others. Empty when nothing has come.

        `alone`: no more than one input, in the order of arrival.
        """
        self.wait(wait_ms)
        self._uncut = math.inf
        if alone:
            return self._in_order(most=1)
        if self._hurried and not self._hurried_last:
            group, self._hurried_last = self._out_of_turn(), True
        else:
            group, self._hurried_last, self._uncut = self._in_order(), False, UNCUT_SAMPLES
        self._few = len(group) < FEW
        return group

    def pressing(self, judged: int) -> bool:
        """Whether something that hurries is to be let in now that so many more samples of the group have been judged: not before a good part has,
        and once in a group."""
        self._uncut -= judged
        return self._uncut <= 0 and self.hurried()

    def hurried(self) -> bool:
        """Whether something that hurries waits."""
        return self._stir.is_set() or bool(self._hurried)

    def let_in(self, group: list[Entry], done: int) -> None:
        """What hurries takes the place of what is left of a group behind its first `done` entries, and that waits again."""
        self._stir.clear()
        self._drain()
        if self._hurried:
            for entry in reversed(group[done:]):
                self._add(entry, first=True)
            group[done:], self._hurried_last, self._uncut = self._out_of_turn(), True, math.inf

    def wait(self, wait_ms: int) -> None:
        """Take in what has come; wait for the first input, and then for others until the group's time is over or something hurries.

        The writer sleeps meanwhile: to be woken by each of a thousand inputs a second would cost more than to judge them.
        """
        self._stir.clear()
        self._drain()
        if not self._count and wait_ms:
            try:
                first = self._arrivals.get(timeout=wait_ms / 1000)
            except queue.Empty:
                return
            if first is None:
                return
            self._add(first)
        if wait_ms and not self._hurried:
            full = self._count >= GROUP_LIMIT or self._weight >= GROUP_SAMPLES
            gather_ms = min(FEW_MS, self._gather_ms) if self._few else self._gather_ms
            self._stir.wait((BREATH_MS if full else gather_ms) / 1000)
        self._drain()

    def _drain(self) -> None:
        for _ in range(self._arrivals.qsize()):
            if (entry := self._arrivals.get()) is not None:
                self._add(entry)

    def _add(self, entry: Entry, *, first: bool = False) -> None:
        waiting, gateway = _Waiting(entry), gateway_of(entry[0])
        for line in (self._waiting, self._of_gateway.setdefault(gateway, deque())):
            line.appendleft(waiting) if first else line.append(waiting)
        self._hurried.update((gateway,) if hurries(entry[0]) else ())
        self._count, self._weight = self._count + 1, self._weight + weight(entry[0])

    def _out_of_turn(self) -> list[Entry]:
        """What hurries, and what waits of the same gateways before it."""
        group: list[Entry] = []
        samples = 0
        for gateway in list(self._hurried):
            while gateway in self._hurried:
                group.append(self._next_of(gateway))
                samples += weight(group[-1][0])
            if samples >= GROUP_SAMPLES:
                break
        return group

    def _in_order(self, most: int = GROUP_LIMIT) -> list[Entry]:
        group: list[Entry] = []
        samples = 0
        while self._waiting and len(group) < most and samples < GROUP_SAMPLES:
            waiting = self._waiting.popleft()
            if not waiting.taken:
                group.append(self._next_of(gateway_of(waiting.entry[0])))
                samples += weight(waiting.entry[0])
        return group

    def _next_of(self, gateway: str) -> Entry:
        """Take the oldest input of a gateway."""
        mine = self._of_gateway[gateway]
        waiting = mine.popleft()
        waiting.taken = True
        if not mine:
            del self._of_gateway[gateway]
        if hurries(waiting.entry[0]):
            self._hurried[gateway] -= 1
            if not self._hurried[gateway]:
                del self._hurried[gateway]
        self._count, self._weight = self._count - 1, self._weight - weight(waiting.entry[0])
        return waiting.entry


def hurries(item: Item) -> bool:
    """Whether it goes before the others."""
    return isinstance(item, Command) or (isinstance(item, GatewayData) and item.urgent)


def gateway_of(item: Item) -> str:
    """Whose order is to be kept; "" for commands, which have none."""
    return "" if isinstance(item, Command) else item.gateway


def weight(item: Item) -> int:
    """How much there is to judge, in samples."""
    return len(item.samples) if isinstance(item, GatewayData) else len(item.points) if isinstance(item, GatewayBirth) else 1
