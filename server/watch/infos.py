"""What the watch remembers of one room, point, gateway, alarm or group, and the due instants of alarms. World (state.py) holds them all."""

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from alarms.lifecycle import INITIAL, AlarmState
from alarms.model import Level, Rung
from alarms.quiet import Quiet
from alarms.rules import Rule
from contract.sample import PointKey, Quality
from server.store import journal

GOOD = journal.QUALITIES.index(Quality.GOOD)
UNCERTAIN = journal.QUALITIES.index(Quality.UNCERTAIN)
UNCONNECTED = ("not_connected", "retired")
"""Stages of a room in which nothing is expected of it."""


DRILL_SUFFIX = "~drill"
"""Ends the rule name of a drill's alarm: a drill has a machine of its own beside that of the real rule."""


def drilled(rule: Rule) -> Rule:
    """The rule as a drill judges it: the limits of the real one, no delays, no latch, no re-alarm. A drill tests the chain, not the patience."""
    ladder = tuple(replace(rung, on_delay_ms=0) for rung in rule.ladder)
    return replace(rule, name=f"{rule.name}{DRILL_SUFFIX}", ladder=ladder, off_delay_ms=0, latch=False, re_alarm_ms=None)


class Key(NamedTuple):
    """What an alarm is unique by."""

    subject: str
    rule: str


@dataclass(slots=True)
class RoomInfo:
    """A room and the open stretch of its coverage."""

    code: str
    unit: str
    path: tuple[str, ...]
    medium: str
    demanded: tuple[str, ...]
    maintenance_until: int | None
    """Until when work in it is under way; None = none is."""
    next_work: tuple[int, int] | None = None
    """From when until when the next announced work is."""
    points: list[int] = field(default_factory=list)
    coverage: str = ""
    coverage_missing: tuple[str, ...] = ()
    coverage_since: int = 0
    coverage_cause: str = ""
    open: bool = False
    """Whether a stretch of its coverage is open in the database."""
    span_counted: bool = True
    manual_until: int | None = None
    rules: tuple[Rule, ...] = ()
    stage: str = "in_use"
    next_change: int | None = None
    """When the coverage turns by itself if nothing comes, as far as known; never later than it really does."""
    watched_since: int | None = None
    """When its sensors were first heard; read from the ledger where it is asked for."""

    @property
    def subject(self) -> str:
        """Alarm subject."""
        return f"room:{self.code}"

    def planned(self, at: int) -> bool:
        """Whether people work in it at an instant, by what was said beforehand."""
        under_way = self.maintenance_until is not None and at < self.maintenance_until
        return under_way or (self.next_work is not None and self.next_work[0] <= at < self.next_work[1])

    def work_turns(self) -> Iterator[int]:
        """The instants at which `planned` turns."""
        if self.maintenance_until is not None:
            yield self.maintenance_until
        yield from self.next_work or ()

    @property
    def connected(self) -> bool:
        """Whether anything is expected of the room: it has a ledger and alarms."""
        return self.stage not in UNCONNECTED

    @property
    def counted(self) -> bool:
        """Whether the room enters percentages."""
        return self.stage == "in_use"


@dataclass(slots=True)
class PointInfo:
    """A point with its newest sample; instants are on the alarm axis (sender's clock corrected, never later than receipt)."""

    id: int
    key: PointKey
    room: str | None
    interval_ms: int | None
    deadline_ms: int
    rules: tuple[Rule, ...] = ()
    last_at: int = 0
    last_good_at: int = 0
    last_usable_at: int = 0
    value: float | None = None
    quality: int = 0
    reason: str = ""
    taken_at: int = 0
    received_at: int = 0
    silent: bool = False
    since: int = 0
    """When the server learnt of the point."""
    low: float = math.inf
    high: float = -math.inf
    until: float = -math.inf
    """A usable live sample with `low` <= value <= `high` before `until` changes no alarm (alarms/quiet.py); nothing is quiet until that is known."""
    restless: tuple[tuple[str, Rule], ...] = ()
    """(subject, rule) of those for which nothing can be said: they see every sample."""
    bands: dict[str, Quiet] = field(default_factory=dict)
    """What of it is due to which rule, by name, of the point or of its room: one that is quiet need not see what another waits for."""
    grace_until: int = 0
    """After its gateway has come back the point has until then to report again."""
    grace_left: int = 0
    """What was left of that when the gateway went again: a link that falls ever so often does not renew it."""
    subject: str = field(init=False)

    def __post_init__(self) -> None:
        self.subject = f"point:{self.id}"

    def loud(self, rule: str = "") -> None:
        """Something about its rules or their states has changed, or its silence was noted: the next sample goes to the core. `rule`: to that
        alone."""
        if rule:
            self.bands.pop(rule, None)
        else:
            self.bands.clear()
        self.until = -math.inf


@dataclass(slots=True)
class GatewayInfo:
    """A gateway as the watch sees it; `unit` None = nobody has claimed it."""

    code: str
    unit: str | None
    path: tuple[str, ...]
    online: bool
    acknowledges: bool
    changed_at: int
    last_seen_at: int
    saved_seen_at: int
    rules: tuple[Rule, ...] = ()
    points: list[int] = field(default_factory=list)
    missed: bool = False
    """Its absence has been judged since it was last heard (or since the server started)."""
    falls: tuple[int, ...] = ()
    """Its last deaths, for telling a link that flaps."""
    steady_at: int | None = None
    """A flapping link counts as back from here on, if it holds."""
    named: dict[str, str] | None = None
    """Rooms by metric that its last birth named otherwise than they are here; None = not looked up since the start."""
    group: str = ""

    def strange(self, group: str) -> bool:
        """Whether a message under that group is not this gateway's: its name alone proves nothing."""
        return bool(group and self.group and self.unit is not None and group != self.group)

    @property
    def subject(self) -> str:
        """Alarm subject."""
        return f"gateway:{self.code}"


def evaluator(rule: Rule) -> str:
    """Whose readings the memory of a rule's evaluator are: those of another kind, or of other inputs, mean something else."""
    return f"{rule.kind} {rule.quantity} {','.join(rule.inputs)}"


@dataclass(slots=True)
class Memory:
    """The pure core's state of one alarm and the row it stands for. `of`: the evaluator whose readings the state remembers, "" where it has none."""

    state: AlarmState = INITIAL
    alarm: int | None = None
    of: str = ""

    def to_dict(self) -> dict[str, Any]:
        """What the database keeps of it beside its alarm."""
        return self.state.to_dict() | ({"of": self.of} if self.of else {})

    @classmethod
    def stored_as(cls, body: Mapping[str, Any], alarm: int | None) -> "Memory":
        """The reverse."""
        return cls(AlarmState.from_dict(body), alarm, body.get("of", ""))


def condition_rule(name: str) -> Rule:
    """The rule of an external condition (commands.Condition): its value is the level, 0 when it does not hold, so that one alarm climbs, falls
    and clears as any other."""
    return Rule(name, "state", "", tuple(Rung(level, "above", level - 0.5) for level in Level))


LATE_CALM_MS = 60_000
"""So long after the newest late sample of a breach nothing more is expected to come of it: what is only listed is listed then."""


@dataclass(slots=True)
class LateState:
    """A machine of the late lane: its state, the instant of its newest sample, and the record that it has led to.

    `ahead`: since when news that came ahead of older samples says that the condition holds. `met`: the live alarm that it is known to be the
    beginning of. `worst`: the highest level of what is to be listed and is not yet known to be over. `stored`: whether the database has it.
    `of`: as for Memory.
    """

    state: AlarmState = INITIAL
    last: int = 0
    alarm: int | None = None
    ahead: int | None = None
    met: int | None = None
    worst: Level | None = None
    stored: bool = False
    of: str = ""

    def to_dict(self) -> dict[str, Any]:
        """What the database keeps of it beside its alarm and its instant."""
        worst = {} if self.worst is None else {"worst": int(self.worst)}
        return self.state.to_dict() | worst | ({"of": self.of} if self.of else {})

    @classmethod
    def stored_as(cls, body: Mapping[str, Any], last: int, alarm: int | None) -> "LateState":
        """The reverse."""
        worst = body.get("worst")
        known = AlarmState.from_dict(body)
        return cls(known, last, alarm, worst=None if worst is None else Level(worst), stored=True, of=body.get("of", ""))


@dataclass(slots=True)
class Foldable:
    """An active alarm that may have a common cause with others. `group` is the group it belongs to; a `released` one starts no new group."""

    alarm: int
    key: Key
    cause: str
    rooms: tuple[str, ...]
    path: tuple[str, ...]
    raised_at: int
    level: Level
    group: int | None = None
    released: bool = False


@dataclass(slots=True)
class GroupInfo:
    """An active group: `alarm` and `key` of its own alarm, the cause, the widest unit it may grow to, its present unit."""

    id: int
    alarm: int
    key: Key
    cause: str
    scope: str
    path: tuple[str, ...]
    joined_at: int
    members: set[int] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    """Units whose desk has heard of it."""


class Timers:
    """Due instants in a heap; an entry that no longer holds is dropped by its owner when it comes up."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, Key]] = []
        self._due: dict[Key, int] = {}

    def set(self, key: Key, due: int | None) -> None:
        """Replace the due instant of one alarm; None takes it away."""
        if due is None:
            self._due.pop(key, None)
        elif self._due.get(key) != due:
            self._due[key] = due
            heapq.heappush(self._heap, (due, key))

    def pop(self, now: int) -> Iterable[tuple[int, Key]]:
        """All instants up to and including now, in order of time."""
        while self._heap and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                yield due, key
