"""MQTT sensors on a real broker, heard by a real client."""

import json
import threading
from collections.abc import Callable
from typing import Any, Self

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from contract.decoding import Reading, decode_message
from contract.profile import Profile, catalogue, find
from contract.sample import Quality
from simulators.broker import Broker
from simulators.faults import FaultError
from simulators.mqtt_device import KINDS, MqttDevices, MqttSpec
from simulators.plant import Plant
from simulators.rooms import RoomSpec, UnknownRoomError

NOW = 1_763_830_800_000


class Listener:
    """Everything that is said under `#`, in order."""

    def __init__(self, broker: Broker) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="listener")
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._note
        self._client.connect(broker.host, broker.port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _note(self, client: Any, userdata: Any, message: paho.MQTTMessage) -> None:
        with self._changed:
            self.heard.append((message.topic, message.payload, message.retain))
            self._changed.notify_all()

    def on(self, topic: str) -> list[bytes]:
        return [payload for t, payload, _ in self.heard if t == topic]

    def wait(self, what: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(what, 10), self.heard


class Sensors:
    """Devices over a plant at a standing clock, connected to a broker."""

    def __init__(self, broker: Broker, *specs: MqttSpec) -> None:
        self.plant = Plant([RoomSpec("R1")], seed=1, start_ms=NOW)
        self.devices = MqttDevices(specs, self.plant, seed=1)
        self.devices.start(broker.host, broker.port)

    def __enter__(self) -> Self:
        assert self.devices.wait_connected(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.devices.stop()

    def at(self, seconds: float) -> int:
        now = NOW + int(seconds * 1000)
        self.plant.advance(now)
        return self.devices.run_once(now)


def test_zigbee_sensors_on_the_air(broker: Broker) -> None:
    specs = [MqttSpec(k, "R1", k, noise=False) for k in ("climate", "door", "motion", "leak", "smoke")]
    with Listener(broker) as ear, Sensors(broker, *specs) as sensors:
        sensors.plant.override("R1", "temperature", 21.37)
        sensors.plant.override("R1", "door", 1.0)
        assert sensors.at(0) == 5
        ear.wait(lambda: all(ear.on(f"zigbee2mqtt/{s.name}") for s in specs) and bool(ear.on("zigbee2mqtt/smoke/availability")))
        said = {s.name: json.loads(ear.on(f"zigbee2mqtt/{s.name}")[0]) for s in specs}
        assert said["climate"]["temperature"] == 21.37
        assert said["climate"]["humidity"] == pytest.approx(sensors.plant.value("R1", "humidity"), abs=0.01)
        assert said["door"]["contact"] is False, "contact true is closed"
        assert (said["motion"]["occupancy"], said["leak"]["water_leak"], said["smoke"]["smoke"]) == (False, False, False)
        assert {"battery", "linkquality", "voltage", "last_seen"} <= set(said["door"])
        assert said["door"]["last_seen"] == "2025-11-22T17:00:00.000+00:00"
        assert json.loads(ear.on("zigbee2mqtt/bridge/state")[0]) == {"state": "online"}
        assert json.loads(ear.on("zigbee2mqtt/door/availability")[0]) == {"state": "online"}


def test_the_shared_profiles_read_what_zigbee_sensors_say(broker: Broker) -> None:
    profiles = {
        "climate": "aqara-wsdcgq11lm",
        "door": "aqara-mccgq11lm",
        "motion": "aqara-rtcgq11lm",
        "leak": "aqara-sjcgq11lm",
        "smoke": "aqara-jtyj-gd-01lm-bw",
    }
    with Listener(broker) as ear, Sensors(broker, *(MqttSpec(k, "R1", k, noise=False) for k in profiles)) as sensors:
        for quantity in ("door", "motion", "leak", "smoke"):
            sensors.plant.override("R1", quantity, 1.0)
        sensors.at(0)
        ear.wait(lambda: all(ear.on(f"zigbee2mqtt/{k}") for k in profiles))
        for kind, name in profiles.items():
            message = decode_message(find(name), f"zigbee2mqtt/{kind}", ear.on(f"zigbee2mqtt/{kind}")[0])
            assert message.time_ms == NOW
            values = {r.quantity: r.value for r in message.readings}
            for quantity in KINDS[kind]:
                assert values[quantity] == pytest.approx(sensors.plant.value("R1", quantity), abs=0.5), (kind, quantity)


def test_at_the_interval_and_when_something_changes(broker: Broker) -> None:
    specs = [MqttSpec("door", "R1", "door", interval_s=60), MqttSpec("still", "R1", "door", interval_s=60, on_change=False)]
    with Sensors(broker, *specs) as sensors:
        assert [sensors.at(s) for s in (0, 1, 59)] == [2, 0, 0]
        assert sensors.at(60) == 2
        sensors.plant.override("R1", "door", 1.0)
        assert sensors.at(61) == 1
        assert sensors.at(62) == 0
        sensors.plant.override("R1", "door", 0.0)
        assert sensors.at(63) == 1


def test_retained_messages_reach_late_listeners(broker: Broker) -> None:
    with Sensors(broker, MqttSpec("kept", "R1", retain=True), MqttSpec("lost", "R1")) as sensors:
        with Listener(broker) as early:
            sensors.at(0)
            early.wait(lambda: bool(early.on("zigbee2mqtt/lost")))
        with Listener(broker) as late:
            late.wait(lambda: bool(late.on("zigbee2mqtt/kept")) and bool(late.on("zigbee2mqtt/lost/availability")))
            assert all(retained for _, _, retained in late.heard)
            assert not late.on("zigbee2mqtt/lost")


def test_a_goodbye_is_left_behind(broker: Broker) -> None:
    with Listener(broker) as ear:
        with Sensors(broker, MqttSpec("a", "R1")) as sensors:
            sensors.at(0)
        ear.wait(lambda: len(ear.on("zigbee2mqtt/bridge/state")) == 2)
        assert json.loads(ear.on("zigbee2mqtt/bridge/state")[1]) == {"state": "offline"}


def test_faults_on_the_air(broker: Broker) -> None:
    with Listener(broker) as ear, Sensors(broker, MqttSpec("a", "R1", noise=False)) as sensors:
        topic = "zigbee2mqtt/a"

        def said(kind: str | None, second: float, count: int) -> list[bytes]:
            sensors.devices.set_fault("a", kind, NOW + int(second * 1000))
            before = len(ear.on(topic))
            assert sensors.at(second) == count
            ear.wait(lambda: len(ear.on(topic)) == before + count)
            return ear.on(topic)[before:]

        normal = said(None, 0, 1)[0]
        first, second = said("duplicate", 1, 2)
        assert first == second
        with pytest.raises(json.JSONDecodeError):
            json.loads(said("bad_json", 2, 1)[0])
        assert set(json.loads(said("null", 3, 1)[0]).values()) == {None}
        assert len(said("huge", 4, 1)[0]) > 256 * 1024
        assert len(said("flood", 5, 50)) == 50
        assert said("silent", 6, 0) == []
        assert json.loads(said("out_of_range", 7, 1)[0])["temperature"] > 85
        assert json.loads(said("stuck", 8, 1)[0])["temperature"] == pytest.approx(json.loads(normal)["temperature"], abs=0.1)
        stale = json.loads(said("retained_stale", 9, 1)[0])
        assert stale["last_seen"].startswith("2025-11-21T")
        assert sensors.devices.faults == {"a": "retained_stale"}
        assert said("offline", 10, 0) == []
        ear.wait(lambda: json.loads(ear.on(f"{topic}/availability")[-1]) == {"state": "offline"})
        said(None, 11, 1)
        ear.wait(lambda: json.loads(ear.on(f"{topic}/availability")[-1]) == {"state": "online"})


def test_devices_with_a_profile_say_what_the_profile_reads(broker: Broker) -> None:
    # Frigate tells events of a video server, not readings of a room; the tests of cameras send its messages.
    spoken = [p for p in catalogue().values() if p.connection.kind in ("mqtt", "lorawan")]
    profiles = [p for p in spoken if p.id != "frigate-events"]
    assert len(profiles) == len(spoken) - 1
    specs = [MqttSpec(f"dev-{p.id}", "R1", profile=p, noise=False) for p in profiles]
    with Listener(broker) as ear, Sensors(broker, *specs) as sensors:
        sensors.at(0)

        def readings(profile: Profile) -> list[Reading]:
            mine = [(topic, payload) for topic, payload, _ in ear.heard if f"dev-{profile.id}" in topic]
            return [r for topic, payload in mine for r in decode_message(profile, topic, payload).readings]

        ear.wait(lambda: all(readings(p) for p in profiles))
        for profile in profiles:
            assert {r.quantity for r in readings(profile)} == {p.quantity for p in profile.points}, profile.id
            for reading in readings(profile):
                assert reading.quality is not Quality.BAD, reading
                if reading.quantity in ("temperature", "humidity"):
                    assert reading.value == pytest.approx(sensors.plant.value("R1", reading.quantity), abs=0.6)  # some report whole degrees


def test_without_a_broker_nothing_is_said(free_port: int) -> None:
    plant = Plant([RoomSpec("R1")], seed=1, start_ms=NOW)
    devices = MqttDevices([MqttSpec("a", "R1")], plant, seed=1)
    devices.start("127.0.0.1", free_port)
    assert devices.run_once(NOW) == 0
    assert not devices.connected
    devices.stop()


def test_refuses_nonsense() -> None:
    plant = Plant([RoomSpec("R1")], seed=1, start_ms=NOW)
    with pytest.raises(ValueError, match="one name"):
        MqttDevices([MqttSpec("a", "R1"), MqttSpec("a", "R1")], plant, seed=1)
    with pytest.raises(ValueError, match="kind"):
        MqttDevices([MqttSpec("a", "R1", "toaster")], plant, seed=1)
    with pytest.raises(UnknownRoomError):
        MqttDevices([MqttSpec("a", "R2")], plant, seed=1)
    devices = MqttDevices([MqttSpec("a", "R1")], plant, seed=1)
    with pytest.raises(FaultError):
        devices.set_fault("a", "asleep", NOW)
    assert devices.measuring("R1", "humidity") == ["a"]
