"""The vectorised screen before the alarm core (server only: it needs numpy). It sorts out the samples that cannot change any alarm.

A point's band is what is quiet for all its rules (quiet.py). `split` takes whole arrays of samples and names those that must go to the core;
the rest changes nothing, whatever the core would have been asked. From the first sample of a point that is not quiet, all its later ones of the
same call go to the core as well, because the core may move the band. Whoever steps a rule of a point sets its band anew.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from alarms.kinds import KINDS
from alarms.lifecycle import INITIAL, AlarmState, Change, Seen, advance, step
from alarms.model import Rule
from alarms.quiet import ALWAYS, NEVER, Quiet, quiet
from contract.sample import Quality

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Screen:
    """Bands and newest instants of `size` points, numbered from 0. A new point is never quiet until its band is set.

    `allowed_ms`: how long each point may be silent. With it the first sample after a longer silence always goes to the core, which a caller
    needs whose core learns of silence from the next sample; one that ticks its stale rules itself leaves it out.
    """

    def __init__(self, size: int, allowed_ms: Sequence[int] | None = None) -> None:
        self._low, self._high, self._until = np.full(size, math.inf), np.full(size, -math.inf), np.full(size, -math.inf)
        self._judges_bad = np.ones(size, bool)
        self._first = np.zeros(size, np.int64)
        self._allowed = None if allowed_ms is None else np.asarray(allowed_ms, np.int64)
        self.last_at, self.last_usable_at = np.full(size, -1, np.int64), np.full(size, -1, np.int64)

    def set(self, point: int, bands: Iterable[Quiet], judges_bad: bool = False) -> None:
        """Say what is quiet for the rules of a point; `judges_bad`: one of them judges unusable samples, which are quiet otherwise."""
        band = ALWAYS
        for other in bands:
            band = band.both(other)
        self._low[point], self._high[point], self._until[point] = band
        self._judges_bad[point] = judges_bad

    def took(self, point: int, at: int, usable: bool) -> None:
        """A sample of a point went through the core."""
        self.last_at[point] = max(at, int(self.last_at[point]))
        if usable:
            self.last_usable_at[point] = self.last_at[point]

    def split(self, points: Ints, at: Ints, values: Floats, usable: Flags) -> Ints:
        """The places of the samples that must go to the core, in order. `values` of unusable samples do not matter.

        A sample that is not newer than the newest of its point is never quiet. The newest instants take in the quiet samples.
        """
        within = (values >= self._low[points]) & (values <= self._high[points]) & (at < self._until[points])
        loud = np.where(usable, ~within, self._judges_bad[points]) | (at <= self.last_at[points])
        if self._allowed is not None:
            loud |= at > self.last_usable_at[points] + self._allowed[points]
        loud |= self._out_of_order(points, at)
        core = self._from_first_on(points, loud)
        calm = ~core
        self.last_at[points[calm]] = at[calm]
        heard = calm & usable
        self.last_usable_at[points[heard]] = at[heard]
        return np.flatnonzero(core)

    def _out_of_order(self, points: Ints, at: Ints) -> Flags:
        """Samples of this call that are not newer than the one before of the same point."""
        late = np.zeros(len(points), bool)
        places = np.arange(len(points))
        self._first[points] = places
        if (self._first[points] == places).all():
            return late  # no point twice: nothing to compare
        order = np.argsort(points, kind="stable")
        same = points[order][1:] == points[order][:-1]
        late[order[1:]] = same & (at[order][1:] <= at[order][:-1])
        return late

    def _from_first_on(self, points: Ints, loud: Flags) -> Flags:
        places = np.flatnonzero(loud)
        if not len(places):
            return loud
        self._first[points] = len(points)
        self._first[points[places[::-1]]] = places[::-1]  # of equal indices the last assignment stays: the first loud sample
        return np.arange(len(points)) >= self._first[points]


Report = Callable[[int, Rule, Change], None]


class ScreenedCore:
    """Screen and core together, for points with rules of their own: what a replay of long histories and the benchmark run.

    Silence is learned from the next sample, or from `settle`. `report(point, rule, change)` gets every transition.
    """

    def __init__(self, rules: Sequence[Sequence[Rule]], allowed_ms: Sequence[int], report: Report, start: int = 0) -> None:
        self.screen = Screen(len(rules), allowed_ms)
        self._rules, self._allowed, self._report = rules, allowed_ms, report
        self.states: list[list[AlarmState]] = [[INITIAL] * len(mine) for mine in rules]
        self._bands: list[list[Quiet]] = [[NEVER] * len(mine) for mine in rules]
        self._judges_bad = [any(KINDS[rule.kind].judges_bad for rule in mine) for mine in rules]
        self.screen.last_usable_at[:] = start
        self.steps = 0

    def feed(self, points: Ints, at: Ints, values: Floats, usable: Flags) -> None:
        """Samples in the order of time per point."""
        for place in self.screen.split(points, at, values, usable):
            self._one(int(points[place]), int(at[place]), float(values[place]), bool(usable[place]))

    def settle(self, until: int) -> None:
        """Let time pass for every point: what its timers and its silence come to before `until`."""
        for point, mine in enumerate(self._rules):
            for index, rule in enumerate(mine):
                self._advance(point, index, rule, until)
            self.screen.set(point, [NEVER], True)

    def _one(self, point: int, at: int, value: float, usable: bool) -> None:
        event = Seen(at, value if usable else None, Quality.GOOD if usable else Quality.BAD, source=point)
        bands, silent = self._bands[point], at > self.screen.last_usable_at[point] + self._allowed[point]
        for index, rule in enumerate(self._rules[point]):
            if not silent and (bands[index].holds(at, value) if usable else not KINDS[rule.kind].judges_bad):
                continue
            self.steps += 1
            if silent or not self.states[point][index].timeless:
                self._advance(point, index, rule, at)
            result = step(rule, self.states[point][index], event, at)
            self.states[point][index] = result.state
            for change in result.transitions:
                self._report(point, rule, change)
            if usable or KINDS[rule.kind].judges_bad:
                bands[index] = quiet(rule, result.state, value, source=point)
        self.screen.took(point, at, usable)
        self.screen.set(point, bands, self._judges_bad[point])

    def _advance(self, point: int, index: int, rule: Rule, until: int) -> None:
        deadline = int(self.screen.last_usable_at[point]) + self._allowed[point]
        result = advance(rule, self.states[point][index], until, deadline)
        self.states[point][index] = result.state
        for change in result.transitions:
            self._report(point, rule, change)
