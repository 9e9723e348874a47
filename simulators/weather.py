"""Outdoor weather of a city of Fujian as a pure function of (city, seed, time).

Monthly normals (`simulators.climate`), a daily cycle with its peak at 15:00 local (UTC+8), smooth synoptic noise, and events that make archive rooms
suffer: 回南天 (warm, saturated air after a long cold spell, February to April), cold waves (November to March) and typhoons (July to September).
"""

import argparse
import json
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from simulators import air
from simulators.climate import CITIES, Climate, climate
from simulators.noise import Floats, Ints, smooth

HOUR = 3_600_000
DAY = 24 * HOUR
LOCAL = timezone(timedelta(hours=8))
_MID_MONTH = np.arange(-0.5, 13.0)  # December before, twelve months, January after
_DAYS_PER_MONTH = 30.44


class Outdoor(NamedTuple):
    """Weather at one instant. `event` is "", "returning_damp", "cold_wave" or "typhoon"."""

    temperature_c: float
    humidity_percent: float
    rain: bool
    event: str = ""


class OutdoorSeries(NamedTuple):
    """Weather at many instants: three arrays of the length of `time_ms`."""

    time_ms: Ints
    temperature_c: Floats
    humidity_percent: Floats
    rain: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Spell:
    """One event. `start` to `end` in UTC ms; `turn` is when a 回南天 changes from its cold to its warm part. Strength: kelvin or °C, by kind."""

    kind: str
    start: int
    end: int
    turn: int
    strength: float
    dew_point: float = 0.0


def _utc_ms(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=LOCAL).timestamp() * 1000)


def _spread(rng: random.Random, count: int, first: int, last: int, longest_ms: int) -> list[int]:
    """`count` starts in different slots between two instants, so that no two events of `longest_ms` overlap."""
    slots = max((last - first) // longest_ms, 1)
    width = (last - first) // slots
    chosen = sorted(rng.sample(range(slots), min(count, slots)))
    return [first + slot * width + int(rng.random() * max(width - longest_ms, 0)) for slot in chosen]


def _returning_damp(rng: random.Random, year: int, coast: bool) -> list[Spell]:
    """回南天: at least three days of 8-12 °C, then 20-24 °C with dew point 18-20 °C for one to four days."""
    count = rng.randint(2, 5) if coast else rng.randint(1, 3)
    starts = _spread(rng, count, _utc_ms(year, 2, 1), _utc_ms(year, 4, 16), 9 * DAY)
    spells = []
    for start in starts:
        turn = start + int(rng.uniform(3.2, 4.0) * DAY)
        end = turn + int(rng.uniform(1.5, 4.5) * DAY)
        spells.append(Spell("returning_damp", start, end, turn, rng.uniform(20.5, 23.5), rng.uniform(18.0, 20.0)))
    return spells


def _cold_waves(rng: random.Random, year: int) -> list[Spell]:
    first, second = (_utc_ms(year, 1, 3), _utc_ms(year, 2, 1)), (_utc_ms(year, 11, 10), _utc_ms(year, 12, 31))
    starts = _spread(rng, rng.randint(1, 3), *first, 5 * DAY) + _spread(rng, rng.randint(2, 4), *second, 5 * DAY)
    return [Spell("cold_wave", s, s + int(rng.uniform(3.0, 5.0) * DAY), s, rng.uniform(5.0, 9.5)) for s in starts]


def _typhoons(rng: random.Random, year: int, coast: bool) -> list[Spell]:
    count = rng.randint(2, 4) if coast else rng.randint(0, 2)
    starts = _spread(rng, count, _utc_ms(year, 7, 5), _utc_ms(year, 9, 28), 3 * DAY)
    return [Spell("typhoon", s, s + int(rng.uniform(0.7, 1.8) * DAY), s, 25.5) for s in starts]


@lru_cache(maxsize=512)
def spells(city: str, seed: int, year: int) -> tuple[Spell, ...]:
    """The events of one calendar year in a city, oldest first. Cities of one seed share their typhoons, as one storm crosses the province."""
    place = climate(city)
    rng = random.Random(f"{seed}/{place.name}/{year}")
    storms = random.Random(f"{seed}/coast={place.coast}/{year}")
    found = _returning_damp(rng, year, place.coast) + _cold_waves(rng, year) + _typhoons(storms, year, place.coast)
    return tuple(sorted(found, key=lambda s: s.start))


def _envelope(t: Ints, start: int, end: int, rise: int, fall: int) -> Floats:
    """0 outside, 1 inside, with smooth flanks that lie inside the span."""
    up = np.clip((t - start) / max(rise, 1), 0.0, 1.0)
    down = np.clip((end - t) / max(fall, 1), 0.0, 1.0)
    edge = np.minimum(up, down)
    result: Floats = edge * edge * (3.0 - 2.0 * edge)
    return result


class Weather:
    """The weather of one city. `city` is an English or Chinese name or an administrative code. Raises UnknownCityError."""

    def __init__(self, city: str, seed: int) -> None:
        self.climate: Climate = climate(city)
        self.seed = seed
        quantile = NormalDist().inv_cdf
        self._wet_limit = tuple(quantile(1.0 - days / _DAYS_PER_MONTH) for days in self.climate.rain_days)

    def at(self, t_ms: int) -> Outdoor:
        """The weather at one instant (UTC ms)."""
        one = self.series(np.array([t_ms], dtype=np.int64))
        event = next((s.kind for s in self._spells(t_ms, t_ms) if s.start <= t_ms < s.end), "")
        return Outdoor(float(one.temperature_c[0]), float(one.humidity_percent[0]), bool(one.rain[0]), event)

    def series(self, t_ms: Ints) -> OutdoorSeries:
        """The weather at many instants (UTC ms, any order)."""
        days = (t_ms + 8 * HOUR) / DAY
        season = _season(t_ms)
        temperature, vapour, wet = self._ordinary(days, season)
        raining = wet & (self._noise("shower", days / 0.15) > -0.2)
        for spell in self._spells(int(t_ms.min()), int(t_ms.max())) if t_ms.size else ():
            temperature, vapour, raining = _apply(spell, t_ms, temperature, vapour, raining)
        humidity = np.clip(100.0 * vapour / air.vapour_pressure(temperature), 12.0, 100.0)
        return OutdoorSeries(t_ms, temperature, np.where(raining, np.maximum(humidity, 86.0), humidity), raining)

    def _ordinary(self, days: Floats, season: Floats) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
        """Temperature (°C), vapour pressure (hPa) and "a wet day", without events."""
        high, low, humidity = (_normal(values, season) for values in (self.climate.high, self.climate.low, self.climate.humidity))
        margin = self._wet_index(days) - _normal(self._wet_limit, season)
        cloud = 1.0 / (1.0 + np.exp(-2.5 * margin))
        winter = 0.5 + 0.5 * np.cos(2.0 * np.pi * (season - 0.7) / 12.0)
        synoptic = (1.1 + 1.9 * winter) * (0.75 * self._noise("synoptic", days / 1.6) + 0.66 * self._noise("spell", days / 5.0))
        mean = (high + low) / 2.0
        daily = (high - low) / 2.0 * (1.25 - 0.6 * cloud) * _daily_cycle(days)
        # warm anomalies carry more water than cold ones, but less than saturation would allow
        moisture = np.exp(0.045 * synoptic + 0.06 * self._noise("moisture", days / 2.2) + 0.12 * (cloud - 0.4))
        vapour = 0.957 * air.vapour_pressure(mean) * humidity / 100.0 * moisture
        noon = np.floor(days) + 0.5
        wet = self._wet_index(noon) > _normal(self._wet_limit, season)
        return mean + synoptic + daily - 0.9 * (cloud - 0.6), vapour, wet

    def _wet_index(self, days: Floats) -> Floats:
        """How rainy, standard normal: quick changes over days that persist for weeks, as in the plum rains."""
        return 0.8 * self._noise("wet", days / 1.4) + 0.6 * self._noise("regime", days / 6.0)

    def _noise(self, stream: str, position: Floats) -> Floats:
        return smooth(self.seed, f"weather/{self.climate.name}/{stream}", position)

    def _spells(self, first_ms: int, last_ms: int) -> list[Spell]:
        years = range(_year(first_ms), _year(last_ms) + 1)
        return [s for year in years for s in spells(self.climate.name, self.seed, year) if s.start <= last_ms and s.end >= first_ms]


def _apply(
    spell: Spell, t: Ints, temperature: Floats, vapour: Floats, raining: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Bend the ordinary weather by one event."""
    if spell.kind == "cold_wave":
        weight = _envelope(t, spell.start, spell.end, 18 * HOUR, 48 * HOUR)
        return temperature - spell.strength * weight, vapour * np.exp(-0.075 * spell.strength * weight), raining
    if spell.kind == "typhoon":
        weight = _envelope(t, spell.start, spell.end, 4 * HOUR, 6 * HOUR)
        inside = weight > 0.5
        warm = temperature + weight * (spell.strength - temperature)
        return warm, vapour + weight * (0.975 * air.vapour_pressure(warm) - vapour), raining | inside
    cold = _envelope(t, spell.start, spell.turn + 12 * HOUR, DAY, 16 * HOUR)
    warm = _envelope(t, spell.turn, spell.end, 16 * HOUR, 10 * HOUR)
    remains = 1.5 * _daily_cycle((t + 8 * HOUR) / DAY)  # overcast: little of the daily cycle is left
    for weight, target, dew in ((cold, 10.0, 7.0), (warm, spell.strength, spell.dew_point)):
        temperature = temperature + weight * (target + remains - temperature)
        vapour = vapour + weight * (air.vapour_pressure(np.full_like(vapour, dew)) - vapour)
    return temperature, vapour, raining


def _daily_cycle(days: Floats) -> Floats:
    """-1 at 06:00, +1 at 15:00 local, zero mean: nine hours of rise, fifteen of fall."""
    hour = (days % 1.0) * 24.0
    falling = np.cos(np.pi * ((hour - 15.0) % 24.0) / 15.0)
    return np.where((hour >= 6.0) & (hour < 15.0), -np.cos(np.pi * (hour - 6.0) / 9.0), falling)


def _season(t_ms: Ints) -> Floats:
    """Position in the year in months, 0 = 1 January, in local time."""
    local = (t_ms + 8 * HOUR).astype("datetime64[ms]")
    year_start = local.astype("datetime64[Y]").astype("datetime64[ms]")
    season: Floats = (local - year_start).astype(np.float64) / (365.25 * DAY) * 12.0
    return season


def _normal(values: tuple[float, ...], season: Floats) -> Floats:
    """Monthly normals as a curve through the middles of the months."""
    return np.interp(season, _MID_MONTH, (values[-1], *values, values[0]))


def _year(t_ms: int) -> int:
    return datetime.fromtimestamp(t_ms / 1000, LOCAL).year


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `archivewatch-sim weather`."""
    parser.add_argument("--city", default="fuzhou", help=f"name or code; {', '.join(CITIES)}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=datetime.fromisoformat, help="ISO 8601; without zone: Asia/Shanghai (default: now)")
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--step", type=int, default=3600, help="seconds between rows")
    parser.add_argument("--json", action="store_true", help="one JSON array instead of CSV")


def first_instant(start: datetime | None) -> int:
    """UTC ms of a --start option; local time when it has no zone, now when it is missing."""
    if start is None:
        return int(time.time() * 1000)
    return int((start if start.tzinfo else start.replace(tzinfo=LOCAL)).timestamp() * 1000)


def main(args: argparse.Namespace) -> int:
    """Print the weather as CSV (time,temperature,humidity,rain) or JSON."""
    start = first_instant(args.start)
    times = np.arange(start, start + int(args.days * DAY), args.step * 1000, dtype=np.int64)
    series = Weather(args.city, args.seed).series(times)
    rows = [
        {"time": datetime.fromtimestamp(t / 1000, UTC).isoformat(), "temperature": round(float(a), 2), "humidity": round(float(b), 1), "rain": int(r)}
        for t, a, b, r in zip(*series, strict=True)
    ]
    if args.json:
        print(json.dumps(rows))
    else:
        print("time,temperature,humidity,rain")
        print("\n".join(",".join(str(v) for v in row.values()) for row in rows))
    return 0
