"""Quantities made of temperature and humidity when they are asked for: dew point, absolute humidity, preservation index, wood moisture, mould.

The formulas are those of alarms/climate.py over numpy columns; a test holds the two together. Steps of an hour or less are derived from the means of
the step; longer ones from hourly values, because none of these formulas is linear. A step counts where both quantities were watched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from alarms import climate
from server.series import GOOD, Limits, SeriesStore, fold
from server.series.batch import Batch, Floats
from server.series.figures import Figures

HOUR_MS = 3_600_000
DAY_MS = 86_400_000
_KELVIN, _GAS = climate.KELVIN, climate.GAS


def saturation_pressure(t: Floats) -> Floats:
    """See climate.saturation_pressure."""
    return 6.112 * np.exp(17.62 * t / (243.12 + t))


def dew_point(t: Floats, rh: Floats) -> Floats:
    """See climate.dew_point; NaN where it is not defined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        gamma = np.log(np.clip(rh, 0.1, 100.0) / 100) + 17.62 * t / (243.12 + t)
    return np.where(rh > 0, 243.12 * gamma / (17.62 - gamma), np.nan)


def absolute_humidity(t: Floats, rh: Floats) -> Floats:
    """See climate.absolute_humidity."""
    return 216.679 * rh / 100 * saturation_pressure(t) / (_KELVIN + t)


def preservation_index(t: Floats, rh: Floats) -> Floats:
    """See climate.preservation_index."""
    t, rh = np.clip(t, -23.0, 65.0), np.clip(rh, 6.0, 95.0)
    return np.minimum(9999.0, np.exp((95220 - 134.9 * rh) / (_GAS * (t + _KELVIN)) + 0.0284 * rh - 28.023) / 365)


def emc(t: Floats, rh: Floats) -> Floats:
    """See climate.emc."""
    h = rh / 100
    w = 349 + 1.29 * t + 0.0135 * t * t
    k = 0.805 + 0.000736 * t - 0.00000273 * t * t
    k1 = 6.27 - 0.00938 * t - 0.000303 * t * t
    k2 = 1.91 + 0.0407 * t - 0.000293 * t * t
    kh = k * h
    return 1800 / w * (kh / (1 - kh) + (k1 * kh + 2 * k1 * k2 * kh * kh) / (1 + k1 * kh + k1 * k2 * kh * kh))


def mould_rate(t: Floats, rh: Floats) -> Floats:
    """Share of the way to germination per day: 1 / climate.days_to_mould, 0 without risk."""
    x = np.minimum(rh, 100.0) - 80
    days = np.interp(t, climate._SPEED_T, climate._SPEED) * np.exp(2.54566 - 0.173795 * x + 0.00568101 * x**2 - 1.48220e-4 * x**3 + 2.96790e-6 * x**4)
    risky = (t >= 2) & (t <= 45) & (rh >= np.interp(t, climate._BOUNDARY_T, climate._BOUNDARY_RH))
    return np.where(risky, 1 / days, 0.0)


@dataclass(frozen=True, slots=True)
class Derived:
    """A derived quantity. `harmonic` values are averaged as TWPI is; a `sum` is counted up from the beginning of the range."""

    unit: str
    zh: str
    en: str
    of: Callable[[Floats, Floats], Floats]
    harmonic: bool = False
    total: bool = False


DERIVED: Mapping[str, Derived] = MappingProxyType(
    {
        "dew_point": Derived("°C", "露点", "Dew point", dew_point),
        "absolute_humidity": Derived("g/m³", "绝对湿度", "Absolute humidity", absolute_humidity),
        "preservation_index": Derived("a", "保存指数", "Preservation index", preservation_index, harmonic=True),
        "emc": Derived("%", "平衡含水率", "Equilibrium moisture content", emc),
        "mould": Derived("", "霉变风险累计", "Mould risk since the start", mould_rate, total=True),
    }
)
"""`mould` is the mould risk factor counted up from the beginning of the range: at 1 germination is expected."""


class Air(NamedTuple):
    """The points of temperature and humidity of the same air, with how they are judged."""

    temperature: int
    humidity: int


def figures(
    store: SeriesStore, airs: list[Air], limits: Mapping[int, Limits], quantity: str, start: int, end: int, step_ms: int
) -> dict[Air, Figures]:
    """A derived quantity of each air in steps; `point` of the answer is that of the temperature, `in_band_ms` is 0: there is no band for it."""
    base = _base(step_ms)
    points = {point for air in airs for point in air}
    measured = store.figures({point: limits[point] for point in points}, start, end, base)
    by_point = {point: measured.take(measured.point == point) for point in points}
    return {air: _derived(DERIVED[quantity], by_point[air.temperature], by_point[air.humidity], start, step_ms) for air in airs}


def _base(step_ms: int) -> int:
    """The longest part of a step that is not above an hour."""
    parts = -(-step_ms // HOUR_MS)
    while step_ms % parts:
        parts += 1
    return step_ms // parts


def samples(store: SeriesStore, air: Air, limits: Mapping[int, Limits], quantity: str, start: int, end: int) -> tuple[list[int], list[float]]:
    """Instants and values at each good sample of the temperature, with the humidity that holds then."""
    reach = limits[air.humidity].longest_ms
    found = store.samples([air.temperature, air.humidity], start - reach, end)
    warm = found.take((found.point == air.temperature) & (found.quality == GOOD) & (found.taken_at >= start))
    humid = found.take(found.point == air.humidity)
    place = np.searchsorted(humid.taken_at, warm.taken_at, side="right") - 1
    chosen = np.flatnonzero(_holding(humid, place, warm, limits[air.humidity]))
    place, at = place[chosen], warm.taken_at[chosen]
    value = DERIVED[quantity].of(warm.value[chosen], humid.value[place])
    if DERIVED[quantity].total:
        value = _counted(value, np.minimum(np.diff(at, append=end), fold.holds(at, limits[air.temperature])))
    sound = np.isfinite(value)
    return at[sound].tolist(), value[sound].tolist()


def _holding(
    humid: Batch, place: np.ndarray[tuple[int], np.dtype[np.int64]], warm: Batch, limits: Limits
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    if not len(humid):
        return np.zeros(len(warm), dtype=bool)
    good = (humid.quality[place] == GOOD) & (warm.taken_at - humid.taken_at[place] < fold.holds(humid.taken_at, limits)[place])
    found: np.ndarray[tuple[int], np.dtype[np.bool_]] = (place >= 0) & good
    return found


def _derived(how: Derived, warm: Figures, humid: Figures, start: int, step_ms: int) -> Figures:
    _, left, right = np.intersect1d(warm.time, humid.time, assume_unique=True, return_indices=True)
    base, other = warm.take(left), humid.take(right)
    value = how.of(base.mean, other.mean)
    watched = np.minimum(base.watched_ms, other.watched_ms)
    if how.total:
        value = _counted(value, watched)
    if how.harmonic:
        value = 1 / value
    count, none = np.minimum(base.count, other.count), np.zeros(len(base), dtype=np.int64)
    joined = Figures(base.point, base.time, value, value, value, count, watched, none)
    longer = joined.take(np.isfinite(value)).combined(start, step_ms)
    return replace(longer, min=1 / longer.max, mean=1 / longer.mean, max=1 / longer.min) if how.harmonic else longer


def _counted(rate: Floats, lasting: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Floats:
    total: Floats = np.cumsum(rate * lasting / DAY_MS)
    return total
