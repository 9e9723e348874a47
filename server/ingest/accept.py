"""The server's end of ingest: what was heard goes to the watch, and is acknowledged after its commit.

The acknowledgement (highest contiguous sequence of the sender's spool) leaves only from the future of a committed transaction: this is the one
place that lets a gateway forget. Poison and logbooks are kept by a thread of their own: no reading waits for them.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, Protocol

from contract.batch import event_ack
from contract.sparkplug import encode
from contract.topics import Kind, Topic
from server.ingest.frames import REBIRTH, Armful, Heard, Logbook, Poison, Readings, Settled, unpack
from server.metrics import Metrics
from server.watch.inputs import GatewayBirth, GatewayData, GatewayDeath, Receipt

log = logging.getLogger("server.ingest.accept")

ASIDE: Final = 1_000
"""Poison and logbooks that may wait to be kept: what comes beyond is not kept, and a gateway sends its logbook again."""
BACKLOG: Final = 50_000
"""So many inputs may wait for the watch; then nothing more is taken in, and the spools of the gateways keep it."""
BACKLOG_S: Final = 0.02


class WatchDoor(Protocol):
    """The part of the watch that ingest needs."""

    def offer(self, item: GatewayBirth | GatewayData | GatewayDeath) -> "Future[Receipt]":
        """Queue an input; the future resolves after its commit."""

    def backlog(self) -> int:
        """How many inputs wait."""

    def set_aside(self, topic: str, payload: bytes, reason: str, detail: str, now: int) -> None:
        """Keep poison for a person to look at."""


class Acceptor:
    """Takes what was heard. `settle` acknowledges, `send(topic, payload)` publishes, `events(gateway, entries, now)` keeps what a logbook says and
    returns the ids that it has.
    """

    def __init__(
        self,
        watch: WatchDoor,
        settle: Callable[[Settled], object],
        send: Callable[[str, bytes], object],
        metrics: Metrics,
        *,
        acknowledge: bool = True,
        events: Callable[[str, Sequence[str], int], Sequence[str]] = lambda _gateway, _events, _now: (),
    ) -> None:
        self._watch, self._settle, self._send, self._metrics, self._acknowledge = watch, settle, send, metrics, acknowledge
        self._events = events
        self._aside: queue.Queue[Poison | Logbook] = queue.Queue(ASIDE)

    def hear(self, armful: Armful) -> None:
        """From the thread that reads the pipe; waits while too much waits for the watch."""
        for reason, number in armful.counts.items():
            self.count(reason, number)
        for item in armful.heard:
            self.take(unpack(item) if isinstance(item, Readings) else item)
        while self._watch.backlog() > BACKLOG:
            time.sleep(BACKLOG_S)

    def take(self, item: Heard) -> None:
        """One input."""
        if isinstance(item, GatewayBirth | GatewayData):
            self._watch.offer(item).add_done_callback(lambda done: self._answer(item, done))
        elif isinstance(item, GatewayDeath):
            self._watch.offer(item)
        else:
            if isinstance(item, Poison):
                self.count(item.reason)
            try:
                self._aside.put_nowait(item)
            except queue.Full:
                self.count("queue_full")

    def count(self, reason: str, number: int = 1) -> None:
        """Something was refused, or a birth asked for."""
        if reason == REBIRTH:
            self._metrics.rebirths.inc(number)
        else:
            self._metrics.refused.labels(reason).inc(number)

    def run(self, stop: threading.Event) -> None:
        """The thread that keeps poison and logbooks."""
        while not stop.is_set():
            self.keep(0.5)

    def keep(self, wait_s: float = 0.0) -> bool:
        """Keep the next, if one comes in time. Returns whether one came."""
        try:
            item = self._aside.get(timeout=wait_s) if wait_s else self._aside.get_nowait()
        except queue.Empty:
            return False
        try:
            if isinstance(item, Poison):
                self._watch.set_aside(item.topic, item.payload, item.reason, item.detail, item.at)
            else:
                self._logbook(item)
        except Exception:  # the database is away, or what it was to keep is beyond it: the others are kept all the same
            self.count("internal")
            log.exception("poison or a logbook could not be kept")
        return True

    def _logbook(self, item: Logbook) -> None:
        """Kept, then acknowledged. What could not be kept is not, and the gateway sends it again."""
        ids = self._events(item.gateway, item.entries, item.at)
        if ids:
            self._send(str(Topic(item.group, Kind.NCMD, item.gateway)), encode(event_ack(ids, item.at)))

    def _answer(self, item: GatewayBirth | GatewayData, done: "Future[Receipt]") -> None:
        if done.cancelled() or done.exception() is not None:
            return  # not committed: no acknowledgement, the gateway resends
        receipt = done.result()
        if self._acknowledge and receipt.epoch is not None and receipt.upto is not None:
            self._settle(Settled(item.group, item.gateway, receipt.epoch, receipt.upto, item.received_at))
