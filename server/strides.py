"""One rule over whole columns of recorded readings: what alarms/replay.py does sample by sample, leaping over the samples that change nothing.

Which these are says alarms/quiet.py; numpy only finds the next one that is not. The outcome is that of replay.walk, transition for transition.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from alarms.climate import HOUR_MS
from alarms.kinds import KINDS
from alarms.lifecycle import INITIAL, Change, Seen, Step, Tick, advance, step
from alarms.model import Rule
from alarms.quiet import NEVER, Quiet, quiet
from alarms.replay import first_silence
from contract.sample import Quality

_BLOCKS = (32, 1024, 1 << 62)
"""A look ahead begins short: often the next sample but a few is not quiet any more."""


@dataclass(slots=True)
class Column:
    """The readings of one point in the order of time, NaN = unusable. It may be silent for `allowed_ms` after each usable one, and after `start`."""

    number: int
    quantity: str
    allowed_ms: int
    at: NDArray[np.int64]
    values: NDArray[np.float64]
    start: int
    heard: NDArray[np.int64] = field(init=False)
    """Per place the last usable reading before it; one place more than there are readings."""
    breaks: NDArray[np.intp] = field(init=False)
    """Places of the readings that end a silence."""
    place: int = 0
    band: Quiet = NEVER

    def __post_init__(self) -> None:
        usable = np.where(np.isnan(self.values), self.start, self.at)
        self.heard = np.maximum.accumulate(np.concatenate(([self.start], usable)))
        self.breaks = np.flatnonzero(self.at > self.heard[:-1] + self.allowed_ms)

    def deadline(self, place: int) -> int:
        """Until when the point counts as heard, before the reading at a place."""
        return int(self.heard[place]) + self.allowed_ms

    def ahead(self, judges_bad: bool) -> int:
        """The next place, from its present one on, that the core must see; the number of readings when there is none."""
        low, high, until = self.band
        if until == -math.inf:
            return self.place
        cut = int(np.searchsorted(self.breaks, self.place))
        end = int(self.breaks[cut]) if cut < len(self.breaks) else len(self.at)
        if until < math.inf:
            end = min(end, int(np.searchsorted(self.at, math.ceil(until))))
        if low == -math.inf and high == math.inf and not judges_bad:
            return max(end, self.place)
        begin = self.place
        for size in _BLOCKS:
            part = self.values[begin : min(end, begin + size)]
            loud = (part < low) | (part > high) | (np.isnan(part) if judges_bad else False)
            if loud.any():
                return begin + int(loud.argmax())
            begin += len(part)
        return max(end, self.place)


class _Way:
    def __init__(self, rule: Rule, columns: Sequence[Column]) -> None:
        self.rule, self.columns, self.kind = rule, columns, KINDS[rule.kind]
        self.state, self.changes = INITIAL, list[Change]()

    def run(self, until: int) -> None:
        heads = [column.ahead(self.kind.judges_bad) for column in self.columns]
        while True:
            due = [(int(c.at[head]), index) for index, (c, head) in enumerate(zip(self.columns, heads, strict=True)) if head < len(c.at)]
            at, index = min(due, default=(until + 1, 0))
            if at > until:
                break
            before = self.state
            self.columns[index].place = heads[index]
            self._see(index, at)
            if self.state is not before:
                self._look_anew(index, at)
                heads = [column.ahead(self.kind.judges_bad) for column in self.columns]
            else:
                heads[index] = self.columns[index].ahead(self.kind.judges_bad)
        deadline = self._heard([int(np.searchsorted(column.at, until, "right")) for column in self.columns])
        self._take(step(self.rule, self.state, Tick(deadline >= until, deadline), until))

    def _see(self, index: int, at: int) -> None:
        column, before = self.columns[index], self.state
        value = float(column.values[column.place])
        if self.kind.silent or self.state.onsets or self.state.releases:
            self._take(advance(self.rule, self.state, at, self._deadline(index, at)))
        usable = not math.isnan(value)
        event = Seen(at, value if usable else None, Quality.GOOD if usable else Quality.BAD, column.quantity, column.number)
        self._take(step(self.rule, self.state, event, at))
        if usable:
            column.band = quiet(self.rule, self.state, value, column.quantity, column.number)
        elif self.state is not before:
            column.band = NEVER  # what the last usable value promised, it promised of the state before
        column.place += 1

    def _deadline(self, index: int, at: int) -> int:
        """When the first of the quantities falls silent, as known before this reading; of equal instants the earlier columns come first."""
        return self._heard([self._passed(other, index, at) for other in range(len(self.columns))])

    def _heard(self, places: Sequence[int]) -> int:
        found = [(column.quantity, column.deadline(place)) for column, place in zip(self.columns, places, strict=True)]
        return first_silence(found)

    def _passed(self, other: int, index: int, at: int) -> int:
        """How many readings of a column come before the one of column `index` at that instant."""
        return int(np.searchsorted(self.columns[other].at, at, "right" if other < index else "left"))

    def _look_anew(self, index: int, at: int) -> None:
        """The state has changed: what was quiet for the other points need not be any more from here on."""
        for other, column in enumerate(self.columns):
            if other != index:
                column.place = max(column.place, self._passed(other, index, at))
                column.band = NEVER

    def _take(self, result: Step) -> None:
        self.state = result.state
        self.changes += result.transitions


def _never_jumps(rule: Rule, column: Column) -> bool:
    """Whether no two neighbouring hours lie further apart than the least jump that the rule minds: then none of its looks can find one.

    It looks each minute, so a month of calm readings would cost as much as a restless one.
    """
    if rule.kind != "step" or float(rule.settings["window"]) > HOUR_MS or not len(column.at):
        return False
    begins = np.flatnonzero(np.diff(column.at // HOUR_MS, prepend=-1))
    high, low = np.fmax.reduceat(column.values, begins), np.fmin.reduceat(column.values, begins)
    spreads = np.fmax(high[1:], high[:-1]) - np.fmin(low[1:], low[:-1]) if len(high) > 1 else high - low
    return not bool((spreads > rule.ladder[0].limit).any())


def stride(rule: Rule, columns: Sequence[Column], until: int) -> list[Change]:
    """Every transition of a rule up to `until` (included). The columns are used up."""
    if _never_jumps(rule, columns[0]):
        return []
    way = _Way(rule, columns)
    way.run(until)
    return way.changes
