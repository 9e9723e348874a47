"""A local broker with somebody who says things on it, and the MQTT driver with everything it brought: shared by the tests of MQTT sources."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edge.drivers import Arrival, DriverError
from edge.drivers.mqtt import MqttDriver
from edge.plan import Device, build
from edge.settings import BrokerSettings, DevicesSettings, EdgeSettings, MqttBus
from simulators.broker import Broker

ROOM = "350128000001-01"
NOW = 1_800_000_000_000
TOPIC = "zigbee2mqtt/th1"


def devices(bus: MqttBus, *entries: dict[str, Any]) -> tuple[Device, ...]:
    settings = EdgeSettings(gateway="gw-1", group="350128", broker=BrokerSettings(host="-"), data_dir=Path(), devices_file=Path(), buses=(bus,))
    wanted = DevicesSettings.model_validate({"devices": tuple({"bus": "z", "room": ROOM, **entry} for entry in entries)})
    return build(settings, wanted, {}).buses["z"]


class Mouth:
    """Somebody who says things on the broker."""

    def __init__(self, broker: Broker) -> None:
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()

    def say(self, topic: str, payload: Any, *, retain: bool = False) -> None:
        content = payload if isinstance(payload, bytes | str) else json.dumps(payload)
        self.client.publish(topic, content, qos=1, retain=retain).wait_for_publish(10)

    def end(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Ear:
    """The driver and everything it brought."""

    def __init__(self, driver: MqttDriver) -> None:
        self.driver = driver
        self.heard: list[Arrival] = []

    async def until(self, enough: Callable[[Sequence[Arrival]], bool]) -> None:
        async with asyncio.timeout(20):
            while not enough(self.heard):
                self.heard += await self.driver.read(None)

    async def value(self, number: float) -> Arrival:
        """The arrival of a temperature, by which the test knows that everything before it was looked at."""
        await self.until(lambda heard: any(reading.value == number for arrival in heard for reading in arrival.readings))
        return self.heard[-1]

    async def ready(self, mouth: Mouth) -> None:
        """Subscriptions are in place when a first live message has come through."""
        async with asyncio.timeout(20):
            while not self.heard:
                mouth.say(TOPIC, {"temperature": 1})
                try:
                    async with asyncio.timeout(0.3):
                        self.heard += await self.driver.read(None)
                except (TimeoutError, DriverError):
                    continue


def on_broker(
    broker: Broker,
    story: Callable[[Ear, Mouth], Awaitable[None]],
    before: Callable[[Mouth], None] | None = None,
    entries: Sequence[dict[str, Any]] = (),
    **options: Any,
) -> None:
    async def run() -> None:
        mouth = Mouth(broker)
        if before is not None:
            before(mouth)
        bus = MqttBus(name="z", kind="mqtt", host=broker.host, port=broker.port, **options)
        found = devices(bus, *(entries or [{"name": "th1", "profile": "aqara-wsdcgq11lm", "topic": "th1", "interval_s": 60}]))
        driver = MqttDriver(bus, found, lambda: NOW)
        await driver.open()
        try:
            await story(Ear(driver), mouth)
        finally:
            await driver.close()
            mouth.end()

    asyncio.run(run())
