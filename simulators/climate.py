"""Monthly climate of the cities of Fujian: normals that the weather generator varies.

Fuzhou: China Meteorological Administration 1971-2000 (highs, lows, humidity, rain days). Xiamen, Nanping and Longyan: published monthly means, split
into high and low by the usual daily range of coast (6 K) and inland (9 K). The other cities have no table of their own and borrow their nearest
neighbour, shifted by a few tenths of a kelvin; they are plausible, not documented.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

Months = tuple[float, ...]


class UnknownCityError(KeyError):
    """No climate is known under this name or code."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"unknown city {self.name!r}; known: {', '.join(CITIES)}"


@dataclass(frozen=True, slots=True)
class Climate:
    """Twelve monthly normals, January first: mean daily high and low (°C), mean humidity (%RH), days with rain."""

    name: str
    zh: str
    code: str  # first four digits of GB/T 2260; Pingtan has its six
    high: Months
    low: Months
    humidity: Months
    rain_days: Months
    coast: bool = True


def _from_means(name: str, zh: str, code: str, means: Months, humidity: Months, *, coast: bool) -> Climate:
    """Highs and lows around monthly means. The range is the usual one of coast or inland, smaller in the rainy months."""
    spread = 6.0 if coast else 9.0
    return Climate(name, zh, code, tuple(m + spread / 2 for m in means), tuple(m - spread / 2 for m in means), humidity, _FUZHOU.rain_days, coast)


def _near(base: Climate, name: str, zh: str, code: str, shift: float, *, coast: bool) -> Climate:
    """A neighbour's climate, `shift` kelvin warmer."""
    moved = tuple(v + shift for v in base.high), tuple(v + shift for v in base.low)
    return replace(base, name=name, zh=zh, code=code, high=moved[0], low=moved[1], coast=coast)


_FUZHOU = Climate(
    "fuzhou",
    "福州",
    "3501",
    (15.2, 15.2, 18.1, 23.2, 26.7, 30.5, 34.1, 33.3, 30.2, 26.4, 22.0, 17.7),
    (8.2, 8.3, 10.6, 15.0, 19.2, 23.0, 25.5, 25.1, 23.0, 19.3, 14.8, 10.1),
    (74, 78, 80, 80, 81, 82, 77, 77, 76, 71, 70, 70),
    (9.7, 14.4, 17.5, 17.8, 18.2, 15.9, 10.4, 12.1, 11.6, 7.1, 7.2, 7.1),
)
_XIAMEN = _from_means(
    "xiamen",
    "厦门",
    "3502",
    (12.9, 13.2, 15.2, 19.3, 23.5, 26.6, 28.5, 28.2, 26.9, 23.4, 19.5, 15.0),
    (73, 77, 78, 79, 81, 84, 80, 79, 74, 68, 69, 69),
    coast=True,
)
_NANPING = _from_means(
    "nanping",
    "南平",
    "3507",
    (10.1, 12.3, 15.2, 20.2, 24.2, 27.0, 29.2, 28.7, 26.5, 21.9, 16.8, 11.5),
    (78, 78, 78, 77, 78, 80, 73, 75, 77, 75, 79, 78),
    coast=False,
)
_LONGYAN = _from_means(
    "longyan",
    "龙岩",
    "3508",
    (12.0, 13.8, 16.4, 20.6, 24.0, 26.3, 27.9, 27.4, 25.8, 22.2, 18.0, 13.2),
    (74, 77, 79, 80, 80, 80, 76, 77, 76, 74, 74, 74),
    coast=False,
)

CITIES: Mapping[str, Climate] = MappingProxyType(
    {
        c.name: c
        for c in (
            _FUZHOU,
            _XIAMEN,
            _near(_FUZHOU, "putian", "莆田", "3503", 0.4, coast=True),
            _near(_NANPING, "sanming", "三明", "3504", 0.2, coast=False),
            _near(_XIAMEN, "quanzhou", "泉州", "3505", -0.2, coast=True),
            _near(_XIAMEN, "zhangzhou", "漳州", "3506", 0.5, coast=True),
            _NANPING,
            _LONGYAN,
            _near(_FUZHOU, "ningde", "宁德", "3509", -0.5, coast=True),
            _near(_FUZHOU, "pingtan", "平潭", "350128", -0.3, coast=True),
        )
    }
)


def climate(city: str) -> Climate:
    """Find by English name, Chinese name (with or without 市) or an administrative code of any length. Raises UnknownCityError."""
    wanted = city.strip().lower().removesuffix("市")
    found = CITIES.get(wanted) or next((c for c in CITIES.values() if c.zh == wanted), None)
    if found is None and wanted[:4].isdigit():
        by_length = sorted(CITIES.values(), key=lambda c: -len(c.code))  # Pingtan's six digits before Fuzhou's four
        found = next((c for c in by_length if wanted.startswith(c.code)), None)
    if found is None:
        raise UnknownCityError(city)
    return found
