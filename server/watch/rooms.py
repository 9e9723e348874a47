"""What people say about a room: its stage, and reports from somebody who is there."""

from collections.abc import Callable

from sqlalchemy import insert, select, update

from alarms.builtin import ROOM_BLIND, SMOKE_LOST
from alarms.conditions import gather_still, without
from alarms.kinds import KINDS
from alarms.lifecycle import AskAgain, Event, OutOfService, ReturnToService, Tick
from alarms.rules import Rule
from server.org.vocabulary import quieter
from server.store.tables import Alarm, Room
from server.store.tables_incident import Incident
from server.store.tables_watch import RoomReport
from server.watch.facts import room_fact
from server.watch.infos import UNCONNECTED, Key, PointInfo, RoomInfo
from server.watch.ledger import Ledger
from server.watch.steps import Steps


class Rooms:
    """Stages, reports and timers of rooms within one transaction."""

    def __init__(self, steps: Steps, ledger: Ledger) -> None:
        self._steps, self._ledger, self._world, self._session = steps, ledger, steps.world, steps.session

    def timer(self, room: RoomInfo, rule: Rule, due: int) -> None:
        """A delay of an alarm of the room as a whole has ended; it counts only while every input is fresh."""
        if rule.name == ROOM_BLIND:
            self._steps.room(room, rule, Tick(fresh=room.coverage != "blind", deadline=room.coverage_since), due)
            return
        if rule.name == SMOKE_LOST:
            silent = room.code in self._world.lost
            self._steps.room(room, rule, Tick(fresh=not silent, deadline=due if silent else None), due)
            return
        deadline = self._world.heard_until(room, rule)
        self._steps.room(room, rule, Tick(fresh=deadline > due, deadline=deadline), due)

    def needs_two(self, room: RoomInfo, stage: str) -> bool:
        """Whether fewer people would then hear alarms that only two people may silence."""
        of_points = (rule for ident in room.points for rule in self._world.points[ident].rules)
        return quieter(room.stage, stage) and any(rule.two_persons for rule in (*of_points, *room.rules))

    def stage(self, room: RoomInfo, stage: str, by: str, reason: str, second: str = "") -> None:
        """未接入 → 调试 → 试运行 → 在用 → 停用. Where nothing is expected any more, alarms go out of service; they return with the room."""
        left, room.stage = room.stage, stage
        self.write(room, {"stage": stage})
        if (stage in UNCONNECTED) != (left in UNCONNECTED):
            event: Event = OutOfService(by, reason, second) if stage in UNCONNECTED else ReturnToService(by)
            self.every(room, event, only_open=True)
            room.rules = self._world.room_rules(room)
            for ident in room.points:
                point = self._world.points[ident]
                point.rules = self._world.point_rules(point, room)
                self.listen(point)
            self._world.fit((room,))
        self._ledger.cover(room, self._steps.now)

    def listen(self, point: PointInfo) -> None:
        """More is expected of a point from now on: it has a full deadline to report, then its silence is told, however long that has lasted."""
        point.silent = False
        point.loud()
        point.grace_until = self._steps.now + point.deadline_ms
        self._world.watch_deadline(point)

    def returned(self, point: PointInfo) -> None:
        """It stood in a room of which nothing was expected and stands in another one now: what went out of service with that room is back."""
        for rule in point.rules:
            if Key(point.subject, rule.name) in self._world.memory:
                self._steps.point(point, rule, ReturnToService(""), self._steps.now)

    def left(self, room: RoomInfo, quantity: str) -> None:
        """A point has left it: what was remembered of that quantity, such as its vote, is gathered anew. Who watches the room may turn with it."""
        self._ledger.cover(room, self._steps.now)
        for rule in room.rules:
            key, kind = Key(room.subject, rule.name), KINDS[rule.kind]
            memory = self._world.memory.get(key)
            if memory is None or not memory.state.memory or not rule.wants(quantity):
                continue
            if kind.over_sensors:
                memory.state = memory.state._replace(memory=())
            elif kind.still is gather_still:
                memory.state = memory.state._replace(memory=without(rule.inputs, memory.state.memory, quantity))
            self._steps.tx.keep(key, memory)

    def moved(self, point: PointInfo) -> None:
        """It stands in another room now, and so do its open alarms: there they are seen, and whoever is in charge there has not heard of them."""
        room = self._world.rooms[point.room or ""]
        self._ledger.cover(room, self._steps.now)
        mine = select(Alarm).where(Alarm.open_key.is_not(None), Alarm.subject == point.subject).order_by(Alarm.id)
        for alarm in self._session.scalars(mine).all():
            alarm.room, alarm.unit = room.code, room.unit
            incident = update(Incident).where(Incident.alarm == alarm.id, Incident.closed_at.is_(None))
            self._session.execute(incident.values(room=room.code, unit=room.unit))
            if (foldable := self._world.foldable.get(alarm.id)) is not None:
                foldable.rooms, foldable.path = (room.code,), room.path
            self._steps.tx.say(alarm)
            if alarm.group_alarm is None:
                self._steps.known(Key(alarm.subject, alarm.rule), AskAgain())

    def report(self, room: RoomInfo, by: str, via: str, note: str) -> int:
        """A named person is there and has looked: until when that counts as watched by a person."""
        now = self._steps.now
        room.manual_until = now + int(self._world.settings.manual_min * 60_000)
        row = {"room": room.code, "at": now, "until": room.manual_until, "by": by[:60], "via": via, "note": note[:500]}
        self._session.execute(insert(RoomReport).values(row))
        self._ledger.cover(room, now)
        return room.manual_until

    def write(self, room: RoomInfo, values: dict[str, object]) -> None:
        """Change columns of a room's row and tell the board."""
        row = self._session.get_one(Room, room.code)
        self._session.execute(update(Room).where(Room.code == room.code).values(values))
        self._session.refresh(row)
        self._steps.tx.facts.append(room_fact(self._world, row))

    def every(self, room: RoomInfo, event: Event, *, only: Callable[[Rule, str], bool] | None = None, only_open: bool = False) -> None:
        """One event for every rule of the room and its points, as far as `only` takes the rule with its quantity."""
        for ident in room.points:
            point = self._world.points[ident]
            for rule in point.rules or self._world.rule_set.for_point(point.key.quantity, room.medium, room.path, room.code):
                if (only is None or only(rule, point.key.quantity)) and (not only_open or Key(point.subject, rule.name) in self._world.memory):
                    self._steps.point(point, rule, event, self._steps.now)
        of_room = room.rules or self._world.rule_set.for_room(room.medium, room.path, room.code)
        for rule in (*of_room, self._world.builtin[ROOM_BLIND]):
            known = Key(room.subject, rule.name) in self._world.memory
            if (only is None or only(rule, rule.quantity)) and (known or not (only_open or rule.name == ROOM_BLIND)):
                self._steps.room(room, rule, event, self._steps.now)
