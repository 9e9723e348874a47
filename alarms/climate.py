"""Climate and preservation figures of one climate; climate_series.py has those of a record. Pure; formulas, ranges and sources per function.

Units: temperature °C, relative humidity %RH (0-100), pressure hPa, absolute humidity g/m³, mixing ratio g/kg, times UTC ms. None means "not
defined there", never 0 or NaN.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Literal, NamedTuple

KELVIN = 273.15
GAS = 8.314
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
STANDARD_PRESSURE = 1013.25


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
    """Preservation Index in years, closed form A: -5.5…+1.8 % of the IPI table in 14-25 °C, 40-70 %RH.

    Held at the edges of the table (-23…65 °C, 6…95 %RH) and capped at 9999, as the public calculator does.
    """
    t, rh = min(max(t, -23.0), 65.0), min(max(rh, 6.0), 95.0)
    return min(9999.0, math.exp((95220 - 134.9 * rh) / (GAS * (t + KELVIN)) + 0.0284 * rh - 28.023) / 365)


def lifetime_multiplier(t: float, rh: float, energy: float = 100_000) -> float | None:
    """Life of paper against 20 °C/50 % (Michalski/Martens); `energy` J/mol, 70,000 for film yellowing. Valid about 20-60 %RH. None for rh <= 0."""
    if rh <= 0:
        return None
    return float((50 / rh) ** 1.3 * math.exp(energy / GAS * (1 / (t + KELVIN) - 1 / 293.15)))


def paper_moisture(t: float, rh: float) -> float:
    """Water in paper, % of its dry mass (Paltakari/Karlsson; about 10-80 %RH). Other than emc(), which is for wood."""
    return float(100 * (math.log(1 - rh / 100) / (1.67 * t - 285.655)) ** (1 / (2.491 - 0.012 * t)))


def years_to_brittle(t: float, rh: float, ph: float, polymerisation: float = 1000) -> float:
    """Years until paper of that pH has worn from a degree of polymerisation to 250 (Strlič et al. 2015). For comparing climates, never a promise."""
    water = paper_moisture(t, rh)
    return (1 / 250 - 1 / polymerisation) / math.exp(36.981 + 36.720 * water / 100 + 0.244 * math.log(10**-ph) - 14299 / (t + KELVIN))


# --- 2.5 mould -------------------------------------------------------------------------------------------------------------------------

_BOUNDARY_T = (2, 5, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 36, 38, 40, 42, 45)
_BOUNDARY_RH = (90, 87, 83, 80, 78, 75, 73, 71, 69, 68, 66, 66, 65, 66, 67, 70, 73, 77, 82, 90)
_SPEED_T = (8, 9, 10, 14, 16, 18, 20, 22, 24, 26, 33, 35, 38, 40, 42, 44)
_SPEED = (1.75, 1.65, 1.49, 1.24, 1.16, 1.11, 1.07, 1.04, 1.02, 1.00, 1.00, 1.02, 1.10, 1.18, 1.41, 2.25)


def _linear(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """Piecewise linear, holding the end values outside."""
    index = bisect_right(xs, x)
    if index in (0, len(xs)):
        return ys[0] if index == 0 else ys[-1]
    left, right = xs[index - 1], xs[index]
    return ys[index - 1] + (ys[index] - ys[index - 1]) * (x - left) / (right - left)


def days_to_mould(t: float, rh: float) -> float | None:
    """Days until germination; None = no risk (also outside 2…45 °C).

    Fit to the IPI table: within 8 % or 0.6 day in all but one of its cells between 8 and 42 °C; 44 °C rests on two published cells.
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


def isopleth(t: float) -> float:
    """%RH from which spores may germinate at t (LIM, Zeng 2023); two prints of it differ in a factor, this one gives 75.6 at 20 °C."""
    return 100 * (0.02633 * math.cosh(0.10083 * (t - 30)) + 0.7153)


# --- ventilation -----------------------------------------------------------------------------------------------------------------------

_DRIER_BY, _MILD = 0.5, (10.0, 28.0)


class Ventilation(NamedTuple):
    """Whether to open windows: open, keep (as they are) or close, and why; water in both airs (g/m³), and the %RH that outdoor air would have
    inside, brought to the room's temperature."""

    advice: Literal["open", "keep", "close"]
    reason: Literal["drier", "hardly_drier", "wetter", "too_cold_or_hot", "bad_weather"]
    inside_g_m3: float
    outside_g_m3: float
    becomes_rh: float


def ventilation(inside: tuple[float, float], outside: tuple[float, float], *, bad_weather: bool = False) -> Ventilation:
    """By absolute humidity and never by %RH; both airs as (°C, %RH).

    Open only when the air outside holds 0.5 g/m³ less than inside, in 10-28 °C, without rain or haze; close when it holds as much or more.
    """
    mine, theirs = absolute_humidity(*inside), absolute_humidity(*outside)
    becomes = humidity_from_absolute(inside[0], theirs)
    if theirs >= mine:
        return Ventilation("close", "wetter", mine, theirs, becomes)
    if bad_weather:
        return Ventilation("close", "bad_weather", mine, theirs, becomes)
    if not _MILD[0] <= outside[0] <= _MILD[1]:
        return Ventilation("keep", "too_cold_or_hot", mine, theirs, becomes)
    if theirs >= mine - _DRIER_BY:
        return Ventilation("keep", "hardly_drier", mine, theirs, becomes)
    return Ventilation("open", "drier", mine, theirs, becomes)


# --- summary, with the keys of the command line and the API ----------------------------------------------------------------------------


def rounded(value: float | None, digits: int) -> float | None:
    """For people; None stays None."""
    return None if value is None else round(value, digits)


def describe(t: float, rh: float) -> dict[str, float | None]:
    """What one climate means; null where a figure is not defined (days_to_mould: no risk)."""
    return {
        "dew_point_c": rounded(dew_point(t, rh), 2),
        "absolute_humidity_g_m3": round(absolute_humidity(t, rh), 3),
        "mixing_ratio_g_kg": round(mixing_ratio(t, rh), 3),
        "emc_percent": round(emc(t, rh), 3),
        "preservation_index_years": round(preservation_index(t, rh), 2),
        "days_to_mould": rounded(days_to_mould(t, rh), 2),
        "lifetime_multiplier": rounded(lifetime_multiplier(t, rh), 3),
    }
