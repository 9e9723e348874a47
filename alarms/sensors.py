"""Rule kinds over several sensors of one quantity, and over the trust in one sensor: deviation, voting, implausible, step.

Evaluators as in conditions.py; `source` tells the sensors apart.
"""

import math
from statistics import median

from alarms.conditions import NO_LIMIT, Inputs, Judged, Memory, Options, Still, next_look

BAD_READING = math.inf
"""What an evaluator that judges quality gets for an unusable reading."""
_MOST = 10.0


def deviation(options: Options, memory: Memory, at: int, _quantity: str, value: float, source: int = 0) -> Judged:
    """How far the farthest sensor stands from the set point `around`, or, without one, from the median of all the room's sensors.

    Each sensor counts once each `every` and for `within`; two sensors can only be compared with each other, one alone not at all.
    Memory: (source, instant, value) per sensor.
    """
    known = {memory[i]: (memory[i + 1], memory[i + 2]) for i in range(0, len(memory), 3)}
    if source in known and at < next_look(known[source][0], float(options["every"]), source):
        return memory, None
    known[source] = (float(at), value)
    fresh = {who: seen for who, seen in known.items() if at - seen[0] <= float(options["within"])}
    values = [reading for _, reading in fresh.values()]
    around = float(options["around"])
    memory = tuple(number for who, seen in sorted(fresh.items()) for number in (float(who), *seen))
    if around == NO_LIMIT and len(values) < 2:
        return memory, None
    if around == NO_LIMIT and len(values) == 2:
        return memory, abs(values[0] - values[1])
    centre = median(values) if around == NO_LIMIT else around
    return memory, max(abs(reading - centre) for reading in values)


def compared(memory: Memory) -> Memory:
    """The sensors that a deviation's memory speaks of."""
    return memory[::3]


def deviation_still(options: Options, memory: Memory, _inputs: Inputs, _quantity: str, source: int) -> Still | None:
    """Readings of a sensor that come too early are not looked at."""
    known = next((memory[i + 1] for i in range(0, len(memory), 3) if memory[i] == source), None)
    return None if known is None else Still(until=next_look(known, float(options["every"]), source))


def voting(options: Options, memory: Memory, _at: int, _quantity: str, value: float, source: int = 0) -> Judged:
    """How many sensors are at or beyond `least` now: the first one raises, each further one may raise the level, so nothing waits for a second.

    A vote ends by the sensor's own reading alone: silence takes nothing back. Memory: the sources that vote.
    """
    votes, voted = value >= float(options["least"]), source in memory
    if votes == voted:
        return memory, float(len(memory))
    memory = tuple(sorted((*memory, float(source)))) if votes else tuple(other for other in memory if other != source)
    return memory, float(len(memory))


def voters(memory: Memory) -> Memory:
    """The sensors that a vote's memory speaks of."""
    return memory


def voting_still(options: Options, memory: Memory, _inputs: Inputs, _quantity: str, source: int) -> Still | None:
    """Nothing moves while the sensor keeps its vote."""
    least = float(options["least"])
    return Still(least, math.inf, judged=len(memory)) if source in memory else Still(-math.inf, math.nextafter(least, -math.inf), judged=len(memory))


def implausible(options: Options, memory: Memory, _at: int, _quantity: str, value: float, _source: int = 0) -> Judged:
    """How many readings in a row were unusable or outside `low` … `high`; one good reading ends the row. Memory: the row, at most ten."""
    if float(options["low"]) <= value <= float(options["high"]):
        return (memory and ()), 0.0
    row = min((memory[0] if memory else 0.0) + 1, _MOST)
    return (memory if memory == (row,) else (row,)), row


def implausible_still(options: Options, memory: Memory, _inputs: Inputs, _quantity: str, _source: int) -> Still | None:
    """Nothing moves while readings are plausible."""
    return None if memory else Still(float(options["low"]), float(options["high"]), judged=0.0)


def step(options: Options, memory: Memory, at: int, _quantity: str, value: float, source: int = 0) -> Judged:
    """How far the reading has jumped from the one before. Of readings closer than `every` only the first is looked at; after a gap longer than
    `window` nothing is compared. Memory: instant and value.
    """
    if memory and at < next_look(memory[0], float(options["every"]), source):
        return memory, None
    if not memory or at - memory[0] > float(options["window"]):
        return (float(at), value), None
    return (float(at), value), abs(value - memory[1])


def step_still(options: Options, memory: Memory, _inputs: Inputs, _quantity: str, source: int) -> Still | None:
    """Readings that come too early are not looked at."""
    return Still(until=next_look(memory[0], float(options["every"]), source)) if memory else None
