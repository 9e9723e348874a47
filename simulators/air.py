"""Moist air for arrays: vapour pressure, absolute humidity, dew point. Temperatures in °C, relative humidity in %, absolute humidity in g/m³.

Formulas: Sonntag's Magnus form over water, valid from -45 to 60 °C; 216.679 = 100 Pa/hPa * 1000 g/kg / 461.5 J/(kg K).
"""

import math

import numpy as np

from simulators.noise import Floats


def vapour_pressure(temperature: Floats) -> Floats:
    """Saturation vapour pressure in hPa."""
    pressure: Floats = 6.112 * np.exp(17.62 * temperature / (243.12 + temperature))
    return pressure


def saturation(temperature: Floats) -> Floats:
    """Water in saturated air, g/m³."""
    return 216.679 * vapour_pressure(temperature) / (273.15 + temperature)


def absolute_humidity(temperature: Floats, humidity: Floats) -> Floats:
    """Water in air of the given relative humidity (%), g/m³."""
    return saturation(temperature) * humidity / 100.0


def dew_point(temperature: float, humidity: float) -> float:
    """Dew point in °C of one state of air; humidity is clamped to 0.1-100 %."""
    gamma = math.log(min(max(humidity, 0.1), 100.0) / 100.0) + 17.62 * temperature / (243.12 + temperature)
    return 243.12 * gamma / (17.62 - gamma)
