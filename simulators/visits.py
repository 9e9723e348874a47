"""Who enters an archive room and when its door is open: seeded, a pure function of (seed, room, local day).

Working days only, 08-18 local time (UTC+8). Opening pulses are lognormal (median 8 s, 95 % below 40 s); about 2 % of visits leave the door open for
2-20 minutes; 5 % of closings bounce once. Public holidays are not modelled: a Monday is a working day.
"""

import random
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from simulators.noise import Floats

HOUR = 3_600_000
DAY = 24 * HOUR
_ZONE = 8 * HOUR
_PULSE_SIGMA = 0.978  # ln(40/8) / 1.645


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit, UTC ms: from entering to leaving, and the spans [opened, closed) of the door."""

    enter: int
    leave: int
    openings: tuple[tuple[int, int], ...]


def local_day(t_ms: int) -> int:
    """Days since the epoch, counted at local midnights."""
    return (t_ms + _ZONE) // DAY


def working_hours(t_ms: int) -> bool:
    """Monday to Friday, 08:00-18:00 local."""
    day = local_day(t_ms)
    return _working(day) and 8 * HOUR <= (t_ms + _ZONE) % DAY < 18 * HOUR


def _working(day: int) -> bool:
    return (day + 3) % 7 < 5  # 1 January 1970 was a Thursday


@lru_cache(maxsize=16384)
def of_day(seed: int, room: str, day: int, mean: float) -> tuple[Visit, ...]:
    """The visits of one room on one local day, in order and never overlapping; `mean` visits on a working day, six at most."""
    if not _working(day):
        return ()
    rng = random.Random(f"{seed}/visits/{room}/{day}")
    count = min(sum(rng.random() < mean / 12 for _ in range(12)), 6)
    morning = day * DAY - _ZONE + 8 * HOUR
    starts = sorted(morning + int(rng.random() * 9.5 * HOUR) for _ in range(count))
    visits: list[Visit] = []
    for start in starts:
        if not visits or start > visits[-1].leave:
            visits.append(_visit(rng, start))
    return tuple(visits)


def _visit(rng: random.Random, enter: int) -> Visit:
    stay = int(min(max(rng.lognormvariate(5.9, 0.8), 20), 5400) * 1000)  # median 6 min, 20 s to 90 min
    pulse = int(min(rng.lognormvariate(2.079, _PULSE_SIGMA), 120) * 1000)  # median 8 s
    if rng.random() < 0.02:
        pulse = int(rng.uniform(120, 1200) * 1000)
    stay = max(stay, pulse + 5000)
    leaving = int(min(rng.lognormvariate(2.079, _PULSE_SIGMA), 120) * 1000)
    openings = [(enter, enter + pulse), (enter + stay, enter + stay + leaving)]
    if rng.random() < 0.05:
        closed = openings[-1][1] + rng.randint(50, 400)
        openings.append((closed, closed + rng.randint(50, 400)))
    return Visit(enter, openings[-1][1], tuple(openings))


def current(seed: int, room: str, t_ms: int, mean: float) -> Visit | None:
    """The visit that is going on, None when nobody is in."""
    return next((v for v in of_day(seed, room, local_day(t_ms), mean) if v.enter <= t_ms < v.leave), None)


def door_open(seed: int, room: str, t_ms: int, mean: float) -> bool:
    """Whether the door is open in the course of a visit."""
    visit = current(seed, room, t_ms, mean)
    return visit is not None and any(a <= t_ms < b for a, b in visit.openings)


def shares(seed: int, room: str, start_ms: int, step_ms: int, count: int, mean: float) -> tuple[Floats, Floats]:
    """For `count` steps from `start_ms`: the share of each step with the door open, and with a person inside."""
    opened, inside = np.zeros(count), np.zeros(count)
    end = start_ms + step_ms * count
    for day in range(local_day(start_ms), local_day(end - 1) + 1):
        for visit in of_day(seed, room, day, mean):
            _spread(inside, start_ms, step_ms, visit.enter, visit.leave)
            for a, b in visit.openings:
                _spread(opened, start_ms, step_ms, a, b)
    return opened, inside


def _spread(into: Floats, start_ms: int, step_ms: int, a: int, b: int) -> None:
    """Add the part of each step that the span [a, b) covers."""
    first, last = max((a - start_ms) // step_ms, 0), min((b - 1 - start_ms) // step_ms, len(into) - 1)
    for step in range(first, last + 1):
        left = start_ms + step * step_ms
        into[step] += (min(b, left + step_ms) - max(a, left)) / step_ms
