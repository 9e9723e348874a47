"""The Sparkplug host's memory of one edge node: aliases, sequence, birth and death. No transport, no database, time is an argument.

Rules (Sparkplug 3.0): data before a birth, an unknown alias and a gap in seq ask for a rebirth; a death counts only with the birth's bdSeq.
Requests are spaced, or a province that reconnects would be answered with a storm of births.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from contract.quantities import QUANTITIES
from contract.sample import Quality
from contract.sparkplug import peek

REBIRTH_SPACING_MS = 10_000
REORDER_MS = 2_000
SOLICITED_MS = 30_000
"""A birth that comes within this time after we asked for one answers us, whatever the node's clock says."""
REMEMBERED = 512
OFFSET_FLOOR_MS = 2_000
"""Below this a difference of clocks cannot be told from the way of the message."""
CALM = (0.0, Quality.GOOD)
"""What a detector says that has nothing to say: as its first word it is no news, or after a restart everybody would hurry."""
URGENT = frozenset(name for name, quantity in QUANTITIES.items() if quantity.urgent)
POSSIBLE = {name: (quantity.low, quantity.high) for name, quantity in QUANTITIES.items()}
"""What a reading of each quantity can be at all."""


class Usual(NamedTuple):
    """A point as the short way knows it (reader.py): its metric, what it may read, and whether it is of the alarm class."""

    metric: str
    low: float
    high: float
    urgent: bool


def _usual(names: Mapping[int, str]) -> dict[int, Usual]:
    parts = {alias: (name, name.split("/")[1]) for alias, name in names.items() if name}
    return {alias: Usual(name, *POSSIBLE[quantity], quantity in URGENT) for alias, (name, quantity) in parts.items() if quantity in POSSIBLE}


def _hot(usual: Mapping[int, Usual]) -> dict[int, str]:
    return {alias: point.metric for alias, point in usual.items() if point.urgent}


@dataclass(slots=True)
class NodeSession:
    """One edge node as the host sees it."""

    group: str
    node: str
    names: dict[int, str] = field(default_factory=dict)
    datatypes: dict[int, int] = field(default_factory=dict)
    born: bool = False
    bd_seq: int | None = None
    acknowledges: bool = False
    offset_ms: int = 0
    usual: dict[int, Usual] = field(default_factory=dict)
    """The points by alias."""
    hot: dict[int, str] = field(default_factory=dict)
    """Aliases of the alarm class and their metrics."""
    _newest: dict[str, tuple[float | None, Quality]] = field(default_factory=dict)
    stamp: int | None = None
    """The node's own time in its last birth, UTC ms; also of one before our start, so that an old birth is known for one."""
    _met: deque[tuple[int | None, int]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _seq: int | None = None
    _gap_since: int | None = None
    _asked_at: int | None = None

    def replayed_birth(self, bd_seq: int | None, stamp: int | None, now: int) -> bool:
        """Whether a birth is one of the past, sent again: not newer than the last by the node's clock, nor by its count of sessions.

        A clock may go back: then the session counts on (by less than half of its circle), or the birth is the answer to our own question.
        """
        if stamp is None or self.stamp is None or stamp > self.stamp:
            return False
        ahead = None if bd_seq is None or self.bd_seq is None else (bd_seq - self.bd_seq) % 256
        if ahead is not None and 0 < ahead < 128:
            return False
        return stamp == self.stamp or ahead != 0 or self._asked_at is None or now - self._asked_at > SOLICITED_MS

    def replayed(self, seq: int | None, stamp: int | None, now: int) -> bool:
        """Whether a message of the node was met before, or is older than its birth and does not continue what came last.

        One that is out of order as well as old may also mean a clock that went back and a lost message: a birth that we ask for tells.
        """
        if stamp is None:
            return False
        if seq is not None and (seq, stamp) in self._met:
            return True
        follows = self.born and self._seq is not None and seq == (self._seq + 1) % 256
        if self.stamp is not None and stamp < self.stamp and not follows:
            if self.born and self._gap_since is None:
                self._gap_since = now
            return True
        self._met.append((seq, stamp))
        return False

    def birth(
        self,
        *,
        bd_seq: int | None,
        seq: int | None,
        names: Mapping[int, str],
        acknowledges: bool,
        datatypes: Mapping[int, int] | None = None,
        stamp: int | None = None,
    ) -> None:
        """A node birth: everything known before is void."""
        self.stamp = stamp
        self.names, self.datatypes = dict(names), dict(datatypes or {})
        self.usual = _usual(names)
        self.hot = _hot(self.usual)
        self.born, self.bd_seq, self.acknowledges = True, bd_seq, acknowledges
        self._seq, self._gap_since = seq, None

    def device_birth(self, seq: int | None, names: Mapping[int, str], datatypes: Mapping[int, int], now: int) -> None:
        """A device of a born node adds its aliases."""
        self.names |= names
        self.usual |= _usual(names)
        self.hot = _hot(self.usual)
        self.datatypes |= datatypes
        self.follow(seq, now)

    def death(self, bd_seq: int | None) -> bool:
        """A node death; False when it belongs to an earlier session and must be ignored."""
        if self.born and bd_seq is not None and self.bd_seq is not None and bd_seq != self.bd_seq:
            return False
        self.born = False
        return True

    def follow(self, seq: int | None, now: int) -> None:
        """Take note of a message's sequence number; a gap is remembered until a birth closes it."""
        if seq is None:
            return
        if self._seq is not None and seq != (self._seq + 1) % 256 and self._gap_since is None:
            self._gap_since = now
        self._seq = seq

    def news(self, samples: Iterable[tuple[str, tuple[float | None, Quality]]]) -> bool:
        """Whether these samples of the alarm class (metric, value and quality) say anything new; they are remembered. Their repetition is no news."""
        new = False
        for metric, said in samples:
            new = new or self._newest.get(metric, CALM) != said
            self._newest[metric] = said
        return new

    def brings_news(self, payload: bytes) -> bool:
        """The same of a message that has not been read yet, from the values of its hot aliases alone; nothing is remembered."""
        return any(self._newest.get(self.hot[alias], CALM)[0] != value for alias, value in peek(payload, self.hot))

    def clock(self, sent_at: int | None, received_at: int) -> int:
        """Offset to add to the node's clock, in ms; differences that the way of the message explains count as zero."""
        if sent_at is not None:
            difference = received_at - sent_at
            self.offset_ms = difference if abs(difference) >= OFFSET_FLOOR_MS else 0
        return self.offset_ms

    def wants_rebirth(self, now: int, *, at_once: bool = False) -> bool:
        """Whether to ask for a rebirth now. `at_once` skips the reorder timeout, never the spacing between requests."""
        overdue = self._gap_since is not None and now - self._gap_since >= REORDER_MS
        if not (at_once or overdue):
            return False
        if self._asked_at is not None and now - self._asked_at < REBIRTH_SPACING_MS:
            return False
        self._asked_at = now
        return True
