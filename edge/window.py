"""Which batches are on their way, and when one is sent again. Pure; `mono` is monotonic milliseconds.

The acknowledgement is a contiguous watermark. While a backlog is drained, live batches far above the watermark cannot be acknowledged although the
server has them, so an ordinary batch counts as lost only when the watermark stands right before it, or has not moved for the resend time. Alarm-class
batches are few and matter most: they are resent by their own clock. Every wait doubles up to five minutes, with a quarter of jitter, so that a fleet
does not resend in step.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from edge.rows import Lane
from edge.rowstore import Head

_LONGEST: Final = 300_000  # ms


class Turn(Enum):
    """Why a row is sent: alarm-class news, a new row ahead of the backlog, or the next row in order."""

    URGENT = "urgent"
    LIVE = "live"
    HISTORY = "history"


@dataclass(slots=True)
class Flight:
    """A row that was published."""

    head: Head
    turn: Turn
    sent_at: float
    wait: float
    tries: int = 1


class Window:
    """At most `size` rows of each turn are on their way; live ones are counted anew with every acknowledgement."""

    def __init__(self, size: int, resend_ms: float, urgent_resend_ms: float, noise: random.Random) -> None:
        self._size, self._resend, self._urgent_resend, self._noise = size, resend_ms, urgent_resend_ms, noise
        self._flights: dict[int, Flight] = {}
        self._progress = float("-inf")
        self._upto = 0
        self._live_credit = size

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, head: Head) -> bool:
        flight = self._flights.get(head.first)
        return flight is not None and flight.head.last == head.last

    def reset(self, upto: int, mono: float) -> None:
        """A new session or a lower watermark: whatever was on its way may be lost. `upto` is the watermark."""
        self._flights.clear()
        self._upto = upto
        self._progress = mono
        self._live_credit = self._size

    def open_for(self, turn: Turn) -> bool:
        """Whether one more row may be sent for the first time."""
        if turn is Turn.LIVE:
            return self._live_credit > 0
        return sum(flight.turn is turn for flight in self._flights.values()) < self._size

    def sent(self, head: Head, turn: Turn, mono: float) -> None:
        """A row was published, for the first time or again."""
        before = self._flights.get(head.first)
        tries = before.tries + 1 if before is not None else 1
        base = self._urgent_resend if head.lane is Lane.URGENT else self._resend
        wait = min(base * 2 ** min(tries - 1, 20), _LONGEST) * self._noise.uniform(0.75, 1.25)
        self._flights[head.first] = Flight(head, turn if before is None else before.turn, mono, wait, tries)
        self._live_credit -= turn is Turn.LIVE

    def acknowledged(self, upto: int, mono: float) -> None:
        """The watermark moved to `upto`, or was repeated: the server lives."""
        self._live_credit = self._size
        self._upto = upto
        done = [first for first, flight in self._flights.items() if flight.head.last <= upto]
        if not done:
            return
        self._progress = mono
        for first in done:
            del self._flights[first]
        for flight in self._flights.values():
            if flight.head.lane is not Lane.URGENT:
                flight.tries, flight.wait = 1, min(flight.wait, self._resend * 1.25)

    def due(self, mono: float) -> list[Flight]:
        """What to send again now: alarm-class first, then by sequence."""
        found = [flight for flight in self._flights.values() if self._due_at(flight) <= mono]
        return sorted(found, key=lambda flight: (flight.head.lane is not Lane.URGENT, flight.head.first))

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
        waits_for_others = flight.head.lane is not Lane.URGENT and flight.head.first > self._upto + 1
        return (max(flight.sent_at, self._progress) if waits_for_others else flight.sent_at) + flight.wait
