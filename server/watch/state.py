"""The watch's memory: what it must know to judge a sample without asking the database."""

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from alarms.grouping import Flood
from alarms.lifecycle import INITIAL, AlarmState, Tick
from alarms.model import Level, Rung
from alarms.rules import Rule, RuleSet
from contract.sample import PointKey, Quality
from server.settings import WatchSettings
from server.store import journal
from server.store.tables import Gateway, Point
from server.watch.builtin import builtin
from server.watch.commands import CONDITIONS
from server.watch.spools import Mark

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
    points: list[int] = field(default_factory=list)
    coverage: str = ""
    coverage_missing: tuple[str, ...] = ()
    coverage_since: int = 0
    coverage_cause: str = ""
    span: int | None = None
    span_counted: bool = True
    manual_until: int | None = None
    rules: tuple[Rule, ...] = ()
    stage: str = "in_use"
    next_change: int | None = None
    """When the coverage turns by itself if nothing comes, as far as known; never later than it really does."""

    @property
    def subject(self) -> str:
        """Alarm subject."""
        return f"room:{self.code}"

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
    grace_until: int = 0
    """After its gateway has come back the point has until then to report again."""
    subject: str = field(init=False)

    def __post_init__(self) -> None:
        self.subject = f"point:{self.id}"

    def loud(self) -> None:
        """Something about its rules or their states has changed: the next sample goes to the core."""
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
    group: str = ""

    def strange(self, group: str) -> bool:
        """Whether a message under that group is not this gateway's: its name alone proves nothing."""
        return bool(group and self.group and self.unit is not None and group != self.group)

    @property
    def subject(self) -> str:
        """Alarm subject."""
        return f"gateway:{self.code}"


@dataclass(slots=True)
class Memory:
    """The pure core's state of one alarm and the row it stands for."""

    state: AlarmState = INITIAL
    alarm: int | None = None


def condition_rule(name: str) -> Rule:
    """The rule of an external condition (commands.Condition): its value is the level, 0 when it does not hold, so that one alarm climbs, falls
    and clears as any other."""
    return Rule(name, "state", "", tuple(Rung(level, "above", level - 0.5) for level in Level))


@dataclass(slots=True)
class LateState:
    """A machine of the late lane: its state, the instant of its newest sample, and the record that it has led to."""

    state: AlarmState = INITIAL
    last: int = 0
    alarm: int | None = None


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


class World:
    """Units, rooms, gateways, points and alarm states in memory. Belongs to the writer thread."""

    def __init__(self, rules: RuleSet, settings: WatchSettings) -> None:
        self.rule_set, self.settings = rules, settings
        self.builtin: Mapping[str, Rule] = builtin(settings)
        self.by_name = {rule.name: rule for rule in rules.rules}
        self.units: dict[str, tuple[str, ...]] = {}
        self.unit_names: dict[str, str] = {}
        self.rooms: dict[str, RoomInfo] = {}
        self.gateways: dict[str, GatewayInfo] = {}
        self.points: dict[int, PointInfo] = {}
        self.by_key: dict[PointKey, PointInfo] = {}
        self.memory: dict[Key, Memory] = {}
        self.lazy: dict[Key, Memory] = {}
        self.writing: dict[Key, Memory] = {}
        self.lazy_written_at = 0
        self.marks: dict[tuple[str, int], Mark] = {}
        self.late: dict[Key, LateState] = {}
        self.comings: dict[Key, list[int]] = {}
        self.foldable: dict[int, Foldable] = {}
        self.groups: dict[int, GroupInfo] = {}
        self.floods: dict[str, Flood] = {}
        self.chronic: list[tuple[int, Key]] = []
        self.lost: dict[str, frozenset[int]] = {}
        self.hushed: set[int] = set()
        self.outages: list[tuple[int, int]] = []
        self.pulse_at = 0
        self.timers = Timers()
        self.deadlines: list[tuple[int, int]] = []
        self.room_changes: list[tuple[int, str]] = []
        self.started_at = 0
        self.absent_at = 0

    # -- building ---------------------------------------------------------------------------------------------------------------------

    def add_point(self, row: Point) -> PointInfo:
        """Register or refresh a point from its row."""
        key = PointKey(row.gateway, row.device, row.quantity, row.channel)
        info = self.by_key.get(key)
        if info is None:
            info = PointInfo(
                row.id, key, row.room, row.interval_ms, 0, last_at=row.last_at or 0, last_usable_at=row.last_at or 0, since=row.created_at
            )
            self.points[row.id] = self.by_key[key] = info
            if (gateway := self.gateways.get(row.gateway)) is not None:
                gateway.points.append(row.id)
        elif info.room is not None and info.room in self.rooms and row.id in self.rooms[info.room].points:
            self.rooms[info.room].points.remove(row.id)
        info.room, info.interval_ms, info.deadline_ms = row.room, row.interval_ms, self.deadline_of(row.interval_ms)
        info.rules = ()
        info.loud()
        if (room := self.rooms.get(row.room or "")) is not None:
            room.points.append(row.id)
            info.rules = self.point_rules(info, room)
        return info

    def point_rules(self, point: PointInfo, room: RoomInfo) -> tuple[Rule, ...]:
        """The rules of a point in a room; a room that is not connected has none."""
        return self._rules_in(point, room) if room.connected else ()

    def _rules_in(self, point: PointInfo, room: RoomInfo) -> tuple[Rule, ...]:
        rules = self.rule_set.for_point(point.key.quantity, room.medium, room.path, room.code)
        # An outdoor sensor that a room owns is watched for silence; the room's limits are not meant for the weather.
        return tuple(rule for rule in rules if rule.kind == "stale") if "outdoor" in (point.key.channel, point.key.device) else rules

    def deadline_of(self, interval_ms: int | None) -> int:
        """How long a point may be silent, in ms."""
        return self.settings.allowed_ms(interval_ms)

    def rule(self, key: Key) -> Rule | None:
        """The rule behind an alarm key, as it applies to its subject; None when it was taken away."""
        kind, _, ident = key.subject.partition(":")
        candidates: Sequence[Rule] = ()
        if kind == "point" and (point := self.points.get(int(ident))) is not None:
            candidates = point.rules
            if not candidates and (home := self.rooms.get(point.room or "")) is not None:
                candidates = self._rules_in(point, home)
        elif kind == "room" and (room := self.rooms.get(ident)) is not None:
            candidates = room.rules
        elif kind == "gateway" and (gateway := self.gateways.get(ident)) is not None:
            candidates = gateway.rules
        if key.rule in CONDITIONS:
            return condition_rule(key.rule)
        if key.rule.endswith(DRILL_SUFFIX):
            real = next((rule for rule in candidates if rule.name == key.rule.removesuffix(DRILL_SUFFIX)), None)
            return None if real is None else drilled(real)
        return next((rule for rule in candidates if rule.name == key.rule), self.builtin.get(key.rule))

    def loud(self, key: Key) -> None:
        """A state has changed: the points that feed it are no longer quiet."""
        kind, _, ident = key.subject.partition(":")
        if kind == "point" and (point := self.points.get(int(ident))) is not None:
            point.loud()
        elif kind == "room" and key.rule not in self.builtin and (room := self.rooms.get(ident)) is not None:
            rule = self.rule(key)
            for number in room.points:
                if rule is None or rule.wants(self.points[number].key.quantity):
                    self.points[number].loud()

    def watch_deadline(self, point: PointInfo) -> None:
        """Have the point's silence looked at when its deadline passes."""
        heapq.heappush(self.deadlines, (self.silent_from(point), point.id))

    def silent_from(self, point: PointInfo) -> int:
        """The instant from which the point counts as silent.

        Time in which the server did not listen does not count, a restart gives everybody the hold-off to report again, and so does the return
        of its gateway.
        """
        heard = point.last_usable_at or point.since
        deaf = sum(ended - max(began, heard) for began, ended in self.outages if ended > heard)
        return max(heard + point.deadline_ms + deaf, self.started_at + int(self.settings.restart_holdoff_s * 1000), point.grace_until)

    def tick(self, point: PointInfo, now: int) -> Tick:
        """Time passes for a point: the pure core wants to know until when its last usable sample counts."""
        deadline = self.silent_from(point) if point.silent else point.last_usable_at + point.deadline_ms
        return Tick(fresh=deadline > now, deadline=deadline)


def gateway_info(world: World, row: Gateway) -> GatewayInfo:
    """The memory of one gateway."""
    path = world.units.get(row.unit or "", ())
    rules = world.rule_set.for_gateway(path) if path else ()
    info = GatewayInfo(row.code, row.unit, path, row.online, row.acknowledges, row.changed_at, row.last_seen_at, row.last_seen_at, rules)
    info.group = row.group_id
    return info
