"""The vocabulary of measured quantities: canonical unit, plausible range, kind.

A quantity is what a point measures, independent of the device. Values cross every seam in the canonical unit given here; a driver converts
once. `low`/`high` are physical plausibility bounds of the environment (not comfort limits): a value outside them is BAD, never an alarm value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Kind(StrEnum):
    """How a quantity behaves: a continuous measure, or a state held as a small integer."""

    MEASURE = "measure"
    STATE = "state"


class UnknownQuantityError(KeyError):
    """The name is not in the vocabulary."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"unknown quantity {self.name!r}"


@dataclass(frozen=True, slots=True)
class Quantity:
    """One entry of the vocabulary. `urgent` marks the alarm class: a sample of it is never held back to fill a batch."""

    name: str
    unit: str
    kind: Kind
    low: float
    high: float
    zh: str
    en: str
    urgent: bool = False


def _measure(name: str, unit: str, low: float, high: float, zh: str, en: str, urgent: bool = False) -> Quantity:
    return Quantity(name, unit, Kind.MEASURE, low, high, zh, en, urgent)


def _state(name: str, high: int, zh: str, en: str, urgent: bool = True) -> Quantity:
    return Quantity(name, "", Kind.STATE, 0, high, zh, en, urgent)


QUANTITIES: Mapping[str, Quantity] = MappingProxyType(
    {
        q.name: q
        for q in (
            _measure("temperature", "°C", -40, 85, "温度", "Temperature"),
            _measure("humidity", "%RH", 0, 102, "湿度", "Relative humidity"),
            _measure("dew_point", "°C", -60, 60, "露点", "Dew point"),
            _measure("smoke_density", "dB/m", 0, 30, "烟雾浓度", "Smoke density", urgent=True),
            _measure("smoke_concentration", "ppm", 0, 10_000, "烟雾气体浓度", "Smoke gas concentration", urgent=True),
            _measure("pressure", "hPa", 300, 1200, "气压", "Air pressure"),
            _measure("illuminance", "lx", 0, 200_000, "照度", "Illuminance"),
            _measure("uv", "W/m²", 0, 1000, "紫外线", "Ultraviolet"),
            _measure("co2", "ppm", 0, 50_000, "二氧化碳", "Carbon dioxide"),
            _measure("co", "ppm", 0, 5000, "一氧化碳", "Carbon monoxide"),
            _measure("o3", "ppm", 0, 100, "臭氧", "Ozone"),
            _measure("nh3", "ppm", 0, 5000, "氨", "Ammonia"),
            _measure("hcho", "mg/m³", 0, 100, "甲醛", "Formaldehyde"),
            _measure("tvoc", "ppb", 0, 65_000, "总挥发物", "Total volatile organics"),
            _measure("pm25", "µg/m³", 0, 10_000, "PM2.5", "PM2.5"),
            _measure("pm10", "µg/m³", 0, 10_000, "PM10", "PM10"),
            _measure("noise", "dB", 0, 200, "噪声", "Noise"),
            _measure("wind_speed", "m/s", 0, 100, "风速", "Wind speed"),
            _measure("wind_direction", "°", 0, 360, "风向", "Wind direction"),
            _measure("battery", "%", 0, 100, "电量", "Battery"),
            _measure("voltage", "V", 0, 1000, "电压", "Voltage"),
            _measure("load", "%", 0, 300, "负载率", "Load"),
            _measure("runtime", "min", 0, 100_000, "备电时长", "Battery runtime"),
            _measure("setpoint_temperature", "°C", -40, 85, "温度设定", "Temperature setting"),
            _measure("setpoint_humidity", "%RH", 0, 100, "湿度设定", "Humidity setting"),
            _measure("spool_fill", "%", 0, 100, "缓存占用（占上限）", "Spool in use (of its limit)"),
            _measure("clock_offset", "s", -1_000_000_000, 1_000_000_000, "时钟偏差", "Clock offset"),
            _measure("picture_age", "s", 0, 10_000_000, "画面时效", "Picture age"),
            _state("smoke", 1, "烟感", "Smoke"),
            _state("door", 1, "库门", "Door"),
            _state("grant", 1, "授权开门", "Access granted", urgent=False),  # from access control: 1 while or just when an opening is allowed
            _state("leak", 1, "水浸", "Leak"),
            _state("motion", 1, "人体感应", "Motion"),
            _state("power", 1, "市电", "Mains power"),
            _state("tamper", 1, "防拆", "Tamper"),
            _state("fault", 1, "设备故障", "Device fault"),
            _state("input", 1, "开关量输入", "Contact input", urgent=False),  # a wired contact whose use nobody has assigned
            _state("running", 1, "运行", "Running", urgent=False),
            _state("intrusion", 1, "越界入侵", "Intrusion"),
            _state("relay", 1, "继电器", "Relay", urgent=False),
            # 0 ok, 1 no picture, 2 black, 3 white, 4 covered, 5 blurred, 6 moved, 7 frozen
            _state("camera", 7, "摄像机", "Camera health", urgent=False),
        )
    }
)

EQUIPMENT = frozenset({"battery", "voltage", "load", "runtime", "spool_fill", "clock_offset", "picture_age"})
"""How devices and gateways are, though they may stand in a room: not what the room is like."""


def quantity(name: str) -> Quantity:
    """Look a quantity up by name. Raises UnknownQuantityError."""
    try:
        return QUANTITIES[name]
    except KeyError:
        raise UnknownQuantityError(name) from None
