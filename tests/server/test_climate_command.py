"""`archivewatch climate` refuses what is no climate instead of computing with it."""

import json
import subprocess
import sys

import pytest

from server import cli
from server.commands import INVALID, NOT_FOUND, OK, USAGE


@pytest.mark.parametrize(("temperature", "humidity"), [("20", "165"), ("20", "0"), ("20", "-5"), ("200", "50"), ("nan", "50"), ("20", "nan")])
def test_an_impossible_climate_is_refused_with_the_range(temperature, humidity, capsys):
    assert cli.main(["climate", "--temperature", temperature, "--humidity", humidity, "--json"]) == INVALID
    said = capsys.readouterr()
    assert said.out == ""
    assert "100 %RH" in said.err


def test_saturated_air_is_a_climate(capsys):
    assert cli.main(["climate", "--temperature", "20", "--humidity", "100", "--json"]) == OK
    assert json.loads(capsys.readouterr().out)["dew_point_c"] == pytest.approx(20, abs=0.02)


AIR = ["--temperature", "22", "--humidity", "70", "--outdoor-temperature", "20"]


def test_ventilation_is_advised_by_the_water_in_the_air(capsys):
    assert cli.main(["climate", "ventilate", *AIR, "--outdoor-humidity", "50", "--json"]) == OK
    told = json.loads(capsys.readouterr().out)
    assert (told["advice"], told["inside_g_m3"], told["outside_g_m3"]) == ("open", 13.55, 8.62)
    assert cli.main(["climate", "ventilate", *AIR, "--outdoor-humidity", "90"]) == OK
    assert capsys.readouterr().out.startswith("勿开窗通风：室外空气更湿")
    assert cli.main(["climate", "ventilate", *AIR]) == USAGE
    assert cli.main(["climate", "ventilate", *AIR, "--outdoor-humidity", "101"]) == INVALID


def test_a_record_is_read_from_a_file_in_beijing_time(tmp_path, capsys):
    file = tmp_path / "air.csv"
    file.write_text("time,temperature,humidity\n2026-09-21T08:00,20,50\n2026-09-21T09:00,20,50\n2026-09-21T02:00:00Z,20,62\n", "utf-8")
    assert cli.main(["climate", "series", str(file), "--json"]) == OK
    told = json.loads(capsys.readouterr().out)
    assert (told["coverage_percent"], told["compliance_percent"], told["twpi_whole_year"]) == (100, 66.67, False)
    file.write_text("time,temperature\n2026-09-21T08:00,20\n", "utf-8")
    assert cli.main(["climate", "series", str(file)]) == INVALID
    assert cli.main(["climate", "series", str(tmp_path / "none.csv")]) == NOT_FOUND
    assert cli.main(["climate", "series"]) == USAGE


HEAD, AT = "time,temperature,humidity\n", "2026-09-21T0"
PLAIN = f"{HEAD}{AT}8:00,20,50\n{AT}9:00,22.5,50\n{AT}9:10,20,62\n"
SAME = [
    PLAIN.encode("utf-16"),
    ("\ufeff" + PLAIN).encode(),
    PLAIN.replace(HEAD, "Time,备注,Temperature,Humidity\n").replace("0,2", "0,好,2").encode("gb18030"),
    PLAIN.replace(",", ";").replace(".", ",").encode(),
    PLAIN.replace(",", "\t").encode(),
    PLAIN.replace("-", "/").replace("T0", " 0").encode(),
    (HEAD + "".join(reversed(PLAIN.splitlines(keepends=True)[1:]))).encode(),
    (PLAIN + PLAIN.removeprefix(HEAD)).encode(),
    (PLAIN + f"\n{AT}9:05,,\n").encode(),
]
HOSTILE = {
    "": "缺 time、temperature、humidity",
    HEAD: "现有 0 行",
    f"{HEAD}{AT}8:00,20,50\n": "现有 1 行",
    PLAIN.replace("22.5", "22,5"): "多出一列",
    PLAIN + f"{AT}9:00,22,50\n": "两个不同的值",
    PLAIN.replace("22.5", "nan"): "不是数字",
    PLAIN.replace("22.5", "inf"): "不是数字",
    PLAIN.replace("22.5", "-999"): "不是气候",
    PLAIN.replace(",62", ",120"): "不是气候",
    PLAIN.replace("22.5", "warm"): "第 3 行",
    PLAIN.replace(",2", ",7"): "华氏度",
    PLAIN.replace("T08:00", " 8 Uhr"): "读不懂",
    "时间,温度,湿度\n" + PLAIN.removeprefix(HEAD): "第一行须有列名",
}


@pytest.mark.parametrize("raw", [*SAME, *HOSTILE])
def test_a_record_is_read_as_loggers_write_it_or_refused_with_the_line(tmp_path, capsys, raw):
    file = tmp_path / "air.csv"
    file.write_bytes(PLAIN.encode())
    assert cli.main(["climate", "series", str(file), "--json"]) == OK
    plain = capsys.readouterr().out
    file.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    if isinstance(raw, bytes):
        assert cli.main(["climate", "series", str(file), "--json"]) == OK
        assert capsys.readouterr().out == plain
    else:
        assert cli.main(["climate", "series", str(file), "--json"]) == INVALID
        assert HOSTILE[raw] in capsys.readouterr().err


def test_whoever_reads_no_further_ends_a_command_without_a_word() -> None:
    command = [sys.executable, "-m", "server", "climate", "--temperature", "20", "--humidity", "50"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        running.stdout.close()
        assert running.stderr is not None
        assert running.stderr.read() == ""
    assert running.returncode == 141
