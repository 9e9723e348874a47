"""What rules look at: each evaluator turns readings into the one number that a ladder compares with its limits.

An evaluator is pure: it gets the rule's options, the memory it returned last time and one usable reading, and returns its new memory and the
number to judge (None: nothing to judge now, which neither raises nor clears). It returns the very same memory object when nothing changed,
so that an unchanged alarm state need not be written again; those that must remember readings do it as rarely as they can. `source` tells the
sensors of one quantity apart.

Beside an evaluator may stand what it leaves alone (Still): the readings after which its memory is the same object.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from statistics import median
from typing import NamedTuple

from alarms.climate import HOUR_MS, MouldIndex, dew_point, mould_step
from alarms.coverage import day_of

Memory = tuple[float, ...]
Option = float | str
Options = Mapping[str, Option]
Inputs = tuple[str, ...]
Judged = tuple[Memory, float | None]
Evaluate = Callable[[Options, Memory, int, str, float, int], Judged]

NO_LIMIT = -1e9
_MINUTE_MS = 60_000
_RATE_KEEP_WINDOWS = 5
_MOULD_HOLD_HOURS = 3.0
_GOLDEN = (math.sqrt(5) - 1) / 2
"""Its multiples modulo 1 lie evenly, however many there are."""


class Itself(Enum):
    """The number judged is the reading."""

    ITSELF = "itself"


class Still(NamedTuple):
    """Readings within `low` … `high` before `until` leave the memory alone and are judged as `judged`: a number, themselves, or not at all."""

    low: float = -math.inf
    high: float = math.inf
    until: float = math.inf
    judged: float | Itself | None = None


Leaves = Callable[[Options, Memory, Inputs, str, int], Still | None]
"""(options, memory, inputs, quantity, source) -> what the evaluator leaves alone now; None: nothing."""


def next_look(last: float, every: float, source: int) -> float:
    """When the readings of a source, looked at last at `last` (UTC ms), are looked at again: `every` ms later, or a little before, so that it falls
    on the source's own turn. After a restart the sensors of a province speak within seconds; without turns they would all be looked at in the same
    second, and again in each `every` from then on, and an alarm would wait behind that.
    """
    due = last + every
    turn = due - (due - source * _GOLDEN % 1.0 * every) % every if every else due
    return turn if turn > last else due


def value_itself(_options: Options, memory: Memory, _at: int, _quantity: str, value: float, _source: int = 0) -> Judged:
    """The reading as it is: threshold, state and camera."""
    return memory, value


def value_still(_options: Options, _memory: Memory, _inputs: Inputs, _quantity: str, _source: int) -> Still:
    """There is no memory."""
    return Still(judged=Itself.ITSELF)


def present(_options: Options, memory: Memory, _at: int, _quantity: str, _value: float, _source: int = 0) -> Judged:
    """That a reading came at all: 0 = heard; the silence itself (1) comes from the tick."""
    return memory, 0.0


def present_still(_options: Options, _memory: Memory, _inputs: Inputs, _quantity: str, _source: int) -> Still:
    """Any reading says the same."""
    return Still(judged=0.0)


def rate(options: Options, memory: Memory, at: int, _quantity: str, value: float, _source: int = 0) -> Judged:
    """Change per minute: the slope of a straight line through the readings of the last `window` (60 s).

    Readings below `least` are not remembered: a fire detector's rate of rise matters only in air that is warm already (domain.md 6.2), and
    an ordinary room then costs nothing. With slow sensors the window stretches to two readings, at most five windows apart.
    """
    if value < float(options["least"]):
        return (memory and ()), 0.0
    window = float(options["window"])
    past = [point for point in _pairs(memory) if at - point[0] <= _RATE_KEEP_WINDOWS * window]
    inside = [point for point in past if at - point[0] <= window]
    points = [*(inside or past[-1:]), (float(at), value)]
    return _flat(points), _slope(points) * _MINUTE_MS if at - points[0][0] >= window / 2 else None


def _slope(points: Sequence[tuple[float, float]]) -> float:
    mean_t = sum(t for t, _ in points) / len(points)
    mean_v = sum(v for _, v in points) / len(points)
    spread = sum((t - mean_t) ** 2 for t, _ in points)
    return sum((t - mean_t) * (v - mean_v) for t, v in points) / spread


def rate_still(options: Options, memory: Memory, _inputs: Inputs, _quantity: str, _source: int) -> Still | None:
    """What lies below the least value is not remembered."""
    return None if memory else Still(high=math.nextafter(float(options["least"]), -math.inf), judged=0.0)


def heat(options: Options, memory: Memory, at: int, quantity: str, value: float, _source: int = 0) -> Judged:
    """What a heat detector with rate-of-rise feels, °C: the temperature, and `ahead` more while it rises faster than `rise` K a minute.

    So each limit is reached that much earlier by a fast rise (domain.md 6.2: 46/56 °C, or 36/46 °C above 4 K/min).
    """
    memory, slope = rate(options, memory, at, quantity, value)
    return memory, value + (float(options["ahead"]) if slope is not None and slope > float(options["rise"]) else 0.0)


def heat_still(options: Options, memory: Memory, inputs: Inputs, quantity: str, source: int) -> Still | None:
    """Air below the least value is judged as it is."""
    still = rate_still(options, memory, inputs, quantity, source)
    return still and still._replace(judged=Itself.ITSELF)


def swing(options: Options, memory: Memory, at: int, _quantity: str, value: float, source: int = 0) -> Judged:
    """How far the quantity has strayed today (Asia/Shanghai): from the set point `around`, or, without one, half of the range so far.

    The day's mean is not known before midnight, but nothing can lie further from it on both sides than half the range: what is reported is
    certain. A moving median over `window`, of one reading each `every` (next_look), keeps one spike from spoiling a day. Memory: day, lowest,
    highest, then the window's readings.
    """
    if len(memory) > 3 and at < next_look(memory[-2], float(options["every"]), source):
        return memory, None
    day = float(day_of(at)[0])
    known = memory and memory[0] == day
    recent = [point for point in _pairs(memory[3:]) if at - point[0] < float(options["window"])]
    recent.append((float(at), value))
    calm = median(reading for _, reading in recent)
    low, high = (min(memory[1], calm), max(memory[2], calm)) if known else (calm, calm)
    around = float(options["around"])
    stray = (high - low) / 2 if around == NO_LIMIT else max(high - around, around - low)
    return (day, low, high, *_flat(recent)), stray


def swing_still(options: Options, memory: Memory, _inputs: Inputs, _quantity: str, source: int) -> Still | None:
    """Readings that come too early are not looked at."""
    return Still(until=next_look(memory[-2], float(options["every"]), source)) if len(memory) > 3 else None


def stuck(options: Options, memory: Memory, at: int, _quantity: str, value: float, _source: int = 0) -> Judged:
    """For how long the raw value has not moved at all, ms; looked at when it is at least `every` old. Memory: the value and since when."""
    if memory and at - memory[1] < float(options["every"]):
        return memory, None
    if not memory or memory[0] != value:
        return (value, float(at)), 0.0
    return memory, at - memory[1]


def stuck_still(options: Options, memory: Memory, _inputs: Inputs, _quantity: str, _source: int) -> Still | None:
    """A value is left alone while it is young."""
    return Still(until=memory[1] + float(options["every"])) if memory else None


def gather(inputs: Sequence[str], options: Options, memory: Memory, at: int, quantity: str, value: float) -> tuple[Memory, dict[str, float] | None]:
    """Remember one reading per input at most each `every`; all of them together once none is older than `within`.

    Memory: (instant, value) per input in their order; instant -1 = never.
    """
    points = _pairs(memory) or [(-1.0, 0.0)] * len(inputs)
    place = inputs.index(quantity)
    if points[place][0] >= 0 and at - points[place][0] < float(options["every"]):
        return memory, None
    points[place] = (float(at), value)
    fresh = all(since >= 0 and at - since <= float(options["within"]) for since, _ in points)
    return _flat(points), {name: reading for name, (_, reading) in zip(inputs, points, strict=True)} if fresh else None


def without(inputs: Inputs, memory: Memory, quantity: str) -> Memory:
    """What `gather` remembers, but for one input: its sensor is gone. The inputs are the last entries of the memory."""
    place = len(memory) - 2 * len(inputs) + 2 * inputs.index(quantity)
    return (*memory[:place], -1.0, 0.0, *memory[place + 2 :])


def gather_still(options: Options, memory: Memory, inputs: Inputs, quantity: str, _source: int) -> Still | None:
    """Readings that come too early are not remembered. The inputs are the last entries of the memory."""
    if quantity not in inputs or not memory:
        return None
    since = memory[len(memory) - 2 * len(inputs) + 2 * inputs.index(quantity)]
    return Still(until=since + float(options["every"])) if since >= 0 else None


def condensation(options: Options, memory: Memory, at: int, quantity: str, value: float, _source: int = 0) -> Judged:
    """Kelvin between the coldest surface (air temperature + `surface`, which is negative) and the dew point; 0 = it drips."""
    memory, air = gather(("temperature", "humidity"), options, memory, at, quantity, value)
    dew = dew_point(air["temperature"], air["humidity"]) if air else None
    return memory, None if air is None or dew is None else air["temperature"] + float(options["surface"]) - dew


def mould(options: Options, memory: Memory, at: int, quantity: str, value: float, _source: int = 0) -> Judged:
    """VTT mould index (0-6; 1 microscopic, 3 visible), stepped about each hour. Memory: the index, dry hours, last step, then the inputs.

    The index and not the mould risk factor, because an alarm must be able to end: the index declines in dry air, the factor never does.
    """
    state, stepped, inputs = MouldIndex(*memory[:2]), memory[2] if memory else -1.0, memory[3:]
    kept, air = gather(("temperature", "humidity"), options, inputs, at, quantity, value)
    if air is None:
        return ((*state, stepped, *kept) if kept is not inputs else memory), None
    hours = min((at - stepped) / HOUR_MS, _MOULD_HOLD_HOURS) if stepped >= 0 else 0.0
    state = mould_step(state, air["temperature"], air["humidity"], hours)
    return (*state, float(at), *kept), state.value


def _pairs(memory: Memory) -> list[tuple[float, float]]:
    return list(zip(memory[::2], memory[1::2], strict=True))


def _flat(points: Sequence[tuple[float, float]]) -> Memory:
    return tuple(number for point in points for number in point)
