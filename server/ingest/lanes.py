"""Messages that wait to be decoded, in two lanes: one that brings news of smoke, leaks or doors goes before the others.

Decoding what a province sends in a second takes a good part of one; what hurries (scout.py) must not wait for it. Whatever waits of the same sender
goes with it, in order.
"""

import queue
from collections import deque

from server.ingest.mqtt import QUEUE_LIMIT, Incoming
from server.ingest.scout import sender


class Lanes:
    """One thread takes."""

    def __init__(self, incoming: "queue.Queue[Incoming]") -> None:
        self._incoming = incoming
        self._first: deque[Incoming] = deque()
        self._waiting: deque[Incoming] = deque()

    def pressing(self) -> bool:
        """Whether something hurries."""
        self._receive()
        return bool(self._first)

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
        for _ in range(min(self._incoming.qsize(), QUEUE_LIMIT - len(self._waiting))):
            message = self._incoming.get_nowait()
            self._waiting.append(message)
            if message.hurries:
                self._advance(sender(message.topic))

    def _advance(self, of: str) -> None:
        others: deque[Incoming] = deque()
        for message in self._waiting:
            (self._first if sender(message.topic) == of else others).append(message)
        self._waiting = others
