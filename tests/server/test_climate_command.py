"""`archivewatch climate` refuses what is no climate instead of computing with it."""

import json

import pytest

from server import cli
from server.commands import INVALID, OK


@pytest.mark.parametrize(("temperature", "humidity"), [("20", "165"), ("20", "0"), ("20", "-5"), ("200", "50"), ("nan", "50"), ("20", "nan")])
def test_an_impossible_climate_is_refused_with_the_range(temperature, humidity, capsys):
    assert cli.main(["climate", "--temperature", temperature, "--humidity", humidity, "--json"]) == INVALID
    said = capsys.readouterr()
    assert said.out == ""
    assert "100 %RH" in said.err


def test_saturated_air_is_a_climate(capsys):
    assert cli.main(["climate", "--temperature", "20", "--humidity", "100", "--json"]) == OK
    assert json.loads(capsys.readouterr().out)["dew_point_c"] == pytest.approx(20, abs=0.02)
