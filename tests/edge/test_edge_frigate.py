"""Frigate at the wire: the simulated one watches a room of the plant and talks over a real broker; the driver makes points and stills of it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from edge.drivers import Arrival
from edge.drivers.mqtt import MqttDriver
from edge.plan import Device, build
from edge.settings import BrokerSettings, DevicesSettings, EdgeSettings, MqttBus
from simulators.broker import Broker
from simulators.frigate import Frigate
from simulators.picture import View, jpeg
from simulators.plant import Plant
from simulators.rooms import RoomSpec

NOW = 1_763_830_800_000
ROOMS = {"cam1": "350128000001-01", "cam2": "350128000001-02"}


class Site:
    """Two cameras of one Frigate, each with its events and its motion as devices."""

    def __init__(self, broker: Broker) -> None:
        self.plant = Plant([RoomSpec(room) for room in ROOMS.values()], seed=1, start_ms=NOW)
        self.now = NOW
        self.calm()
        self.frigate = Frigate(ROOMS, self.plant, lambda name: jpeg(View(name, "18:30")))
        bus = MqttBus(name="z", kind="mqtt", host=broker.host, port=broker.port)
        settings = EdgeSettings(gateway="gw-1", group="350128", broker=BrokerSettings(host="-"), data_dir=Path(), devices_file=Path(), buses=(bus,))
        entries = tuple(
            {"name": f"{camera}-{kind}", "profile": f"frigate-{kind}", "topic": camera, "bus": "z", "room": room}
            for camera, room in ROOMS.items()
            for kind in ("events", "motion")
        )
        self.devices: tuple[Device, ...] = build(settings, DevicesSettings.model_validate({"devices": entries}), {}).buses["z"]
        self.driver = MqttDriver(bus, self.devices, lambda: self.now)
        self.heard: list[Arrival] = []

    def calm(self) -> None:
        for room in ROOMS.values():
            self.plant.override(room, "motion", 0)

    def walk(self, seconds: int, camera: str | None = None) -> None:
        """Time passes; somebody is in the room of a camera, or nobody anywhere."""
        self.calm()
        if camera is not None:
            self.plant.override(ROOMS[camera], "motion", 1)
        self.now += seconds * 1000
        self.plant.advance(self.now)
        self.frigate.run_once(self.now)

    async def until(self, enough: Callable[[list[Arrival]], bool]) -> None:
        async with asyncio.timeout(20):
            while not enough(self.heard):
                self.heard += await self.driver.read(None)

    def told(self, available: bool) -> int:
        """Of how many devices it was said that they are there, or gone."""
        return len({arrival.device for arrival in self.heard if arrival.available is available})

    def values(self, device: str) -> list[float | int | None]:
        return [reading.value for arrival in self.heard if arrival.device == device for reading in arrival.readings]


def at_site(broker: Broker, story: Callable[[Site], Awaitable[None]]) -> None:
    async def run() -> None:
        site = Site(broker)
        await site.driver.open()
        site.frigate.start(broker.host, broker.port)
        assert await asyncio.to_thread(site.frigate.wait_connected, 20)
        try:
            site.walk(1)
            await site.until(lambda _: site.told(True) == 4)  # subscribed, and Frigate is there
            await story(site)
        finally:
            await site.driver.close()
            site.frigate.stop()

    asyncio.run(run())


def test_somebody_in_a_room_is_motion_an_event_and_a_picture(broker: Broker) -> None:
    async def story(site: Site) -> None:
        for seconds in (1, 6, 6):
            site.walk(seconds, "cam1")
        site.walk(1)
        site.walk(31)
        await site.until(lambda _: site.values("cam1-motion") == [1, 0])
        assert site.values("cam1-events") == [1, 1, 1, 0]
        assert site.values("cam2-events") == site.values("cam2-motion") == []
        stills = [arrival for arrival in site.heard if arrival.still]
        assert {(arrival.device, arrival.verdict) for arrival in stills} == {("cam1-events", "event")}
        assert all(arrival.still == jpeg(View("cam1", "18:30")) for arrival in stills)

    at_site(broker, story)


def test_what_the_broker_kept_is_no_picture_of_now(broker: Broker) -> None:
    async def first(site: Site) -> None:
        site.walk(1, "cam2")
        await site.until(lambda heard: any(arrival.still for arrival in heard))

    async def later(site: Site) -> None:
        site.walk(1, "cam1")
        await site.until(lambda heard: any(arrival.still for arrival in heard))
        assert {arrival.device for arrival in site.heard if arrival.still} == {"cam1-events"}

    at_site(broker, first)
    at_site(broker, later)


def test_a_frigate_that_crashes_is_told_of_every_camera(broker: Broker) -> None:
    async def story(site: Site) -> None:
        await asyncio.to_thread(site.frigate.crash)
        assert site.told(False) == 0
        await site.until(lambda _: site.told(False) == 4)

    at_site(broker, story)
