"""Decode what gateways send, refuse with a reason, and hand on what it means. No database: it runs in the process that talks to the broker (line.py).

Poison is refused once and handed on with its reason, to be kept for a person to look at.
"""

import logging
from collections.abc import Callable, Iterable
from typing import cast

import msgspec

from contract.batch import Birth, UnknownAliasError, read_birth, read_data, rebirth_command
from contract.ordinary import ordinary
from contract.sample import PointKey, Quality, Sample
from contract.sparkplug import MalformedPayloadError, Payload, decode, encode
from contract.topics import Kind, MalformedTopicError, Topic, parse
from server.ingest import bounds
from server.ingest.frames import REBIRTH, Heard, Logbook, Poison
from server.ingest.mqtt import Incoming
from server.ingest.session import POSSIBLE, URGENT, NodeSession, Usual
from server.watch.inputs import Columns, GatewayBirth, GatewayData, GatewayDeath

log = logging.getLogger("server.ingest.reader")
TICK_EVERY_MS = 250


class Reader:
    """Turns messages into inputs of the server, in order.

    `heard(item)` takes them, `send(topic, payload)` publishes, `count(reason)` counts what is refused and each rebirth that is asked for. `births`:
    group, node, session number and own time (UTC ms) of the last births before our start, so that an old one is known for one.
    """

    def __init__(
        self,
        heard: Callable[[Heard], object],
        send: Callable[[str, bytes], object],
        count: Callable[[str], object],
        births: Iterable[tuple[str, str, int | None, int | None]] = (),
    ) -> None:
        self._heard, self._send, self._count = heard, send, count
        self._births = {(group, node): (bd_seq, stamp) for group, node, bd_seq, stamp in births}
        self._nodes: dict[tuple[str, str], NodeSession] = {}
        self._by_topic: dict[str, NodeSession] = {}
        self._connection = 0
        self._ticked_at = 0

    def accept(self, message: Incoming) -> None:
        """One message; never raises."""
        if message.connection != self._connection:
            # While we were away from the broker a node may have been born anew; believing the old birth would mean believing old aliases.
            self._connection = message.connection
            for node in self._nodes.values():
                node.born = False
        try:
            if self._ordinary(message):
                return
            topic = parse(message.topic)
            handler = self._HANDLERS.get(topic.kind)
            if handler is not None:
                bounds.check_topic(topic)
                handler(self, topic, decode(message.payload), message)
        except MalformedTopicError as error:
            self._refuse(message, "topic", str(error))
        except UnknownAliasError as error:
            self._count("unknown_alias")
            self._ask_rebirth(parse(message.topic), message.received_at, str(error))
        except MalformedPayloadError as error:
            self._refuse(message, error.reason, str(error))
        except Exception:
            # A fault of ours must not end ingestion for everybody: counted, logged whole, and the gateway resends.
            self._count("internal")
            log.exception("a message on %s could not be handled", message.topic)

    def tick(self, now: int) -> None:
        """Ask for the rebirths whose reorder timeout has passed."""
        for node in self._nodes.values():
            if node.born and node.wants_rebirth(now):
                self._rebirth(node, now)

    def beside(self, now: int) -> None:
        """Ticks, now and then: to look at every node of a province behind each message took longer than the message."""
        if abs(now - self._ticked_at) >= TICK_EVERY_MS:
            self._ticked_at = now
            self.tick(now)

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
        self._heard(GatewayBirth(
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
        self._heard(GatewayBirth(
            gateway=topic.node, group=topic.group, received_at=message.received_at, bd_seq=node.bd_seq, outbox=None,
            points=birth.points, offset_ms=offset,
        ))  # fmt: skip
        self._offer_values(topic, message, birth, offset)

    def _ordinary(self, message: Incoming) -> bool:
        """Take a message the short way, if node, points and readings are all as usual; whatever is not goes the long way, which says the same."""
        node = self._by_topic.get(message.topic)
        if node is None or not node.born or (data := ordinary(message.payload)) is None:
            return False
        points = list(map(node.usual.get, data.aliases))
        if not all(
            point is not None and value is not None and point.low <= value <= point.high for point, value in zip(points, data.values, strict=True)
        ):
            return False
        if node.replayed(data.seq, data.timestamp, message.received_at):
            self._replayed(message.topic)
            return True
        node.follow(data.seq, message.received_at)
        known = cast("list[Usual]", points)
        self._heard(GatewayData(
            gateway=node.node, group=node.group, received_at=message.received_at, outbox=data.outbox,
            samples=Columns([point.metric for point in known], data.taken_at, data.values, {}),
            offset_ms=node.clock(data.timestamp, message.received_at),
            urgent=node.news([(point.metric, (value, Quality.GOOD)) for point, value in zip(known, data.values, strict=True) if point.urgent]),
        ))  # fmt: skip
        return True

    def _data(self, topic: Topic, payload: Payload, message: Incoming) -> None:
        node = self._node(topic)
        if node.replayed(payload.seq, payload.timestamp, message.received_at):
            self._replayed(topic)
            return
        if not node.born:
            self._ask_rebirth(topic, message.received_at, "data before birth")
            return
        self._by_topic[message.topic] = node
        node.follow(payload.seq, message.received_at)
        data = read_data(payload, topic.node, node.names, device=topic.device, datatypes=node.datatypes)
        bounds.check_outbox(data.outbox)
        if data.events:
            self._heard(Logbook(topic.group, topic.node, data.events, message.received_at))
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
            urgent=node.news([(one.point.metric, (one.value, one.quality)) for one in data.samples if one.point.quantity in URGENT]),
        )
        self._heard(item)

    def _node_death(self, topic: Topic, payload: Payload, message: Incoming) -> None:
        bd_seq = next((int(metric.value) for metric in payload.metrics if metric.name == "bdSeq" and isinstance(metric.value, int)), None)
        if self._node(topic).death(bd_seq):
            self._heard(GatewayDeath(gateway=topic.node, group=topic.group, at=message.received_at))
        else:
            self._replayed(topic)

    def _device_death(self, topic: Topic, payload: Payload, message: Incoming) -> None:
        node = self._node(topic)
        if node.replayed(payload.seq, payload.timestamp, message.received_at):
            self._replayed(topic)
            return
        node.follow(payload.seq, message.received_at)
        at = min(payload.timestamp or message.received_at, message.received_at)
        self._heard(GatewayDeath(gateway=topic.node, group=topic.group, at=at, device=topic.device))

    _HANDLERS = {  # noqa: RUF012 - a literal table
        Kind.NBIRTH: _node_birth,
        Kind.DBIRTH: _device_birth,
        Kind.NDATA: _data,
        Kind.DDATA: _data,
        Kind.NDEATH: _node_death,
        Kind.DDEATH: _device_death,
    }

    def hurries(self, message: Incoming) -> bool:
        """Whether a message that waits brings news of the alarm class (lanes.py)."""
        node = self._by_topic.get(message.topic)
        return node is not None and node.born and message.connection == self._connection and node.brings_news(message.payload)

    # -- helpers ------------------------------------------------------------------------------------------------------------------------

    def _node(self, topic: Topic) -> NodeSession:
        node = self._nodes.get((topic.group, topic.node))
        if node is None:
            node = self._nodes[topic.group, topic.node] = NodeSession(topic.group, topic.node)
            node.bd_seq, node.stamp = self._births.get((topic.group, topic.node), (None, None))
        return node

    def _replayed(self, topic: Topic | str) -> None:
        self._count("replayed")
        log.debug("%s was sent again; it changes nothing", topic)

    def _offer_values(self, topic: Topic, message: Incoming, birth: Birth, offset: int) -> None:
        # Only for foreign gateways: what our edge knows lies in its spool and comes with a sequence number.
        samples = tuple(
            _plausible(Sample(PointKey.of(topic.node, value.metric), value.timestamp, value.value, value.quality, value.reason))
            for value in birth.values
            if value.value is not None or value.quality is Quality.BAD
        )
        if samples:
            self._heard(GatewayData(gateway=topic.node, group=topic.group, received_at=message.received_at, samples=samples, offset_ms=offset))

    def _ask_rebirth(self, topic: Topic, now: int, why: str) -> None:
        node = self._node(topic)
        if node.wants_rebirth(now, at_once=True):
            log.info("asking %s for a rebirth: %s", topic.node, why)
            self._rebirth(node, now)

    def _rebirth(self, node: NodeSession, now: int) -> None:
        self._count(REBIRTH)
        self._send(str(Topic(node.group, Kind.NCMD, node.node)), encode(rebirth_command(now)))

    def _refuse(self, message: Incoming, reason: str, detail: str) -> None:
        log.warning("refused a message on %s: %s", message.topic, detail)
        self._heard(Poison(message.topic, message.payload, reason, detail, message.received_at))


def _datatypes(birth: Birth) -> dict[int, int]:
    return {point.alias: point.datatype for point in birth.points if point.alias is not None}


def _plausible(sample: Sample) -> Sample:
    """Our own edge judges values by the device's profile; what another make calls good must at least be possible."""
    value = sample.value
    if value is None:
        return sample
    low, high = POSSIBLE.get(sample.point.quantity, (value, value))
    if low <= value <= high:
        return sample
    return msgspec.structs.replace(sample, value=None, quality=Quality.BAD, reason="implausible")
