"""The MQTT connection of one simulated gateway: a paho client without a thread, driven by somebody else's selector."""

import logging
import random
import selectors
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from simulators.fleet_node import Node

log = logging.getLogger("simulators.fleet")
_CONNECT_S = 3.0
_BACKOFF_MS = (500, 30_000)


@dataclass(frozen=True, slots=True)
class Target:
    """The broker. `qos` is that of the two subscriptions; each with QoS 1 costs nats-server a consumer."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    keepalive_s: int = 30
    qos: int = 1


class Link:
    """The connection of one node: a paho client driven from outside. Nothing raises in a callback."""

    def __init__(self, node: Node, target: Target, selector: selectors.BaseSelector, clock: Callable[[], int], rng: random.Random) -> None:
        self.node = node
        self.next_at: int | None = 0
        self._target, self._selector, self._clock, self._rng = target, selector, clock, rng
        self._client: paho.Client | None = None
        self._failures = 0

    def connect(self, now: int) -> None:
        """Open a connection with the will of a new session; a failure plans the next attempt."""
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=self.node.code, clean_session=True)
        if self._target.username is not None:
            client.username_pw_set(self._target.username, self._target.password)
        client.connect_timeout = _CONNECT_S
        client.on_connect, client.on_message, client.on_disconnect = self._on_connect, self._on_message, self._on_disconnect
        client.on_socket_open, client.on_socket_close = self._on_open, self._on_close
        client.on_socket_register_write, client.on_socket_unregister_write = self._on_writing, self._on_written
        topic, payload, qos = self.node.will(now)
        client.will_set(topic, payload, qos=qos)
        self._client, self.next_at = client, None
        try:
            client.connect(self._target.host, self._target.port, self._target.keepalive_s)
        except OSError as error:
            log.debug("%s: %s", self.node.code, error)
            self._down()

    def run_once(self, now: int) -> None:
        """Connect when it is time; send what the node has."""
        if self._client is None:
            if self.next_at is not None and self.next_at <= now:
                self.connect(now)
            return
        for topic, payload, qos in self.node.run_once(now):
            self._client.publish(topic, payload, qos=qos)
        if self.node.leaving:
            self.close()

    def due(self, now: int) -> int | None:
        """When `run_once` has something to do."""
        return self.next_at if self._client is None else self.node.due(now)

    def ready(self, mask: int) -> None:
        """The socket can be read or written."""
        if self._client is not None and mask & selectors.EVENT_READ:
            self._client.loop_read()
        if self._client is not None and mask & selectors.EVENT_WRITE:
            self._client.loop_write()

    def misc(self) -> None:
        """Keep-alive."""
        if self._client is not None and self._client.loop_misc() != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._down()

    def leave(self, now: int) -> None:
        """End for good: the node's death, then DISCONNECT."""
        if self._client is not None:
            for topic, payload, qos in self.node.leave(now):
                self._client.publish(topic, payload, qos=qos)
            self.close()
        self.next_at = None

    def close(self) -> None:
        """Send what is queued and DISCONNECT, so that no will is published."""
        if self._client is None:
            return
        self._client.disconnect()
        for _ in range(50):
            if self._client is None or not self._client.want_write():
                break
            self._client.loop_write()
        if self._client is not None and (sock := self._client.socket()) is not None:  # a broker that takes nothing: cut
            self._on_close(self._client, None, sock)
            sock.close()
        self._down()

    def _down(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        if (sock := client.socket()) is not None:
            self._on_close(client, None, sock)
        self.node.lost()
        self._failures += 1
        low, high = _BACKOFF_MS
        self.next_at = self._clock() + int(min(low << min(self._failures, 10), high) * self._rng.uniform(0.5, 1.0))

    # -- paho's callbacks, all in our thread ---------------------------------------------------------------------------------------------------------

    def _on_connect(self, client: paho.Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            log.warning("%s is refused: %s", self.node.code, reason)
            return
        client.subscribe([(topic, self._target.qos) for topic in self.node.subscriptions])
        self._failures = 0
        self.node.connected()

    def _on_message(self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        self.node.message(message.topic, bytes(message.payload))

    def _on_disconnect(self, client: paho.Client, *_: Any) -> None:
        if client is self._client:
            self._down()

    def _registered(self, sock: Any) -> bool:
        return sock.fileno() >= 0 and sock.fileno() in self._selector.get_map()

    def _on_open(self, _client: paho.Client, _userdata: Any, sock: Any) -> None:
        self._selector.register(sock, selectors.EVENT_READ, self)

    def _on_close(self, _client: paho.Client, _userdata: Any, sock: Any) -> None:
        if self._registered(sock):
            self._selector.unregister(sock)

    def _on_writing(self, _client: paho.Client, _userdata: Any, sock: Any) -> None:
        if self._registered(sock):
            self._selector.modify(sock, selectors.EVENT_READ | selectors.EVENT_WRITE, self)

    def _on_written(self, _client: paho.Client, _userdata: Any, sock: Any) -> None:
        if self._registered(sock):
            self._selector.modify(sock, selectors.EVENT_READ, self)
