"""Imperfect sensors: noise, resolution, bias and lag of a healthy one, and the faults that can be switched on.

Sigma, resolution and lag follow common RS-485 probes: temperature ±0.1 °C with minutes of lag in its housing, humidity ±0.4 %RH with a bias of up to
2 %RH and under a minute of lag, saturating at 99.9.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from contract.quantities import Kind, quantity
from simulators.noise import gauss


class FaultError(ValueError):
    """The fault is not known, or makes no sense where it was asked for."""


# what the value on the way to the registers becomes
VALUE_FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "stuck": "the value at the start of the fault for ever",
        "drift": "two units more every hour",
        "step": "a sudden jump by 12 units",
        "out_of_range": "a value above what the quantity can be",
        "probe_open": "-40 as temperature, 0 for the rest: the probe is unplugged",
    }
)
# what all words of the answer become
WORD_FAULTS: Mapping[str, int] = MappingProxyType({"nan": 0x7FC0, "ffff": 0xFFFF, "special": 0x8000})
# what happens to the frame
WIRE_FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "no_reply": "silence",
        "dropout": "silence, by default three times in ten",
        "late_reply": "the whole reply, delay_ms late (1500)",
        "wrong_crc": "a checksum that does not fit (RTU)",
        "wrong_unit": "the reply of the next unit id",
        "wrong_function": "function 4 in place of 3 and the other way round",
        "wrong_count": "one register less than asked, well formed",
        "wrong_transaction": "transaction id 0 (Modbus TCP)",
        "exception": "an exception reply with `code` (4)",
        "truncated": "the last three bytes are missing",
        "echo": "the request, then the reply",
        "greeting": "an ASCII greeting before the reply",
        "noise": "0xFF and 0x00 around the reply",
        "glued": "the reply and an unasked second frame in one piece",
        "split": "one to three bytes at a time, delay_ms apart (5)",
        "two_slaves": "two devices with one address talk at once (RTU)",
        "garbage": "the reply at another baud rate",
    }
)
FAULTS: tuple[str, ...] = (*VALUE_FAULTS, *WORD_FAULTS, *WIRE_FAULTS)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that is on. `count`: for that many replies only; `probability`: of each reply. Raises FaultError for an unknown kind."""

    kind: str
    code: int = 4
    delay_ms: int | None = None
    probability: float | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise FaultError(f"unknown fault {self.kind!r}; known: {', '.join(FAULTS)}")

    @property
    def chance(self) -> float:
        """Probability that one reply is hit."""
        if self.probability is not None:
            return self.probability
        return 0.3 if self.kind == "dropout" else 1.0


@dataclass(frozen=True, slots=True)
class Sensor:
    """A healthy sensing element: standard deviation, resolution, largest bias, lag; in units of the quantity and ms."""

    sigma: float = 0.0
    resolution: float = 0.0
    bias: float = 0.0
    lag_ms: int = 0
    ceiling: float = math.inf


PERFECT = Sensor()
SENSORS: Mapping[str, Sensor] = MappingProxyType(
    {
        "temperature": Sensor(0.06, 0.1, 0.25, 150_000),
        "humidity": Sensor(0.35, 0.1, 1.2, 45_000, 99.9),
        "smoke_density": Sensor(0.0006, 0.0001),
        "co2": Sensor(6.0, 1.0, 25.0, 60_000),
        "tvoc": Sensor(4.0, 1.0),
        "pm25": Sensor(0.8, 1.0),
        "pm10": Sensor(1.2, 1.0),
        "illuminance": Sensor(0.4, 1.0),
        "pressure": Sensor(0.05, 0.1, 1.0),
        "voltage": Sensor(0.6, 0.1),
    }
)


class Probe:
    """One sensing element of one device: turns the true value into what it would report. Deterministic for (seed, name)."""

    def __init__(self, quantity_name: str, seed: int, name: str, *, perfect: bool = False) -> None:
        self.sensor = PERFECT if perfect else SENSORS.get(quantity_name, PERFECT)
        self._seed, self._name = seed, name
        self._bias = self.sensor.bias * min(max(gauss(seed, f"{name}/bias", 0) / 2.0, -1.0), 1.0)
        self._last: tuple[int, float] | None = None

    def read(self, true: float, now: int, *, exact: bool = False) -> float:
        """The reported value; `exact` passes the true one through, for values that somebody forces."""
        if exact or self.sensor is PERFECT:
            self._last = (now, true)
            return true
        slow = self._follow(true, now)
        noisy = slow + self._bias + self.sensor.sigma * gauss(self._seed, self._name, now // 1000)
        steps = self.sensor.resolution
        floor = -math.inf if true < 0 else 0.0
        return min(max(round(noisy / steps) * steps if steps else noisy, min(floor, true)), self.sensor.ceiling)

    def _follow(self, true: float, now: int) -> float:
        """First-order lag from the last reading."""
        if self._last is None or not self.sensor.lag_ms:
            self._last = (now, true)
            return true
        then, was = self._last
        value = true + (was - true) * math.exp(-max(now - then, 0) / self.sensor.lag_ms)
        self._last = (now, value)
        return value


def distortion(kind: str, started: int) -> Callable[[str, str, float, int], float]:
    """The value fault as a function (point, quantity, value, now) -> value, begun at `started`. Raises FaultError for other faults."""
    if kind not in VALUE_FAULTS:
        raise FaultError(f"{kind!r} does not act on values")
    frozen: dict[str, float] = {}

    def distort(point: str, quantity_name: str, value: float, now: int) -> float:
        known = quantity(quantity_name)
        if kind == "stuck":
            return frozen.setdefault(point, value)
        if known.kind is Kind.STATE:
            return value
        if kind == "drift":
            return value + 2.0 * (now - started) / 3_600_000
        if kind == "step":
            return value + 12.0
        if kind == "probe_open":
            return -40.0 if quantity_name == "temperature" else 0.0
        return known.high + 0.2 * (known.high - known.low)

    return distort
