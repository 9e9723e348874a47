"""Simulated Modbus devices through the real carriers, read by the real pymodbus client and decoded by the shared profiles."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

from contract.decoding import decode_block
from contract.frames import sealed
from contract.installation import ChannelUse, configure
from contract.profile import Profile, catalogue, find
from contract.sample import Quality
from simulators.faults import Fault
from simulators.modbus_bus import Bus
from simulators.modbus_carriers import Carrier, carrier
from simulators.modbus_device import Unit
from simulators.plant import Plant
from simulators.rooms import RoomSpec, UnknownRoomError

NOW = 1_763_830_800_000


class Site:
    """A bus of devices over a plant of two rooms at a standing clock."""

    def __init__(self, *, rtu: bool = True, ledger: Path | None = None) -> None:
        self.plant = Plant([RoomSpec("R1"), RoomSpec("R2")], seed=1, start_ms=NOW)
        self.now = NOW
        self.bus = Bus("line", lambda: self.now, rtu=rtu, ledger=ledger)

    def add(self, unit: int, name: str, *, noise: bool = False, **more: Any) -> Profile:
        profile = configure(find(name), channels=more.pop("channels", {}))
        self.bus.add(Unit(unit, profile, self.plant, "R1", seed=1, name=f"line/{unit}", noise=noise, **more))
        return profile

    def truth(self, profile: Profile, room: str = "R1") -> dict[str, float]:
        return {p.id: self.plant.value(room, p.quantity) for p in profile.points}


@asynccontextmanager
async def client_of(running: Carrier, kind: str) -> AsyncIterator[Any]:
    client: Any
    if kind == "pty":
        client = AsyncModbusSerialClient(str(running.address), framer=FramerType.RTU, baudrate=9600, timeout=2, retries=0)
    else:
        framer = FramerType.SOCKET if kind == "tcp" else FramerType.RTU
        client = AsyncModbusTcpClient("127.0.0.1", port=int(running.address), framer=framer, timeout=2, retries=0)
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


def replace_kind(kind: str) -> Profile:
    profile = find("renke-rs-ws-n01")
    return profile.model_copy(update={"connection": profile.connection.model_copy(update={"kind": kind})})


async def read(client: Any, profile: Profile, unit: int) -> dict[str, float | int | None]:
    """Every block by its own function, decoded."""
    found: dict[str, float | int | None] = {}
    for block in profile.blocks:
        ask = {1: client.read_coils, 2: client.read_discrete_inputs, 3: client.read_holding_registers, 4: client.read_input_registers}[block.fc]
        reply = await ask(block.address, count=block.count, device_id=unit)
        assert not reply.isError(), reply
        words = reply.bits[: block.count] if block.fc < 3 else reply.registers
        for reading in decode_block(profile, block.id, words):
            assert reading.quality in (Quality.GOOD, Quality.UNCERTAIN), reading
            found[reading.point_id] = reading.value
    return found


@pytest.mark.parametrize("kind", ["tcp", "rtu_over_tcp", "pty"])
def test_every_carrier_shows_the_plant(kind: str) -> None:
    async def story() -> None:
        site = Site(rtu=kind != "tcp")
        profiles = {1: site.add(1, "renke-rs-ws-n01"), 2: site.add(2, "xy-md02"), 240: site.add(240, "vaisala-hmp")}
        profiles[7] = site.add(
            7, "waveshare-8di", channels={"di1": ChannelUse(quantity="smoke"), "di2": ChannelUse(quantity="door", normally="closed")}
        )
        site.plant.override("R1", "door", 1.0)
        running = carrier(kind, site.bus)
        await running.start()
        async with client_of(running, kind) as client:
            for unit, profile in profiles.items():
                truth = site.truth(profile)
                for point, value in (await read(client, profile, unit)).items():
                    assert value == pytest.approx(truth[point], abs=0.051), (unit, point)
            site.plant.override("R1", "temperature", 31.4)
            assert (await read(client, profiles[1], 1))["temperature"] == pytest.approx(31.4)
        await running.stop()

    asyncio.run(story())


def test_two_connections_at_once() -> None:
    async def story() -> None:
        site = Site(rtu=False)
        profile = site.add(1, "renke-rs-ws-n01")
        running = carrier("tcp", site.bus)
        await running.start()
        async with client_of(running, "tcp") as one, client_of(running, "tcp") as two:
            first, second = await asyncio.gather(read(one, profile, 1), read(two, profile, 1))
            assert first == second
        await running.stop()

    asyncio.run(story())


def test_sensor_noise_is_small_and_seeded() -> None:
    def curve() -> list[float]:
        site = Site()
        profile = site.add(1, "renke-rs-ws-n01", noise=True)
        unit = site.bus.units[0]
        values = []
        for second in range(0, 300, 10):
            site.now = NOW + second * 1000
            site.plant.advance(site.now)
            answer = unit.answer(bytes((3, 0, 0, 0, 2)), site.now)
            values += [
                float(r.value or 0)
                for r in decode_block(profile, profile.blocks[0].id, [int.from_bytes(answer.pdu[i : i + 2], "big") for i in (2, 4)])
            ]
        return values

    first = curve()
    assert first == curve()
    assert len(set(first)) > 5


def test_an_inverted_contact_opens_with_the_door() -> None:
    site = Site()
    site.add(
        7, "waveshare-8di", channels={"di1": ChannelUse(quantity="door", normally="closed"), "di2": ChannelUse(quantity="door")}, rooms={"di2": "R2"}
    )
    site.plant.override("R1", "door", 0.0)
    site.plant.override("R2", "door", 1.0)
    unit = site.bus.units[0]
    assert unit.answer(bytes((2, 0, 0, 0, 8)), NOW).pdu[2] & 0b11 == 0b11, "shut: circuit closed; the other, open: circuit closed"
    site.plant.override("R1", "door", 1.0)
    assert unit.answer(bytes((2, 0, 0, 0, 8)), NOW).pdu[2] & 0b11 == 0b10


def test_refusals_are_exceptions() -> None:
    async def story() -> None:
        site = Site(rtu=False)
        site.add(1, "renke-rs-ws-n01")
        running = carrier("tcp", site.bus)
        await running.start()
        async with client_of(running, "tcp") as client:
            assert (await client.read_holding_registers(500, count=1, device_id=1)).exception_code == 2
            assert (await client.read_coils(0, count=2, device_id=1)).exception_code == 2
            assert (await client.read_holding_registers(0, count=100, device_id=1)).exception_code == 3
            assert (await client.report_device_id(device_id=1)).exception_code == 1
            assert (await client.read_holding_registers(0, count=2, device_id=9)).exception_code == 11
            assert (await client.write_register(0, 5, device_id=1)).exception_code == 2
            assert not (await client.read_input_registers(0, count=2, device_id=1)).isError(), "this model answers function 4 too"
        await running.stop()

    asyncio.run(story())


def test_relays_keep_what_was_written() -> None:
    async def story() -> None:
        site = Site(rtu=False)
        site.add(7, "waveshare-8di")
        address = 0
        running = carrier("tcp", site.bus)
        await running.start()
        async with client_of(running, "tcp") as client:
            assert not (await client.write_coil(address, True, device_id=7)).isError()
            assert not (await client.write_coils(address + 1, [False, True], device_id=7)).isError()
            assert (await client.read_coils(address, count=8, device_id=7)).bits[:3] == [True, False, True]
            assert (await client.write_coil(address + 50, True, device_id=7)).exception_code == 2
        assert site.bus.coils == {7: {address: 1, address + 1: 0, address + 2: 1}}
        await running.stop()

    asyncio.run(story())


def test_a_device_gets_a_new_address() -> None:
    """Renke: register 0x07D0, found by the universal address 0xFF; the reply comes from the new address."""

    async def story() -> None:
        site = Site()
        profile = site.add(1, "renke-rs-ws-n01")
        running = carrier("rtu_over_tcp", site.bus)
        await running.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(running.address))
        writer.write(bytes.fromhex("FF0307D000019159"))
        assert (await reader.read(100))[:5] == bytes.fromhex("0103020001")
        writer.write(sealed(bytes.fromhex("010607D00005")))
        assert (await reader.read(100))[0] == 5
        writer.close()
        async with client_of(running, "rtu_over_tcp") as client:
            assert await read(client, profile, 5)
        await running.stop()

    asyncio.run(story())


def test_the_ledger_has_a_line_per_answer(tmp_path: Path) -> None:
    site = Site(ledger=tmp_path / "answers.jsonl")
    profile = site.add(1, "renke-rs-ws-n01")

    async def story() -> None:
        running = carrier("rtu_over_tcp", site.bus)
        await running.start()
        async with client_of(running, "rtu_over_tcp") as client:
            values = await read(client, profile, 1)
            site.now += 1000
            site.bus.set_fault(1, Fault("no_reply", count=1))
            client.comm_params.timeout_connect = 0.2
            with pytest.raises(Exception, match="No response"):
                await client.read_holding_registers(0, count=2, device_id=1)
            lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
            assert [line["t"] for line in lines] == [NOW]
            assert lines[0]["unit"] == 1
            assert lines[0]["values"]["temperature"] == pytest.approx(values["temperature"], abs=0.051)
        await running.stop()
        site.bus.close()

    asyncio.run(story())


def test_a_terminal_has_a_stable_name(tmp_path: Path) -> None:
    async def story() -> None:
        site = Site()
        site.add(1, "renke-rs-ws-n01")
        link = tmp_path / "ttyRS485"
        running = carrier("pty", site.bus, link=link)
        await running.start()
        assert str(link.resolve()) == running.address
        await running.stop()
        assert not link.is_symlink()

    asyncio.run(story())


def test_every_modbus_profile_can_be_simulated() -> None:
    for name, profile in catalogue().items():
        if profile.connection.kind != "modbus":
            continue
        site = Site()
        uses = {p.id: ChannelUse(quantity="leak") for p in profile.points if p.assignable}
        installed = configure(profile, channels=uses)
        unit = Unit(1, installed, site.plant, "R1", noise=False)
        for block in installed.blocks:
            answer = unit.answer(bytes((block.fc,)) + block.address.to_bytes(2, "big") + block.count.to_bytes(2, "big"), NOW)
            data = answer.pdu[2:]
            words = (
                [data[i // 8] >> i % 8 & 1 for i in range(block.count)]
                if block.fc < 3
                else [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]
            )
            for reading in decode_block(installed, block.id, words):
                assert reading.quality is not Quality.BAD, (name, reading)


def test_refuses_what_is_no_modbus_device() -> None:
    site = Site()
    with pytest.raises(UnknownRoomError):
        Unit(1, find("renke-rs-ws-n01"), site.plant, "attic")
    with pytest.raises(ValueError, match="no point"):
        Unit(1, find("renke-rs-ws-n01"), site.plant, "R1", {"happiness": "R2"})
    with pytest.raises(ValueError, match="not a Modbus device"):
        Unit(1, replace_kind("mqtt"), site.plant, "R1")
    with pytest.raises(ValueError, match="kind"):
        carrier("pigeon", site.bus)
