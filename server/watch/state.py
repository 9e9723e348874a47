"""The watch's memory: what it must know to judge a sample without asking the database."""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from alarms.builtin import builtin
from alarms.delays import rewound
from alarms.grouping import Flood
from alarms.kinds import KINDS
from alarms.lifecycle import Tick, next_due
from alarms.rules import Rule, RuleSet
from contract.sample import PointKey
from server.settings import WatchSettings
from server.store.tables import Gateway, Point
from server.watch.commands import CONDITIONS
from server.watch.infos import (
    DRILL_SUFFIX,
    Foldable,
    GatewayInfo,
    GroupInfo,
    Key,
    LateState,
    Memory,
    PointInfo,
    RoomInfo,
    Timers,
    condition_rule,
    drilled,
    evaluator,
)
from server.watch.spools import Mark


class World:
    """Units, rooms, gateways, points and alarm states in memory. Belongs to the writer thread."""

    def __init__(self, rules: RuleSet, settings: WatchSettings) -> None:
        self.rule_set, self.settings = rules, settings
        self.builtin: Mapping[str, Rule] = builtin(settings.room_blind_ms, settings.room_blind_urgent_ms)
        self.by_name = {rule.name: rule for rule in rules.rules}
        self.units: dict[str, tuple[str, ...]] = {}
        self.unit_names: dict[str, str] = {}
        self.rooms: dict[str, RoomInfo] = {}
        self.gateways: dict[str, GatewayInfo] = {}
        self.points: dict[int, PointInfo] = {}
        self.by_metric: defaultdict[str, dict[str, PointInfo]] = defaultdict(dict)
        """The points of each gateway by their metrics, as messages name them."""
        self.memory: dict[Key, Memory] = {}
        self.lazy: dict[Key, Memory] = {}
        self.writing: dict[Key, Memory] = {}
        self.lazy_written_at = 0
        self.marks: dict[tuple[str, int], Mark] = {}
        self.late: dict[Key, LateState] = {}
        self.late_waiting: dict[Key, int] = {}
        """From when on what late samples have found is listed, if nothing more comes of it; the earliest first."""
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
        self.works: list[tuple[int, str]] = []
        self.started_at = 0
        self.absent_at = 0

    # -- building ---------------------------------------------------------------------------------------------------------------------

    def add_point(self, row: Point) -> PointInfo:
        """Register or refresh a point from its row."""
        key = PointKey(row.gateway, row.device, row.quantity, row.channel)
        info = self.by_metric[key.gateway].get(key.metric)
        if info is None:
            info = PointInfo(
                row.id, key, row.room, row.interval_ms, 0, last_at=row.last_at or 0, last_usable_at=row.last_at or 0, since=row.created_at
            )
            self.points[row.id] = self.by_metric[key.gateway][key.metric] = info
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

    def room_rules(self, room: RoomInfo) -> tuple[Rule, ...]:
        """The rules about a room as a whole; one that is not connected has none."""
        return self.rule_set.for_room(room.medium, room.path, room.code) if room.connected else ()

    def point_rules(self, point: PointInfo, room: RoomInfo) -> tuple[Rule, ...]:
        """The rules of a point in a room; a room that is not connected has none."""
        return self._rules_in(point, room) if room.connected else ()

    def _rules_in(self, point: PointInfo, room: RoomInfo) -> tuple[Rule, ...]:
        rules = self.rule_set.for_point(point.key.quantity, room.medium, room.path, room.code)
        # An outdoor sensor that a room owns is watched for silence; the room's limits are not meant for the weather. A name silences no smoke.
        outdoor = "outdoor" in (point.key.channel, point.key.device)
        return tuple(rule for rule in rules if not outdoor or rule.kind == "stale" or rule.two_persons)

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

    def rule_or_rest(self, key: Key) -> Rule:
        """The rule behind a key; of one that was taken away what its alarm still needs to be answered, shelved and closed."""
        return self.rule(key) or Rule(key.rule, "threshold", "", ())

    def fit(self, rooms: Iterable[RoomInfo]) -> None:
        """After other rules: what was remembered under a name that is another kind of rule by now, or has other inputs, is forgotten. Read as its own
        it would be nonsense to the evaluator, which would then fail at every sample of the gateway. So is what speaks of a sensor that has left the
        room while the rule did not hold there: nothing would ever take its vote back."""
        for room in rooms:
            points, here = [self.points[number] for number in room.points], set(room.points)
            for subject, rules in ((room.subject, room.rules), *((point.subject, point.rules) for point in points)):
                for key, rule in ((Key(subject, rule.name), rule) for rule in rules):
                    sources = KINDS[rule.kind].sources
                    for known in (self.memory.get(key), self.late.get(key)):
                        if known is None or not known.of:
                            continue
                        if known.of != evaluator(rule) or (sources is not None and not here.issuperset(sources(known.state.memory))):
                            known.state, known.of = known.state._replace(memory=()), ""

    def loud(self, key: Key) -> None:
        """A state has changed: the points that feed it are no longer quiet."""
        kind, _, ident = key.subject.partition(":")
        if kind == "point" and (point := self.points.get(int(ident))) is not None:
            point.loud(key.rule)
        elif kind == "room" and key.rule not in self.builtin and (room := self.rooms.get(ident)) is not None:
            rule = self.rule(key)
            for number in room.points:
                if rule is None or rule.wants(self.points[number].key.quantity):
                    self.points[number].loud(key.rule)

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

    def rewind(self, now: int, by: int) -> None:
        """The server's clock was ahead and has been put back `by` ms: nothing may wait until it is there again.

        Otherwise every sample would be older than the newest known one, and no silence would be noticed, for as long as the clock had been ahead.
        What was last heard is as old as before: a room that was blind does not become fresh by it.
        """
        self.started_at, self.absent_at = min(self.started_at, now), min(self.absent_at, now)
        self.pulse_at, self.lazy_written_at = min(self.pulse_at, now), min(self.lazy_written_at, now)
        self.outages = [(began - by, ended - by) for began, ended in self.outages]
        for gateway in self.gateways.values():
            gateway.last_seen_at, gateway.saved_seen_at = max(gateway.last_seen_at - by, 0), min(gateway.saved_seen_at, now)
            gateway.falls, gateway.steady_at = (), None if gateway.steady_at is None else now
        self.late_waiting = dict.fromkeys(self.late_waiting, now)
        for group in self.groups.values():
            group.joined_at = min(group.joined_at, now)
        for point in self.points.values():
            point.last_at, point.last_usable_at = max(point.last_at - by, 0), max(point.last_usable_at - by, 0)
            point.last_good_at, point.since = max(point.last_good_at - by, 0), min(point.since, now)
            point.grace_until = min(point.grace_until, now + point.deadline_ms)
            point.loud()
            self.watch_deadline(point)
        for room in self.rooms.values():
            room.next_change = now
            self.room_changes.append((now, room.code))
        heapq.heapify(self.room_changes)
        for key, memory in self.memory.items():
            memory.state = rewound(memory.state, now)
            rule = self.rule(key)
            self.timers.set(key, None if rule is None else next_due(rule, memory.state))

    def heard_until(self, room: RoomInfo, rule: Rule) -> int:
        """When the first of a room rule's inputs falls silent, UTC ms; one is heard while any of its sensors in the room is."""
        points = [self.points[ident] for ident in room.points]
        return min(
            (max((p.last_usable_at + p.deadline_ms for p in points if p.key.quantity == quantity), default=0) for quantity in rule.inputs), default=0
        )

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
