"""The outdoor weather: normals, events, purity."""

from datetime import datetime

import numpy as np
import pytest

from simulators.climate import CITIES, UnknownCityError, climate
from simulators.noise import gauss, smooth, uniform
from simulators.weather import DAY, HOUR, LOCAL, Weather, spells


def at(*parts: int) -> int:
    """UTC ms of a local wall-clock time."""
    return int(datetime(*parts, tzinfo=LOCAL).timestamp() * 1000)


def months(t: np.ndarray) -> np.ndarray:
    return ((t + 8 * HOUR).astype("datetime64[ms]").astype("datetime64[M]").astype(int)) % 12


@pytest.mark.parametrize("city", ["fuzhou", "xiamen", "nanping"])
def test_three_years_average_to_the_monthly_normals(city: str) -> None:
    t = np.arange(at(2022, 1, 1), at(2025, 1, 1), 2 * HOUR, dtype=np.int64)
    normals = climate(city)
    runs = [Weather(city, seed).series(t) for seed in range(3)]
    for month in range(12):
        here = months(t) == month
        mean = np.mean([s.temperature_c[here].mean() for s in runs])
        humidity = np.mean([s.humidity_percent[here].mean() for s in runs])
        assert abs(mean - (normals.high[month] + normals.low[month]) / 2) < 2.0
        assert abs(humidity - normals.humidity[month]) < 6.0


def test_values_are_physical() -> None:
    t = np.arange(at(2025, 1, 1), at(2026, 1, 1), HOUR, dtype=np.int64)
    series = Weather("fuzhou", 5).series(t)
    assert series.temperature_c.min() > -6
    assert series.temperature_c.max() < 43
    assert series.humidity_percent.min() >= 12
    assert series.humidity_percent.max() <= 100
    assert np.all(series.humidity_percent[series.rain] >= 86)


def test_the_day_peaks_in_the_afternoon() -> None:
    days = [Weather("nanping", 1).series(at(2025, 8, 1) + d * DAY + np.arange(24, dtype=np.int64) * HOUR).temperature_c for d in range(60)]
    mean = np.mean(days, axis=0)
    assert 14 <= int(mean.argmax()) <= 16
    assert 4 <= int(mean.argmin()) <= 7
    assert 5 < mean.max() - mean.min() < 12


def test_a_pure_function_of_city_seed_and_time() -> None:
    t = at(2026, 3, 1) + np.arange(500, dtype=np.int64) * 20 * 60_000
    whole = Weather("xiamen", 9).series(t)
    alone = [Weather("厦门市", 9).at(int(x)) for x in t[::50]]
    assert [round(o.temperature_c, 9) for o in alone] == [round(float(v), 9) for v in whole.temperature_c[::50]]
    backwards = Weather("350200", 9).series(t[::-1])
    assert np.array_equal(backwards.humidity_percent[::-1], whole.humidity_percent)
    assert not np.allclose(Weather("xiamen", 10).series(t).temperature_c, whole.temperature_c)


@pytest.mark.parametrize(("city", "fewest", "most"), [("fuzhou", 2, 5), ("nanping", 1, 3)])
def test_returning_damp_comes_as_often_as_observed(city: str, fewest: int, most: int) -> None:
    for year in range(2020, 2030):
        events = [s for s in spells(city, 4, year) if s.kind == "returning_damp"]
        assert fewest <= len(events) <= most


def test_returning_damp_is_warm_saturated_air_after_cold() -> None:
    weather = Weather("fuzhou", 4)
    for year in range(2024, 2027):
        for spell in (s for s in spells("fuzhou", 4, year) if s.kind == "returning_damp"):
            cold = weather.series(np.arange(spell.start + DAY, spell.turn, HOUR, dtype=np.int64))
            warm = weather.at((spell.turn + 16 * HOUR + spell.end - 10 * HOUR) // 2)
            assert 6 < cold.temperature_c.mean() < 14
            assert 18 < warm.temperature_c < 26
            assert warm.humidity_percent > 70
            assert warm.event == "returning_damp"


def test_cold_waves_and_typhoons_bend_the_weather() -> None:
    wave = next(s for s in spells("fuzhou", 2, 2025) if s.kind == "cold_wave")
    storm = next(s for s in spells("fuzhou", 2, 2025) if s.kind == "typhoon")
    weather = Weather("fuzhou", 2)
    before, during = weather.at(wave.start - 6 * HOUR), weather.at(wave.start + 18 * HOUR)
    assert during.temperature_c < before.temperature_c - 1
    eye = weather.at((storm.start + storm.end) // 2)
    assert eye.rain
    assert eye.humidity_percent > 95
    assert spells("xiamen", 2, 2025)[-1].kind in ("cold_wave", "typhoon")


def test_storms_cross_the_coast_together() -> None:
    def storms(city: str) -> list[int]:
        return [s.start for s in spells(city, 2, 2025) if s.kind == "typhoon"]

    assert storms("fuzhou") == storms("quanzhou") != []


def test_cities_by_name_and_code() -> None:
    assert climate("福州").name == "fuzhou"
    assert climate("350102000001").name == "fuzhou"
    assert climate("350128").name == "pingtan"
    assert len(CITIES) == 10
    with pytest.raises(UnknownCityError, match="Atlantis"):
        climate("Atlantis")


def test_noise_is_seeded_and_standard() -> None:
    index = np.arange(20_000, dtype=np.int64)
    flat = uniform(3, "a", index)
    assert 0 < flat.min() < 0.01
    assert 0.99 < flat.max() < 1
    assert abs(flat.mean() - 0.5) < 0.01
    curve = smooth(3, "b", index / 7.0)
    assert abs(curve.mean()) < 0.1
    assert 0.9 < curve.std() < 1.1
    assert gauss(3, "c", 7) == gauss(3, "c", 7) != gauss(4, "c", 7)
