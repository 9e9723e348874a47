"""Climate and preservation figures. Pure; formulas, ranges and sources per function (numbers of sections are those of domain.md).

Units: temperature °C, relative humidity %RH (0-100), pressure hPa, absolute humidity g/m³, mixing ratio g/kg, times UTC ms. None means "not
defined there", never 0 or NaN. Series figures weigh by time: a sample holds until the next one, at most `hold_ms`; the rest of the time is
not covered, is neither good nor bad, and every percentage is returned beside its coverage.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

KELVIN = 273.15
GAS = 8.314
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
STANDARD_PRESSURE = 1013.25
TWPI_MIN_COVERAGE = 90.0


# --- 2.1 psychrometrics: Sonntag/Magnus over water, -45…60 °C --------------------------------------------------------------------------


def saturation_pressure(t: float) -> float:
    """Saturation vapour pressure in hPa (Sonntag; within 0.3 % of IAPWS in 0…40 °C)."""
    return 6.112 * math.exp(17.62 * t / (243.12 + t))


def dew_point(t: float, rh: float) -> float | None:
    """Dew point in °C (±0.35 °C). None for rh <= 0; rh is clamped to 0.1…100."""
    if rh <= 0:
        return None
    gamma = math.log(min(max(rh, 0.1), 100.0) / 100) + 17.62 * t / (243.12 + t)
    return 243.12 * gamma / (17.62 - gamma)


def absolute_humidity(t: float, rh: float) -> float:
    """Water in the air, g/m³."""
    return 216.679 * rh / 100 * saturation_pressure(t) / (KELVIN + t)


def humidity_from_absolute(t: float, ah: float) -> float:
    """%RH of air with `ah` g/m³ at t: the inverse of absolute_humidity. May exceed 100: then it condenses."""
    return 100 * ah * (KELVIN + t) / (216.679 * saturation_pressure(t))


def mixing_ratio(t: float, rh: float, pressure: float = STANDARD_PRESSURE) -> float:
    """Water per dry air, g/kg."""
    vapour = rh / 100 * saturation_pressure(t)
    return 622 * vapour / (pressure - vapour)


def surface_humidity(t_air: float, rh: float, t_surface: float) -> float:
    """%RH at a surface of another temperature; above 100 water condenses there."""
    return rh * saturation_pressure(t_air) / saturation_pressure(t_surface)


def dew_point_spread(t_air: float, rh: float, t_surface: float) -> float | None:
    """Surface temperature minus dew point, K; at or below 0 the surface is wet."""
    dew = dew_point(t_air, rh)
    return None if dew is None else t_surface - dew


# --- 2.2 moisture content, 2.3 preservation index, 2.6 lifetime ------------------------------------------------------------------------


def emc(t: float, rh: float) -> float:
    """Equilibrium moisture content in % (Simpson/FPL, Hailwood-Horrobin; -20…65 °C). Mechanically safe within 5…12.5."""
    h = rh / 100
    w = 349 + 1.29 * t + 0.0135 * t * t
    k = 0.805 + 0.000736 * t - 0.00000273 * t * t
    k1 = 6.27 - 0.00938 * t - 0.000303 * t * t
    k2 = 1.91 + 0.0407 * t - 0.000293 * t * t
    kh = k * h
    return 1800 / w * (kh / (1 - kh) + (k1 * kh + 2 * k1 * k2 * kh * kh) / (1 + k1 * kh + k1 * k2 * kh * kh))


def preservation_index(t: float, rh: float) -> float:
    """Preservation Index in years, closed form A: -5.5…+1.8 % of the IPI table in 14-25 °C, 40-70 %RH. Capped at 9999 like the table."""
    return min(9999.0, math.exp((95220 - 134.9 * rh) / (GAS * (t + KELVIN)) + 0.0284 * rh - 28.023) / 365)


def lifetime_multiplier(t: float, rh: float, energy: float = 100_000) -> float | None:
    """Life of paper against 20 °C/50 % (Michalski/Martens); `energy` J/mol, 70,000 for film yellowing. Valid about 20-60 %RH. None for rh <= 0."""
    if rh <= 0:
        return None
    return float((50 / rh) ** 1.3 * math.exp(energy / GAS * (1 / (t + KELVIN) - 1 / 293.15)))


# --- 2.5 mould -------------------------------------------------------------------------------------------------------------------------

_BOUNDARY_T = (2, 5, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 36, 38, 40, 42, 45)
_BOUNDARY_RH = (90, 87, 83, 80, 78, 75, 73, 71, 69, 68, 66, 66, 65, 66, 67, 70, 73, 77, 82, 90)
_SPEED_T = (8, 9, 10, 14, 16, 18, 20, 22, 24, 26, 33, 35, 38, 40, 42)
_SPEED = (1.75, 1.65, 1.49, 1.24, 1.16, 1.11, 1.07, 1.04, 1.02, 1.00, 1.00, 1.02, 1.10, 1.18, 1.41)


def _linear(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """Piecewise linear, holding the end values outside."""
    index = bisect_right(xs, x)
    if index in (0, len(xs)):
        return ys[0] if index == 0 else ys[-1]
    left, right = xs[index - 1], xs[index]
    return ys[index - 1] + (ys[index] - ys[index - 1]) * (x - left) / (right - left)


def days_to_mould(t: float, rh: float) -> float | None:
    """Days until germination; None = no risk (also outside 2…45 °C).

    Fit to the IPI table: within 8 % or 0.6 day in all but one of its cells between 8 and 42 °C.
    """
    if not 2 <= t <= 45 or rh < _linear(t, _BOUNDARY_T, _BOUNDARY_RH):
        return None
    x = min(rh, 100.0) - 80
    exponent = 2.54566 - 0.173795 * x + 0.00568101 * x**2 - 1.48220e-4 * x**3 + 2.96790e-6 * x**4
    return _linear(t, _SPEED_T, _SPEED) * math.exp(exponent)


class MouldClass(NamedTuple):
    """Sensitivity class of the VTT model: coefficients of Mmax, growth factor below and from index 1, least critical humidity, decline."""

    a: float
    b: float
    c: float
    slow: float
    fast: float
    least_rh: float
    decline: float = 1.0


VERY_SENSITIVE = MouldClass(1, 7, 2, 1, 2, 80)
SENSITIVE = MouldClass(0.3, 6, 1, 0.578, 0.386, 80)
"""Paper-faced board: the nearest to archive boxes."""
MEDIUM = MouldClass(0, 5, 1.5, 0.072, 0.097, 85)
RESISTANT = MouldClass(0, 3, 1, 0.033, 0.014, 85)


def critical_humidity(t: float, material: MouldClass = SENSITIVE) -> float:
    """%RH from which the VTT index can grow at t; 100 below freezing."""
    return max(-0.00267 * t**3 + 0.160 * t**2 - 3.13 * t + 100, material.least_rh) if t >= 0 else 100.0


def growth_weeks(t: float, rh: float) -> float:
    """Weeks to index 1 in the VTT model."""
    return math.exp(-0.68 * math.log(t) - 13.9 * math.log(rh) + 66.02)


class MouldIndex(NamedTuple):
    """VTT (Finnish) mould index 0-6 (1 microscopic, 3 visible) and the hours since it last could grow."""

    value: float = 0.0
    dry_hours: float = 0.0


def mould_step(state: MouldIndex, t: float, rh: float, hours: float = 1.0, material: MouldClass = SENSITIVE) -> MouldIndex:
    """Advance the VTT index by one step (an hour; the model is not meant for longer ones). Hukka/Viitanen with Ojanen's classes."""
    critical = critical_humidity(t, material)
    if 0 < t < 50 and rh >= critical:
        x = (critical - min(rh, 100)) / (critical - 100) if critical < 100 else 1.0
        most = material.a + material.b * x - material.c * x * x
        k1 = material.slow if state.value < 1 else material.fast
        k2 = max(1 - math.exp(2.3 * (state.value - most)), 0.0)
        return MouldIndex(min(6.0, state.value + k1 * k2 * hours / 24 / (7 * growth_weeks(t, min(rh, 100)))), 0.0)
    dry = state.dry_hours + hours
    # Decline per day: 0.032 in the first six dry hours, none until a day has passed, then 0.016.
    lost = 0.032 * (min(dry, 6) - min(state.dry_hours, 6)) + 0.016 * (max(dry, 24) - max(state.dry_hours, 24))
    return MouldIndex(max(0.0, state.value - material.decline * lost / 24), dry)


# --- series ----------------------------------------------------------------------------------------------------------------------------


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
    times = [at for at, _ in points]
    sums = [0.0]
    for _, value in points:
        sums.append(sums[-1] + value)
    means = []
    for at in times:
        first, last = bisect_left(times, at - _EN_WINDOW_MS), bisect_right(times, at + _EN_WINDOW_MS)
        means.append((sums[last] - sums[first]) / (last - first))
    return means


def en15757_limits(points: Sequence[tuple[int, float]]) -> tuple[float, float] | None:
    """(lowest, highest) allowed deviation from the 30-day mean: 7th and 93rd percentile of the residuals, at least ±10 %RH (2.9).

    `points`: hourly (at, %RH), in time order; the standard asks for 13 months. None without points. The band at an instant is the 30-day
    mean there plus these.
    """
    if not points:
        return None
    residuals = [value - mean for (_, value), mean in zip(points, centred_mean(points), strict=True)]
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


# --- summaries, with the keys of the command line and the API --------------------------------------------------------------------------

PAPER_TEMPERATURE, PAPER_HUMIDITY = Band(14, 24), Band(45, 60)
_HOLD_STEPS = 3
_HOLD_MIN_MS = 180_000


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def describe(t: float, rh: float) -> dict[str, float | None]:
    """What one climate means; null where a figure is not defined (days_to_mould: no risk)."""
    return {
        "dew_point_c": _rounded(dew_point(t, rh), 2),
        "absolute_humidity_g_m3": round(absolute_humidity(t, rh), 3),
        "mixing_ratio_g_kg": round(mixing_ratio(t, rh), 3),
        "emc_percent": round(emc(t, rh), 3),
        "preservation_index_years": round(preservation_index(t, rh), 2),
        "days_to_mould": _rounded(days_to_mould(t, rh), 2),
        "lifetime_multiplier": _rounded(lifetime_multiplier(t, rh), 3),
    }


def describe_series(series: Sequence[Air], temperature: Band = PAPER_TEMPERATURE, humidity: Band = PAPER_HUMIDITY) -> dict[str, float | None]:
    """What a whole series means, from its first sample to one step after the last; a sample holds for three steps (at least 3 min).

    mould_risk_factor is the highest reached; en15757_low/high are deviations from the 30-day mean. Raises ValueError for an empty series.
    """
    if not series:
        raise ValueError("the series is empty")
    step = typical_step(series)
    start, end, hold = series[0].at, series[-1].at + max(step, 1), max(_HOLD_STEPS * step, _HOLD_MIN_MS)
    kept = compliance(series, temperature, humidity, start, end, hold)
    moisture = [emc(air.temperature, air.humidity) for air in series]
    low, high = en15757_limits(hourly(series)) or (None, None)
    return {
        "twpi_years": _rounded(twpi_of(series, start, end, hold)[0], 2),
        "mould_risk_factor": round(mould_risk_of(series, end, hold)[1], 4),
        "compliance_percent": _rounded(kept.joint, 2),
        "coverage_percent": round(kept.coverage, 2),
        "emc_min": round(min(moisture), 3),
        "emc_max": round(max(moisture), 3),
        "en15757_low": _rounded(low, 2),
        "en15757_high": _rounded(high, 2),
    }
