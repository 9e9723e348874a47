"""Every fault of a simulated Modbus device, seen at the wire."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from contract.decoding import decode_exchange
from contract.frames import FrameError, parse_reply, parse_request, sealed
from contract.profile import find
from contract.sample import Quality
from simulators.faults import FAULTS, Fault, FaultError
from simulators.modbus_bus import Bus
from simulators.modbus_carriers import carrier
from simulators.modbus_device import Unit
from simulators.modbus_wire import GREETING, MbapFraming, Request, RtuFraming
from simulators.plant import Plant
from simulators.rooms import RoomSpec

NOW = 1_763_830_800_000
ASK = bytes.fromhex("010300000002C40B")
RENKE = find("renke-rs-ws-n01")


def line(profile: str = "renke-rs-ws-n01", *, rtu: bool = True, units: int = 1) -> tuple[Bus, Plant]:
    plant = Plant([RoomSpec("R1")], seed=1, start_ms=NOW)
    plant.override("R1", "temperature", 25.0)
    plant.override("R1", "humidity", 55.0)
    bus = Bus("line", lambda: plant.now, rtu=rtu)
    for _ in range(units):
        bus.add(Unit(1, find(profile), plant, "R1", noise=False))
    return bus, plant


def reply(kind: str, ask: bytes = ASK, profile: str = "renke-rs-ws-n01", **more: int) -> list[tuple[int, bytes]]:
    bus, _ = line(profile)
    bus.set_fault(1, Fault(kind, **more))
    return bus.handle(RtuFraming(), Request(ask[0], ask[1:-2], 0, ask))


GOOD = line()[0].handle(RtuFraming(), Request(1, ASK[1:-2], 0, ASK))[0][1]


def values(frame: bytes) -> dict[str, float | int | None]:
    return {r.quantity: r.value for r in decode_exchange(RENKE, ASK, frame)}


def refusal(frame: bytes) -> str:
    with pytest.raises(FrameError) as caught:
        parse_reply(parse_request(ASK), frame)
    return caught.value.kind


def test_without_a_fault() -> None:
    assert values(GOOD) == {"temperature": 25.0, "humidity": 55.0}


@pytest.mark.parametrize("kind", ["no_reply", "dropout"])
def test_silence(kind: str) -> None:
    assert reply(kind, **({"probability": 1} if kind == "dropout" else {})) == []


def test_dropouts_are_some() -> None:
    bus, _ = line()
    bus.set_fault(1, Fault("dropout"))
    answered = sum(bool(bus.handle(RtuFraming(), Request(1, ASK[1:-2], 0, ASK))) for _ in range(400))
    assert 230 < answered < 330


def test_late() -> None:
    assert reply("late_reply") == [(1500, GOOD)]
    assert reply("late_reply", delay_ms=80) == [(80, GOOD)]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("wrong_crc", "crc"),
        ("wrong_unit", "mismatch"),
        ("wrong_count", "mismatch"),
        ("wrong_function", "mismatch"),
        ("truncated", "short"),
        ("exception", "exception"),
        ("two_slaves", "crc"),
    ],
)
def test_frames_that_must_be_refused(kind: str, error: str) -> None:
    ((delay, frame),) = reply(kind)
    assert delay == 0
    assert refusal(frame) == error


def test_exception_codes() -> None:
    assert reply("exception", code=6) == [(0, bytes.fromhex("018306C132"))]


def test_well_formed_but_wrong() -> None:
    for kind in ("wrong_unit", "wrong_count", "wrong_function"):
        frame = reply(kind)[0][1]
        assert sealed(frame[:-2]) == frame


def test_what_comes_around_the_frame() -> None:
    assert reply("echo") == [(0, ASK + GOOD)]
    assert reply("greeting") == [(0, GREETING + GOOD)]
    assert reply("noise") == [(0, b"\xff\x00\xff" + GOOD + b"\x00\xff")]
    glued = reply("glued")[0][1]
    assert glued.startswith(GOOD)
    assert sealed(glued[len(GOOD) : -2]) == glued[len(GOOD) :]


def test_split_into_little_pieces() -> None:
    pieces = reply("split", delay_ms=200)
    assert b"".join(piece for _, piece in pieces) == GOOD
    assert all(1 <= len(piece) <= 3 for _, piece in pieces)
    assert [delay for delay, _ in pieces] == [200 * i for i in range(len(pieces))]


def test_garbage_is_not_a_frame() -> None:
    frame = reply("garbage")[0][1]
    assert len(frame) == 2 * len(GOOD)
    assert refusal(frame) in ("crc", "mismatch", "short")


def test_two_devices_with_one_address_by_configuration() -> None:
    bus, _ = line(units=2)
    ((_, frame),) = bus.handle(RtuFraming(), Request(1, ASK[1:-2], 0, ASK))
    assert refusal(frame) == "crc"


def test_special_values() -> None:
    assert reply("ffff")[0][1][3:7] == b"\xff\xff\xff\xff"
    assert reply("special")[0][1][3:7] == b"\x80\x00\x80\x00"
    ask = sealed(bytes.fromhex("010300000002"))
    for kind in ("nan", "ffff", "special"):
        frame = reply(kind, ask, "vaisala-hmp")[0][1]
        (humidity,) = decode_exchange(find("vaisala-hmp"), ask, frame)
        assert humidity.quality is Quality.BAD, kind


def test_value_faults() -> None:
    stuck, plant = line()
    stuck.set_fault(1, Fault("stuck"))
    request = Request(1, ASK[1:-2], 0, ASK)
    assert values(stuck.handle(RtuFraming(), request)[0][1])["temperature"] == 25.0
    plant.override("R1", "temperature", 30.0)
    assert values(stuck.handle(RtuFraming(), request)[0][1])["temperature"] == 25.0
    stuck.set_fault(1, None)
    assert values(stuck.handle(RtuFraming(), request)[0][1])["temperature"] == 30.0
    assert values(reply("step")[0][1])["temperature"] == 37.0
    assert values(reply("drift")[0][1])["temperature"] == 25.0
    by_quantity = {r.quantity: r for r in decode_exchange(RENKE, ASK, reply("out_of_range")[0][1])}
    assert {r.quality for r in by_quantity.values()} == {Quality.BAD}
    assert values(reply("probe_open")[0][1])["temperature"] == -40.0


def test_a_fault_for_a_number_of_replies() -> None:
    bus, _ = line()
    bus.set_fault(1, Fault("no_reply", count=2))
    request = Request(1, ASK[1:-2], 0, ASK)
    assert bus.faults == {1: "no_reply"}
    assert [bool(bus.handle(RtuFraming(), request)) for _ in range(4)] == [False, False, True, True]
    assert bus.faults == {}


def test_modbus_tcp_has_its_own() -> None:
    bus, _ = line(rtu=False)
    framing = MbapFraming()
    (request,) = framing.feed(bytes.fromhex("00070000000601") + ASK[1:-2])
    bus.set_fault(1, Fault("wrong_transaction"))
    assert bus.handle(framing, request)[0][1][:2] == b"\x00\x00"
    bus.set_fault(1, Fault("exception", code=10))
    assert bus.handle(framing, request)[0][1] == bytes.fromhex("000700000003 01830A")
    for kind in ("wrong_crc", "two_slaves"):
        with pytest.raises(FaultError, match="carrier"):
            bus.set_fault(1, Fault(kind))
    with pytest.raises(FaultError, match="carrier"):
        line()[0].set_fault(1, Fault("wrong_transaction"))
    with pytest.raises(FaultError, match="unit 9"):
        bus.set_fault(9, Fault("no_reply"))


def test_no_fault_is_forgotten() -> None:
    """Every kind changes what is on the wire, or is one that needs time or chance."""
    same = {kind for kind in FAULTS if kind != "wrong_transaction" and reply(kind) == [(0, GOOD)]}
    assert same <= {"stuck", "drift", "dropout"}


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 40])
def test_requests_are_found_in_any_stream(size: int) -> None:
    stream = b"\x00\xffnoise" + ASK + b"\x01" + sealed(bytes.fromhex("011000000002045A5A5A5A")) + bytes.fromhex("012B0E03873175") + ASK
    framing = RtuFraming()
    found = [request.pdu[0] for i in range(0, len(stream), size) for request in framing.feed(stream[i : i + size])]
    assert found[-1] == 3
    assert found.count(16) == 1
    assert 0x2B in found


def test_silence_ends_a_broken_request() -> None:
    framing = RtuFraming()
    assert framing.feed(bytes.fromhex("0110000000FFFE") + b"\x00", at=1.0) == []
    assert framing.feed(ASK, at=1.1) == [], "it may still be data of the long write"
    assert len(framing.feed(ASK, at=2.0)) == 1


def test_mbap_resists_nonsense() -> None:
    framing = MbapFraming()
    assert framing.feed(b"GET / HTTP/1.1\r\n\r\n") == []
    assert len(framing.feed(bytes.fromhex("0001000000060103000000020002000000060103000000"))) == 1
    assert len(framing.feed(b"\x02")) == 1


def _talk(kind: str, story: Callable[[asyncio.StreamReader, asyncio.StreamWriter, Bus], Awaitable[None]]) -> None:
    async def run() -> None:
        bus, _ = line()
        running = carrier(kind, bus, hello=b"REG:0001,pwd;")
        await running.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(running.address))
        await story(reader, writer, bus)
        writer.close()
        await running.stop()

    asyncio.run(run())


def test_a_late_reply_arrives_in_the_next_window() -> None:
    """What makes careless masters store a value under the wrong register (reliability finding 1)."""

    async def story(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bus: Bus) -> None:
        assert await reader.readexactly(13) == b"REG:0001,pwd;"
        bus.set_fault(1, Fault("late_reply", delay_ms=60, count=1))
        writer.write(ASK)
        writer.write(sealed(bytes.fromhex("010300010001")))
        first, second = await reader.readexactly(7), await reader.readexactly(9)
        assert first[:3] == bytes.fromhex("010302")
        assert second == GOOD

    _talk("rtu_over_tcp", story)


def test_pieces_arrive_apart() -> None:
    async def story(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bus: Bus) -> None:
        await reader.readexactly(13)
        bus.set_fault(1, Fault("split", delay_ms=10))
        writer.write(ASK)
        pieces = []
        while len(b"".join(pieces)) < len(GOOD):
            pieces.append(await reader.read(100))
        assert b"".join(pieces) == GOOD
        assert len(pieces) > 3

    _talk("rtu_over_tcp", story)
