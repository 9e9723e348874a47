"""What has lost what it belongs to: alarms whose rule, room or sensor was taken away, pauses of works that they were away from when these ended.

Left alone, the first would ask for ever without anybody being able to answer, and the second would stay silent for ever.
"""

from dataclasses import replace

from alarms.builtin import SMOKE_LOST
from alarms.conditions import NO_LIMIT
from alarms.grouping import stands_alone
from alarms.lifecycle import Tick, Unsuppress, Withdraw, step
from alarms.model import Level
from server.store.tables import Alarm
from server.watch.commands import CONDITIONS
from server.watch.commit import Subject
from server.watch.gateways import OFFLINE
from server.watch.infos import Key, Memory
from server.watch.lost import MAINTENANCE
from server.watch.steps import Steps


class Strays:
    """Mending within one transaction."""

    def __init__(self, steps: Steps) -> None:
        self._steps, self._world, self._tx = steps, steps.world, steps.tx

    def mend(self) -> None:
        """After rows or rules were read again: withdraw what nothing can clear any more, let go what nobody works at."""
        concerned = [  # of a hundred thousand that mostly remember readings
            (key, memory)
            for key, memory in self._world.memory.items()
            if memory.state.suppressed or (memory.alarm is not None and memory.state.tripped)
        ]
        for key, memory in concerned:
            if self._unfed(key, memory):
                if memory.alarm is not None and memory.state.tripped:
                    self._withdraw(key, memory, self._steps.session.get_one(Alarm, memory.alarm))
                continue
            if MAINTENANCE in memory.state.suppressed and not self._at_work(key):
                self._steps.known(key, Unsuppress(MAINTENANCE))
            if OFFLINE in memory.state.suppressed and key.subject.startswith("point:"):
                self._world.hushed.add(int(key.subject.partition(":")[2]))  # its next sample or silence lets it go

    def _unfed(self, key: Key, memory: Memory) -> bool:
        """Whether no sample can clear it any more: its rule was taken away, or what its room measured it by."""
        rule, (kind, _, ident) = self._world.rule(key), key.subject.partition(":")
        room = self._world.rooms.get(ident) if kind == "room" else None
        if rule is None or room is None or memory.alarm is None or not memory.state.tripped:
            return rule is None
        if key.rule == SMOKE_LOST:
            heard = bool(memory.state.releases)  # it is about to clear by itself
            return room.connected and not heard and not self._world.lost.get(room.code, frozenset()).intersection(room.points)
        if key.rule in self._world.builtin or key.rule in CONDITIONS:
            return False
        measured = [self._world.points[point].key.quantity for point in room.points]
        alone = rule.kind == "deviation" and ("around", NO_LIMIT) in rule.options  # one sensor is compared with nothing
        return not set(measured).issuperset(rule.inputs) or sum(map(rule.wants, measured)) < (2 if alone else 1)

    def timer(self, key: Key, due: int) -> None:
        """A shelf has ended whose alarm belongs to a group, to a condition, or to nothing any more."""
        memory, rule = self._world.memory[key], self._world.rule_or_rest(key)
        alarm = None if memory.alarm is None else self._steps.session.get_one(Alarm, memory.alarm)
        self._tx.apply(_subject(key, alarm), rule, memory, step(rule, memory.state, Tick(fresh=True), due))

    def _at_work(self, key: Key) -> bool:
        kind, _, ident = key.subject.partition(":")
        room = self._world.rooms.get(ident if kind == "room" else self._world.points[int(ident)].room or "")
        return room is not None and room.maintenance_until is not None

    def _withdraw(self, key: Key, memory: Memory, alarm: Alarm) -> None:
        """It counts as gone. Whom it has asked still answers; smoke and its like go on asking until somebody does, and want their reset."""
        alone = stands_alone(alarm.rule, alarm.kind, alarm.quantity, Level.of(alarm.level))
        rule = replace(self._world.rule_or_rest(key), latch=alone)
        self._tx.apply(_subject(key, alarm), rule, memory, step(rule, memory.state, Withdraw(), self._steps.now))
        if not alone:
            self._tx.escalation.hold(alarm)


def _subject(key: Key, alarm: Alarm | None) -> Subject:
    return Subject(key, "", None, "") if alarm is None else Subject(key, alarm.unit, alarm.room, alarm.quantity, kind=alarm.kind)
