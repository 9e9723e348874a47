"""Sensors: noise, lag and resolution of healthy ones, and the value faults."""

import numpy as np
import pytest

from simulators.faults import FAULTS, SENSORS, Fault, FaultError, Probe, distortion

NOW = 1_750_000_000_000


def test_noise_resolution_and_bias() -> None:
    probe = Probe("humidity", 1, "a")
    readings = np.array([probe.read(55.0, NOW + s * 1000) for s in range(2000)])
    assert np.allclose(readings * 10, np.round(readings * 10))
    assert 0.25 < readings.std() < 0.45
    assert abs(readings.mean() - 55.0) <= SENSORS["humidity"].bias + 0.1
    assert probe.read(100.0, NOW + 10**9) <= 99.9


def test_two_probes_differ_and_one_repeats_itself() -> None:
    def curve(name: str) -> list[float]:
        probe = Probe("temperature", 1, name)
        return [probe.read(20.0, NOW + s * 1000) for s in range(50)]

    assert curve("a") == curve("a") != curve("b")


def test_lag_follows_a_step_slowly() -> None:
    probe = Probe("temperature", 1, "a")
    first = probe.read(20.0, NOW)
    soon, late = probe.read(30.0, NOW + 30_000), probe.read(30.0, NOW + 3_600_000)
    assert first < soon < 24
    assert 29 < late < 31


def test_forced_values_and_perfect_probes_pass_unchanged() -> None:
    assert Probe("temperature", 1, "a").read(23.456, NOW, exact=True) == 23.456
    assert Probe("temperature", 1, "a", perfect=True).read(23.456, NOW) == 23.456
    assert Probe("door", 1, "a").read(1.0, NOW) == 1.0


def test_dry_air_never_reads_below_zero() -> None:
    probe = Probe("smoke_density", 1, "a")
    assert min(probe.read(0.0, NOW + s * 1000) for s in range(200)) >= 0


@pytest.mark.parametrize(
    ("kind", "later", "expected"),
    [
        ("stuck", 0, 20.0),
        ("stuck", 3_600_000, 20.0),
        ("drift", 3_600_000, 27.0),
        ("step", 0, 37.0),
        ("probe_open", 0, -40.0),
        ("out_of_range", 0, 110.0),
    ],
)
def test_value_faults(kind: str, later: int, expected: float) -> None:
    distort = distortion(kind, NOW)
    distort("t", "temperature", 20.0, NOW)
    assert distort("t", "temperature", 25.0, NOW + later) == expected


def test_value_faults_leave_states_alone_except_stuck() -> None:
    assert distortion("step", NOW)("d", "door", 1.0, NOW) == 1.0
    stuck = distortion("stuck", NOW)
    assert [stuck("d", "door", v, NOW) for v in (1.0, 0.0)] == [1.0, 1.0]


def test_unknown_faults_are_refused() -> None:
    with pytest.raises(FaultError, match="gremlins"):
        Fault("gremlins")
    with pytest.raises(FaultError):
        distortion("wrong_crc", NOW)
    assert len(set(FAULTS)) == len(FAULTS) > 20
    assert Fault("dropout").chance == 0.3
    assert Fault("dropout", probability=0.9).chance == 0.9
