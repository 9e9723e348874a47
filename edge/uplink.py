"""The Sparkplug B edge node: session, births, and the spool drained by end-to-end acknowledgements.

MQTT is transport only. A batch is forgotten when the server says that it has it (NCMD `Node Control/Outbox Ack`), because neither QoS nor a PUBACK
proves that anybody stored it. Order of sending: alarm-class news, then live and history by turns. Data is never sent before the host application is
online (STATE) and the birth is out. `run_once` drives everything; time is an argument (`now` UTC ms, `mono` monotonic ms).
"""

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Final

from contract import sparkplug
from contract.batch import node_birth, node_death
from contract.batch_reading import read_command
from contract.declarations import Ack, PointDeclaration
from contract.quantities import QUANTITIES
from contract.sample import PointKey, Sample
from contract.sparkplug import MalformedPayloadError, Payload
from contract.topics import Kind, Topic, read_state, state_topic
from edge.link import Arrived, Down, Link, Up
from edge.logbook import Logbook
from edge.sender import Sender
from edge.settings import UplinkSettings
from edge.spool import Spool

_log = logging.getLogger("edge.uplink")

_CONNECT_MS: Final = 30_000
_PATIENCE_MS: Final = 10_000  # until a host that is not online is worth a word
_RETRY_MS: Final = (1_000, 60_000)
_REBIRTH_MS: Final = 1_000
_ANSWER_MS: Final = 2_000  # of patience for the answer to the first birth after a start, before readings are sent all the same
_IDLE_MS: Final = 60_000
_TELL_MS: Final = 15_000  # until an entry of the logbook that nobody acknowledged is sent again
_ENTRIES: Final = 20


class Phase(StrEnum):
    """How far the session has come."""

    DOWN = "down"
    CONNECTING = "connecting"
    WAITING = "waiting"
    ONLINE = "online"


@dataclass(frozen=True, slots=True)
class Identity:
    """Sparkplug group, edge node and primary host (empty: none)."""

    group: str
    gateway: str
    host_id: str

    def topic(self, kind: Kind) -> str:
        """The node's topic of a message type."""
        return str(Topic(self.group, kind, self.gateway))

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """Commands to the node, and the state of its host."""
        return (self.topic(Kind.NCMD), *((state_topic(self.host_id),) if self.host_id else ()))


@dataclass(slots=True)
class Counters:
    """Since start."""

    connects: int = 0
    births: int = 0
    acknowledgements: int = 0
    foreign_acknowledgements: int = 0
    refused_messages: int = 0


class Uplink:
    """See the module. `values` gives the last sample of every metric for a birth; `on_rules` takes the server's rule set: True = adopted;
    `on_write` the JSON of an ordered write, `on_others` that of other commands by their name, in the storage thread. `logbook` is told to the server;
    `offers` (contract.offers) stand in the birth.
    """

    def __init__(
        self,
        identity: Identity,
        settings: UplinkSettings,
        link: Link,
        points: Sequence[PointDeclaration],
        next_bd_seq: Callable[[], int],
        *,
        values: Callable[[], Mapping[str, Sample]] = dict,
        rules_version: Callable[[], str] = str,
        on_rules: Callable[[str], bool] | None = None,
        on_write: Callable[[str], None] | None = None,
        on_others: Mapping[str, Callable[[str], None]] | None = None,
        logbook: Logbook | None = None,
        offers: str = "",
        noise: random.Random | None = None,
    ) -> None:
        self.counters = Counters()
        self.phase = Phase.DOWN
        self.trouble = ""
        self.host_online = False
        self.acknowledged_at: float | None = None
        """Monotonic ms of the last acknowledgement in this session."""
        self.clock_offset_s: float | None = None
        """What our clock shows more than the server's, by its last acknowledgement; too small by the time that took on the way."""
        self._identity, self._link, self._next_bd_seq = identity, link, next_bd_seq
        self._points = {point.metric: point for point in points}
        self._values, self._rules_version, self._on_rules = values, rules_version, on_rules
        self._on_others, self._offers = on_others or {}, offers
        self._on_write, self._logbook, self._tell_at = on_write, logbook, float("-inf")
        self._trusting = settings.acknowledgement == "none"
        self._noise = noise or random.Random()  # noqa: S311
        self.sender = Sender(settings, self._publish_data, self._noise)
        self._bd_seq = 0
        self._host_seen = -1  # timestamp of the newest STATE
        self._failures = 0
        self._wake_at = float("-inf")  # next try when down, end of patience when connecting
        self._birth_at: float | None = None  # when a birth is wanted
        self._next_birth = float("-inf")
        self._born_epoch: int | None = None
        self._answer_by = float("-inf")
        self._ack_stamp = -1
        self._told: tuple[str, ...] = ()

    # ----------------------------------------------------------------------------------------------------------------------------- running

    def run_once(self, spool: Spool, now: int, mono: float) -> float:
        """Look at what arrived, keep the session, send what may be sent. Returns when to come back at the latest (mono). Raises SpoolError."""
        for event in self._link.events():
            match event:
                case Up():
                    self._connected(mono)
                case Down(reason):
                    self._lost(reason, mono)
                case Arrived(topic, payload):
                    self._arrived(topic, payload, spool, now, mono)
        if self.phase is Phase.CONNECTING and mono >= self._wake_at:
            self._lost("消息服务器没有回应", mono)
        elif self.phase is Phase.DOWN and mono >= self._wake_at:
            self._connect(now, mono)
        if self.phase is Phase.WAITING:
            self._wait_for_host(spool, mono)
        return self._work(spool, now, mono) if self.phase is Phase.ONLINE else min(self._wake_at, mono + _IDLE_MS)

    def _work(self, spool: Spool, now: int, mono: float) -> float:
        if self._born_epoch not in (None, spool.epoch):
            self.sender.restart(spool, mono)  # the spool was replaced: its sequences are others now
        if self._born_epoch != spool.epoch or self.sender.undeclared:
            self._want_birth(mono)
        if self._birth_at is not None:
            if mono < self._birth_at:
                return self._birth_at  # the host cannot read us until it has our births: sending would only make it ask again
            self._birth(spool, now, mono)
        if spool.unsent is not None and not self._trusting and self.acknowledged_at is None and mono < self._answer_by:
            return self._answer_by  # the answer to the birth says whether this spool is the one that the server knows
        spool.sending()
        more = self.sender.run(spool, now, mono)
        told = self._tell(now, mono)
        return mono if more or self.sender.undeclared else max(mono, min(self.sender.next_due(), told, mono + _IDLE_MS))

    def _tell(self, now: int, mono: float) -> float:
        """Send what the logbook has and the server has not; again after a while, at once when there is news. Returns when to come back (mono)."""
        if self._logbook is None or not (entries := self._logbook.waiting(_ENTRIES)):
            self._told = ()
            return float("inf")
        if mono >= self._tell_at or entries != list(self._told):
            self._told, self._tell_at = tuple(entries), mono + _TELL_MS
            self.sender.tell(entries, now)
        return self._tell_at

    def status(self, mono: float) -> dict[str, Any]:
        """For people and scripts."""
        age = None if self.acknowledged_at is None else round((mono - self.acknowledged_at) / 1000, 1)
        return {
            "phase": str(self.phase),
            "host_online": self.host_online,
            "acknowledged_s_ago": age,
            "clock_offset_s": self.clock_offset_s,
            "trouble": self.trouble,
            **asdict(self.counters),
            **asdict(self.sender.counters),
        }

    def close(self, now: int) -> None:
        """Say goodbye: NDEATH, then disconnect."""
        self._leave(now)
        self.phase, self._wake_at = Phase.DOWN, float("inf")

    # ----------------------------------------------------------------------------------------------------------------------------- session

    def _connect(self, now: int, mono: float) -> None:
        self._bd_seq = self._next_bd_seq()
        self.counters.connects += 1
        self.phase, self._wake_at = Phase.CONNECTING, mono + _CONNECT_MS
        self.host_online = not self._identity.host_id
        self._link.open(self._identity.topic(Kind.NDEATH), sparkplug.encode(node_death(self._bd_seq, now)))

    def _connected(self, mono: float) -> None:
        self.phase, self._wake_at = Phase.WAITING, mono + _PATIENCE_MS

    def _wait_for_host(self, spool: Spool, mono: float) -> None:
        if self.host_online:
            self.phase, self._born_epoch, self._ack_stamp = Phase.ONLINE, None, -1
            self.sender.restart(spool, mono)
        elif mono >= self._wake_at:
            self._wake_at = float("inf")
            self._say("中心服务还没有上线，数据先存本机")

    def _lost(self, reason: str, mono: float) -> None:
        if self.phase is Phase.ONLINE and self.acknowledged_at is None:
            self.sender.shrink()
        self._say(f"与中心的连接不通：{reason}；数据先存本机")
        self._link.close()
        self._pause(mono)

    def _pause(self, mono: float) -> None:
        first, longest = _RETRY_MS
        self.phase, self.acknowledged_at, self._birth_at = Phase.DOWN, None, None
        self._wake_at = mono + min(first * 2 ** min(self._failures, 10), longest) * self._noise.uniform(0.75, 1.25)
        self._failures += 1

    def _leave(self, now: int) -> None:
        if self.phase is Phase.ONLINE:
            self._link.publish(self._identity.topic(Kind.NDEATH), sparkplug.encode(node_death(self._bd_seq, now)), 1)
        self._link.close()

    def _say(self, trouble: str) -> None:
        """Log a trouble once, and its end once."""
        if trouble and not self.trouble:
            _log.warning(trouble)
        elif self.trouble and not trouble:
            _log.info("与中心的连接已恢复")
        self.trouble = trouble

    def _publish_data(self, payload: bytes) -> None:
        self._link.publish(self._identity.topic(Kind.NDATA), payload)

    # ---------------------------------------------------------------------------------------------------------------------------- messages

    def _arrived(self, topic: str, payload: bytes, spool: Spool, now: int, mono: float) -> None:
        try:
            if topic == self._identity.topic(Kind.NCMD):
                self._command(sparkplug.decode(payload), spool, now, mono)
            elif topic == state_topic(self._identity.host_id):
                self._state(*read_state(payload), now, mono)
        except MalformedPayloadError as error:
            self.counters.refused_messages += 1
            _log.warning("message on %s refused: %s", topic, error)

    def _state(self, online: bool, timestamp: int, now: int, mono: float) -> None:
        """STATE of the primary host: older news is ignored; when it goes offline the node leaves, as the specification demands."""
        if timestamp < self._host_seen:
            return
        self._host_seen, self.host_online = timestamp, online
        if not online and self.phase is Phase.ONLINE:
            self._say("中心服务已离线，数据先存本机")
            self._leave(now)
            self._pause(mono)

    def _command(self, payload: Payload, spool: Spool, now: int, mono: float) -> None:
        command = read_command(payload)
        if command.ack is not None and not self._trusting:
            self._acknowledged(command.ack, payload.timestamp or 0, spool, now, mono)
        if command.rebirth and self.phase is Phase.ONLINE:
            self._want_birth(mono)
            self.sender.hurry(mono)
        if command.rules is not None and self._on_rules is not None and self._on_rules(command.rules) and self.phase is Phase.ONLINE:
            self._want_birth(mono)  # it carries the version that is in force now
        if command.write is not None and self._on_write is not None:
            self._on_write(command.write)
        if command.events and self._logbook is not None:
            self._logbook.acknowledged(command.events)
        for name, value in command.others.items():
            if isinstance(value, str) and name in self._on_others:
                self._on_others[name](value)
            else:
                _log.warning("command %s is not known here", name)

    def _acknowledged(self, ack: Ack, stamp: int, spool: Spool, now: int, mono: float) -> None:
        if ack.epoch != spool.epoch:
            self.counters.foreign_acknowledgements += 1
            return
        if not spool.knows(ack.upto):
            spool.renew(f"服务器已有第 {ack.upto} 条，本机写到 {spool.last}、从第 {spool.unsent or '—'} 条起还没上送：缓存被还原或复制过", now)
            self.sender.restart(spool, mono)
            return
        if ack.upto < spool.acknowledged:
            if stamp <= self._ack_stamp:
                return  # an older one, overtaken on its way
            _log.warning("服务器从第 %d 条退回到 %d（恢复过备份）：重新上送", spool.acknowledged, ack.upto)
            spool.acknowledge(ack.upto, now)
            self.sender.restart(spool, mono)
        else:
            spool.acknowledge(ack.upto, now)
            self.sender.acknowledged(ack.upto, mono)
        self._ack_stamp = max(stamp, self._ack_stamp)
        if stamp:
            self.clock_offset_s = (now - stamp) / 1000
        self.counters.acknowledgements += 1
        self.acknowledged_at, self._failures = mono, 0
        self._say("")

    # ------------------------------------------------------------------------------------------------------------------------------ births

    def _want_birth(self, mono: float) -> None:
        if self._birth_at is None:
            self._birth_at = max(mono, self._next_birth)

    def _birth(self, spool: Spool, now: int, mono: float) -> None:
        self._declare(self.sender.undeclared, spool)
        aliases = {metric: alias for alias, metric in enumerate(self._points, 1)}
        points = [replace(point, alias=aliases[metric]) for metric, point in self._points.items()]
        payload = node_birth(
            points, now=now, bd_seq=self._bd_seq, outbox=spool.outbox, rules_version=self._rules_version(), values=self._values(), offers=self._offers
        )
        self._link.publish(self._identity.topic(Kind.NBIRTH), sparkplug.encode(payload))
        self.sender.begin(aliases, {point.metric: point.interval_s * 1000 for point in points if point.interval_s is not None})
        self._born_epoch, self._birth_at, self._next_birth = spool.epoch, None, mono + _REBIRTH_MS
        self._answer_by = mono + _ANSWER_MS
        self.counters.births += 1
        if self._trusting:
            self._failures = 0
            self._say("")

    def _declare(self, metrics: set[str], spool: Spool) -> None:
        """Points of rows that were stored under an earlier configuration: their samples are still owed, and further ones are not promised."""
        known = spool.remembered() if metrics else {}
        for metric in sorted(metrics):
            quantity = QUANTITIES[PointKey.of(self._identity.gateway, metric).quantity]
            self._points[metric] = known.get(metric) or PointDeclaration(metric, None, "", quantity.unit, None, quantity.kind)
