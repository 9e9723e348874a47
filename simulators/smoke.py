"""Smoke and heat of a fire in a room, as functions of the time since it began. Density is obscuration in dB/m, warmth in kelvin, CO in ppm.

Smouldering: convex rise from 0.002 to 0.15 dB/m, then on to the 2 dB/m where EN 54-7 test fires end; the air warms by at most 3 K.
Flaming: t² growth Q = alpha t²; 300 kW stands for 1 dB/m. Dust from cleaning: a spike that falls within two minutes, without heat.
"""

import math

BACKGROUND = 0.002
TRIP = 0.12  # where the detectors of the simulator trip: GB 4715-2024 A-type, between 0.05 and 0.3 dB/m
_TARGET = 0.15
_END = 2.0
DEFAULT_OVER_MS = {"smoulder": 600_000, "flame": 90_000, "dust": 60_000}


def density(kind: str, elapsed_ms: float, over_ms: float) -> float:
    """Obscuration above clean air. `over_ms`: smoulder reaches 0.15 dB/m, a flame 1 dB/m, dust its end, that long after the start."""
    x = elapsed_ms / over_ms
    if x < 0:
        return 0.0
    if kind == "smoulder":
        return min(BACKGROUND * math.pow(_TARGET / BACKGROUND, x), _END) - BACKGROUND
    if kind == "flame":
        return min(x * x, 8.0)
    return 0.13 * min(x / 0.15, 1.0) * math.exp(-4.0 * max(x - 0.15, 0.0))


def warmth(kind: str, elapsed_ms: float, over_ms: float) -> float:
    """Rise of the air temperature at the sensor, K."""
    x = max(elapsed_ms / over_ms, 0.0)
    if kind == "smoulder":
        return min(1.5 * x * x, 3.0)
    return min(25.0 * x * x, 400.0) if kind == "flame" else 0.0


def carbon_monoxide(kind: str, elapsed_ms: float, over_ms: float) -> float:
    """Added carbon monoxide, ppm: smouldering makes more of it per smoke than flames."""
    per_density = {"smoulder": 160.0, "flame": 40.0}.get(kind, 0.0)
    return per_density * density(kind, elapsed_ms, over_ms)
