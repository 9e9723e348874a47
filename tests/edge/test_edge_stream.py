"""The stream cases that every reader must pass, at the driver, byte by byte.

1 local echo, 2 greeting, 3 unsolicited text, 4 reply from another address, 5 other function and length, 6 exceptions, 7 late replies,
8 registration of a DTU, 9 split frames, 10 glued frames, 11 Modbus TCP with wrong transaction, length or unit, 12 noise. Those that are not here
(1, 2, 6, 7, 10, 12) are in test_edge_modbus.py, over every carrier.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from contract.frames import sealed
from contract.profile import catalogue, find
from edge.drivers import DriverError
from edge.drivers.modbus import ModbusDriver
from edge.plan import Device, build
from edge.settings import BrokerSettings, DevicesSettings, EdgeSettings

Answer = Callable[[bytes], list[tuple[float, bytes]]]
"""From the bytes of a request to what goes onto the line: seconds from now, bytes."""


@asynccontextmanager
async def slave(answer: Answer, hello: bytes = b"") -> AsyncIterator[int]:
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(hello)
        with contextlib.suppress(ConnectionError):
            while asked := await reader.read(300):
                for wait, data in answer(asked):
                    asyncio.get_running_loop().call_later(wait, writer.write, data)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)


class Clock:
    """The driver's clock: that of the loop, and as much further as a test lets it be."""

    ahead = 0.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead


def device(clock: Clock, kind: str, port: int, profile: str, unit: int, **more: Any) -> tuple[Device, ModbusDriver]:
    settings = EdgeSettings.model_validate(
        {"gateway": "g", "group": "350128", "broker": BrokerSettings(host="-"), "data_dir": Path(), "devices_file": Path(),
         "buses": ({"name": "line", "kind": kind, "host": "127.0.0.1", "port": port, "timeout_ms": 150, "gap_ms": 0},)}
    )  # fmt: skip
    entry = {"name": "d", "profile": profile, "bus": "line", "unit": unit, "room": "350128000001-01", **more}
    plan = build(settings, DevicesSettings.model_validate({"devices": (entry,)}), {})
    found = plan.buses["line"]
    return found[0], ModbusDriver(plan.bus("line"), found, clock)  # type: ignore[arg-type]


async def asked(driver: ModbusDriver, of: Device) -> dict[str, float | int | None] | str:
    """Values, or the kind of trouble."""
    try:
        found = {}
        for job in of.jobs:
            for arrival in await driver.read(job):
                found |= {reading.point_id: reading.value for reading in arrival.readings}
    except DriverError as error:
        return error.kind
    return found


BACK_OFF_S = 0.65
"""Longer than the driver leaves alone a device that did not answer within its 150 ms."""


def story(kind: str, profile: str, unit: int, answer: Answer, *, times: int = 1, hello: bytes = b"", **more: Any) -> list[Any]:
    async def run() -> list[Any]:
        async with slave(answer, hello) as port:
            clock, results = Clock(), list[Any]()
            of, driver = device(clock, kind, port, profile, unit, **more)
            for _ in range(times):
                results.append(await asked(driver, of))
                clock.ahead += BACK_OFF_S if isinstance(results[-1], str) else 0
            await driver.close()
            return results

    return asyncio.run(run())


XY = bytes.fromhex("010404013102222ACE")
XY_VALUES = {"temperature": 30.5, "humidity": 54.6}


@pytest.mark.parametrize("text", ["27.4℃, 67.7%\r\n".encode("gb18030"), "27.4℃, 67.7%\r\n".encode()], ids=["gb18030", "utf-8"])
def test_3_a_device_that_was_left_talking_by_itself(text: bytes) -> None:
    """XY-MD02 in its automatic mode puts a line of text before, and after, whatever it is asked."""
    assert story("rtu_over_tcp", "xy-md02", 1, lambda _: [(0, text + XY + text)], times=2) == [XY_VALUES, XY_VALUES]


def test_4_a_good_reply_of_another_address_is_not_the_one_that_was_asked_for() -> None:
    other = sealed(bytes.fromhex("02040401310222"))
    assert story("rtu_over_tcp", "xy-md02", 1, lambda _: [(0, other)]) == ["mismatch"]
    assert story("rtu_over_tcp", "xy-md02", 1, lambda _: [(0, other), (0.03, XY)]) == [XY_VALUES], "and it does not hide the right one"


def test_4_a_universal_address_is_no_excuse_while_polling() -> None:
    """SONBEST answers 0xFA from address 1: that is for finding out, not for reading."""
    assert find("sonbest-sm7820b").connection.unit.any == 0xFA
    assert story("rtu_over_tcp", "sonbest-sm7820b", 0xFA, lambda _: [(0, bytes.fromhex("010304007A0000DBEA"))]) == ["mismatch"]


def test_5_a_door_contact_that_answers_by_function_4_with_more_registers() -> None:
    reply = sealed(bytes.fromhex("41040400010000"))
    profile = find("door-rs485")
    assert "fc04_reply" in profile.connection.quirks
    assert story("rtu_over_tcp", "door-rs485", 0x41, lambda _: [(0, reply)]) == [{"door": 1}]


def test_5_who_has_no_such_quirk_is_not_believed() -> None:
    reply = sealed(bytes.fromhex("0104040292FF9B"))
    assert story("rtu_over_tcp", "renke-rs-ws-n01", 1, lambda _: [(0, reply)]) == ["mismatch"]


@pytest.mark.parametrize("hello", [b"REG:8613900000000,pwd;", b"\xfe\xfe\x00HELLO", b"\x01\x04\x04"], ids=["text", "binary", "like a frame"])
def test_8_what_a_dtu_says_before_it_passes_bytes_on(hello: bytes) -> None:
    """And its heart-beats between the answers."""
    beat = b"HB;"
    assert story("rtu_over_tcp", "xy-md02", 1, lambda _: [(0, beat), (0.01, XY), (0.02, beat)], times=3, hello=hello) == [XY_VALUES] * 3


def test_9_a_mobile_dtu_delivers_one_byte_now_and_then() -> None:
    pieces = [(0.012 * at, XY[at : at + 1]) for at in range(len(XY))]
    assert story("rtu_over_tcp", "xy-md02", 1, lambda _: pieces, times=2) == [XY_VALUES, XY_VALUES]


PAIR = bytes.fromhex("040401310222")  # function, byte count, 30.5 and 54.6


def mbap(question: bytes, *, unit: int | None = None, longer: int = 0, transaction: int = 0) -> bytes:
    number = (int.from_bytes(question[:2], "big") + transaction) % 65536
    body = bytes((question[6] if unit is None else unit,)) + PAIR
    return number.to_bytes(2, "big") + b"\0\0" + (len(body) + longer).to_bytes(2, "big") + body


@pytest.mark.parametrize("unit", [0, 255])
def test_11_a_tcp_device_that_does_not_repeat_the_unit(unit: int) -> None:
    """The transaction says whose answer it is; such a device fills the unit with 0 or 255."""
    assert story("tcp", "xy-md02", 7, lambda question: [(0, mbap(question, unit=unit))], times=2) == [XY_VALUES, XY_VALUES]


def test_11_another_unit_is_another_device() -> None:
    assert story("tcp", "xy-md02", 7, lambda question: [(0, mbap(question, unit=8))]) == ["mismatch"]


@pytest.mark.parametrize("longer", [-5, -2, 1, 300])
def test_11_a_header_with_a_wrong_length_is_never_a_value_and_the_next_answer_counts(longer: int) -> None:
    count = 0

    def answer(question: bytes) -> list[tuple[float, bytes]]:
        nonlocal count
        count += 1
        return [(0, mbap(question, longer=longer if count == 1 else 0))]

    first, second = story("tcp", "xy-md02", 7, answer, times=2)
    assert isinstance(first, str)
    assert second == XY_VALUES


def test_11_an_answer_to_the_question_before_does_not_count() -> None:
    assert story("tcp", "xy-md02", 7, lambda question: [(0, mbap(question, transaction=-1))]) == ["mismatch"]
    assert story("tcp", "xy-md02", 7, lambda question: [(0, mbap(question, transaction=-1) + mbap(question))]) == [XY_VALUES]


MISPRINTS = [
    (profile.id, vector.reply)
    for profile in catalogue().values()
    if profile.connection.kind == "modbus"
    for vector in profile.vectors
    if vector.error == "crc" and vector.reply is not None
]


@pytest.mark.parametrize(("profile", "reply"), MISPRINTS)
def test_what_manuals_print_wrong_is_never_a_value_and_is_counted(profile: str, reply: str) -> None:
    """Frames with a wrong CRC, as manuals print them: refused, told, and counted, whatever else might be read into their bytes."""

    async def run() -> tuple[object, dict[str, int]]:
        frame = bytes.fromhex(reply)
        async with slave(lambda _: [(0, frame)]) as port:
            channels = {point.id: {"quantity": "door"} for point in find(profile).points if point.assignable}
            of, driver = device(Clock(), "rtu_over_tcp", port, profile, frame[0] or 1, channels=channels)
            said = await asked(driver, of)
            await driver.close()
            return said, driver.counters

    said, counters = asyncio.run(run())
    assert isinstance(said, str), "never a value"
    assert counters == {said: 1}
