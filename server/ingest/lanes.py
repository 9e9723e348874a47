"""Messages that wait to be decoded, in two lanes: one that brings news of smoke, leaks or doors goes before the others.

Decoding what a province sends in a second takes a good part of one; what hurries must not wait for it. A look at the message is enough to know it,
but costs half of decoding it: while little waits, it is simply decoded in order. Whatever waits of the same sender goes with it, in order.
"""

import queue
from collections import deque
from collections.abc import Callable

from server.ingest.mqtt import QUEUE_LIMIT, Incoming

LITTLE = 16_384
"""So many bytes, thirty messages of an ordinary gateway, are decoded in some milliseconds: in fewer than to look at each of them as well, when the
machine is busy and they come in bunches."""


class Lanes:
    """One thread takes. `hurries` is asked once for each message that finds more than `little` bytes waiting, its own among them."""

    def __init__(self, incoming: "queue.Queue[Incoming]", hurries: Callable[[Incoming], bool], little: int = LITTLE) -> None:
        self._incoming, self._hurries, self._little = incoming, hurries, little
        self._first: deque[Incoming] = deque()
        self._waiting: deque[Incoming] = deque()
        self._bytes = 0

    def next(self, timeout_s: float) -> Incoming | None:
        """The next message; None when none came in time."""
        self._receive()
        for lane in (self._first, self._waiting):
            if lane:
                message = lane.popleft()
                self._bytes -= len(message.payload)
                return message
        try:
            return self._incoming.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def _receive(self) -> None:
        arrived = min(self._incoming.qsize(), QUEUE_LIMIT - len(self._waiting))
        for _ in range(arrived):
            message = self._incoming.get_nowait()
            self._waiting.append(message)
            self._bytes += len(message.payload)
            if self._bytes > self._little and self._hurries(message):
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
