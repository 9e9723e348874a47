"""Decode, refuse with a reason, hand to the watch, acknowledge after its commit.

The acknowledgement (highest contiguous sequence of the sender's spool) leaves only from the future of a committed transaction: this is the one
place that lets a gateway forget. Poison is refused once, counted, and set aside with its reason.
"""

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import lru_cache
from typing import Final, Protocol

import msgspec

from contract.batch import Ack, Birth, UnknownAliasError, event_ack, outbox_ack, read_birth, read_data, rebirth_command
from contract.quantities import QUANTITIES
from contract.sample import PointKey, Quality, Sample
from contract.sparkplug import MalformedPayloadError, Payload, decode, encode
from contract.topics import Kind, MalformedTopicError, Topic, parse
from server.ingest import bounds
from server.ingest.lanes import Lanes
from server.ingest.mqtt import Incoming
from server.ingest.session import NodeSession
from server.metrics import Metrics
from server.watch.inputs import GatewayBirth, GatewayData, GatewayDeath, Receipt

log = logging.getLogger("server.ingest.accept")
TICK_EVERY_MS = 250
ASIDE_LOOKS, ASIDE_S = 12, 0.004
"""So often, and each time for so long, the decoder waits for the end of a group that is judged, and looks whether something hurries."""


class WatchDoor(Protocol):
    """The part of the watch that ingest needs."""

    def offer(self, item: GatewayBirth | GatewayData | GatewayDeath) -> "Future[Receipt]":
        """Queue an input; the future resolves after its commit."""

    def set_aside(self, topic: str, payload: bytes, reason: str, detail: str, now: int) -> None:
        """Keep poison for a person to look at."""

    def aside(self, most_s: float) -> bool:
        """Wait while a group is judged, for so long at most. Returns whether none is."""


class Acceptor:
    """Turns messages into inputs of the watch.

    `send(topic, payload)` publishes commands, `events(gateway, entries, now)` keeps what a logbook says and returns the ids that it has,
    `last_birth(group, node)` tells session number and own time (UTC ms) of the last birth before our start.
    """

    def __init__(
        self,
        watch: WatchDoor,
        send: Callable[[str, bytes], None],
        metrics: Metrics,
        *,
        acknowledge: bool = True,
        events: Callable[[str, Sequence[str], int], Sequence[str]] = lambda _gateway, _events, _now: (),
        last_birth: Callable[[str, str], tuple[int | None, int | None]] = lambda _group, _node: (None, None),
    ) -> None:
        self._watch, self._send, self._metrics, self._acknowledge = watch, send, metrics, acknowledge
        self._events, self._last_birth = events, last_birth
        self._nodes: dict[tuple[str, str], NodeSession] = {}
        self._connection = 0
        self._ticked_at = 0

    def accept(self, message: Incoming) -> None:
        """One message; never raises for bad input."""
        if message.connection != self._connection:
            # While we were away from the broker a node may have been born anew; believing the old birth would mean believing old aliases.
            self._connection = message.connection
            for node in self._nodes.values():
                node.born = False
        try:
            topic = parse(message.topic)
            handler = self._HANDLERS.get(topic.kind)
            if handler is not None:
                bounds.check_topic(topic)
                handler(self, topic, decode(message.payload), message)
        except MalformedTopicError as error:
            self._refuse(message, "topic", str(error))
        except UnknownAliasError as error:
            self._metrics.refused.labels("unknown_alias").inc()
            self._ask_rebirth(parse(message.topic), message.received_at, str(error))
        except MalformedPayloadError as error:
            self._refuse(message, error.reason, str(error))

    def tick(self, now: int) -> None:
        """Ask for the rebirths whose reorder timeout has passed."""
        for node in self._nodes.values():
            if node.born and node.wants_rebirth(now):
                self._rebirth(node, now)

    def run(
        self, incoming: "queue.Queue[Incoming]", stop: threading.Event, clock: Callable[[], int], also: Callable[[int], None] = lambda _now: None
    ) -> None:
        """The ingest thread. `also(now)` is called beside each tick."""
        lanes = Lanes(incoming)
        while not stop.is_set():
            try:
                self._step_aside(lanes)
                if (message := lanes.next(0.5)) is not None:
                    self.accept(message)
            except Exception:
                # A fault of ours must not end ingestion for everybody: counted, logged whole, and the gateway resends.
                self._metrics.refused.labels("internal").inc()
                log.exception("a message could not be handled")
            self.beside(clock(), also)

    def _step_aside(self, lanes: Lanes) -> None:
        """While a group is judged, unless something hurries; in any case not for long."""
        for _ in range(ASIDE_LOOKS):
            if lanes.pressing() or self._watch.aside(ASIDE_S):
                return

    def beside(self, now: int, also: Callable[[int], None]) -> None:
        """Ticks, now and then: to look at every node of a province behind each message took longer than the message."""
        if now - self._ticked_at >= TICK_EVERY_MS:
            self._ticked_at = now
            self.tick(now)
            also(now)

    # -- one handler a message type -----------------------------------------------------------------------------------------------------

    def _node_birth(self, topic: Topic, payload: Payload, message: Incoming) -> None:
        birth = read_birth(payload)
        bounds.check_birth(topic, birth)
        node = self._node(topic)
        if node.replayed_birth(birth.bd_seq, payload.timestamp, message.received_at):
            self._replayed(topic)
            return
        node.birth(
            bd_seq=birth.bd_seq,
            seq=payload.seq,
            names=birth.names,
            datatypes=_datatypes(birth),
            acknowledges=birth.outbox is not None,
            stamp=payload.timestamp,
        )
        offset = node.clock(payload.timestamp, message.received_at)
        self._offer_birth(topic, message, GatewayBirth(
            gateway=topic.node, group=topic.group, received_at=message.received_at, bd_seq=birth.bd_seq, outbox=birth.outbox,
            points=birth.points, rules_version=birth.rules_version, offers=birth.offers, offset_ms=offset, stamp=payload.timestamp,
        ))  # fmt: skip
        if birth.outbox is None:
            self._offer_values(topic, message, birth, offset)

    def _device_birth(self, topic: Topic, payload: Payload, message: Incoming) -> None:
        node = self._node(topic)
        if node.replayed(payload.seq, payload.timestamp, message.received_at):
            self._replayed(topic)
            return
        if not node.born:
            self._ask_rebirth(topic, message.received_at, "device birth before node birth")
            return
        birth = read_birth(payload, device=topic.device)
        bounds.check_birth(topic, birth)
        node.device_birth(payload.seq, birth.names, _datatypes(birth), message.received_at)
        offset = node.clock(payload.timestamp, message.received_at)
        self._offer_birth(topic, message, GatewayBirth(
            gateway=topic.node, group=topic.group, received_at=message.received_at, bd_seq=node.bd_seq, outbox=None,
            points=birth.points, offset_ms=offset,
        ))  # fmt: skip
        self._offer_values(topic, message, birth, offset)

    def _data(self, topic: Topic, payload: Payload, message: Incoming) -> None:
        node = self._node(topic)
        if node.replayed(payload.seq, payload.timestamp, message.received_at):
            self._replayed(topic)
            return
        if not node.born:
            self._ask_rebirth(topic, message.received_at, "data before birth")
            return
        node.follow(payload.seq, message.received_at)
        data = read_data(payload, topic.node, node.names, device=topic.device, datatypes=node.datatypes)
        bounds.check_outbox(data.outbox)
        if data.events:
            self._logbook(topic, data.events, message.received_at)
            if not data.samples and data.outbox is None:
                return
        item = GatewayData(
            gateway=topic.node,
            group=topic.group,
            received_at=message.received_at,
            samples=tuple(map(_plausible, data.samples)),
            outbox=data.outbox,
            gap=data.gap,
            offset_ms=node.clock(payload.timestamp, message.received_at),
            urgent=node.news(data.samples),
        )
        self._watch.offer(item).add_done_callback(lambda done: self._answer(topic, done, message.received_at))

    def _logbook(self, topic: Topic, events: tuple[str, ...], now: int) -> None:
        """Entries of a gateway's logbook: kept, then acknowledged. What could not be kept is not, and the gateway sends it again."""
        ids = self._events(topic.node, events, now)
        if ids:
            self._send(str(Topic(topic.group, Kind.NCMD, topic.node)), encode(event_ack(ids, now)))

    def _node_death(self, topic: Topic, payload: Payload, message: Incoming) -> None:
        bd_seq = next((int(metric.value) for metric in payload.metrics if metric.name == "bdSeq" and isinstance(metric.value, int)), None)
        if self._node(topic).death(bd_seq):
            self._watch.offer(GatewayDeath(gateway=topic.node, group=topic.group, at=message.received_at))
        else:
            self._replayed(topic)

    def _device_death(self, topic: Topic, payload: Payload, message: Incoming) -> None:
        node = self._node(topic)
        if node.replayed(payload.seq, payload.timestamp, message.received_at):
            self._replayed(topic)
            return
        node.follow(payload.seq, message.received_at)
        at = min(payload.timestamp or message.received_at, message.received_at)
        self._watch.offer(GatewayDeath(gateway=topic.node, group=topic.group, at=at, device=topic.device))

    _HANDLERS = {  # noqa: RUF012 - a literal table
        Kind.NBIRTH: _node_birth,
        Kind.DBIRTH: _device_birth,
        Kind.NDATA: _data,
        Kind.DDATA: _data,
        Kind.NDEATH: _node_death,
        Kind.DDEATH: _device_death,
    }

    # -- helpers ------------------------------------------------------------------------------------------------------------------------

    def _node(self, topic: Topic) -> NodeSession:
        node = self._nodes.get((topic.group, topic.node))
        if node is None:
            node = self._nodes[topic.group, topic.node] = NodeSession(topic.group, topic.node)
            node.bd_seq, node.stamp = self._last_birth(topic.group, topic.node)
        return node

    def _replayed(self, topic: Topic) -> None:
        self._metrics.refused.labels("replayed").inc()
        log.debug("%s was sent again; it changes nothing", topic)

    def _offer_birth(self, topic: Topic, message: Incoming, birth: GatewayBirth) -> None:
        self._watch.offer(birth).add_done_callback(lambda done: self._answer(topic, done, message.received_at))

    def _offer_values(self, topic: Topic, message: Incoming, birth: Birth, offset: int) -> None:
        # Only for foreign gateways: what our edge knows lies in its spool and comes with a sequence number.
        samples = tuple(
            _plausible(Sample(PointKey.of(topic.node, value.metric), value.timestamp, value.value, value.quality, value.reason))
            for value in birth.values
            if value.value is not None or value.quality is Quality.BAD
        )
        if samples:
            self._watch.offer(GatewayData(gateway=topic.node, group=topic.group, received_at=message.received_at, samples=samples, offset_ms=offset))

    def _answer(self, topic: Topic, done: "Future[Receipt]", now: int) -> None:
        if done.cancelled() or done.exception() is not None:
            return  # not committed: no acknowledgement, the gateway resends
        receipt = done.result()
        if self._acknowledge and receipt.epoch is not None and receipt.upto is not None:
            self._send(_commands_to(topic.group, topic.node), encode(outbox_ack(Ack(receipt.epoch, receipt.upto), now)))

    def _ask_rebirth(self, topic: Topic, now: int, why: str) -> None:
        node = self._node(topic)
        if node.wants_rebirth(now, at_once=True):
            log.info("asking %s for a rebirth: %s", topic.node, why)
            self._rebirth(node, now)

    def _rebirth(self, node: NodeSession, now: int) -> None:
        self._metrics.rebirths.inc()
        self._send(str(Topic(node.group, Kind.NCMD, node.node)), encode(rebirth_command(now)))

    def _refuse(self, message: Incoming, reason: str, detail: str) -> None:
        self._metrics.refused.labels(reason).inc()
        log.warning("refused a message on %s: %s", message.topic, detail)
        self._watch.set_aside(message.topic, message.payload, reason, detail, message.received_at)


@lru_cache(maxsize=1 << 14)
def _commands_to(group: str, node: str) -> str:
    return str(Topic(group, Kind.NCMD, node))


def _datatypes(birth: Birth) -> dict[int, int]:
    return {point.alias: point.datatype for point in birth.points if point.alias is not None}


_POSSIBLE: Final = {name: (quantity.low, quantity.high) for name, quantity in QUANTITIES.items()}


def _plausible(sample: Sample) -> Sample:
    """Our own edge judges values by the device's profile; what another make calls good must at least be possible."""
    value = sample.value
    if value is None:
        return sample
    low, high = _POSSIBLE.get(sample.point.quantity, (value, value))
    if low <= value <= high:
        return sample
    return msgspec.structs.replace(sample, value=None, quality=Quality.BAD, reason="implausible")
