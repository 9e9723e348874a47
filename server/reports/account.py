"""纸寿账, the preservation account: what a climate cost the paper against a fixed reference, what caused it, and what would have helped. Pure.

One day at the reference costs one day of paper life; an hour at another climate costs (index at the reference / index there) hours, by the
Preservation Index (alarms/climate.py, form A). The figures compare climates with each other. They promise nothing about a single document.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from alarms.climate import absolute_humidity, humidity_from_absolute, preservation_index
from server.reports.period import DAY_MS, HOUR_MS
from server.reports.sources import Hour
from server.series.partition import ZONE_MS, day_of

REFERENCE = (20.0, 50.0)
"""°C and %RH at which a day costs a day: about the middle of the paper band, and the point the lifetime multiplier uses as well."""
HUMID_NIGHT = 65.0
_NIGHT = (20, 8)
_REFERENCE_INDEX = preservation_index(*REFERENCE)
_WETTER = 0.5
_VENTILATE_C = (10.0, 28.0)
_LEAST_DAYS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A part of the time by what was wrong in it, the days of paper life that it cost beyond the reference, and how long it lasted."""

    name: str
    days: float
    lasted_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """Something to do, the days it would have saved in this period, why, and what it costs: nothing, power, equipment."""

    name: str
    saved: float
    reason: str
    effort: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Days of paper life used and days elapsed (measured time only), by cause, with the humid nights and the ranked fixes."""

    used: float
    elapsed: float
    causes: tuple[Cause, ...]
    humid_nights: int
    nights: int
    fixes: tuple[Fix, ...]

    @property
    def extra(self) -> float:
        """Days beyond the reference; negative where the room did better."""
        return self.used - self.elapsed


class _Step(NamedTuple):
    """An hour with both values: `days` it was measured, days of paper life that it cost, and the evening of its night, None by day."""

    hour: Hour
    temperature: float
    humidity: float
    days: float
    cost: float
    evening: int | None

    def saved(self, temperature: float, humidity: float) -> float:
        """Days of paper life that another climate would have saved."""
        return self.cost - _cost(self.days, temperature, humidity)


def account(hours: Sequence[Hour], temperature: tuple[float | None, float | None], humidity: tuple[float | None, float | None]) -> Account:
    """The account of some hours in a room with these limits."""
    steps = list(_steps(hours))
    humid, nights = humid_nights(steps_of_nights(steps))
    return Account(
        used=sum(step.cost for step in steps),
        elapsed=sum(step.days for step in steps),
        causes=_causes(steps, temperature[1], humidity[1], humid),
        humid_nights=len(humid),
        nights=nights,
        fixes=_fixes(steps, temperature, humidity[1]),
    )


def cost_days(hour: Hour) -> float | None:
    """Days of paper life that an hour used; None where the climate is not known."""
    known = hour.temperature is not None and hour.humidity is not None and hour.watched_ms > 0
    return _cost(hour.watched_ms / DAY_MS, hour.temperature or 0.0, hour.humidity or 0.0) if known else None


def evening_of(time: int) -> int | None:
    """The day (see partition.day_of) in whose evening the night of an instant begins; None from 08:00 to 20:00 in Beijing."""
    day, hour = day_of(time), (time + ZONE_MS) % DAY_MS // HOUR_MS
    return day if hour >= _NIGHT[0] else day - 1 if hour < _NIGHT[1] else None


def steps_of_nights(steps: Iterable[_Step]) -> dict[int, list[_Step]]:
    """Steps of each night, by the day of its evening."""
    found: dict[int, list[_Step]] = defaultdict(list)
    for step in steps:
        if step.evening is not None:
            found[step.evening].append(step)
    return found


def humid_nights(nights: Mapping[int, Sequence[_Step]]) -> tuple[set[int], int]:
    """Evenings of the nights whose mean humidity lay above 65 %RH, and how many nights are known."""
    wet = {day for day, steps in nights.items() if sum(s.humidity * s.days for s in steps) > HUMID_NIGHT * sum(s.days for s in steps)}
    return wet, len(nights)


def _steps(hours: Iterable[Hour]) -> Iterable[_Step]:
    for hour in hours:
        if hour.temperature is not None and hour.humidity is not None and hour.watched_ms > 0:
            days = hour.watched_ms / DAY_MS
            cost = _cost(days, hour.temperature, hour.humidity)
            yield _Step(hour, hour.temperature, hour.humidity, days, cost, evening_of(hour.time))


def _cost(days: float, temperature: float, humidity: float) -> float:
    """Days of paper life that `days` of a climate cost."""
    return days * _REFERENCE_INDEX / preservation_index(temperature, humidity)


def _causes(steps: Sequence[_Step], hottest: float | None, dampest: float | None, humid: set[int]) -> tuple[Cause, ...]:
    """Every hour belongs to one cause: the first that fits."""
    kinds: tuple[tuple[str, Callable[[_Step], bool]], ...] = (
        (f"湿夜（整夜平均高于 {HUMID_NIGHT:g} %RH）", lambda step: step.evening in humid),
        ("湿度高于上限", lambda step: dampest is not None and step.humidity > dampest),
        ("温度高于上限", lambda step: hottest is not None and step.temperature > hottest),
        ("范围以内（靠近上限也会多耗）", lambda _step: True),
    )
    sums = [[0.0, 0] for _ in kinds]
    for step in steps:
        place = next(index for index, (_, fits) in enumerate(kinds) if fits(step))
        sums[place][0] += step.cost - step.days
        sums[place][1] += step.hour.watched_ms
    found = [Cause(name=kinds[index][0], days=days, lasted_ms=int(lasted)) for index, (days, lasted) in enumerate(sums) if lasted]
    return tuple(sorted(found, key=lambda cause: -cause.days))


def _fixes(steps: Sequence[_Step], temperature: tuple[float | None, float | None], dampest: float | None) -> tuple[Fix, ...]:
    found = [*_against_damp(steps, dampest), *_against_heat(steps, temperature)]
    return tuple(sorted((fix for fix in found if fix.saved >= _LEAST_DAYS), key=lambda fix: -fix.saved))


def _against_damp(steps: Sequence[_Step], dampest: float | None) -> Iterable[Fix]:
    if dampest is None:
        return
    damp = [step for step in steps if step.humidity > dampest]
    night = [step for step in damp if step.evening is not None]
    yield Fix(
        name=f"夜间（20 时至次日 8 时）除湿，湿度压到 {dampest:g} %RH",
        saved=_capped(night, dampest),
        reason=f"夜间有 {_hours(night)} 小时湿度高于 {dampest:g} %RH",
        effort="电费",
    )
    wetter = [step for step in damp if (gap := _gap(step)) is not None and gap > _WETTER]
    yield Fix(
        name="室外更湿时不开窗、不通风，关好门窗、封好缝隙",
        saved=_capped(wetter, dampest),
        reason=f"库内偏湿的时间里有 {_hours(wetter)} 小时室外空气含水比库内多",
        effort="不花钱",
    )
    drier = [step for step in damp if _drier_outside(step)]
    yield Fix(
        name="室外更干时开窗或开新风，通风后随即关闭",
        saved=sum(step.saved(step.temperature, _mixed(step)) for step in drier),
        reason=f"库内偏湿的时间里有 {_hours(drier)} 小时室外空气更干，且室外 {_VENTILATE_C[0]:g}–{_VENTILATE_C[1]:g} ℃",
        effort="不花钱",
    )
    day = [step for step in damp if step.evening is None]
    yield Fix(
        name=f"白天也除湿，湿度压到 {dampest:g} %RH",
        saved=_capped(day, dampest),
        reason=f"白天有 {_hours(day)} 小时湿度高于 {dampest:g} %RH",
        effort="电费",
    )


def _against_heat(steps: Sequence[_Step], limits: tuple[float | None, float | None]) -> Iterable[Fix]:
    low, high = limits
    if high is not None:
        hot = [step for step in steps if step.temperature > high]
        yield Fix(
            name=f"温度降到上限 {high:g} ℃ 以内（检查空调）",
            saved=sum(step.saved(high, step.humidity) for step in hot),
            reason=f"有 {_hours(hot)} 小时温度高于 {high:g} ℃",
            effort="电费",
        )
    cooled = [step for step in steps if low is None or step.temperature - 1 >= low]
    yield Fix(
        name="空调设定值调低 1 ℃",
        saved=sum(step.saved(step.temperature - 1, step.humidity) for step in cooled),
        reason=f"有 {_hours(cooled)} 小时调低 1 ℃ 仍在范围内（湿度须同时管住）",
        effort="电费",
    )


def _capped(steps: Sequence[_Step], humidity: float) -> float:
    return sum(step.saved(step.temperature, humidity) for step in steps)


def _gap(step: _Step) -> float | None:
    """Water outside minus water inside, g/m³; None without an outdoor reference."""
    hour = step.hour
    if hour.out_temperature is None or hour.out_humidity is None:
        return None
    return absolute_humidity(hour.out_temperature, hour.out_humidity) - absolute_humidity(step.temperature, step.humidity)


def _drier_outside(step: _Step) -> bool:
    """The classical rule: air only when it is drier outside by half a gram, and neither cold nor hot."""
    gap, outside = _gap(step), step.hour.out_temperature
    return gap is not None and outside is not None and gap < -_WETTER and _VENTILATE_C[0] <= outside <= _VENTILATE_C[1]


def _mixed(step: _Step) -> float:
    """%RH when half of the air has been changed at the room's temperature."""
    water = absolute_humidity(step.temperature, step.humidity) + (_gap(step) or 0.0) / 2
    return min(step.humidity, humidity_from_absolute(step.temperature, water))


def _hours(steps: Sequence[_Step]) -> int:
    return round(sum(step.hour.watched_ms for step in steps) / HOUR_MS)
