"""One rule over recorded readings and commands: what back-tests, trials of rule sets and field cases run. Pure, and the core's own steps only.

Readings of a point come in the order of time. At one instant samples come first, then timers, then commands, as in rule-test files.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import merge
from typing import NamedTuple

from alarms.kinds import KINDS
from alarms.lifecycle import INITIAL, AlarmState, Change, Event, NotAllowedError, Seen, Step, Tick, advance, step
from alarms.model import Rule
from alarms.quiet import NEVER, Quiet, quiet
from contract.sample import Quality

_NEVER = 1 << 60


class Reading(NamedTuple):
    """One sample on the alarm's time axis; value None = unusable."""

    at: int
    value: float | None


@dataclass(slots=True)
class Track:
    """The readings of one point. `number` tells it apart from the others; it may be silent for `allowed_ms` after `last`, its last usable one.

    `absences`, for a rule about silence: the stretches [since, until) in which it counted as absent, from whatever that was known.
    """

    number: int
    quantity: str
    allowed_ms: int
    readings: Sequence[Reading]
    last: int = 0
    absences: Sequence[tuple[int, int]] | None = None

    @property
    def deadline(self) -> int:
        """Until when it counts as heard, UTC ms."""
        if self.absences is None:
            return self.last + self.allowed_ms
        return next((since for since, _ in self.absences if since >= self.last), _NEVER)


class Order(NamedTuple):
    """What a person or the system did to the alarm."""

    at: int
    event: Event


Entry = tuple[int, int, Track | None, Reading | Order]


def first_silence(deadlines: Sequence[tuple[str, int]]) -> int:
    """From the (quantity, deadline) of points: when the first quantity falls silent. One is heard while any of its points is, as in the watch."""
    if len(deadlines) == 1:
        return deadlines[0][1]
    heard: dict[str, int] = {}
    for quantity, deadline in deadlines:
        heard[quantity] = max(deadline, heard.get(quantity, deadline))
    return min(heard.values())


def _instant(entry: Entry) -> tuple[int, int]:
    """By time, samples before commands."""
    return entry[0], entry[1]


@dataclass(slots=True)
class Walk:
    """A rule on its way through its tracks: a point rule has one of them, a room rule one per point that feeds it."""

    rule: Rule
    tracks: Sequence[Track]
    state: AlarmState = INITIAL
    changes: list[Change] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    _bands: dict[int, Quiet] = field(default_factory=dict)

    @property
    def deadline(self) -> int:
        """When the first of its quantities falls silent."""
        return first_silence([(track.quantity, track.deadline) for track in self.tracks])

    def run(self, until: int, orders: Iterable[Order] = ()) -> None:
        """Go on up to `until` (included)."""
        samples: list[Entry] = [(reading.at, 0, track, reading) for track in self.tracks for reading in track.readings]
        commands: list[Entry] = [(order.at, 1, None, order) for order in orders]
        for at, _, track, what in merge(sorted(samples, key=_instant), commands, key=_instant):
            if at > until:
                break
            if isinstance(what, Order):
                self._order(what)
            elif track is not None:
                self.see(track, what)
        self.settle(until)

    def settle(self, until: int) -> None:
        """Let time pass."""
        self._take(step(self.rule, self.state, Tick(self.deadline >= until, self.deadline), until))

    def see(self, track: Track, reading: Reading) -> None:
        """One sample, with the timers before it. What is quiet (alarms/quiet.py) is not handed to the core."""
        at, value = reading
        usable = value is not None
        if at > self.deadline or not (self._bands.get(track.number, NEVER).holds(at, value) if value is not None else self._ignores_bad):
            self._take(advance(self.rule, self.state, at, self.deadline))
            event = Seen(at, value, Quality.GOOD if usable else Quality.BAD, track.quantity, track.number)
            self._take(step(self.rule, self.state, event, at))
            if value is not None:
                self._bands[track.number] = quiet(self.rule, self.state, value, track.quantity, track.number)
        if usable:
            track.last = at

    @property
    def _ignores_bad(self) -> bool:
        return not KINDS[self.rule.kind].judges_bad

    def _order(self, order: Order) -> None:
        self._take(step(self.rule, self.state, Tick(self.deadline >= order.at, self.deadline), order.at))
        try:
            self._take(step(self.rule, self.state, order.event, order.at))
        except NotAllowedError as error:
            self.refused.append((order.at, str(error)))

    def _take(self, result: Step) -> None:
        if result.state is not self.state:
            self._bands.clear()
        self.state = result.state
        self.changes += result.transitions


def walk(rule: Rule, tracks: Sequence[Track], until: int, orders: Iterable[Order] = ()) -> list[Change]:
    """Every transition of a rule up to `until`."""
    way = Walk(rule, tracks)
    way.run(until, orders)
    return way.changes
