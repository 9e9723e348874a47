"""Messages that wait to be decoded, in two lanes: one that brings news of smoke, leaks or doors goes before the others.

Decoding what a province sends in a second takes a good part of one; what hurries must not wait for it. A look at the message is enough to know it.
Whatever waits of the same sender goes with it, in order.
"""

import queue
from collections import deque
from collections.abc import Callable

from server.ingest.mqtt import Incoming


class Lanes:
    """One thread takes. `hurries` is asked once for each message that finds others waiting."""

    def __init__(self, incoming: "queue.Queue[Incoming]", hurries: Callable[[Incoming], bool]) -> None:
        self._incoming, self._hurries = incoming, hurries
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
        while True:
            try:
                message = self._incoming.get_nowait()
            except queue.Empty:
                return
            alone = not (self._waiting or self._first or self._incoming.qsize())
            self._waiting.append(message)
            if not alone and self._hurries(message):
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
