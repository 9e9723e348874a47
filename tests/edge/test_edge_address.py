"""`archivewatch-edge address` on a simulated line: the change itself, and everything that must stop it before a register is written."""

import io
import json
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from contract.profile import find
from edge import cli
from simulators.faults import Fault
from simulators.modbus_bus import Bus
from simulators.modbus_device import Unit
from simulators.plant import Plant
from simulators.rooms import RoomSpec

NOW = 1_763_830_800_000

PATIENCE_MS = "500"
"""Waited out at addresses where nobody answers; on a machine that others use, an answer still comes within it."""

Typed = Callable[[str], None]
Carried = Callable[[Bus], AbstractContextManager[str]]


def bus_with(*devices: tuple[int, str]) -> Bus:
    """A line with devices given as (unit, profile)."""
    plant = Plant([RoomSpec("R1")], seed=1, start_ms=NOW)
    bus = Bus("line", lambda: NOW)
    for unit, profile in devices:
        bus.add(Unit(unit, find(profile), plant, "R1", name=f"line/{unit}"))
    return bus


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Typed:
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def address(port: str, profile: str, *more: str, units: str = "1-2") -> int:
    where = ["--port", port, "--kind", "rtu_over_tcp", "--units", units, "--timeout-ms", PATIENCE_MS]
    return cli.main(["address", "--profile", profile, *where, *more])


@pytest.mark.parametrize(
    ("profile", "answers"),
    [("renke-rs-ws-n01", "8\n"), ("xy-md02", "8\n"), ("sonbest-sm7820b", "8\n"), ("jxct-jxbs-3001-th", "8\n\n"), ("waveshare-8di", "8\n")],
)
def test_the_one_device_gets_its_new_address(profile: str, answers: str, typed: Typed, on_line: Carried, capsys: pytest.CaptureFixture[str]) -> None:
    """Echoes from the old address, from the new one, after a restart, and a register that is written at the universal address."""
    typed(answers)
    bus = bus_with((1, profile))
    with on_line(bus) as port:
        assert address(port, profile, "--to", "8", "--json") == 0
        assert [unit.unit for unit in bus.units] == [8]
    said = capsys.readouterr()
    assert json.loads(said.out) == {"port": port, "profile": profile, "from": 1, "to": 8}
    assert "输入新地址 8 确认" in said.err


@pytest.mark.parametrize("answer", ["", "\n", "yes\n", "9\n"])
def test_nothing_is_written_without_the_typed_address(answer: str, typed: Typed, on_line: Carried, capsys: pytest.CaptureFixture[str]) -> None:
    typed(answer)
    bus = bus_with((1, "renke-rs-ws-n01"))
    with on_line(bus) as port:
        assert address(port, "renke-rs-ws-n01", "--to", "8", units="1") == 4
        assert [unit.unit for unit in bus.units] == [1]
    assert "没有写入" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("devices", "to", "reason"),
    [
        ([(1, "renke-rs-ws-n01"), (2, "renke-rs-ws-n01")], "8", "几台设备（地址 1、2）"),
        ([(1, "renke-rs-ws-n01"), (8, "xy-md02")], "8", "几台设备（地址 1、8）"),
        ([(8, "renke-rs-ws-n01")], "8", "已经是 8"),
        ([(1, "xy-md02")], "8", "不是"),
        ([], "8", "没有设备应答"),
        ([(1, "renke-rs-ws-n01")], "255", "只能是 1–254"),
    ],
)
def test_whatever_is_not_one_device_of_the_profile_stops_it(
    devices: list[tuple[int, str]], to: str, reason: str, typed: Typed, on_line: Carried, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(f"{to}\n")
    before = [unit for unit, _ in devices]
    bus = bus_with(*devices)
    with on_line(bus) as port:
        assert address(port, "renke-rs-ws-n01", "--to", to) == 4
        assert [unit.unit for unit in bus.units] == before
    assert reason in capsys.readouterr().err


def test_two_devices_at_one_address_are_garbled_and_stop_it(typed: Typed, on_line: Carried, capsys: pytest.CaptureFixture[str]) -> None:
    typed("8\n")
    bus = bus_with((1, "renke-rs-ws-n01"), (1, "renke-rs-ws-n01"))
    with on_line(bus) as port:
        assert address(port, "renke-rs-ws-n01", "--to", "8", units="1") == 4
        assert "校验不对" in capsys.readouterr().err
        where = ["--port", port, "--kind", "rtu_over_tcp", "--units", "1", "--timeout-ms", PATIENCE_MS]
        assert cli.main(["scan", *where]) == 0
        assert "两台设备同一地址" in capsys.readouterr().out
        assert [unit.unit for unit in bus.units] == [1, 1]


def test_a_device_that_says_yes_and_keeps_its_address_is_found_out(
    typed: Typed, on_line: Carried, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed("8\n")
    bus = bus_with((1, "renke-rs-ws-n01"))
    with on_line(bus) as port:
        monkeypatch.setattr(bus.units[0], "_readdress", lambda *_: bus.units[0].answer(b"\x03\x00\x00\x00\x02", NOW), raising=False)
        assert address(port, "renke-rs-ws-n01", "--to", "8", units="1") == 1
    assert "设备还在原地址 1" in capsys.readouterr().err


def test_a_refusal_is_told(typed: Typed, on_line: Carried, capsys: pytest.CaptureFixture[str]) -> None:
    typed("8\n")
    bus = bus_with((1, "renke-rs-ws-n01"))
    with on_line(bus) as port:
        setting = find("renke-rs-ws-n01").commissioning[0]
        assert setting.id == "address"
        bus.units[0].profile = bus.units[0].profile.model_copy(update={"commissioning": (setting.model_copy(update={"range": (1, 5)}),)})
        assert address(port, "renke-rs-ws-n01", "--to", "8", units="1") == 4
        assert bus.units[0].unit == 1
    assert "设备拒绝" in capsys.readouterr().err


def test_without_a_new_address_it_only_looks(on_line: Carried, capsys: pytest.CaptureFixture[str]) -> None:
    bus = bus_with((2, "renke-rs-ws-n01"), (3, "renke-rs-ws-n01"))
    with on_line(bus) as port:
        bus.set_fault(3, Fault("wrong_crc"))
        assert address(port, "renke-rs-ws-n01", "--json", units="2-3") == 0
    said = capsys.readouterr()
    assert "0x07D0" in said.err
    assert [(entry["unit"], entry["answer"]) for entry in json.loads(said.out)["units"]] == [(2, "reply"), (3, "garbled")]


def test_a_device_without_a_documented_register_is_a_clear_sentence(capsys: pytest.CaptureFixture[str], free_port: int) -> None:
    assert address(f"127.0.0.1:{free_port}", "huawei-02312pbl", "--to", "3") == 1
    assert "没有公开的改地址寄存器" in capsys.readouterr().err
    assert address(f"127.0.0.1:{free_port}", "nope", "--to", "3") == 3
    assert address(f"127.0.0.1:{free_port}", "renke-rs-ws-n01", "--to", "3") == 5
    assert address(f"127.0.0.1:{free_port}", "renke-rs-ws-n01", "--to", "3", units="0-999") == 2
