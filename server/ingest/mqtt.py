"""MQTT transport of the host application: one connection, its STATE, and a queue. Nothing is decoded here.

paho's thread only appends to the queue: an exception in a callback would kill that thread without a sound, and a slow callback would stop the
keep-alive. The broker is treated as lossy; the queue is bounded because the spools of the gateways, not our memory, are what keeps data.
"""

import logging
import queue
import ssl
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from contract.topics import NAMESPACE, read_state, state_payload, state_topic

log = logging.getLogger("server.ingest.mqtt")

QUEUE_LIMIT = 50_000
STATE_EVERY_MS = 5_000


class Incoming(NamedTuple):
    """One message as it came."""

    topic: str
    payload: bytes
    received_at: int
    connection: int = 0
    """Counts our connections to the broker: births sent between two of them were not heard."""


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker is and who we are; `tls` names the files of the authority, of our certificate and of its key."""

    host: str
    port: int
    host_id: str
    groups: tuple[str, ...]
    username: str | None = None
    password: str = ""
    tls: tuple[str, str | None, str | None] | None = None
    keepalive_s: int = 20
    patience_s: float = 10.0
    """The line's process gives a server up that has said nothing for so long (line.py)."""


class Transport:
    """The host application's MQTT connection. `clock` gives UTC ms, `refused` is told why a message was lost on its way in."""

    def __init__(self, to: Connection, *, clock: Callable[[], int], refused: Callable[[str], object]) -> None:
        self._address = (to.host, to.port, to.keepalive_s)
        self._host_id, self._groups, self._clock, self._refused = to.host_id, to.groups, clock, refused
        self.incoming: queue.Queue[Incoming] = queue.Queue(QUEUE_LIMIT)
        self.connected = False
        self._connection = 0
        self._failing = False
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"{to.host_id}-{clock() % 1_000_000_007}", clean_session=True)
        if to.username is not None:
            self._client.username_pw_set(to.username, to.password or None)
        if to.tls is not None:
            ca, certificate, key = to.tls
            self._client.tls_set(ca, certificate, key, tls_version=ssl.PROTOCOL_TLS_CLIENT)
        self._client.reconnect_delay_set(1, 5)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_pre_connect = self._on_pre_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._state_at = clock()
        self._state_said_at = 0

    def start(self) -> None:
        """Connect in the background; an unreachable broker is retried for ever and said once."""
        self._client.connect_async(*self._address)
        self._client.loop_start()

    def stop(self) -> None:
        """Say offline and leave."""
        if self.connected:
            info = self._client.publish(state_topic(self._host_id), state_payload(False, self._state_at), qos=1, retain=True)
            info.wait_for_publish(2)
        self._client.disconnect()
        self._client.loop_stop()

    def tick(self, now: int) -> None:
        """Say STATE again now and then: a broker may lose it in the moment in which an edge subscribes, and that edge would wait for ever."""
        if self.connected and abs(now - self._state_said_at) >= STATE_EVERY_MS:
            self._say_online()

    def _say_online(self) -> None:
        self._state_said_at = self._clock()
        self._client.publish(state_topic(self._host_id), state_payload(True, self._state_at), qos=1, retain=True)

    def send(self, topic: str, payload: bytes) -> None:
        """Publish a command at QoS 0; one that is lost is asked for again by what it answers."""
        self._client.publish(topic, payload, qos=0)

    # -- paho's thread ----------------------------------------------------------------------------------------------------------------

    def _on_pre_connect(self, client: paho.Client, _userdata: Any) -> None:
        # The Will must carry the same timestamp as the birth that follows on this connection.
        self._state_at = max(self._clock(), self._state_at + 1)
        client.will_set(state_topic(self._host_id), state_payload(False, self._state_at), qos=1, retain=True)

    def _on_connect(self, client: paho.Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._say_failing(f"消息服务器拒绝连接：{reason}")
            return
        topics = [(state_topic(self._host_id), 1)]
        for group in self._groups:
            topics += [(f"{NAMESPACE}/{group}/{kind}/+", qos) for kind, qos in (("NBIRTH", 0), ("NDATA", 0), ("NDEATH", 1))]
            topics += [(f"{NAMESPACE}/{group}/{kind}/+/+", 0) for kind in ("DBIRTH", "DDATA", "DDEATH")]
        self._connection += 1
        client.subscribe(topics)

    def _on_subscribe(self, _client: paho.Client, _userdata: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        # Heard first, born second: an edge that answers the birth must find us listening, and only the broker's answer says that we do.
        if any(reason.is_failure for reason in reasons):
            self._say_failing("消息服务器拒绝订阅")
            return
        self._say_online()
        self.connected, self._failing = True, False
        log.info("connected to the broker at %s:%s", *self._address[:2])

    def _on_connect_fail(self, _client: paho.Client, _userdata: Any) -> None:
        self._say_failing("连不上消息服务器")

    def _on_disconnect(self, _client: paho.Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.connected = False
        if reason.is_failure:
            self._say_failing(f"与消息服务器的连接中断：{reason}")

    def _say_failing(self, sentence: str) -> None:
        if not self._failing:
            log.warning("%s（%s:%s），正在重试", sentence, *self._address[:2])
        self._failing = True

    def _on_message(self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        try:
            if message.topic == state_topic(self._host_id):
                self._check_own_state(bytes(message.payload))
                return
            self.incoming.put_nowait(Incoming(message.topic, bytes(message.payload), self._clock(), self._connection))
        except queue.Full:
            self._refused("queue_full")
        except Exception:
            # paho's thread must outlive anything; what is lost here is resent by the gateway's spool.
            self._refused("callback")
            log.exception("message callback failed on %s", message.topic)

    def _check_own_state(self, payload: bytes) -> None:
        online, timestamp = read_state(payload)
        if not online and timestamp <= self._state_at:
            self._say_online()


def wall_clock() -> int:
    """UTC milliseconds of the machine."""
    return time.time_ns() // 1_000_000
