"""The commands that need no gateway: decode, profiles, scan, check."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from contract.frames import sealed
from contract.profile import find
from edge import check, cli
from edge.scan import alike, units
from simulators.faults import Fault
from simulators.modbus_bus import Bus
from simulators.modbus_device import Unit
from simulators.plant import Plant
from simulators.rooms import RoomSpec

NOW = 1_763_830_800_000
REQUEST, REPLY = "01 03 00 00 00 02 C4 0B", "01 03 04 02 92 FF 9B 5A 3D"

Carried = Callable[[Bus], AbstractContextManager[str]]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    """Exit code, JSON on stdout, stderr."""
    code = cli.main([*arguments, "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out), said.err


def test_decode_prints_what_the_surface_promises(capsys: pytest.CaptureFixture[str]) -> None:
    code, output, errors = run(capsys, "decode", "jxct-jxbs-3001-th", "--request", REQUEST, "--reply", REPLY)
    assert (code, errors) == (0, "")
    assert output["profile"] == "jxct-jxbs-3001-th"
    assert output["error"] is None
    humidity, temperature = output["points"]
    assert {"quantity": "humidity", "channel": None, "value": 65.8, "unit": "%RH", "quality": "good"}.items() <= humidity.items()
    assert {"quantity": "temperature", "channel": None, "value": -10.1, "unit": "°C"}.items() <= temperature.items()


def test_decode_without_a_request_and_without_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["decode", "renke-rs-ws-n01", "--reply", REPLY.replace(" ", "")]) == 0
    assert "humidity = 65.8 %RH（good）" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("request_hex", "reply", "kind"),
    [
        (REQUEST, "01 03 04 02 92 FF 9B 5A 3E", "crc"),
        (REQUEST, "01 83 02 C0 F1", "exception"),
        (REQUEST, sealed(bytes.fromhex("02 03 04 02 92 FF 9B")).hex(), "mismatch"),
        (REQUEST, "01 03 04 02 92", "short"),
        ("01 03 00 00 00 7E C5 EA", REPLY, "range"),
        (REQUEST, "hello", "payload"),
    ],
)
def test_a_broken_frame_is_an_error_object_and_exit_4(capsys: pytest.CaptureFixture[str], request_hex: str, reply: str, kind: str) -> None:
    code, output, _ = run(capsys, "decode", "renke-rs-ws-n01", "--request", request_hex, "--reply", reply)
    assert code == 4
    assert output["points"] == []
    assert output["error"]["kind"] == kind
    assert output["error"]["detail"]


def test_decode_of_a_message(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    payload = tmp_path / "message.json"
    payload.write_text('{"contact": false, "battery": 97}', encoding="utf-8")
    code, output, _ = run(capsys, "decode", "aqara-mccgq11lm", "--topic", "zigbee2mqtt/store1", "--payload", str(payload))
    assert code == 0
    assert {point["quantity"]: point["value"] for point in output["points"]} == {"door": 1, "battery": 97}
    payload.write_text('{"state": "offline"}', encoding="utf-8")
    code, output, _ = run(capsys, "decode", "aqara-mccgq11lm", "--topic", "zigbee2mqtt/store1/availability", "--payload", str(payload))
    assert (code, output["points"], output["available"]) == (0, [], False)
    payload.write_text("{", encoding="utf-8")
    code, output, _ = run(capsys, "decode", "aqara-mccgq11lm", "--topic", "zigbee2mqtt/store1", "--payload", str(payload))
    assert (code, output["error"]["kind"]) == (4, "payload")


def test_decode_of_the_unknown_and_of_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, output, errors = run(capsys, "decode", "nope", "--reply", REPLY)
    assert (code, output["error"]["kind"]) == (3, "not_found")
    assert "nope" in errors
    assert cli.main(["decode", "xy-md02"]) == 2
    assert cli.main(["decode", "aqara-mccgq11lm", "--topic", "t", "--payload", str(tmp_path / "none")]) == 3
    with pytest.raises(SystemExit) as usage:
        cli.main(["decode"])
    assert usage.value.code == 2


def test_profiles_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    code, output, _ = run(capsys, "profiles")
    assert code == 0
    known = {entry["id"]: entry for entry in output}
    assert {"renke-rs-ws-n01", "waveshare-8di", "huawei-ups2000", "hikvision-isapi"} <= set(known)
    assert known["renke-rs-ws-n01"]["quantities"] == ["humidity", "temperature"]
    assert cli.main(["profiles"]) == 0
    assert "renke-rs-ws-n01" in capsys.readouterr().out


# -------------------------------------------------------------------------------------------------------------------------------------- scan


@pytest.fixture
def line(on_line: Carried) -> Iterator[str]:
    """An RTU line behind a serial server: a climate sensor at 2, and one at 5 that refuses everything."""
    plant = Plant([RoomSpec("R1")], seed=1, start_ms=NOW)
    bus = Bus("line", lambda: NOW)
    for unit in (2, 5):
        bus.add(Unit(unit, find("xy-md02"), plant, "R1", name=f"line/{unit}"))
    bus.set_fault(5, Fault("exception", code=1))
    with on_line(bus) as port:
        yield port


def test_scan_finds_who_answers_and_what_fits(capsys: pytest.CaptureFixture[str], line: str) -> None:
    code, output, _ = run(capsys, "scan", "--port", line, "--kind", "rtu_over_tcp", "--units", "1-3,5", "--timeout-ms", "500")
    assert (code, output["asked"]) == (0, 4)
    assert [(entry["unit"], entry["answer"]) for entry in output["units"]] == [(2, "exception"), (5, "exception")]
    fitting = {candidate["profile"]: candidate["values"] for candidate in output["units"][0]["candidates"]}
    assert "xy-md02" in fitting
    assert 0 < fitting["xy-md02"]["humidity"] < 100
    assert output["units"][1]["candidates"] == []


def test_scan_of_a_contact_module_and_of_maps_that_share_names(capsys: pytest.CaptureFixture[str], on_line: Carried) -> None:
    """Profiles call their blocks alike: what one of them made of the registers is never shown as another's."""
    plant = Plant([RoomSpec("R1")], seed=1, start_ms=NOW)
    plant.override("R1", "temperature", 21.5)
    plant.override("R1", "humidity", 65.8)
    bus = Bus("line", lambda: NOW)
    for unit, profile in ((2, "renke-rs-ws-n01"), (3, "waveshare-8di")):
        bus.add(Unit(unit, find(profile), plant, "R1", noise=False))
    with on_line(bus) as port:
        code, output, _ = run(capsys, "scan", "--port", port, "--kind", "rtu_over_tcp", "--units", "2-3", "--timeout-ms", "200")
    assert code == 0
    climate, contacts = ({one["profile"]: one["values"] for one in entry["candidates"]} for entry in output["units"])
    assert climate["renke-rs-ws-n01"] == {"humidity": 65.8, "temperature": 21.5}
    assert all(set(values) == {point.id for point in find(name).points} for name, values in climate.items())
    assert "waveshare-8di" in contacts


def test_scan_says_what_it_cannot_tell_apart() -> None:
    assert alike(["xy-md02", "renke-rs-ws-n01", "sonbest-sm7820b", "jxct-jxbs-3001-o3", "generic-rs485-smoke"]) == [
        ["renke-rs-ws-n01", "sonbest-sm7820b", "jxct-jxbs-3001-o3"]
    ]
    assert alike(["jxct-jxbs-3001-o3", "jxct-jxbs-3001-co"]) == [["jxct-jxbs-3001-o3", "jxct-jxbs-3001-co"]]
    assert alike(["xy-md02"]) == []


def test_check_shows_how_reads_are_merged(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    ups = {"name": "ups", "profile": "huawei-ups2000", "bus": "line", "unit": 1, "room": "350128000001-01"}
    _, report, _ = run(capsys, "check", "--config", str(config(tmp_path, [ups])))
    assert [(read["fc"], read["address"], read["count"], read["every_s"]) for read in report["plan"]["line"]] == [
        (3, 11024, 4, 5),
        (3, 11000, 22, 10),
        (3, 12000, 6, 10),
    ]
    assert report["plan"]["line"][0]["line_ms"] == pytest.approx((8 + 5 + 8) * 10 / 9600 * 1000 + 30 + 40, abs=0.1)
    cli.main(["check", "--config", str(tmp_path / "edge.yaml")])
    assert "11000–11021（lines），每 10 秒" in capsys.readouterr().out


def test_scan_of_a_line_that_is_not_there(capsys: pytest.CaptureFixture[str], free_port: int, tmp_path: Path) -> None:
    assert cli.main(["scan", "--port", f"127.0.0.1:{free_port}", "--units", "1"]) == 5
    assert cli.main(["scan", "--port", str(tmp_path / "tty"), "--units", "1"]) == 5
    assert cli.main(["scan", "--port", "127.0.0.1:1", "--units", "1-999"]) == 2
    assert cli.main(["scan", "--port", "nowhere:", "--kind", "tcp"]) == 4
    assert "连不上" in capsys.readouterr().err


def test_addresses_are_ranges_and_lists() -> None:
    assert units("1-3,7") == [1, 2, 3, 7]
    for wrong in ("", "a", "1-300", "-5"):
        with pytest.raises(ValueError):  # noqa: PT011 - int's own words are as good as ours
            units(wrong)


# ------------------------------------------------------------------------------------------------------------------------------------- check


def config(folder: Path, devices: list[dict[str, Any]], **edge: Any) -> Path:
    base = {
        "gateway": "gw-1",
        "group": "350128",
        "broker": {"host": "127.0.0.1", "port": 1},
        "data_dir": "data",
        "devices_file": "devices.yaml",
        "buses": [{"name": "line", "kind": "serial", "device": str(folder / "tty"), "baud": 9600}],
    }
    (folder / "devices.yaml").write_text(json.dumps({"devices": devices}), encoding="utf-8")
    (folder / "edge.yaml").write_text(json.dumps(base | edge), encoding="utf-8")
    return folder / "edge.yaml"


def smoke(unit: int) -> dict[str, Any]:
    return {"name": f"s{unit}", "profile": "generic-rs485-smoke", "bus": "line", "unit": unit, "room": "350128000001-01"}


def levels(report: dict[str, Any]) -> dict[str, str]:
    return {finding["subject"] + finding["text"]: finding["level"] for finding in report["findings"]}


def test_check_refuses_a_line_that_cannot_keep_up(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, report, _ = run(capsys, "check", "--config", str(config(tmp_path, [smoke(unit) for unit in range(1, 20)])))
    assert code == 1
    assert report["load"]["line"] > 0.85
    assert any("读不过来" in text and level == "error" for text, level in levels(report).items())
    assert any("每秒读取" in text for text in levels(report))
    assert all(finding["fix"] for finding in report["findings"] if finding["level"] != "ok")


def test_check_tells_of_weak_switches_secrets_and_dead_ends(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x\n", encoding="utf-8")
    (tmp_path / "secret").chmod(0o644)
    broker = {"host": "127.0.0.1", "port": 1, "username": "gw", "password_file": "secret"}
    file = config(tmp_path, [smoke(1)], broker=broker, spool={"synchronous": "off", "verify_crc": False}, uplink={"acknowledgement": "none"})
    code, report, _ = run(capsys, "check", "--config", str(file))
    assert code == 1
    said = levels(report)
    assert sum("只供故障测试" in text for text in said) == 3
    assert any("别的用户也能读" in text for text in said)
    assert {text: level for text, level in said.items() if "连不上" in text or "串口" in text}.keys()
    assert sorted(level for text, level in said.items() if "连不上" in text or "串口" in text) == ["unreachable", "unreachable"]
    cli.main(["check", "--config", str(file)])
    assert "怎么办" in capsys.readouterr().out


@pytest.mark.parametrize(("device", "warned"), [("/dev/ttyUSB0", True), ("/dev/serial/by-path/platform-usb-0:1.2:1.0-port0", False)])
def test_check_warns_of_a_name_that_may_belong_to_another_adapter_tomorrow(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, device: str, warned: bool
) -> None:
    file = config(tmp_path, [smoke(1)], buses=[{"name": "line", "kind": "serial", "device": device}])
    _, report, _ = run(capsys, "check", "--config", str(file))
    assert any("by-path" in finding["fix"] for finding in report["findings"]) == warned


def test_check_with_a_bad_file_is_one_sentence_and_4(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = config(tmp_path, [{**smoke(1), "profile": "nope"}])
    code, report, errors = run(capsys, "check", "--config", str(file))
    assert code == 4
    assert report["error"]["line"] == 1
    assert errors.count("\n") == 1
    assert "没有设备画像 nope" in errors


def test_the_exit_code_is_that_of_the_worst_finding() -> None:
    ok, warning = check.Finding("ok", "a", "b"), check.Finding("warning", "a", "b", "c")
    away, error = check.Finding("unreachable", "a", "b", "c"), check.Finding("error", "a", "b", "c")
    assert [check.exit_code(list(found)) for found in ((ok,), (ok, warning), (ok, away), (away, error))] == [0, 0, 5, 1]


def test_a_running_gateway_does_not_carry_what_only_other_commands_need() -> None:
    """An HTTP client, cryptography and pictures are 20 MB; a gateway of 1,000 points has 70 in all."""
    loaded = "import sys, edge.cli, edge.agent, edge.drivers.modbus, edge.drivers.mqtt; print(*{name.partition('.')[0] for name in sys.modules})"
    modules = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    assert not {"httpx", "cryptography", "PIL", "numpy", "sqlalchemy", "fastapi", "av"} & set(modules)
