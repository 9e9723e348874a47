"""The MQTT driver against a real broker: zigbee2mqtt-style sensors of the simulator, and messages as bad devices send them."""

import asyncio
import json

import pytest

from contract.sample import Quality
from edge.drivers import DriverError
from edge.drivers.mqtt import MqttDriver
from edge.settings import MqttBus
from simulators.broker import Broker
from tests.edge.mqtt_bench import NOW, TOPIC, Ear, Mouth, devices, on_broker


def test_a_message_becomes_readings_of_its_device(broker: Broker) -> None:
    async def story(ear: Ear, mouth: Mouth) -> None:
        await ear.ready(mouth)
        mouth.say(TOPIC, {"temperature": 21.5, "humidity": 55.2, "battery": 90, "linkquality": 7, "last_seen": "2027-01-15T08:00:00.500Z"})
        arrival = await ear.value(21.5)
        assert arrival.device == "th1"
        values = {reading.point_id: reading.value for reading in arrival.readings}
        assert (values["temperature"], values["humidity"], values["battery"]) == (21.5, 55.2, 90)
        assert arrival.taken_at == NOW + 500

    on_broker(broker, story)


def test_a_retained_message_is_only_the_last_known(broker: Broker) -> None:
    def before(mouth: Mouth) -> None:
        mouth.say(TOPIC, {"temperature": 19.0}, retain=True)

    async def story(ear: Ear, mouth: Mouth) -> None:
        arrival = await ear.value(19.0)
        assert {(reading.quality, reading.reason) for reading in arrival.readings} == {(Quality.UNCERTAIN, "retained")}
        mouth.say(TOPIC, {"temperature": 20.0})
        arrival = await ear.value(20.0)
        assert {reading.quality for reading in arrival.readings} == {Quality.GOOD}

    on_broker(broker, story, before)


def test_a_retained_message_keeps_its_own_time_and_counts_when_it_is_recent(broker: Broker) -> None:
    async def old(ear: Ear, _mouth: Mouth) -> None:
        arrival = await ear.value(19.0)
        assert arrival.taken_at == NOW - 86_400_000
        assert arrival.readings[0].reason == "retained"

    async def recent(ear: Ear, _mouth: Mouth) -> None:
        arrival = await ear.value(19.5)
        assert arrival.taken_at == NOW - 30_000
        assert arrival.readings[0].quality is Quality.GOOD

    on_broker(broker, old, lambda mouth: mouth.say(TOPIC, {"temperature": 19.0, "last_seen": "2027-01-14T08:00:00Z"}, retain=True))
    on_broker(broker, recent, lambda mouth: mouth.say(TOPIC, {"temperature": 19.5, "last_seen": "2027-01-15T07:59:30Z"}, retain=True))


def test_bad_messages_are_counted_and_the_next_good_one_counts(broker: Broker) -> None:
    async def story(ear: Ear, mouth: Mouth) -> None:
        await ear.ready(mouth)
        for spoilt in (b"{", b"", b"\xff\xfe", b"[]", b'{"temperature": "warm"}', json.dumps({"filler": "x" * 70_000}).encode()):
            mouth.say(TOPIC, spoilt)
        mouth.say(TOPIC, {"temperature": 22.25})
        await ear.value(22.25)
        assert ear.driver.counters["payload"] >= 3
        assert ear.driver.counters["oversized"] == 1
        values = {reading.value for arrival in ear.heard for reading in arrival.readings if reading.quality is Quality.GOOD}
        assert values == {1, 22.25}

    on_broker(broker, story)


def test_repetitions_and_floods_are_no_news(broker: Broker) -> None:
    async def story(ear: Ear, mouth: Mouth) -> None:
        await ear.ready(mouth)
        same = {"temperature": 23.0, "last_seen": "2027-01-15T08:00:01Z"}
        mouth.say(TOPIC, same)
        mouth.say(TOPIC, same)
        mouth.say(TOPIC, {"temperature": 24.0})
        await ear.value(24.0)
        assert ear.driver.counters["repeated"] == 1
        for at in range(60):
            mouth.say(TOPIC, {"temperature": 30 + at / 100})
        mouth.say("zigbee2mqtt/th2", {"temperature": 25.0})
        await ear.value(25.0)
        assert ear.driver.counters["flood"] >= 10

    th2 = {"name": "th2", "profile": "aqara-wsdcgq11lm", "topic": "zigbee2mqtt/th2"}
    th1 = {"name": "th1", "profile": "aqara-wsdcgq11lm", "topic": "th1", "interval_s": 60}
    on_broker(broker, story, entries=[th1, th2])


def test_a_wrong_clock_is_not_believed(broker: Broker) -> None:
    async def story(ear: Ear, mouth: Mouth) -> None:
        await ear.ready(mouth)
        mouth.say(TOPIC, {"temperature": 26.0, "last_seen": "2001-01-01T00:00:00Z"})
        assert (await ear.value(26.0)).taken_at is None
        assert ear.driver.counters["clock"] == 1

    on_broker(broker, story)


def test_availability_is_told_except_by_sleepers(broker: Broker) -> None:
    smoke = {"name": "smoke1", "profile": "aqara-jtyj-gd-01lm-bw", "topic": "smoke1"}
    th1 = {"name": "th1", "profile": "aqara-wsdcgq11lm", "topic": "th1"}

    async def story(ear: Ear, mouth: Mouth) -> None:
        await ear.ready(mouth)
        for name in ("th1", "smoke1"):
            mouth.say(f"zigbee2mqtt/{name}/availability", {"state": "offline"}, retain=True)
        mouth.say(TOPIC, {"temperature": 27.0})
        await ear.value(27.0)
        sleepy = {route.device.name: route.mqtt.sleepy for route in ear.driver._routes}
        gone = {arrival.device for arrival in ear.heard if arrival.available is False}
        assert gone == {name for name, sleeps in sleepy.items() if not sleeps}

    on_broker(broker, story, entries=[th1, smoke])


def test_a_broker_that_goes_and_comes_is_the_trouble_of_the_bus(broker: Broker) -> None:
    async def story(ear: Ear, mouth: Mouth) -> None:
        await ear.ready(mouth)
        broker.kill()
        with pytest.raises(DriverError) as caught:
            await ear.until(lambda heard: len(heard) > 1_000)
        assert caught.value.bus
        broker.start()
        ear.heard.clear()
        await ear.ready(Mouth(broker))

    on_broker(broker, story)


def test_nobody_there_at_the_start_is_told_and_not_fatal(free_port: int) -> None:
    async def run() -> None:
        bus = MqttBus(name="z", kind="mqtt", host="127.0.0.1", port=free_port)
        driver = MqttDriver(bus, devices(bus, {"name": "th1", "profile": "aqara-wsdcgq11lm", "topic": "th1"}))
        await driver.open()
        with pytest.raises(DriverError) as caught:
            async with asyncio.timeout(20):
                await driver.read(None)
        assert (caught.value.kind, caught.value.bus) == ("unreachable", True)
        await driver.close()

    asyncio.run(run())


def test_an_availability_that_devices_share_is_told_of_each(broker: Broker) -> None:
    cameras = [{"name": f"c{n}", "profile": "frigate-motion", "topic": f"cam{n}"} for n in (1, 2)]

    async def story(ear: Ear, mouth: Mouth) -> None:
        await ear.ready(mouth)
        mouth.say("frigate/available", "stopped")
        await ear.until(lambda heard: sum(arrival.available is False for arrival in heard) == 2)
        assert {arrival.device for arrival in ear.heard if arrival.available is False} == {"c1", "c2"}

    on_broker(broker, story, entries=[{"name": "th1", "profile": "aqara-wsdcgq11lm", "topic": "th1"}, *cameras])


def test_events_of_one_topic_reach_the_camera_they_name(broker: Broker) -> None:
    cameras = [{"name": f"c{n}", "profile": "frigate-events", "topic": f"cam{n}"} for n in (1, 2)]

    async def story(ear: Ear, mouth: Mouth) -> None:
        await ear.ready(mouth)
        for kind in ("new", "end"):
            mouth.say("frigate/events", {"type": kind, "after": {"camera": "cam2", "label": "person"}})
        mouth.say("frigate/events", {"type": "new", "after": {"camera": "cam1"}})
        await ear.until(lambda heard: any(arrival.device == "c1" for arrival in heard))
        said = [(arrival.device, arrival.readings[0].value) for arrival in ear.heard if arrival.device != "th1"]
        assert said == [("c2", 1), ("c2", 0), ("c1", 1)]

    on_broker(broker, story, entries=[{"name": "th1", "profile": "aqara-wsdcgq11lm", "topic": "th1"}, *cameras])


def test_components_with_topics_of_their_own_are_one_device(broker: Broker) -> None:
    esp = {"name": "esp", "profile": "esphome-climate", "topic": "store1", "params": {"humidity_name": "rh"}}

    async def story(ear: Ear, mouth: Mouth) -> None:
        await ear.ready(mouth)
        mouth.say("store1/sensor/temperature/state", "21.5")
        mouth.say("store1/sensor/rh/state", "48")
        mouth.say("store1/status", "offline")
        await ear.until(lambda heard: any(arrival.available is False for arrival in heard))
        said = [(reading.point_id, reading.value) for arrival in ear.heard if arrival.device == "esp" for reading in arrival.readings]
        assert said == [("temperature", 21.5), ("humidity", 48)]

    on_broker(broker, story, entries=[{"name": "th1", "profile": "aqara-wsdcgq11lm", "topic": "th1"}, esp])


def test_a_lorawan_uplink_counts_once_through_chirpstack_and_through_the_vendors_gateway(broker: Broker) -> None:
    chirp = {"name": "a", "profile": "milesight-em300-th", "topic": "24e1"}
    gateway = {"name": "b", "profile": "milesight-em300-th", "topic": "24e2", "params": {"variant": "gateway", "gateway_topic": "up"}}

    async def story(ear: Ear, mouth: Mouth) -> None:
        await ear.ready(mouth)
        for count in (7, 7, 0, 0, 8):  # each twice; a device that was reset counts from 0 again
            mouth.say("application/1/device/24e1/event/up", {"fCnt": count, "data": "AXVcA2c0AQRoaA=="})
            mouth.say("up", {"fCnt": count, "devEUI": "24e2", "data": "AXVcA2c0AQRoaA=="})
        mouth.say(TOPIC, {"temperature": 29.0})
        await ear.value(29.0)
        assert [arrival.device for arrival in ear.heard if arrival.device != "th1"] == ["a", "b"] * 3
        assert ear.driver.counters["repeated"] >= 4

    on_broker(broker, story, entries=[{"name": "th1", "profile": "aqara-wsdcgq11lm", "topic": "th1"}, chirp, gateway])
