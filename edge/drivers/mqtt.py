"""Sensors behind a local MQTT broker: zigbee2mqtt, ChirpStack, Shelly, Frigate, or plain JSON, decoded by profile.

paho's thread only appends to a bounded queue. What is no news is dropped here: messages beyond the rate of one device, repetitions, retained messages
where the profile says so. A retained message is what was last known, so it counts as uncertain until a live one comes, unless its own time says that
it is recent. A device's own time is believed within two minutes of ours.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import paho.mqtt.client as mqtt
from msgspec.structs import replace
from paho.mqtt.client import topic_matches_sub
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from contract.decoding import Message, decode_message
from contract.frames import FrameError
from contract.mqtt_decoding import subscription
from contract.profile_transport import Mqtt
from contract.readings import Reading
from contract.sample import Quality
from edge.clock import wall_ms
from edge.configfile import read_secret
from edge.drivers import Arrival, DriverError
from edge.plan import Device, Job
from edge.settings import MqttBus

_log = logging.getLogger("edge.mqtt")

_MOST_WAITING: Final = 10_000  # messages
_AT_ONCE: Final = 200
_COUNTED: Final = 16  # running numbers of messages that are remembered of a device
_LARGEST_STILL: Final = 2 * 1024 * 1024  # bytes
_JPEG: Final = b"\xff\xd8"
_CLOCK_MS: Final = 120_000  # a device's time further away from ours than this is not believed


@dataclass(frozen=True, slots=True)
class _Raw:
    topic: str
    payload: bytes
    retained: bool
    repeated: bool
    at: int


@dataclass(slots=True)
class _Route:
    """A device, its name in topics, and what was last heard of it."""

    device: Device
    mqtt: Mqtt
    name: str
    second: int = 0
    in_second: int = 0
    last: dict[str, tuple[int | None, tuple[Reading, ...]]] = field(default_factory=dict)
    counted: deque[tuple[int, int | None]] = field(default_factory=lambda: deque(maxlen=_COUNTED))
    broken: bool = False

    @property
    def filters(self) -> Iterator[str]:
        """Topic filters to subscribe."""
        for template in dict.fromkeys((self.mqtt.topic, *(planned.point.topic or self.mqtt.topic for planned in self.device.points.values()))):
            yield subscription(template, self.name)
        if self.mqtt.availability is not None:
            yield subscription(self.mqtt.availability.topic, self.name)
        if self.still is not None:
            yield self.still

    @property
    def still(self) -> str | None:
        """Topic filter of the device's pictures."""
        return None if self.mqtt.still is None else subscription(self.mqtt.still, self.name)


def _route(device: Device) -> _Route:
    """The name may be given as it is, or as the whole topic."""
    given, rule = device.settings.topic or "", device.profile.mqtt
    assert rule is not None  # noqa: S101 - the plan puts only MQTT devices on this bus
    prefix, _, ending = rule.topic.partition("{device}")
    if prefix and "+" not in prefix and given.startswith(prefix) and given.endswith(ending):
        given = given[len(prefix) : len(given) - len(ending)]
    return _Route(device, rule, given)


class MqttDriver:
    """One local broker. Raises ConfigError for an unreadable password file."""

    def __init__(self, bus: MqttBus, devices: Sequence[Device], clock: Callable[[], int] = wall_ms) -> None:
        self._bus, self._clock = bus, clock
        self._routes = [_route(device) for device in devices]
        self._exact: dict[str, list[_Route]] = {}
        for route in self._routes:
            for filter_ in route.filters:
                self._exact.setdefault(filter_, []).append(route)
        self._waiting: deque[_Raw] = deque(maxlen=_MOST_WAITING)
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._trouble = ""
        self._client: mqtt.Client | None = None
        self._password = read_secret(bus.password_file) if bus.password_file else None
        self.counters: dict[str, int] = {}

    # ------------------------------------------------------------------------------------------------------------------------- three methods

    async def open(self) -> None:
        """Connect in the background; paho keeps trying."""
        self._loop = asyncio.get_running_loop()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, clean_session=True)
        if self._bus.username is not None:
            client.username_pw_set(self._bus.username, self._password)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail, client.on_message = self._on_connect_fail, self._on_message
        client.reconnect_delay_set(1, 30)
        client.connect_async(self._bus.host, self._bus.port, self._bus.keepalive_s)
        client.loop_start()
        self._client = client

    async def read(self, job: Job | None) -> Sequence[Arrival]:  # noqa: ARG002 - this bus speaks by itself
        """Wait for messages and decode them. Raises DriverError(bus=True) while there is no connection."""
        while True:
            arrivals = [arrival for raw in self._taken() for arrival in self._decode(raw)]
            if arrivals:
                return arrivals
            if self._trouble:
                raise DriverError("unreachable", f"总线 {self._bus.name}：{self._trouble}", bus=True)
            self._news.clear()
            if not self._waiting:
                await self._news.wait()
            await asyncio.sleep(0)  # a flood must not keep the other buses waiting

    async def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            self._client.disconnect()
            await asyncio.to_thread(self._client.loop_stop)
            self._client = None

    # ------------------------------------------------------------------------------------------------- callbacks, in paho's thread, never raise

    def _wake(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.set)

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: mqtt.ConnectFlags, code: ReasonCode, _properties: Properties | None) -> None:
        if code.is_failure:
            self._trouble = f"消息服务器拒绝登录（{code}）"
        else:
            self._trouble = ""
            filters = sorted({filter_ for route in self._routes for filter_ in route.filters})
            if filters:
                client.subscribe([(filter_, 1) for filter_ in filters])
        self._wake()

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: mqtt.DisconnectFlags, code: ReasonCode, _: Properties | None) -> None:
        self._trouble = f"与本地消息服务器的连接中断（{code}）"
        self._wake()

    def _on_connect_fail(self, _client: mqtt.Client, _data: Any) -> None:
        self._trouble = f"本地消息服务器 {self._bus.host}:{self._bus.port} 连不上"
        self._wake()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # no topic of ours
        self._waiting.append(_Raw(topic, bytes(message.payload), message.retain, message.dup, self._clock()))
        self._wake()

    # ----------------------------------------------------------------------------------------------------------------------------- decoding

    def _taken(self) -> Iterator[_Raw]:
        for _ in range(min(len(self._waiting), _AT_ONCE)):
            yield self._waiting.popleft()

    def _routes_of(self, topic: str) -> Sequence[_Route]:
        """By the topic itself, or by a filter with wildcards. Devices may share a topic: of a gateway, of an availability."""
        found = self._exact.get(topic)
        return found or [route for route in self._routes if any(topic_matches_sub(filter_, topic) for filter_ in route.filters)]

    def _decode(self, raw: _Raw) -> Iterator[Arrival]:
        for route in self._routes_of(raw.topic):
            if (arrival := self._decoded(route, raw)) is not None:
                yield arrival

    def _decoded(self, route: _Route, raw: _Raw) -> Arrival | None:
        if route.still is not None and topic_matches_sub(route.still, raw.topic):
            return self._still(route, raw)
        shared = route.mqtt.device_path is not None
        if not shared and not self._allowed(route, raw):
            return None
        try:
            message = decode_message(route.device.profile, raw.topic, raw.payload)
        except FrameError as error:
            self._count(error.kind)
            if not route.broken:
                _log.warning("设备 %s 的消息无法使用：%s", route.device.name, error.detail)
            route.broken = True
            return None
        mine = message.device == route.name or (message.device is None and message.available is not None)  # who is there may be told of all at once
        if shared and not (mine and self._allowed(route, raw)):
            return None
        if message.available is not None:
            return None if route.mqtt.sleepy else Arrival(route.device.name, available=message.available)
        route.broken = False
        return self._news_of(route, message, raw)

    def _still(self, route: _Route, raw: _Raw) -> Arrival | None:
        """A picture of what the device reports now; the one that the broker kept is of something past."""
        if raw.retained or not self._allowed(route, raw, _LARGEST_STILL):
            return None
        if not raw.payload.startswith(_JPEG):
            self._count("payload")
            return None
        return Arrival(route.device.name, still=raw.payload, verdict="event")

    def _allowed(self, route: _Route, raw: _Raw, most: int | None = None) -> bool:
        if len(raw.payload) > (most or self._bus.max_bytes):
            self._count("oversized")
            return False
        if route.second != raw.at // 1000:
            route.second, route.in_second = raw.at // 1000, 0
        route.in_second += 1
        if route.in_second > self._bus.max_messages_per_s:
            self._count("flood")
            return False
        return True

    def _news_of(self, route: _Route, message: Message, raw: _Raw) -> Arrival | None:
        readings = tuple(reading for reading in message.readings if reading.point_id in route.device.points)
        this = (message.time_ms, readings)
        if self._repeated(route, message, raw, this):
            self._count("repeated")
            return None
        time_ms = message.time_ms
        believed = time_ms is not None and abs(raw.at - time_ms) <= _CLOCK_MS
        if time_ms is not None and not believed and not raw.retained:
            self._count("clock")
        if raw.retained and not self._recent(route, message, raw):
            if route.mqtt.retained == "ignore" or not readings:
                return None
            route.last[raw.topic] = this
            past = time_ms if time_ms is not None and time_ms < raw.at else None
            return Arrival(route.device.name, tuple(map(_last_known, readings)), past)
        route.last[raw.topic] = this
        return Arrival(route.device.name, readings, time_ms if believed else None)

    @staticmethod
    def _repeated(route: _Route, message: Message, raw: _Raw, this: tuple[int | None, tuple[Reading, ...]]) -> bool:
        """A message with a running number repeats one with the same number and time; a device that was reset counts from 0 again."""
        if message.counter is not None:
            number = (message.counter, message.time_ms)
            known = number in route.counted
            route.counted.append(number)
            return known
        return this == route.last.get(raw.topic) and (message.time_ms is not None or raw.repeated)

    def _recent(self, route: _Route, message: Message, raw: _Raw) -> bool:
        """Whether a retained message may count as live."""
        if route.mqtt.retained == "accept":
            return True
        return message.time_ms is not None and 0 <= raw.at - message.time_ms <= route.device.interval_s * 1000

    def _count(self, kind: str) -> None:
        self.counters[kind] = self.counters.get(kind, 0) + 1


def _last_known(reading: Reading) -> Reading:
    if reading.quality is not Quality.GOOD:
        return reading
    return replace(reading, quality=Quality.UNCERTAIN, reason="retained")
