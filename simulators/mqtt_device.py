"""Zigbee sensors behind a zigbee2mqtt bridge, and any MQTT device that has a profile, publishing what the plant says.

zigbee2mqtt: `zigbee2mqtt/<name>` with a JSON object (battery sensors: battery, linkquality, last_seen; a door says `contact`, true = closed),
`zigbee2mqtt/<name>/availability` and `zigbee2mqtt/bridge/state` retained, `{"state": "online"}`. A device with a `profile` publishes
what `contract.decoding.encode_message` makes of its values. Messages go out at the interval, and at once when something changed.
"""

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from contract.decoding import encode_message
from contract.profile import Profile
from simulators.faults import VALUE_FAULTS, FaultError, Probe, distortion
from simulators.noise import gauss
from simulators.plant import Plant

log = logging.getLogger("simulators.mqtt")

MQTT_FAULTS: tuple[str, ...] = (*VALUE_FAULTS, "silent", "offline", "bad_json", "null", "huge", "flood", "duplicate", "retained_stale")
KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "climate": ("temperature", "humidity", "pressure"),
        "door": ("door",),
        "motion": ("motion", "illuminance"),
        "leak": ("leak",),
        "smoke": ("smoke",),
    }
)
# zigbee2mqtt's name of a quantity, and what its value becomes
_JSON: Mapping[str, tuple[str, Callable[[float], Any]]] = MappingProxyType(
    {
        "door": ("contact", lambda v: v < 0.5),
        "motion": ("occupancy", lambda v: v >= 0.5),
        "leak": ("water_leak", lambda v: v >= 0.5),
        "smoke": ("smoke", lambda v: v >= 0.5),
        "illuminance": ("illuminance", round),
    }
)
_NOTICEABLE: Mapping[str, float] = MappingProxyType({"temperature": 0.3, "humidity": 1.0, "pressure": 2.0, "illuminance": 30.0, "battery": 2.0})


@dataclass(frozen=True, slots=True)
class MqttSpec:
    """A sensor. `kind` of KINDS, or a `profile` with its wired quantities (point id to quantity; default: what the profile says)."""

    name: str
    room: str
    kind: str = "climate"
    profile: Profile | None = None
    interval_s: float = 60.0
    on_change: bool = True
    retain: bool = False
    duplicate: bool = False
    qos: int = 0
    battery: float = 97.0
    noise: bool = True


@dataclass
class _Device:
    """What changes about a sensor."""

    spec: MqttSpec
    probes: dict[str, Probe]
    due: int = 0
    last: dict[str, float] = field(default_factory=dict)
    fault: str = ""
    distort: Callable[[str, str, float, int], float] | None = None


class MqttDevices:
    """All MQTT sensors of a world on one broker connection, as one zigbee2mqtt bridge has it.

    `run_once(now)` publishes what is due and returns the number of messages; the connection comes and goes by itself.
    Raises ValueError for a twice used name or an unknown kind.
    """

    def __init__(self, specs: Sequence[MqttSpec], plant: Plant, *, seed: int, prefix: str = "zigbee2mqtt", client_id: str = "zigbee2mqtt") -> None:
        self._plant, self._prefix = plant, prefix
        self._devices = {s.name: _Device(s, {q: Probe(q, seed, f"{s.name}/{q}", perfect=not s.noise) for q in _wanted(s)}) for s in specs}
        if len(self._devices) != len(specs):
            raise ValueError("two MQTT devices have one name")
        for spec in specs:
            plant.value(spec.room, "door")  # an unknown room fails here
        self._seed = seed
        self._greet = threading.Event()
        self._there = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
        self._client.will_set(f"{prefix}/bridge/state", _STATE["offline"], qos=1, retain=True)
        self._client.reconnect_delay_set(1, 5)
        self._client.on_connect = self._connected
        self._client.on_disconnect = lambda *_: self._there.clear()

    def start(self, host: str, port: int, username: str = "", password: str = "") -> None:
        """Connect in the background and keep trying."""
        if username:
            self._client.username_pw_set(username, password)
        self._client.connect_async(host, port, keepalive=15)
        self._client.loop_start()

    def stop(self) -> None:
        """Say goodbye as the bridge does and disconnect."""
        if self._client.is_connected():
            self._client.publish(f"{self._prefix}/bridge/state", _STATE["offline"], qos=1, retain=True).wait_for_publish(2.0)
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us."""
        return self._client.is_connected()

    def wait_connected(self, seconds: float) -> bool:
        """Wait until the broker has accepted us; False when it did not in that time."""
        return self._there.wait(seconds)

    @property
    def faults(self) -> dict[str, str]:
        """The faults that are on, by device."""
        return {name: d.fault for name, d in self._devices.items() if d.fault}

    def measuring(self, room: str, quantity: str) -> list[str]:
        """The devices that measure a quantity in a room."""
        return [name for name, d in self._devices.items() if d.spec.room == room and quantity in d.probes]

    def set_fault(self, name: str, kind: str | None, now: int) -> None:
        """Switch a fault on, or off with None. Raises FaultError for an unknown device or kind."""
        device = self._devices.get(name)
        if device is None or (kind is not None and kind not in MQTT_FAULTS):
            raise FaultError(f"no MQTT device {name!r} or no fault {kind!r}; known: {', '.join(MQTT_FAULTS)}")
        was_offline = device.fault == "offline"
        device.fault = kind or ""
        device.distort = distortion(device.fault, now) if device.fault in VALUE_FAULTS else None
        device.due = now
        if was_offline or device.fault == "offline":
            self._availability(name, online=device.fault != "offline")

    def run_once(self, now: int) -> int:
        """Publish every message that is due at `now`; nothing without a connection."""
        if not self.connected:
            return 0
        if self._greet.is_set():
            self._greet.clear()
            self._client.publish(f"{self._prefix}/bridge/state", _STATE["online"], qos=1, retain=True)
            for name, device in self._devices.items():
                self._availability(name, online=device.fault != "offline")
                device.due = now
        return sum(self._publish(device, now) for device in self._devices.values())

    def _connected(self, client: paho.Client, userdata: Any, flags: paho.ConnectFlags, reason: ReasonCode, properties: Properties | None) -> None:
        """On paho's thread: only leave word that the retained states are due."""
        del client, userdata, flags, properties
        if reason.is_failure:
            log.warning("the broker refused the sensors: %s", reason)
        else:
            self._greet.set()
            self._there.set()

    def _availability(self, name: str, *, online: bool) -> None:
        profile = self._devices[name].spec.profile
        if profile is None:
            said = [(f"{self._prefix}/{name}/availability", _STATE["online" if online else "offline"].encode())]
        else:
            said = encode_message(profile, name, {}, available=online)
        for topic, payload in said:
            self._client.publish(topic, payload, qos=1, retain=True)

    def _publish(self, device: _Device, now: int) -> int:
        if device.fault in ("silent", "offline"):
            return 0
        values = {q: self._read(device, q, now) for q in device.probes}
        if now < device.due and not (device.spec.on_change and _noticeable(device.last, values)):
            return 0
        if now >= device.due:
            device.due = now + int(device.spec.interval_s * 1000)
        device.last = values
        retain = device.spec.retain or device.fault == "retained_stale"
        copies = 50 if device.fault == "flood" else 2 if device.spec.duplicate or device.fault == "duplicate" else 1
        messages = self._messages(device, values, now)
        for topic, payload in messages * copies:
            self._client.publish(topic, payload, qos=device.spec.qos, retain=retain)
        return len(messages) * copies

    def _read(self, device: _Device, quantity: str, now: int) -> float:
        if quantity == "battery":
            return device.spec.battery
        room = device.spec.room
        value = device.probes[quantity].read(self._plant.value(room, quantity), now, exact=self._plant.forced(room, quantity))
        return device.distort(quantity, quantity, value, now) if device.distort else value

    def _messages(self, device: _Device, values: Mapping[str, float], now: int) -> list[tuple[str, bytes]]:
        spec = device.spec
        if spec.profile is not None:
            messages = _encoded(spec, spec.profile, values, now)
        else:
            at = now - 86_400_000 if device.fault == "retained_stale" else now
            body = _zigbee(spec, values, at, 90 + round(20 * gauss(self._seed, spec.name, now // 60_000)))
            messages = [(f"{self._prefix}/{spec.name}", json.dumps(body).encode())]
        return [(topic, _spoil(device.fault, payload)) for topic, payload in messages]


_STATE: Mapping[str, str] = MappingProxyType({"online": '{"state":"online"}', "offline": '{"state":"offline"}'})


def _wanted(spec: MqttSpec) -> tuple[str, ...]:
    """The quantities a device reads. Raises ValueError for an unknown kind."""
    if spec.profile is not None:
        return tuple(dict.fromkeys(p.quantity for p in spec.profile.points if p.quantity))
    if spec.kind not in KINDS:
        raise ValueError(f"unknown kind {spec.kind!r} of an MQTT device; known: {', '.join(KINDS)}")
    return KINDS[spec.kind]


def _encoded(spec: MqttSpec, profile: Profile, values: Mapping[str, float], now: int) -> list[tuple[str, bytes]]:
    """By profile; a value that the device cannot show makes it send nothing."""
    try:
        return encode_message(profile, spec.name, {p.id: values[p.quantity] for p in profile.points if p.quantity in values}, time_ms=now)
    except ValueError as error:
        log.warning("%s: %s", spec.name, error)
        return []


def _zigbee(spec: MqttSpec, values: Mapping[str, float], now: int, link: int) -> dict[str, Any]:
    """One zigbee2mqtt object."""
    body: dict[str, Any] = {}
    for quantity, value in values.items():
        name, convert = _JSON.get(quantity, (quantity, lambda v: round(v, 2)))
        body[name] = convert(value)
    seen = datetime.fromtimestamp(now / 1000, UTC).isoformat(timespec="milliseconds")
    power = {"battery": round(spec.battery), "voltage": 2700 + 3 * round(spec.battery)}
    return body | power | {"linkquality": min(max(link, 1), 255), "last_seen": seen}


def _noticeable(last: Mapping[str, float], values: Mapping[str, float]) -> bool:
    return any(abs(v - last.get(q, v)) >= _NOTICEABLE.get(q, 0.5) for q, v in values.items())


def _spoil(fault: str, payload: bytes) -> bytes:
    """A payload as a broken device would send it."""
    if fault == "bad_json":
        return payload[: len(payload) // 2]
    if fault == "huge":
        return json.dumps({"filler": "x" * 300_000}).encode()
    if fault == "null":
        return json.dumps(dict.fromkeys(json.loads(payload), None)).encode() if payload.startswith(b"{") else b"null"
    return payload
