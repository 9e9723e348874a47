"""The Modbus driver against devices on real wires: TCP, RTU over TCP, and a serial port (pseudo terminal)."""

import asyncio
import contextlib
import os
import random
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from contract.decoding import decode_block
from contract.frames import build_reply, parse_request
from contract.profile import find
from contract.readings import Reading
from contract.sample import Quality
from edge.drivers import DriverError
from edge.drivers.modbus import ModbusDriver
from edge.plan import Device, build
from edge.settings import BrokerSettings, BusSettings, DeviceSettings, DevicesSettings, EdgeSettings, RtuOverTcpBus, SerialBus, TcpBus
from simulators.faults import Fault
from simulators.modbus_bus import Bus
from simulators.modbus_carriers import Carrier, carrier
from simulators.modbus_device import Unit
from simulators.plant import Plant
from simulators.rooms import RoomSpec

NOW = 1_763_830_800_000
ROOM = "350128000001-01"
KINDS = ("tcp", "rtu_over_tcp", "pty")


def devices(bus: BusSettings, *entries: dict[str, Any]) -> tuple[Device, ...]:
    settings = EdgeSettings(gateway="gw-1", group="350128", broker=BrokerSettings(host="-"), data_dir=Path(), devices_file=Path(), buses=(bus,))
    wanted = tuple(DeviceSettings(name=f"d{entry['unit']}", bus=bus.name, room=ROOM, **entry) for entry in entries)
    return build(settings, DevicesSettings(devices=wanted), {}).buses[bus.name]


def bus_of(kind: str, address: int | str, **options: Any) -> TcpBus | RtuOverTcpBus | SerialBus:
    if kind == "pty":
        return SerialBus(name="line", kind="serial", device=str(address), **options)
    if kind == "tcp":
        return TcpBus(name="line", kind="tcp", host="127.0.0.1", port=int(address), **options)
    return RtuOverTcpBus(name="line", kind="rtu_over_tcp", host="127.0.0.1", port=int(address), **options)


async def values(driver: ModbusDriver, device: Device) -> dict[str, Reading]:
    found: dict[str, Reading] = {}
    for job in device.jobs:
        for arrival in await driver.read(job):
            assert arrival.device == device.name
            found |= {reading.point_id: reading for reading in arrival.readings}
    return found


async def failure(driver: ModbusDriver, device: Device) -> DriverError:
    with pytest.raises(DriverError) as caught:
        await driver.read(device.jobs[0])
    return caught.value


# ------------------------------------------------------------------------------------------------------------------- the simulated building


SILENCE_MS = 400
"""Waited out where nothing comes; on a machine that others use, an answer still comes well within it."""


class Line:
    """Two climate sensors and an input module on one simulated bus."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.plant = Plant([RoomSpec("R1")], seed=1, start_ms=NOW)
        self.bus = Bus("line", lambda: NOW, rtu=kind != "tcp")
        for unit, profile in ((1, "renke-rs-ws-n01"), (2, "xy-md02")):
            self.bus.add(Unit(unit, find(profile), self.plant, "R1", noise=False, name=f"line/{unit}"))
        self.carrier: Carrier = carrier(kind, self.bus)

    @asynccontextmanager
    async def running(self, **options: Any) -> AsyncIterator[tuple[ModbusDriver, tuple[Device, ...]]]:
        await self.carrier.start()
        options.setdefault("timeout_ms", 3_000)  # an answer ends the wait; who tests silence says how long it lasts
        bus = bus_of(self.kind, self.carrier.address, **options)
        found = devices(bus, {"unit": 1, "profile": "renke-rs-ws-n01"}, {"unit": 2, "profile": "xy-md02"}, {"unit": 3, "profile": "xy-md02"})
        driver = ModbusDriver(bus, found)
        await driver.open()
        try:
            yield driver, found
        finally:
            await driver.close()
            await self.carrier.stop()


def on_line(kind: str, story: Callable[[Line, ModbusDriver, tuple[Device, ...]], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        line = Line(kind)
        async with line.running(**options) as (driver, found):
            await story(line, driver, found)

    asyncio.run(run())


@pytest.mark.parametrize("kind", KINDS)
def test_values_arrive_over_every_carrier(kind: str) -> None:
    async def story(line: Line, driver: ModbusDriver, found: tuple[Device, ...]) -> None:
        for device in found[:2]:
            readings = await values(driver, device)
            assert readings["temperature"].value == pytest.approx(line.plant.value("R1", "temperature"), abs=0.06)
            assert readings["humidity"].value == pytest.approx(line.plant.value("R1", "humidity"), abs=0.06)
            assert {reading.quality for reading in readings.values()} == {Quality.GOOD}

    on_line(kind, story)


@pytest.mark.parametrize("kind", KINDS)
def test_a_silent_device_is_told_and_its_neighbour_answers(kind: str) -> None:
    async def story(line: Line, driver: ModbusDriver, found: tuple[Device, ...]) -> None:
        line.bus.set_fault(1, Fault("no_reply"))
        error = await failure(driver, found[0])
        assert (error.kind, error.answered, error.bus) == ("timeout", False, False)
        assert "d1" in str(error)
        assert "temperature" in await values(driver, found[1])
        assert driver.counters == {"timeout": 1}

    on_line(kind, story, timeout_ms=SILENCE_MS)


# Only what a carrier can have: Modbus TCP has no checksum and no shared line, an RTU frame has no transaction.
_SPOILT = ("wrong_unit", "wrong_function", "wrong_count", "truncated", "garbage")
_SPOILT_BY_CARRIER = [
    (kind, fault) for kind in KINDS for fault in (*_SPOILT, *(("wrong_transaction",) if kind == "tcp" else ("wrong_crc", "two_slaves")))
]


@pytest.mark.parametrize(("kind", "fault"), _SPOILT_BY_CARRIER)
def test_a_spoilt_reply_is_never_a_value(kind: str, fault: str) -> None:
    async def story(line: Line, driver: ModbusDriver, found: tuple[Device, ...]) -> None:
        line.bus.set_fault(1, Fault(fault))
        error = await failure(driver, found[0])
        assert not error.answered
        assert error.kind in {"crc", "mismatch", "short", "timeout", "garbled"}
        if fault in ("wrong_crc", "wrong_transaction"):
            assert error.kind == {"wrong_crc": "crc"}.get(fault, "mismatch")
        line.bus.set_fault(1, None)
        assert "temperature" in await values(driver, found[1])
        await asyncio.sleep(error.wait_s)
        readings = await values(driver, found[0])
        assert readings["temperature"].value == pytest.approx(line.plant.value("R1", "temperature"), abs=0.06)

    on_line(kind, story, timeout_ms=SILENCE_MS)


_AROUND_BY_CARRIER = [(kind, fault) for kind in KINDS for fault in ("glued", "split", *(() if kind == "tcp" else ("echo", "greeting", "noise")))]


@pytest.mark.parametrize(("kind", "fault"), _AROUND_BY_CARRIER)
def test_what_surrounds_a_good_reply_does_not_spoil_it(kind: str, fault: str) -> None:
    async def story(line: Line, driver: ModbusDriver, found: tuple[Device, ...]) -> None:
        line.bus.set_fault(1, Fault(fault))
        for _ in range(3):
            readings = await values(driver, found[0])
            assert readings["temperature"].value == pytest.approx(line.plant.value("R1", "temperature"), abs=0.06)
            assert "humidity" in await values(driver, found[1])

    on_line(kind, story)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("code", "kind_of_error", "answered"),
    [(1, "exception_1", True), (2, "exception_2", True), (4, "exception_4", True), (6, "busy", False), (11, "gateway_path", False)],
)
def test_exceptions_are_answers(kind: str, code: int, kind_of_error: str, answered: bool) -> None:
    async def story(line: Line, driver: ModbusDriver, found: tuple[Device, ...]) -> None:
        line.bus.set_fault(1, Fault("exception", code=code))
        error = await failure(driver, found[0])
        assert (error.kind, error.answered) == (kind_of_error, answered)
        line.bus.set_fault(1, None)
        assert "temperature" in await values(driver, found[0]), "an exception leaves nothing on the line to wait for"

    on_line(kind, story)


def test_nobody_at_the_port_is_the_fault_of_the_bus(free_port: int, tmp_path: Path) -> None:
    async def story(kind: str, address: int | str) -> DriverError:
        bus = bus_of(kind, address)
        found = devices(bus, {"unit": 1, "profile": "xy-md02"})
        driver = ModbusDriver(bus, found)
        await driver.open()
        return await failure(driver, found[0])

    for kind, address in (("tcp", free_port), ("rtu_over_tcp", free_port), ("pty", tmp_path / "nothing")):
        error = asyncio.run(story(kind, str(address) if kind == "pty" else int(str(address))))
        assert (error.kind, error.bus) == ("unreachable", True)


async def _patiently(driver: ModbusDriver, device: Device) -> dict[str, Reading]:
    while True:
        try:
            return await values(driver, device)
        except DriverError:
            await asyncio.sleep(0.1)


def test_a_serial_port_that_is_unplugged_is_used_again(tmp_path: Path) -> None:
    async def run() -> None:
        line, link = Line("pty"), tmp_path / "tty"
        line.carrier = carrier("pty", line.bus, link=link)
        await line.carrier.start()
        bus = bus_of("pty", str(link), timeout_ms=3_000)
        found = devices(bus, {"unit": 1, "profile": "renke-rs-ws-n01"})
        driver = ModbusDriver(bus, found)
        await values(driver, found[0])
        await line.carrier.stop()
        assert (await failure(driver, found[0])).bus
        line.carrier = carrier("pty", line.bus, link=link)
        await line.carrier.start()
        assert "temperature" in await _patiently(driver, found[0])
        await driver.close()
        await line.carrier.stop()

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["tcp", "rtu_over_tcp"])
def test_a_connection_that_is_lost_is_made_again(kind: str) -> None:
    async def story(line: Line, driver: ModbusDriver, found: tuple[Device, ...]) -> None:
        await values(driver, found[0])
        address = line.carrier.address
        await line.carrier.stop()
        error = await failure(driver, found[0])
        assert error.bus
        line.carrier = carrier(kind, line.bus, port=int(address))
        await line.carrier.start()
        assert "temperature" in await _patiently(driver, found[0])

    on_line(kind, story)


def test_a_half_open_connection_is_replaced_after_three_silent_reads() -> None:
    """A peer that is gone without a word: writes succeed, nothing ever comes back."""

    async def story(line: Line, driver: ModbusDriver, found: tuple[Device, ...]) -> None:
        await values(driver, found[0])
        accepted: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(lambda _reader, writer: accepted.append(writer), "127.0.0.1", 0)
        bus = bus_of("tcp", server.sockets[0].getsockname()[1], timeout_ms=50)
        silent = devices(bus, {"unit": 1, "profile": "xy-md02"})
        frozen = ModbusDriver(bus, silent)
        for _ in range(4):
            assert (await failure(frozen, silent[0])).kind == "timeout"
        assert len(accepted) == 2
        await frozen.close()
        for writer in accepted:
            writer.close()
        server.close()

    on_line("tcp", story)


# ------------------------------------------------------------------------------------------------------------------------------ late replies


class SlowSlave:
    """A device whose register tells its own address. It takes `delay(n)` seconds for its n-th answer, and looks at the next question only then."""

    def __init__(self, delay: Callable[[int], float]) -> None:
        self.delay = delay
        self.asked = 0
        self.busy_until = 0.0

    def answer(self, frame: bytes, write: Callable[[bytes], Any]) -> None:
        request, loop = parse_request(frame), asyncio.get_running_loop()
        reply = build_reply(request, [1000 + address for address in range(request.address, request.address + request.count)])
        self.busy_until = max(self.busy_until, loop.time()) + self.delay(self.asked)
        loop.call_at(self.busy_until, write, reply)
        self.asked += 1

    @asynccontextmanager
    async def on_tcp(self) -> AsyncIterator[int]:
        writers: list[asyncio.StreamWriter] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    self.answer(await reader.readexactly(8), lambda data: None if writer.is_closing() else writer.write(data))

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for writer in writers:
                writer.transport.abort()
            await asyncio.sleep(0.01)

    @contextmanager
    def on_pty(self) -> Iterator[str]:
        master, slave = os.openpty()
        for end in (master, slave):
            tty.setraw(end)
        loop = asyncio.get_running_loop()
        waiting = bytearray()

        def readable() -> None:
            waiting.extend(os.read(master, 4096))
            while len(waiting) >= 8:
                frame = bytes(waiting[:8])
                del waiting[:8]
                self.answer(frame, lambda data: os.write(master, data))

        loop.add_reader(master, readable)
        try:
            yield os.ttyname(slave)
        finally:
            loop.remove_reader(master)
            os.close(master)
            os.close(slave)


PROFILE = "wirenboard-wb-msw-v3"  # reads six blocks one by one, four of them of one register: a late one fits the next question


def expected(device: Device) -> dict[str, float | int | None]:
    profile, found = device.profile, {}
    for block in profile.blocks:
        words = [1000 + address for address in range(block.address, block.address + block.count)]
        found |= {reading.point_id: reading.value for reading in decode_block(profile, block.id, words)}
    return found


async def wrong_and_right(bus: BusSettings, rounds: int) -> tuple[int, int, int]:
    """Wrong values, right values, failures, of a driver that asks as the polling does: not before it is told."""
    found = devices(bus, {"unit": 1, "profile": PROFILE})
    assert isinstance(bus, TcpBus | RtuOverTcpBus | SerialBus)
    driver, truth = ModbusDriver(bus, found), expected(found[0])
    wrong = right = failures = 0
    for _ in range(rounds):
        try:
            for point, reading in (await values(driver, found[0])).items():
                wrong += reading.value != truth[point]
                right += reading.value == truth[point]
        except DriverError as error:
            failures += 1
            await asyncio.sleep(error.wait_s)
    await driver.close()
    return wrong, right, failures


TIMEOUT_MS = 100
DELAYS: dict[str, Callable[[int], float]] = {
    "one late reply": lambda n: 0.17 if n == 1 else 0.02,  # as every device takes a moment, the shift never ends by itself
    "every reply late": lambda n: 0.17,
    "now and then, later than the quiet time": lambda n: random.Random(n).choice([0.0, 0.0, 0.0, 0.0, 0.15, 0.35]),
}


@pytest.mark.parametrize("kind", ["rtu_over_tcp", "pty"])
@pytest.mark.parametrize("delay", DELAYS)
def test_a_late_reply_is_never_another_registers_value(kind: str, delay: str) -> None:
    async def run() -> tuple[int, int, int]:
        slave = SlowSlave(DELAYS[delay])
        if kind == "pty":
            with slave.on_pty() as port:
                return await wrong_and_right(bus_of("pty", port, timeout_ms=TIMEOUT_MS), 3)
        async with slave.on_tcp() as number:
            return await wrong_and_right(bus_of("rtu_over_tcp", number, timeout_ms=TIMEOUT_MS), 3)

    wrong, right, failures = asyncio.run(run())
    assert wrong == 0
    assert failures > 0, "nothing was late: the test proves nothing"
    assert right > 0


@pytest.mark.parametrize("kind", ["rtu_over_tcp", "pty"])
def test_the_library_alone_takes_a_late_reply_for_the_next_value(kind: str) -> None:
    """The control: the same line and the same single late reply, without our rule: what comes after it is another register's value."""

    async def asked(client: AsyncModbusTcpClient | AsyncModbusSerialClient) -> list[int | None]:
        assert await client.connect()
        found: list[int | None] = []
        for address in range(8):
            try:
                found += (await client.read_input_registers(address, count=1, device_id=1)).registers
            except ModbusException:
                found.append(None)
        client.close()
        return found

    async def run() -> list[int | None]:
        slave, common = SlowSlave(DELAYS["one late reply"]), {"framer": FramerType.RTU, "timeout": TIMEOUT_MS / 1000, "retries": 0}
        if kind == "pty":
            with slave.on_pty() as port:
                return await asked(AsyncModbusSerialClient(port, **common))
        async with slave.on_tcp() as number:
            return await asked(AsyncModbusTcpClient("127.0.0.1", port=number, **common))

    found = asyncio.run(run())
    assert found[:2] == [1000, None]
    wrong = [address for address, value in enumerate(found) if value is not None and value != 1000 + address]
    assert wrong, f"every register had its own value: {found}"


def test_a_slow_device_gets_the_time_it_needs() -> None:
    async def run() -> tuple[int, int]:
        async with SlowSlave(lambda n: 0.17).on_tcp() as number:
            bus = bus_of("rtu_over_tcp", number, timeout_ms=TIMEOUT_MS)
            found = devices(bus, {"unit": 1, "profile": PROFILE})
            driver, answers = ModbusDriver(bus, found), []
            for _ in range(6):
                try:
                    answers.append(await values(driver, found[0]))
                except DriverError as error:
                    await asyncio.sleep(error.wait_s)
            await driver.close()
            return len(answers), driver.counters["late"]

    answers, late = asyncio.run(run())
    assert answers >= 4
    assert late >= 1


def test_the_wrong_model_is_doubted() -> None:
    async def run() -> set[tuple[Quality, str]]:
        async with SlowSlave(lambda n: 0.0).on_tcp() as number:
            bus = bus_of("rtu_over_tcp", number)
            found = devices(bus, {"unit": 1, "profile": "xy-md02"})
            identify = find("sonbest-sm7820b").identify[0].model_copy(update={"equals": (4711,)})
            odd = Device(found[0].settings, found[0].profile.model_copy(update={"identify": (identify,)}), found[0].points)
            driver = ModbusDriver(bus, (odd,))
            readings = await values(driver, odd)
            await driver.close()
            return {(reading.quality, reading.reason) for reading in readings.values() if reading.value is not None}

    assert asyncio.run(run()) == {(Quality.UNCERTAIN, "wrong_profile")}
