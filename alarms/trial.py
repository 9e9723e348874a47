"""A rule set on trial: what is judged beside the rules in force, and how the two are compared. Pure; reads and writes nothing.

Left out on both sides are the rules of silence and of gateways: whether a sensor counts as silent depends on its gateway's deaths and on restarts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from alarms.kinds import KINDS
from alarms.lifecycle import INITIAL, AlarmState, Change
from alarms.model import Level, Rule, RuleSet
from alarms.replay import Reading, Track, Walk

RAISES, ENDS = ("raised", "re_raised"), ("cleared", "latched")


class Occurrence(NamedTuple):
    """One time that a rule held: its worst level, from when to when (None: it still holds)."""

    subject: str
    rule: str
    room: str
    level: Level
    raised_at: int
    cleared_at: int | None


def occurrences(subject: str, rule: str, room: str, changes: Iterable[tuple[str, int, Level]]) -> Iterator[Occurrence]:
    """From the transitions (name, instant, level) of one subject and rule, in order."""
    running: Occurrence | None = None
    for name, at, level in changes:
        if name in RAISES:
            if running is not None:
                yield running
            running = Occurrence(subject, rule, room, level, at, None)
        elif running is not None and name == "escalated":
            running = running._replace(level=max(running.level, level))
        elif running is not None and name in ENDS:
            yield running._replace(cleared_at=at)
            running = None
    if running is not None:
        yield running


class Difference(NamedTuple):
    """An alarm of one side only, or one that the two give different levels."""

    now: Occurrence | None
    trial: Occurrence | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Alarms by rule (in force, on trial) and those that differ, in the order of time."""

    rules: Mapping[str, tuple[int, int]]
    differences: tuple[Difference, ...]


def compare(now: Sequence[Occurrence], trial: Sequence[Occurrence]) -> Comparison:
    """The same alarm is one of the same subject and rule whose times overlap."""
    counts = {
        rule: (mine, theirs)
        for old, new in [(Counter(one.rule for one in now), Counter(one.rule for one in trial))]
        for rule in sorted({*old, *new})
        for mine, theirs in [(old[rule], new[rule])]
    }
    left: dict[tuple[str, str], list[Occurrence]] = {}
    for one in sorted(trial, key=lambda one: one.raised_at):
        left.setdefault((one.subject, one.rule), []).append(one)
    found = []
    for one in sorted(now, key=lambda one: one.raised_at):
        others = left.get((one.subject, one.rule), [])
        match = next((other for other in others if _overlap(one, other)), None)
        if match is not None:
            others.remove(match)
        if match is None or match.level != one.level:
            found.append(Difference(one, match))
    found += [Difference(None, other) for others in left.values() for other in others]
    return Comparison(counts, tuple(sorted(found, key=_when)))


def _overlap(one: Occurrence, other: Occurrence) -> bool:
    return (other.cleared_at is None or one.raised_at <= other.cleared_at) and (one.cleared_at is None or other.raised_at <= one.cleared_at)


def _when(difference: Difference) -> int:
    one = difference.now or difference.trial
    return one.raised_at if one is not None else 0


@dataclass(slots=True)
class _Subject:
    """One rule on one subject: its machine and where it stands."""

    key: str
    subject: str
    room: str
    way: Walk


class Outcome(NamedTuple):
    """A change that the rule set on trial would have made."""

    subject: str
    rule: str
    room: str
    change: Change


@dataclass(slots=True)
class Trial:
    """The machines of a rule set in some rooms. `newest` is the instant of each point's newest sample, `usable` that of its newest usable one."""

    start: int
    newest: dict[int, int] = field(default_factory=dict)
    usable: dict[int, int] = field(default_factory=dict)
    states: dict[str, AlarmState] = field(default_factory=dict)
    _of_point: dict[int, tuple[Track, list[_Subject]]] = field(default_factory=dict)
    _all: list[_Subject] = field(default_factory=list)

    def furnish(self, rules: RuleSet, rooms: Iterable[tuple[str, str, tuple[str, ...], Sequence[tuple[int, str, int]]]]) -> None:
        """Build the machines anew for rules or rooms that have changed; states go on by subject and rule. A room: code, medium, path, points."""
        self._keep()
        self._of_point, self._all = {}, []
        for room, medium, path, points in rooms:
            for ident, quantity, allowed in points:
                track = Track(ident, quantity, allowed, (), self.usable.get(ident, self.start))
                self._of_point[ident] = (track, [])
                for rule in rules.for_point(quantity, medium, path, room):
                    self._add(f"point:{ident}", room, rule, [track])
            for rule in rules.for_room(medium, path, room):
                fed = [self._of_point[ident][0] for ident, quantity, _ in points if rule.wants(quantity)]
                if fed and {track.quantity for track in fed} >= set(rule.inputs):
                    self._add(f"room:{room}", room, rule, fed)

    def _add(self, subject: str, room: str, rule: Rule, tracks: Sequence[Track]) -> None:
        if KINDS[rule.kind].silent:
            return
        key = f"{subject}|{rule.name}"
        one = _Subject(key, subject, room, Walk(rule, tracks, self.states.get(key, INITIAL)))
        self._all.append(one)
        for track in tracks:
            self._of_point[track.number][1].append(one)

    def knows(self, point: int) -> bool:
        """Whether a point is in one of the rooms."""
        return point in self._of_point

    def see(self, point: int, at: int, value: float | None) -> list[Outcome]:
        """One sample; one that is not newer than the newest of its point says nothing about now."""
        if at <= self.newest.get(point, self.start - 1):
            return []
        self.newest[point] = at
        track, subjects = self._of_point[point]
        last = track.last
        for one in subjects:
            track.last = last  # every machine judges the silence before this sample for itself
            one.way.see(track, Reading(at, value))
        if value is not None:
            self.usable[point] = at
        return self._out(subjects)

    def settle(self, now: int) -> list[Outcome]:
        """Let time pass for every alarm that has a delay running or is open."""
        waiting = [one for one in self._all if one.way.state is not INITIAL]
        for one in waiting:
            one.way.settle(now)
        return self._out(waiting)

    def remembered(self) -> dict[str, Any]:
        """Everything that must survive a restart, JSON-ready."""
        self._keep()
        states = {key: state.to_dict() for key, state in self.states.items() if state != INITIAL}
        return {"start": self.start, "newest": list(self.newest.items()), "usable": list(self.usable.items()), "states": states}

    @classmethod
    def recalled(cls, body: Mapping[str, Any], start: int) -> "Trial":
        """The reverse of `remembered`; an empty body is a trial that has just begun."""
        made = cls(int(body.get("start", start)))
        made.newest, made.usable = ({int(a): int(b) for a, b in body.get(name, ())} for name in ("newest", "usable"))
        made.states = {key: AlarmState.from_dict(state) for key, state in body.get("states", {}).items()}
        return made

    def _keep(self) -> None:
        for one in self._all:
            self.states[one.key] = one.way.state

    @staticmethod
    def _out(subjects: Iterable[_Subject]) -> list[Outcome]:
        found = []
        for one in subjects:
            found += [Outcome(one.subject, one.way.rule.name, one.room, change) for change in one.way.changes]
            one.way.changes.clear()
        return found
