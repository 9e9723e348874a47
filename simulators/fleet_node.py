"""The protocol of one simulated gateway, without a socket: births, data, deaths, acknowledgements and resends. Time is an argument.

Sparkplug B 3.0 with our outbox on top (contract/batch.py): every reading has a sequence, a batch is kept until the host's watermark has passed it and
is sent again when 15 s (2 s with an alarm in it) bring no acknowledgement. The outbox is in memory: the fleet is load, a real gateway has a spool on
disk. The foreign make without outbox is in fleet_plain.py.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from contract import batch, topics
from contract.batch import Ack, Outbox, PointDeclaration
from contract.quantities import QUANTITIES
from contract.sample import Sample
from contract.sparkplug import MalformedPayloadError, Payload, decode, encode
from contract.topics import Kind, Topic
from simulators.province_rows import Point

_WINDOW: Final = 20  # batches without acknowledgement
_SAMPLES: Final = 400  # in one batch, below batch.MAX_SAMPLES so that 64 KiB suffice
_RESEND_MS: Final = 15_000
_RESEND_URGENT_MS: Final = 2_000
_RESEND_LONGEST_MS: Final = 300_000


class Publish(NamedTuple):
    """Something to be sent."""

    topic: str
    payload: bytes
    qos: int = 0


@dataclass(slots=True)
class Counters:
    """What a node has done, in births, readings and messages."""

    births: int = 0
    samples: int = 0
    acknowledged: int = 0
    resent: int = 0
    evicted: int = 0
    dropped: int = 0
    refused: int = 0


class Node(ABC):
    """The Sparkplug session of one edge node: connection, STATE of the host, bdSeq and seq. Subclasses say what a birth and data are.

    The caller connects with `will`, subscribes to `subscriptions`, hands in what arrives, calls `run_once` and sends what it returns. When `leaving`
    is set, the node has said its death and wants the connection closed. `host_id` '' publishes without waiting for a host's STATE.
    `bd_seq` is that of the first session: a process that starts anew must not repeat the one whose will may still be pending.
    """

    def __init__(self, points: Sequence[Point], host_id: str, bd_seq: int = 0) -> None:
        self.code, self.group = points[0].gateway, points[0].group
        self.points = tuple(points)
        self.counters = Counters()
        self.born = False
        self.leaving = False
        self._aliases = {p.key.metric: alias for alias, p in enumerate(self.points, 1)}
        self._last: dict[str, Sample] = {}
        self._host_id = host_id
        self._host_since = -1  # timestamp of the newest STATE
        self._host_online = False
        self._bd_seq = (bd_seq - 1) % 256
        self._seq = 0
        self._birth_due = False
        self._connected = False

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """Topics of a connection: the node's commands, and the host's STATE."""
        commands = self._topic(Kind.NCMD)
        return (commands, topics.state_topic(self._host_id)) if self._host_id else (commands,)

    @property
    def unacknowledged(self) -> int:
        """Readings that wait for an acknowledgement."""
        return 0

    def will(self, now: int) -> Publish:
        """The NDEATH of the session that begins with the next connection: a new bdSeq."""
        self._bd_seq = (self._bd_seq + 1) % 256
        return self._death(now)

    def connected(self) -> None:
        """The connection stands and the subscriptions are made; the birth follows when the host is online."""
        self._connected = True
        self._host_online = not self._host_id
        self._birth_due = self._host_online

    def lost(self) -> None:
        """The connection is gone."""
        self._connected = self.born = self.leaving = self._birth_due = False

    def leave(self, now: int) -> list[Publish]:
        """Say the death; the caller disconnects afterwards."""
        said = [self._death(now)] if self.born else []
        self.born = False
        return said

    def message(self, topic: str, payload: bytes) -> None:
        """Take in a STATE or a command; one that cannot be read is counted."""
        try:
            if topic == topics.state_topic(self._host_id):
                self._state(*topics.read_state(payload))
                return
            command = batch.read_command(decode(payload))
        except MalformedPayloadError:
            self.counters.refused += 1
            return
        self._birth_due |= command.rebirth and self.born
        if command.ack is not None and not self._acknowledge(command.ack):
            self.counters.refused += 1

    def sample(self, samples: Sequence[Sample], now: int) -> None:
        """Accept readings; `run_once` sends them."""
        self.counters.samples += len(samples)
        self._last |= {s.point.metric: s for s in samples}
        self._keep(samples, now)

    def due(self, now: int) -> int | None:
        """When `run_once` has something to do again; None: only after input."""
        if self._birth_due or self.leaving:
            return now
        return self._data_due(now) if self.born else None

    def run_once(self, now: int) -> list[Publish]:
        """What has to be sent now, in order."""
        if self.leaving:
            return self.leave(now)
        births = []
        if self._birth_due and self._connected:
            self._birth_due, self.born, self._seq = False, True, 0
            self.counters.births += 1
            births = self._births(now)
        return births + self._data(now) if self.born else births

    def _state(self, online: bool, timestamp: int) -> None:
        if timestamp < self._host_since:
            return
        self._host_online, self._host_since = online, timestamp
        if online and self._connected and not self.born:
            self._birth_due = True
        elif not online and self.born:
            self.leaving = True

    def _death(self, now: int) -> Publish:
        return Publish(self._topic(Kind.NDEATH), encode(batch.node_death(self._bd_seq, now)), 1)

    def _topic(self, kind: Kind, device: str | None = None) -> str:
        return str(Topic(self.group, kind, self.code, device))

    def _advance(self) -> int:
        self._seq = (self._seq + 1) % 256
        return self._seq

    def _acknowledge(self, _ack: Ack) -> bool:
        """Forget what the host has; False when it speaks of something that was never sent, as to every make without outbox."""
        return False

    @abstractmethod
    def _births(self, now: int) -> list[Publish]:
        """Births of node and devices, the first with seq 0."""

    @abstractmethod
    def _data(self, now: int) -> list[Publish]:
        """What is to be sent of the readings."""

    @abstractmethod
    def _data_due(self, now: int) -> int | None:
        """When `_data` has something again."""

    @abstractmethod
    def _keep(self, samples: Sequence[Sample], now: int) -> None:
        """Where accepted readings go."""


@dataclass(slots=True)
class _Batch:
    """A range of the outbox; without samples it is a gap: what had to make room. `due_at`: when it is to be sent, again if `tries` is not 0."""

    first: int
    last: int
    samples: tuple[Sample, ...] = ()
    urgent: bool = False
    tries: int = 0
    due_at: int = 0


class EdgeNode(Node):
    """Our make of gateway. `epoch` is that of its outbox, `capacity` how many readings the outbox holds before the oldest make room."""

    def __init__(self, points: Sequence[Point], host_id: str, bd_seq: int = 0, *, epoch: int, rng: random.Random, capacity: int = 100_000) -> None:
        super().__init__(points, host_id, bd_seq)
        self._declared = [
            PointDeclaration(metric, alias, p.room, QUANTITIES[p.quantity].unit, float(p.interval_s), p.klass)
            for (metric, alias), p in zip(self._aliases.items(), self.points, strict=True)
        ]
        self._interval_ms = {p.key: p.interval_s * 1000 for p in self.points}
        self._epoch, self._rng, self._capacity = epoch, rng, capacity
        self._outbox: list[_Batch] = []
        self._held = 0
        self._next = 1

    @property
    def unacknowledged(self) -> int:
        """Readings that the outbox holds."""
        return self._held

    def lost(self) -> None:
        """The connection is gone: what was on its way is sent again after the next birth."""
        super().lost()
        for item in self._outbox:
            item.tries = item.due_at = 0

    def _births(self, now: int) -> list[Publish]:
        first = self._outbox[0].first if self._outbox else self._next
        outbox = Outbox(self._epoch, first, self._next - 1)
        birth = batch.node_birth(self._declared, now=now, bd_seq=self._bd_seq, outbox=outbox, values=self._last)
        return [Publish(self._topic(Kind.NBIRTH), encode(birth))]

    def _keep(self, samples: Sequence[Sample], now: int) -> None:
        for start in range(0, len(samples), _SAMPLES):
            part = tuple(samples[start : start + _SAMPLES])
            urgent = any(QUANTITIES[s.point.quantity].urgent and s.value for s in part)
            self._outbox.append(_Batch(self._next, self._next + len(part) - 1, part, urgent, due_at=now))
            self._next += len(part)
            self._held += len(part)
        while self._held > self._capacity:
            self._evict()

    def _evict(self) -> None:
        """Give up the oldest readings; their range becomes part of the gap at the head of the outbox."""
        index = 0 if self._outbox[0].samples else 1
        gone = self._outbox[index]
        self._held -= len(gone.samples)
        self.counters.evicted += len(gone.samples)
        self._outbox[: index + 1] = [_Batch(self._outbox[0].first, gone.last)]

    def _acknowledge(self, ack: Ack) -> bool:
        if ack.epoch != self._epoch or ack.upto >= self._next:
            return False
        kept = next((i for i, item in enumerate(self._outbox) if item.last > ack.upto), len(self._outbox))
        count = sum(len(item.samples) for item in self._outbox[:kept])
        self.counters.acknowledged += count
        self._held -= count
        del self._outbox[:kept]
        return True

    def _flying(self, now: int) -> list[_Batch]:
        return [item for item in self._outbox if item.tries and item.due_at > now]

    def _data_due(self, now: int) -> int | None:
        flying = self._flying(now)
        waiting = flying if len(flying) >= _WINDOW else self._outbox
        return min((item.due_at for item in waiting), default=None)

    def _data(self, now: int) -> list[Publish]:
        """The newest batch first, then the oldest that are due, as far as the window reaches."""
        ready = [item for item in self._outbox if item.due_at <= now]
        room = _WINDOW - len(self._flying(now))
        chosen = [*ready[-1:], *ready[:-1]][: max(room, 0)]
        return [Publish(self._topic(Kind.NDATA), encode(self._payload(item, now))) for item in chosen]

    def _payload(self, item: _Batch, now: int) -> Payload:
        self.counters.resent += item.tries > 0
        wait = min((_RESEND_URGENT_MS if item.urgent else _RESEND_MS) << min(item.tries, 10), _RESEND_LONGEST_MS)
        item.tries += 1
        item.due_at = now + int(wait * self._rng.uniform(0.75, 1.25))
        outbox, seq = Outbox(self._epoch, item.first, item.last), self._advance()
        if not item.samples:
            return batch.gap(outbox, "evicted", now=now, seq=seq)
        late = now - item.samples[0].taken_at > 2 * self._interval_ms[item.samples[0].point]
        return batch.node_data(item.samples, self._aliases, now=now, seq=seq, outbox=outbox, historical=late)
