"""A relay module and a climate sensor on a simulated Modbus line, polled by a real loop and driver; time is the test's."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from contract.profile import find
from contract.profile_models import Profile
from contract.sample import Sample
from contract.writing import Order
from edge import plan as planning
from edge.drivers.modbus import ModbusDriver
from edge.intake import Intake
from edge.logbook import Logbook
from edge.orders import Orders
from edge.plan import Device, build
from edge.polling import BusLoop
from edge.settings import BrokerSettings, DeviceSettings, DevicesSettings, EdgeSettings, RtuOverTcpBus, TcpBus
from edge.taken import Stamper
from simulators.modbus_bus import Bus
from simulators.modbus_carriers import carrier
from simulators.modbus_device import Unit
from simulators.plant import Plant
from simulators.rooms import RoomSpec

NOW = 1_763_830_800_000
ROOM = "350128000001-01"
RELAY = find("waveshare-relay-8ch")


def order(value: Any = True, **more: Any) -> Order:
    given: dict[str, Any] = {"id": "o1", "device": "relay", "write": "relay1", "by": "zhang", "role": "duty", "expires_at": NOW + 60_000}
    return Order(value=value, **(given | more))


class Site:
    """A relay module (unit 1) and a climate sensor (unit 2) on a simulated line, polled by a real loop and driver; time is the test's."""

    def __init__(self, folder: Path, kind: str, profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(planning, "find", lambda name: profile if name == profile.id else find(name))
        self.kind, self.now = kind, NOW
        self.bus = Bus("line", lambda: NOW, rtu=kind != "tcp")
        plant = Plant([RoomSpec("R1")], seed=1, start_ms=NOW)
        self.relay = Unit(1, profile, plant, "R1", noise=False, name="line/1")
        for unit in (self.relay, Unit(2, find("renke-rs-ws-n01"), plant, "R1", noise=False, name="line/2")):
            self.bus.add(unit)
        self.asked: list[int] = []
        answer = self.relay.answer
        self.relay.answer = lambda pdu, *rest: (self.asked.append(pdu[0]), answer(pdu, *rest))[1]  # type: ignore[method-assign]
        self.carrier = carrier(kind, self.bus)
        self.folder, self.profile = folder, profile
        self.logbook = Logbook(folder / "logbook.json")
        self.samples: list[Sample] = []

    async def start(self) -> None:
        await self.carrier.start()
        options: dict[str, Any] = {"name": "line", "host": "127.0.0.1", "port": int(self.carrier.address), "timeout_ms": 100, "gap_ms": 0}
        bus = TcpBus(kind="tcp", **options) if self.kind == "tcp" else RtuOverTcpBus(kind="rtu_over_tcp", **options)
        settings = EdgeSettings(
            gateway="gw-1", group="350128", broker=BrokerSettings(host="-"), data_dir=self.folder, devices_file=self.folder, buses=(bus,)
        )
        entries = (
            DeviceSettings(
                name="relay", bus="line", room=ROOM, unit=1, profile=self.profile.id, writes=tuple(write.id for write in self.profile.writes)
            ),
            DeviceSettings(name="th", bus="line", room=ROOM, unit=2, profile="renke-rs-ws-n01"),
        )
        self.devices: tuple[Device, ...] = build(settings, DevicesSettings(devices=entries), {}).buses["line"]
        self.driver = ModbusDriver(bus, self.devices)
        await self.driver.open()
        intake = Intake(self.devices, Stamper(self.folder / "clock"), NOW - 86_400_000)
        keep = lambda reports: self.samples.extend(report.sample for report in reports)  # noqa: E731
        orders = Orders(self.devices, self.logbook.add, self.logbook.outcomes())
        self.loop = BusLoop("line", self.driver, self.devices, intake, keep, noise=random.Random(1), orders=orders)

    def clock(self) -> tuple[int, float]:
        return NOW + int(self.mono), self.mono

    mono = 0.0

    async def run(self, times: int) -> None:
        """Serve the bus; the loop's own waits are skipped, those of the driver are real and short."""
        for _ in range(times):
            due = await self.loop.run_once(self.clock)
            self.mono = max(self.mono, due) if due - self.mono < 3_000 else self.mono + 100
            await asyncio.sleep(0.02)

    async def until_told(self, ident: str = "o1") -> dict[str, Any]:
        for _ in range(100):
            if ident in self.logbook.outcomes():
                return dict(self.logbook.outcomes()[ident])
            await self.run(1)
        raise AssertionError(f"no outcome of {ident}; asked {self.asked}")


def on_site(
    folder: Path, monkeypatch: pytest.MonkeyPatch, story: Callable[[Site], Awaitable[None]], kind: str = "tcp", profile: Profile = RELAY
) -> None:
    async def run() -> None:
        site = Site(folder, kind, profile, monkeypatch)
        await site.start()
        try:
            await story(site)
        finally:
            await site.driver.close()
            await site.carrier.stop()

    asyncio.run(run())
