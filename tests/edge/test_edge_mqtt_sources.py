"""Each kind of MQTT source of devices.md 9 at the wire, with the payloads of its documentation and its own trap."""

from collections.abc import Callable
from typing import Any

import pytest

from contract.sample import Quality
from edge.drivers import Arrival
from simulators.broker import Broker
from tests.edge.mqtt_bench import NOW, TOPIC, Ear, Mouth, on_broker

CLOCK = {"name": "th1", "profile": "aqara-wsdcgq11lm", "topic": "th1", "interval_s": 60}
"""By whose last word the tests know that everything before it was looked at."""


def heard(broker: Broker, entry: dict[str, Any], talk: Callable[[Mouth], None], before: Callable[[Mouth], None] | None = None) -> list[Arrival]:
    """What the driver makes of a talk, of the device alone."""
    found: list[Arrival] = []

    async def story(ear: Ear, mouth: Mouth) -> None:
        await ear.ready(mouth)
        talk(mouth)
        mouth.say(TOPIC, {"temperature": 29.0})
        await ear.value(29.0)
        found.extend(arrival for arrival in ear.heard if arrival.device == entry["name"])

    on_broker(broker, story, before, [CLOCK, entry])
    return found


def values(arrivals: list[Arrival]) -> list[dict[str, float | int | None]]:
    return [{reading.point_id: reading.value for reading in arrival.readings} for arrival in arrivals if arrival.readings]


def test_tasmota_names_the_sensor_by_its_address_and_has_no_zone(broker: Broker) -> None:
    tasmota = {"name": "tas", "profile": "tasmota-aht1x", "topic": "store2"}

    def talk(mouth: Mouth) -> None:
        sensor = {"Temperature": 24.7, "Humidity": 61.9, "DewPoint": 16.8}
        for key in ("AHT1X-0x38", "AHT1X-0x39"):
            mouth.say("tele/store2/SENSOR", {"Time": "2020-01-01T00:00:00", key: sensor, "TempUnit": "C"})
        mouth.say("tele/store2/STATE", {"Time": "2020-01-01T00:00:00", "Uptime": "0T00:00:01"})
        mouth.say("tele/store2/LWT", "Offline", retain=True)

    found = heard(broker, tasmota, talk)
    assert values(found) == [{"temperature": 24.7, "humidity": 61.9, "dew_point": 16.8}] * 2
    assert {arrival.taken_at for arrival in found} == {None}, "a time without a zone is not believed"
    assert found[-1].available is False


def test_a_shelly_of_generation_3_sleeps_and_wakes_without_a_clock(broker: Broker) -> None:
    shelly = {"name": "sh", "profile": "shelly-ht-gen3", "topic": "shellyhtg3-1"}

    def status(ts: float | None, celsius: float) -> dict[str, Any]:
        parts = {"humidity:0": {"id": 0, "rh": 51.5}, "temperature:0": {"id": 0, "tC": celsius, "tF": 70.0}}
        power = {"devicepower:0": {"id": 0, "battery": {"V": 5.1, "percent": 80}, "external": {"present": False}}}
        return {"src": "shellyhtg3-1", "dst": "x/events", "method": "NotifyFullStatus", "params": {"ts": ts, **parts, **power}}

    def talk(mouth: Mouth) -> None:
        mouth.say("shellyhtg3-1/events/rpc", status(None, 21.0))
        mouth.say("shellyhtg3-1/events/rpc", status(NOW / 1000 - 1.5, 22.0))
        mouth.say("shellyhtg3-1/online", "false", retain=True)

    found = heard(broker, shelly, talk)
    assert values(found) == [{"temperature": celsius, "humidity": 51.5, "battery": 80} for celsius in (21.0, 22.0)]
    assert [arrival.taken_at for arrival in found] == [None, NOW - 1500]
    assert [arrival.available for arrival in found] == [None, None], "asleep is not gone"


def test_a_shelly_of_generation_2_speaks_in_parts(broker: Broker) -> None:
    def talk(mouth: Mouth) -> None:
        mouth.say("plus1/status/temperature:0", {"id": 0, "tC": 20.5, "tF": 68.9})
        mouth.say("plus1/status/humidity:0", {"id": 0, "rh": 47})
        mouth.say("plus1/status/switch:0", {"id": 0, "output": True})

    found = heard(broker, {"name": "sh2", "profile": "shelly-gen2-climate", "topic": "plus1"}, talk)
    assert values(found) == [{"temperature": 20.5}, {"humidity": 47}]


def test_plain_json_is_read_by_path(broker: Broker) -> None:
    own = {"temperature_path": "data.air[0].t", "humidity_path": 'data."rel.hum"'}

    def talk(mouth: Mouth) -> None:
        mouth.say("plant/7", {"data": {"air": [{"t": 19.25}], "rel.hum": 44}})
        mouth.say("plant/7", {"data": {"air": [], "rel.hum": None}})

    found = heard(broker, {"name": "plain", "profile": "generic-mqtt-climate", "topic": "plant/7", "params": own}, talk)
    assert values(found) == [{"temperature": 19.25, "humidity": 44}, {"humidity": None}]
    assert [reading.quality for reading in found[1].readings] == [Quality.BAD], "null is a bad value, a missing path is none"


@pytest.mark.parametrize(
    ("profile", "payload", "said"),
    [
        ("aqara-mccgq11lm", {"contact": False, "battery": 100, "linkquality": 90}, {"door": 1}),
        ("aqara-rtcgq11lm", {"occupancy": True, "illuminance": 12}, {"motion": 1}),
        ("aqara-sjcgq11lm", {"water_leak": True, "battery_low": False}, {"leak": 1}),
        ("aqara-jtyj-gd-01lm-bw", {"smoke": True, "battery_low": False, "tamper": False}, {"smoke": 1}),
    ],
)
def test_each_kind_of_zigbee_sensor_and_its_availability_in_both_spellings(
    profile: str, payload: dict[str, Any], said: dict[str, int], broker: Broker
) -> None:
    def talk(mouth: Mouth) -> None:
        mouth.say("zigbee2mqtt/floor1/box", payload)
        mouth.say("zigbee2mqtt/floor1/box/availability", {"state": "offline"}, retain=True)
        mouth.say("zigbee2mqtt/floor1/box/availability", "online", retain=True)

    found = heard(broker, {"name": "zb", "profile": profile, "topic": "floor1/box"}, talk)
    assert said.items() <= values(found)[0].items()
    assert [arrival.available for arrival in found if arrival.available is not None] in ([False, True], [])


def test_a_milesight_device_that_says_something_unknown_is_doubted(broker: Broker) -> None:
    def talk(mouth: Mouth) -> None:
        body = {"deduplicationId": "x", "time": "2027-01-15T08:00:00Z", "deviceInfo": {"devEui": "24e1"}, "fPort": 85}
        mouth.say("application/1/device/24e1/event/up", body | {"fCnt": 1, "data": "AXVcA2c0AQRoaA=="})
        mouth.say("application/1/device/24e1/event/up", body | {"fCnt": 2, "data": "AXVcA2c0AQRoaP/u"})
        mouth.say("application/1/device/24e1/event/join", body)

    found = heard(broker, {"name": "em", "profile": "milesight-em300-th", "topic": "24e1"}, talk)
    assert values(found) == [{"battery": 92, "temperature": 30.8, "humidity": 52}] * 2
    assert [{reading.quality for reading in arrival.readings} for arrival in found] == [{Quality.GOOD}, {Quality.UNCERTAIN}]
