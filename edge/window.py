"""Which batches are on their way, and when one is sent again. Pure; `mono` is monotonic milliseconds.

The acknowledgement is a contiguous watermark. While a backlog is drained, live batches far above the watermark cannot be acknowledged although the server
has them, so a batch of the ordinary lane counts as lost only when the watermark has stood still for the resend time. Alarm-class batches are few and
matter most: they are resent by their own clock. Every wait doubles to five minutes, with a quarter of jitter, so that a fleet does not resend in step.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edge.rows import Lane
from edge.rowstore import Head

_LONGEST: Final = 300_000  # ms


@dataclass(slots=True)
class Flight:
    """A row that was published. `live` ones were sent ahead of a backlog."""

    head: Head
    live: bool
    sent_at: float
    wait: float
    tries: int = 1


class Window:
    """At most `size` ordinary batches in order, and `size` live ones between two acknowledgements."""

    def __init__(self, size: int, resend_ms: float, urgent_resend_ms: float, noise: random.Random) -> None:
        self._size, self._resend, self._urgent_resend, self._noise = size, resend_ms, urgent_resend_ms, noise
        self._flights: dict[int, Flight] = {}
        self._progress = float("-inf")
        self._live_credit = size

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, head: Head) -> bool:
        flight = self._flights.get(head.first)
        return flight is not None and flight.head.last == head.last

    def reset(self, mono: float) -> None:
        """A new session or a lower watermark: whatever was on its way may be lost."""
        self._flights.clear()
        self._progress = mono
        self._live_credit = self._size

    def may_send_live(self) -> bool:
        """Whether the server has shown a sign of life since the last `size` live batches."""
        return self._live_credit > 0

    def may_send_history(self) -> bool:
        """Whether fewer than `size` batches of the orderly kind are on their way."""
        return sum(1 for flight in self._flights.values() if not flight.live) < self._size

    def sent(self, head: Head, mono: float, *, live: bool) -> None:
        """A row was published, for the first time or again."""
        before = self._flights.get(head.first)
        tries = before.tries + 1 if before is not None else 1
        base = self._urgent_resend if head.lane is Lane.URGENT else self._resend
        wait = min(base * 2 ** min(tries - 1, 20), _LONGEST) * self._noise.uniform(0.75, 1.25)
        self._flights[head.first] = Flight(head, live if before is None else before.live, mono, wait, tries)
        self._live_credit -= live

    def acknowledged(self, upto: int, mono: float) -> None:
        """The watermark moved to `upto`, or was repeated: the server lives."""
        self._live_credit = self._size
        done = [first for first, flight in self._flights.items() if flight.head.last <= upto]
        if not done:
            return
        self._progress = mono
        for first in done:
            del self._flights[first]
        for flight in self._flights.values():
            if flight.head.lane is not Lane.URGENT:
                flight.tries, flight.wait = 1, min(flight.wait, self._resend * 1.25)

    def due(self, mono: float) -> list[Head]:
        """Rows to send again now: alarm-class first, then by sequence."""
        found = [flight.head for flight in self._flights.values() if self._due_at(flight) <= mono]
        return sorted(found, key=lambda head: (head.lane is not Lane.URGENT, head.first))

    def next_due(self) -> float:
        """The next instant at which `due` may have something; infinity when nothing is on its way."""
        return min(self._dues(), default=float("inf"))

    def forget(self, head: Head) -> None:
        """A row is gone from the spool."""
        self._flights.pop(head.first, None)

    def hurry(self, mono: float) -> None:
        """The host asked for a rebirth: what it could not read is sent again now."""
        for flight in self._flights.values():
            flight.sent_at, flight.wait, flight.tries = mono, 0, 1
        self._progress = float("-inf")

    def _dues(self) -> Iterator[float]:
        return (self._due_at(flight) for flight in self._flights.values())

    def _due_at(self, flight: Flight) -> float:
        start = flight.sent_at if flight.head.lane is Lane.URGENT else max(flight.sent_at, self._progress)
        return start + flight.wait
