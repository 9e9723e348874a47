"""Feeding the pure core: which memory an event meets, and to whom its outcome belongs. One instance per transaction."""

from alarms.lifecycle import INITIAL, Event, OutOfService, Step, Suppress, step
from alarms.model import ANY
from alarms.rules import Rule
from server.metrics import Metrics
from server.store.tables import Alarm
from server.watch.commit import Subject, Transaction
from server.watch.infos import GatewayInfo, Key, Memory, PointInfo, RoomInfo
from server.watch.state import World


def alone(rule: Rule, event: Event) -> bool:
    """Whether an inhibit of the program, or of one person, meets a rule that only two people may silence: it is left as it is."""
    return rule.two_persons and isinstance(event, Suppress | OutOfService) and not event.second


class Steps:
    """What every part of the judge needs: the lasting World, the open transaction and its instant, which goes on when something is let in."""

    def __init__(self, world: World, tx: Transaction, metrics: Metrics) -> None:
        self.world, self.tx, self.metrics = world, tx, metrics
        self.session = tx.session

    @property
    def now(self) -> int:
        """UTC ms."""
        return self.tx.now

    def point(self, point: PointInfo, rule: Rule, event: Event, at: int) -> Alarm | None:
        """One event for one rule of a point."""
        if alone(rule, event):
            return None
        key = Key(point.subject, rule.name)
        memory = self.world.memory.get(key)
        result = step(rule, memory.state if memory is not None else INITIAL, event, at)
        if memory is None and result.state is INITIAL and not result.transitions:
            return None  # nearly every sample ends here, before anything is looked up for it
        return self._keep(self.of_point(point, key), rule, memory, result)

    def room(self, room: RoomInfo, rule: Rule, event: Event, at: int) -> Alarm | None:
        """One event for one rule about the room as a whole."""
        return self.feed(_of_room(room, rule), rule, event, at)

    def gateway(self, gateway: GatewayInfo, rule: Rule, event: Event, at: int) -> Alarm | None:
        """One event for one rule of a gateway; one that nobody has claimed is not judged."""
        if gateway.unit is None:
            return None
        return self.feed(Subject(Key(gateway.subject, rule.name), gateway.unit, None, "gateway"), rule, event, at)

    def feed(self, subject: Subject, rule: Rule, event: Event, at: int) -> Alarm | None:
        """One event for whatever the subject is."""
        if alone(rule, event):
            return None
        memory = self.world.memory.get(subject.key)
        return self._keep(subject, rule, memory, step(rule, memory.state if memory is not None else INITIAL, event, at))

    def known(self, key: Key, event: Event) -> Alarm | None:
        """One event, now, for a rule of a point or a room by its key; None where either is no more."""
        kind, _, ident = key.subject.partition(":")
        rule = self.world.rule(key)
        if rule is not None and kind == "point" and (point := self.world.points.get(int(ident))) is not None:
            return self.point(point, rule, event, self.now)
        if rule is not None and kind == "room" and (room := self.world.rooms.get(ident)) is not None:
            return self.room(room, rule, event, self.now)
        return None

    def _keep(self, subject: Subject, rule: Rule, memory: Memory | None, result: Step) -> Alarm | None:
        if memory is None:
            if result.state is INITIAL and not result.transitions:
                return None
            memory = self.world.memory[subject.key] = Memory()
        return self.tx.apply(subject, rule, memory, result)

    def fed(self, point: PointInfo) -> list[tuple[str, Rule]]:
        """The rules that a sample of a point feeds, with their subjects: the point's own and its room's."""
        rules = [(point.subject, rule) for rule in point.rules]
        room = self.world.rooms.get(point.room or "")
        if room is not None:
            rules += [(room.subject, rule) for rule in room.rules if rule.wants(point.key.quantity)]
        return rules

    def of(self, key: Key, rule: Rule) -> Subject:
        """Whose alarm one of a known point or room is, by its key."""
        kind, _, ident = key.subject.partition(":")
        return self.of_point(self.world.points[int(ident)], key) if kind == "point" else _of_room(self.world.rooms[ident], rule)

    def subject(self, point: PointInfo, key: Key, rule: Rule) -> Subject:
        """Whose alarm one of these rules is."""
        return self.of_point(point, key) if key.subject == point.subject else _of_room(self.world.rooms[point.room or ""], rule)

    def of_point(self, point: PointInfo, key: Key) -> Subject:
        """Whose alarm it is: the room's unit, else the gateway's."""
        room = self.world.rooms.get(point.room or "")
        unit = room.unit if room is not None else self.world.gateways[point.key.gateway].unit
        assert unit is not None  # noqa: S101 - points of an unclaimed gateway are never judged
        return Subject(key, unit, point.room, point.key.quantity)


def _of_room(room: RoomInfo, rule: Rule) -> Subject:
    quantity = rule.inputs[0] if rule.inputs else "" if rule.quantity == ANY else rule.quantity
    return Subject(Key(room.subject, rule.name), room.unit, room.code, quantity)
