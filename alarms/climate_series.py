"""What a record of a room's climate means: compliance, TWPI, mould, EN 15757. Pure; sources per function, units as in climate.py.

Series figures weigh by time: a sample holds until the next one, at most `hold_ms`; the rest of the time is not covered, is neither good nor bad,
and every percentage is returned beside its coverage.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from alarms.climate import DAY_MS, HOUR_MS, days_to_mould, emc, lifetime_multiplier, preservation_index, rounded

TWPI_MIN_COVERAGE = 90.0
TWPI_MEANS_MUCH_FROM_MS = 365 * DAY_MS


class Air(NamedTuple):
    """One valid sample of a room's air."""

    at: int
    temperature: float
    humidity: float


def held(series: Sequence[Air], end: int, hold_ms: int) -> Iterator[tuple[Air, int]]:
    """Each sample with the ms it stands for: until the next one or `end`, at most `hold_ms`. The series is in time order."""
    following = [*(air.at for air in series[1:]), end]
    for air, until in zip(series, following, strict=False):
        if until > air.at:
            yield air, min(until - air.at, hold_ms)


def coverage_percent(series: Sequence[Air], start: int, end: int, hold_ms: int) -> float:
    """Share of [start, end) that samples stand for."""
    return 100 * sum(ms for _, ms in held(series, end, hold_ms)) / (end - start) if end > start else 0.0


def twpi(weighted: Sequence[tuple[float, float]]) -> float | None:
    """Time-weighted preservation index: harmonic mean of (index, duration) pairs (2.4). None without any duration."""
    total = sum(duration for _, duration in weighted)
    return total / sum(duration / index for index, duration in weighted) if total > 0 else None


def twpi_of(series: Sequence[Air], start: int, end: int, hold_ms: int) -> tuple[float | None, float]:
    """(TWPI in years or None below 90 % coverage, coverage %). Uncovered time counts in neither sum. Unsmoothed; see smoothed()."""
    covered = coverage_percent(series, start, end, hold_ms)
    value = twpi([(preservation_index(air.temperature, air.humidity), ms) for air, ms in held(series, end, hold_ms)])
    return (value if covered >= TWPI_MIN_COVERAGE else None), covered


def smoothed(series: Sequence[Air], temperature_ms: int = DAY_MS, humidity_ms: int = 30 * DAY_MS) -> list[Air]:
    """Trailing running means as IPI uses before TWPI: 24 h of temperature, 30 d of humidity. Plain means: for evenly spaced series."""
    temperatures = _running([(air.at, air.temperature) for air in series], temperature_ms)
    humidities = _running([(air.at, air.humidity) for air in series], humidity_ms)
    return [Air(air.at, t, rh) for air, t, rh in zip(series, temperatures, humidities, strict=True)]


def _running(points: Sequence[tuple[int, float]], window_ms: int) -> list[float]:
    means, first, total = [], 0, 0.0
    for count, (at, value) in enumerate(points, start=1):
        total += value
        while points[first][0] <= at - window_ms:
            total -= points[first][1]
            first += 1
        means.append(total / (count - first))
    return means


def mould_risk_factor(weighted: Sequence[tuple[float | None, float]]) -> tuple[float, float]:
    """(factor now, highest reached) from (days to mould or None, days) pairs. At 1 germination is expected and the count starts again (IPI).

    Harmless time adds nothing and takes nothing away.
    """
    factor = highest = 0.0
    for needed, days in weighted:
        if needed is None:
            continue
        factor += days / needed
        highest = max(highest, factor)
        if factor >= 1:
            factor = 0.0
    return factor, highest


def mould_risk_of(series: Sequence[Air], end: int, hold_ms: int) -> tuple[float, float]:
    """mould_risk_factor of a series."""
    return mould_risk_factor([(days_to_mould(air.temperature, air.humidity), ms / DAY_MS) for air, ms in held(series, end, hold_ms)])


@dataclass(frozen=True, slots=True)
class Band:
    """Inclusive limits; None = no limit on that side."""

    low: float | None = None
    high: float | None = None

    def holds(self, value: float) -> bool:
        """Whether a value lies inside."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass(frozen=True, slots=True)
class Compliance:
    """Time-weighted shares of the covered time inside the band, in % (None without data), and the coverage they stand on (2.8)."""

    temperature: float | None
    humidity: float | None
    joint: float | None
    coverage: float
    humid_degree_hours: float


def compliance(series: Sequence[Air], temperature: Band, humidity: Band, start: int, end: int, hold_ms: int) -> Compliance:
    """How much of the time the room kept its band. `humid_degree_hours` = sum of %RH above the band times hours."""
    weights = list(held(series, end, hold_ms))
    total = sum(ms for _, ms in weights)

    def share(inside: Callable[[Air], bool]) -> float | None:
        return 100 * sum(ms for air, ms in weights if inside(air)) / total if total else None

    over = sum(max(0.0, air.humidity - humidity.high) * ms for air, ms in weights) if humidity.high is not None else 0.0
    return Compliance(
        temperature=share(lambda air: temperature.holds(air.temperature)),
        humidity=share(lambda air: humidity.holds(air.humidity)),
        joint=share(lambda air: temperature.holds(air.temperature) and humidity.holds(air.humidity)),
        coverage=coverage_percent(series, start, end, hold_ms),
        humid_degree_hours=over / HOUR_MS,
    )


def equivalent_lifetime(weighted: Sequence[tuple[float, float]]) -> float | None:
    """Harmonic mean of (lifetime multiplier, duration) pairs: what the whole time did to the paper."""
    return twpi(weighted)


# --- 2.9 EN 15757 ----------------------------------------------------------------------------------------------------------------------

_EN_WINDOW_MS = 15 * DAY_MS
_EN_FLOOR = 10.0
_EN_SHARE = 0.07


def percentile(values: Sequence[float], share: float) -> float:
    """Linear interpolation between order statistics. Raises ValueError for no values."""
    if not values:
        raise ValueError("a percentile needs values")
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def centred_mean(points: Sequence[tuple[int, float]]) -> list[float]:
    """Centred moving average of 30 days (15 before, 15 after) at each point; shorter at the ends."""
    return _moving_mean(points, _EN_WINDOW_MS, _EN_WINDOW_MS)


def trailing_mean(points: Sequence[tuple[int, float]]) -> list[float]:
    """Moving average of the 30 days before each point: what is known at that instant."""
    return _moving_mean(points, 2 * _EN_WINDOW_MS, 0)


def _moving_mean(points: Sequence[tuple[int, float]], before: int, after: int) -> list[float]:
    times = [at for at, _ in points]
    sums = [0.0]
    for _, value in points:
        sums.append(sums[-1] + value)
    means = []
    for at in times:
        first, last = bisect_left(times, at - before), bisect_right(times, at + after)
        means.append((sums[last] - sums[first]) / (last - first))
    return means


def en15757_limits(points: Sequence[tuple[int, float]], *, trailing: bool = False) -> tuple[float, float] | None:
    """(lowest, highest) allowed deviation from the 30-day mean: 7th and 93rd percentile of the residuals, at least ±10 %RH (2.9).

    `points`: hourly (at, %RH), in time order; the standard asks for 13 months. None without points. The band at an instant is the 30-day
    mean there plus these. `trailing`: from the mean of the 30 days before, for use while the year still runs. That is NOT the standard's band and
    must be labelled so wherever it is shown.
    """
    if not points:
        return None
    residuals = [value - mean for (_, value), mean in zip(points, (trailing_mean if trailing else centred_mean)(points), strict=True)]
    return min(percentile(residuals, _EN_SHARE), -_EN_FLOOR), max(percentile(residuals, 1 - _EN_SHARE), _EN_FLOOR)


def hourly(series: Sequence[Air]) -> list[tuple[int, float]]:
    """Hourly means of humidity as en15757_limits wants them; hours without samples are left out."""
    sums: dict[int, list[float]] = {}
    for air in series:
        sums.setdefault(air.at // HOUR_MS, []).append(air.humidity)
    return [(hour * HOUR_MS, sum(values) / len(values)) for hour, values in sorted(sums.items())]


def typical_step(series: Sequence[Air]) -> int:
    """Median distance of neighbouring samples in ms (0 for fewer than two): the base for `hold_ms` of an unknown file."""
    steps = sorted(b.at - a.at for a, b in pairwise(series))
    return steps[len(steps) // 2] if steps else 0


# --- summary, with the keys of the command line and the API ---

PAPER_TEMPERATURE, PAPER_HUMIDITY = Band(14, 24), Band(45, 60)
_HOLD_STEPS = 3
_HOLD_MIN_MS = 180_000


def describe_series(series: Sequence[Air], temperature: Band = PAPER_TEMPERATURE, humidity: Band = PAPER_HUMIDITY) -> dict[str, float | bool | None]:
    """What a whole series means, from its first sample to one step after the last; a sample holds for three steps (at least 3 min).

    twpi_years is smoothed as the institute does (24 h of temperature, 30 d of humidity), twpi_unsmoothed_years is not; `twpi_whole_year` tells
    whether there is the year that it takes to mean much. mould_risk_factor is the highest reached; en15757_low/high are deviations from the
    centred 30-day mean, en15757_trailing_low/high those from the mean of the 30 days before (not the standard's). Raises ValueError for an empty
    series.
    """
    if not series:
        raise ValueError("the series is empty")
    step = typical_step(series)
    start, end, hold = series[0].at, series[-1].at + max(step, 1), max(_HOLD_STEPS * step, _HOLD_MIN_MS)
    kept = compliance(series, temperature, humidity, start, end, hold)
    moisture, hours = [emc(air.temperature, air.humidity) for air in series], hourly(series)
    low, high = en15757_limits(hours) or (None, None)
    trailing_low, trailing_high = en15757_limits(hours, trailing=True) or (None, None)
    lives = [(life, ms) for air, ms in held(series, end, hold) if (life := lifetime_multiplier(air.temperature, air.humidity)) is not None]
    return {
        "twpi_years": rounded(twpi_of(smoothed(series), start, end, hold)[0], 2),
        "twpi_unsmoothed_years": rounded(twpi_of(series, start, end, hold)[0], 2),
        "twpi_whole_year": end - start >= TWPI_MEANS_MUCH_FROM_MS,
        "mould_risk_factor": round(mould_risk_of(series, end, hold)[1], 4),
        "compliance_percent": rounded(kept.joint, 2),
        "temperature_percent": rounded(kept.temperature, 2),
        "humidity_percent": rounded(kept.humidity, 2),
        "humid_degree_hours": round(kept.humid_degree_hours, 1),
        "coverage_percent": round(kept.coverage, 2),
        "emc_min": round(min(moisture), 3),
        "emc_max": round(max(moisture), 3),
        "lifetime_multiplier": rounded(equivalent_lifetime(lives), 3),
        "en15757_low": rounded(low, 2),
        "en15757_high": rounded(high, 2),
        "en15757_trailing_low": rounded(trailing_low, 2),
        "en15757_trailing_high": rounded(trailing_high, 2),
    }
