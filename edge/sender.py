"""Choosing and publishing rows of the spool: alarm-class news first, then live and history by turns, each within its window.

Rows written since the session began are live; what lay there before, or piled up while the server was silent, is history and goes in order. A row
larger than a message may be is split: every reading has its own sequence, so any part of a row names its own range.
"""

import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from contract import sparkplug
from contract.batch import events, gap, node_data
from contract.declarations import Outbox
from contract.quantities import QUANTITIES
from contract.sample import Sample
from edge.rows import Batch
from edge.rowstore import Head
from edge.settings import UplinkSettings
from edge.spool import Spool
from edge.window import Turn, Window

_log = logging.getLogger("edge.uplink")

_AT_ONCE: Final = 64  # rows in one run
_SMALLEST: Final = 1_024  # bytes to which messages shrink while sessions end without an acknowledgement
_DEFAULT_INTERVAL_MS: Final = 60_000  # of a point that promises none, to tell delayed from live


@dataclass(slots=True)
class Counters:
    """Rows since start."""

    published: int = 0
    resent: int = 0
    gaps: int = 0


class Sender:
    """`publish` takes the bytes of an NDATA. `begin` follows each birth, `restart` each loss of certainty. `mono` is monotonic ms, `now` UTC ms."""

    def __init__(self, settings: UplinkSettings, publish: Callable[[bytes], None], noise: random.Random) -> None:
        self.counters = Counters()
        self.undeclared: set[str] = set()
        self._settings, self._publish = settings, publish
        self._window = Window(settings.window, settings.resend_s * 1000, settings.urgent_resend_s * 1000, noise)
        self._aliases: Mapping[str, int] = {}
        self._intervals: Mapping[str, float] = {}
        self._seq = 0
        self._max_bytes = settings.max_bytes
        self._history_at = self._live_at = self._urgent_at = 1
        self._live_last = False

    # ----------------------------------------------------------------------------------------------------------------------------- session

    def begin(self, aliases: Mapping[str, int], intervals_ms: Mapping[str, float]) -> None:
        """A birth with these aliases is out; its seq was 0. `intervals_ms` by metric tell delayed samples from live ones."""
        self._aliases, self._intervals, self._seq = aliases, intervals_ms, 0
        self.undeclared = set()

    def restart(self, spool: Spool, mono: float) -> None:
        """Nothing that is on its way counts any more: everything above the watermark is unsent."""
        self._window.reset(spool.acknowledged, mono)
        self._history_at = self._urgent_at = spool.acknowledged + 1
        self._live_at = spool.last + 1

    def acknowledged(self, upto: int, mono: float) -> None:
        """The watermark moved, or was repeated."""
        self._window.acknowledged(upto, mono)
        self._max_bytes = min(self._settings.max_bytes, 2 * self._max_bytes)

    def tell(self, entries: Sequence[str], now: int) -> None:
        """Publish entries of the logbook between the rows; they do not belong to the spool."""
        self._publish(sparkplug.encode(events(entries, now=now, seq=self._number(1))))
        self._seq += 1

    def hurry(self, mono: float) -> None:
        """Send everything on its way again: the host could not read it."""
        self._window.hurry(mono)

    def shrink(self) -> None:
        """A session ended without one acknowledgement: perhaps a message is larger than the broker or the line can take."""
        self._max_bytes = max(_SMALLEST, self._max_bytes // 2)

    def next_due(self) -> float:
        """When something is to be sent again (mono)."""
        return self._window.next_due()

    # ----------------------------------------------------------------------------------------------------------------------------- sending

    def run(self, spool: Spool, now: int, mono: float) -> bool:
        """Send what may be sent now; True when there may be more at once. Raises SpoolError."""
        self._rewind(spool)
        more = False
        for count, (head, turn, again) in enumerate(self._choices(spool, mono), 1):
            more = count >= _AT_ONCE
            if not self._send(spool, head, turn, again, now, mono) or more:
                break
        if self._settings.acknowledgement == "none":
            self._trust(spool, now, mono)
        return more

    def _trust(self, spool: Spool, now: int, mono: float) -> None:
        """Take what was published for stored: the weakness that `acknowledgement: none` is there to show."""
        while (front := spool.rows.heads(spool.acknowledged + 1, 1)) and front[0] in self._window:
            spool.acknowledge(front[0].last, now)
            self.acknowledged(front[0].last, mono)

    def _choices(self, spool: Spool, mono: float) -> Iterator[tuple[Head, Turn, bool]]:
        """Rows in the order of sending; each choice is made after the one before it was sent."""
        for flight in self._window.due(mono)[: self._settings.window]:
            yield flight.head, flight.turn, True
        while (choice := self._next(spool)) is not None:
            yield *choice, False

    def _next(self, spool: Spool) -> tuple[Head, Turn] | None:
        if self._window.open_for(Turn.URGENT) and (head := self._next_urgent(spool)) is not None:
            return head, Turn.URGENT
        turns = (Turn.HISTORY, Turn.LIVE) if self._live_last else (Turn.LIVE, Turn.HISTORY)
        for turn in turns:
            if self._window.open_for(turn):
                head = self._next_live(spool) if turn is Turn.LIVE else self._next_history(spool)
                if head is not None:
                    self._live_last = turn is Turn.LIVE
                    return head, turn
        return None

    def _next_urgent(self, spool: Spool) -> Head | None:
        while heads := spool.rows.urgent(self._urgent_at, 1):
            self._urgent_at = heads[0].last + 1
            if heads[0] not in self._window:
                return heads[0]
        return None

    def _next_live(self, spool: Spool) -> Head | None:
        """The next new row; when more piled up than a window holds, only the newest, and the others join the history."""
        heads = spool.rows.heads(self._live_at, self._settings.window + 1)
        if len(heads) > self._settings.window:
            heads = spool.rows.heads(spool.last, 1)
        for head in heads:
            self._live_at = head.last + 1
            if head not in self._window:
                return head
        return None

    def _next_history(self, spool: Spool) -> Head | None:
        while heads := spool.rows.heads(self._history_at, self._settings.window):
            for head in heads:
                if head.last >= self._live_at:
                    return None
                self._history_at = head.last + 1
                if head not in self._window:
                    return head
        return None

    def _rewind(self, spool: Spool) -> None:
        """The row at the watermark must be on its way or ahead of the cursor: eviction and damage join rows under another head."""
        front = spool.rows.heads(spool.acknowledged + 1, 1)
        if front and front[0] not in self._window and front[0].first < min(self._history_at, self._live_at):
            self._history_at = front[0].first

    # ---------------------------------------------------------------------------------------------------------------------------- messages

    def _send(self, spool: Spool, head: Head, turn: Turn, again: bool, now: int, mono: float) -> bool:
        """Publish a row; False when a birth must come first."""
        batch = spool.rows.read(head.first)
        if batch is None:
            self._window.forget(head)
            return True
        if any(sample.point.quantity not in QUANTITIES for sample in batch.samples):  # written by a newer version
            batch = spool.rows.set_aside(batch.first, batch.last, "unknown quantity")
        missing = {sample.point.metric for sample in batch.samples} - self._aliases.keys()
        if missing:
            self.undeclared |= missing
            self._go_back(head)
            return False
        try:
            messages = self._messages(spool.epoch, batch, now)
        except ValueError as error:  # a value that Sparkplug cannot carry must not block the rows behind it
            batch = spool.rows.set_aside(batch.first, batch.last, str(error))
            messages = self._messages(spool.epoch, batch, now)
        for message in messages:
            self._publish(message)
        self._seq += len(messages)
        self._window.sent(Head(batch.first, batch.last, head.lane), turn, mono)
        self.counters.published += 1
        self.counters.resent += again
        self.counters.gaps += bool(batch.gap)
        return True

    def _go_back(self, head: Head) -> None:
        self._history_at, self._urgent_at = min(self._history_at, head.first), min(self._urgent_at, head.first)

    def _messages(self, epoch: int, batch: Batch, now: int) -> list[bytes]:
        """The NDATA messages of a row, numbered on from the last one. Raises ValueError for what cannot be encoded."""
        if batch.gap:
            return [sparkplug.encode(gap(Outbox(epoch, batch.first, batch.last), batch.gap, now=now, seq=self._number(1)))]
        messages: list[bytes] = []
        parts = [(batch.first, [self._marked(sample, now) for sample in batch.samples])]
        while parts:
            first, samples = parts.pop()
            outbox = Outbox(epoch, first, first + len(samples) - 1)
            message = sparkplug.encode(node_data(samples, self._aliases, now=now, seq=self._number(len(messages) + 1), outbox=outbox))
            if len(message) > self._max_bytes and len(samples) > 1:
                half = len(samples) // 2
                parts += [(first + half, samples[half:]), (first, samples[:half])]
            else:
                messages.append(message)
        return messages

    def _number(self, ahead: int) -> int:
        return (self._seq + ahead) % 256

    def _marked(self, sample: Sample, now: int) -> Sample:
        """Delayed by more than two intervals means historical: not to be taken for the state of now."""
        delayed = now - sample.taken_at > 2 * self._intervals.get(sample.point.metric, _DEFAULT_INTERVAL_MS)
        return msgspec.structs.replace(sample, historical=True) if delayed else sample
