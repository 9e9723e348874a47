"""Messages that wait to be decoded, in two lanes: one that brings news of smoke, leaks or doors goes before the others.

Decoding what a province sends in a second takes a good part of one; what hurries must not wait for it. A look at the message is enough to know it,
but costs a third of decoding it: while few wait, they are simply decoded in order. Whatever waits of the same sender goes with it, in order.
"""

import queue
from collections import deque
from collections.abc import Callable

from server.ingest.mqtt import QUEUE_LIMIT, Incoming

FEW = 4
"""So many messages are decoded in less than a ms."""


class Lanes:
    """One thread takes. `hurries` is asked once for each message that finds more than a few others waiting."""

    def __init__(self, incoming: "queue.Queue[Incoming]", hurries: Callable[[Incoming], bool], few: int = FEW) -> None:
        self._incoming, self._hurries, self._few = incoming, hurries, few
        self._first: deque[Incoming] = deque()
        self._waiting: deque[Incoming] = deque()

    def next(self, timeout_s: float) -> Incoming | None:
        """The next message; None when none came in time."""
        self._receive()
        if self._first:
            return self._first.popleft()
        if self._waiting:
            return self._waiting.popleft()
        try:
            return self._incoming.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def _receive(self) -> None:
        arrived = min(self._incoming.qsize(), QUEUE_LIMIT - len(self._waiting))
        few = len(self._waiting) + len(self._first) + arrived <= self._few
        for _ in range(arrived):
            message = self._incoming.get_nowait()
            self._waiting.append(message)
            if not few and self._hurries(message):
                self._advance(sender(message.topic))

    def _advance(self, of: str) -> None:
        others: deque[Incoming] = deque()
        for message in self._waiting:
            (self._first if sender(message.topic) == of else others).append(message)
        self._waiting = others


def sender(topic: str) -> str:
    """Group and node of a Sparkplug topic `spBv1.0/<group>/<type>/<node>[/<device>]`; the topic itself for any other."""
    parts = topic.split("/")
    return f"{parts[1]}/{parts[3]}" if len(parts) > 3 else topic
