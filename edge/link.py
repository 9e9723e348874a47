"""One MQTT connection to the central broker, as events. All of paho for the uplink is here.

Each `open` makes a new paho client with its own Will, because a Sparkplug node counts bdSeq up with every CONNECT and paho's own reconnecting would
send the old Will again. The client's loop runs in a thread of ours: whatever ends it, an exception included, comes out as a Down event. Callbacks
only append to a queue and never raise.
"""

import logging
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.configfile import read_secret
from edge.settings import BrokerSettings, TlsSettings

_log = logging.getLogger("edge.link")
_MOST_MESSAGES: Final = 1000  # waiting to be looked at; an acknowledgement that is dropped is covered by the next one
_CONNECT_S: Final = 10
_FAREWELL_S: Final = 3

_PHRASES: Final = {
    ConnectionRefusedError: "消息服务器没有运行或端口不对",
    socket.gaierror: "找不到消息服务器的地址",
    TimeoutError: "消息服务器没有回应",
}


@dataclass(frozen=True, slots=True)
class Up:
    """Connected, and every subscription granted."""


@dataclass(frozen=True, slots=True)
class Down:
    """The connection ended or never came to be; `reason` is for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message."""

    topic: str
    payload: bytes


Event = Up | Down | Arrived


class Link(Protocol):
    """What the uplink needs of a connection."""

    def open(self, will_topic: str, will: bytes) -> None:
        """Start to connect; an Up or a Down follows. Ends an open connection without a Down."""

    def publish(self, topic: str, payload: bytes, qos: int = 0) -> None:
        """Hand a message to the connection, which may lose it."""

    def close(self) -> None:
        """Send what was published and disconnect; no Down follows."""

    def events(self) -> list[Event]:
        """What happened since the last call."""


class PahoLink:
    """The Link over TCP or TLS. `wake` is called, from any thread, when there are new events. Raises ConfigError for an unreadable password file."""

    def __init__(self, settings: BrokerSettings, client_id: str, topics: Sequence[str], wake: Callable[[], None]) -> None:
        self._settings, self._client_id, self._topics, self._wake = settings, client_id, topics, wake
        self._password = read_secret(settings.password_file) if settings.password_file else None
        self._state: deque[Up | Down] = deque()
        self._messages: deque[Arrived] = deque(maxlen=_MOST_MESSAGES)
        self._session: _Session | None = None

    def open(self, will_topic: str, will: bytes) -> None:
        """See Link."""
        self.close()
        self._state.clear()
        self._messages.clear()
        session = _Session(self, self._client_id)
        session.client.will_set(will_topic, will, qos=1, retain=False)
        if self._settings.username is not None:
            session.client.username_pw_set(self._settings.username, self._password)
        self._session = session
        session.start(self._settings, self._topics)

    def publish(self, topic: str, payload: bytes, qos: int = 0) -> None:
        """See Link."""
        if self._session is not None:
            self._session.client.publish(topic, payload, qos)

    def close(self) -> None:
        """See Link."""
        session, self._session = self._session, None
        if session is not None:
            session.end()

    def events(self) -> list[Event]:
        """See Link."""
        found: list[Event] = []
        for queue in (self._state, self._messages):
            while queue:
                found.append(queue.popleft())
        return found

    def report(self, session: "_Session", event: Event) -> None:
        """From the connection's thread: keep an event unless its connection is not the current one any more."""
        if session is self._session:
            if isinstance(event, Arrived):
                self._messages.append(event)
            else:
                self._state.append(event)
            self._wake()


class _Session:
    """One connection from CONNECT to its end."""

    def __init__(self, link: PahoLink, client_id: str) -> None:
        self._link = link
        self._reason = ""
        self._ended = False
        self._topics: Sequence[str] = ()
        self._thread: threading.Thread | None = None
        self.client = client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=True, reconnect_on_failure=False)
        client.connect_timeout = _CONNECT_S
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        # With this set, publish() from the uplink's thread only queues, and the loop's thread alone writes to the socket.
        client.on_socket_register_write = _nothing

    def start(self, settings: BrokerSettings, topics: Sequence[str]) -> None:
        """Begin, in a thread of its own."""
        self._topics = topics
        self._thread = threading.Thread(target=self._run, args=(settings,), name="edge-link", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Disconnect after what was published; also when the connection is only being made."""
        self._ended = True
        self.client.disconnect()
        if self._thread is not None:
            self._thread.join(_FAREWELL_S)

    def _run(self, settings: BrokerSettings) -> None:
        try:
            if settings.tls is not None:
                self.client.tls_set_context(tls_context(settings.tls))
            self.client.connect(settings.host, settings.port, settings.keepalive_s)
            # Not loop_forever(): only loop() and loop_start() make the pipe by which a publish ends the wait for the socket, up to a second long.
            while self.client.loop() is mqtt.MQTT_ERR_SUCCESS:
                continue
        except (OSError, ValueError) as error:
            self._reason = explain(error)
        except Exception:
            _log.exception("the MQTT loop ended with an error")
            self._reason = "MQTT 程序错误，见日志"
        finally:
            self._link.report(self, Down(self._reason or "连接中断"))

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: mqtt.ConnectFlags, code: ReasonCode, _properties: Properties | None) -> None:
        if code.is_failure:
            self._reason = f"消息服务器拒绝登录（{code}）"
        elif self._ended:
            client.disconnect()
        else:
            client.subscribe([(topic, 1) for topic in self._topics])

    def _on_subscribe(self, client: mqtt.Client, _data: Any, _mid: int, codes: list[ReasonCode], _properties: Properties | None) -> None:
        refused = [topic for topic, code in zip(self._topics, codes, strict=False) if code.is_failure]
        if refused:
            self._reason = f"消息服务器不允许订阅 {refused[0]}"
            client.disconnect()
        else:
            self._link.report(self, Up())

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # not a topic of ours
        self._link.report(self, Arrived(topic, bytes(message.payload)))

    def _on_disconnect(
        self, _client: mqtt.Client, _data: Any, _flags: mqtt.DisconnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        if code.is_failure and not self._reason:
            self._reason = f"连接中断（{code}）"


def _nothing(*_: object) -> None:
    """A callback whose presence is what counts."""


def tls_context(tls: TlsSettings) -> ssl.SSLContext:
    """TLS 1.2 or newer, the broker's certificate checked against `ca_file` or the system's, our own shown if there is one. Raises OSError."""
    context = ssl.create_default_context(cafile=tls.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context


def explain(error: Exception) -> str:
    """One phrase for a failed connection."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"消息服务器的证书有问题（{error.verify_message}）"
    if isinstance(error, ssl.SSLError):
        return f"加密连接失败（{error.reason or error}）"
    for kind, text in _PHRASES.items():
        if isinstance(error, kind):
            return text
    return f"网络错误（{error.strerror or error}）" if isinstance(error, OSError) else str(error)
