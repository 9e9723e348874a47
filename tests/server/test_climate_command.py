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


def test_whoever_reads_no_further_ends_a_command_without_a_word() -> None:
    command = [sys.executable, "-m", "server", "climate", "--temperature", "20", "--humidity", "50"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        running.stdout.close()
        assert running.stderr is not None
        assert running.stderr.read() == ""
    assert running.returncode == 141
