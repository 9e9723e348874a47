"""The late lane: what delayed samples would have raised becomes a known-late alarm (补记), judged on a machine of its own."""

import dataclasses

from alarms.lifecycle import INITIAL, Change, Seen, step
from alarms.rules import Rule
from contract.quantities import QUANTITIES
from contract.sample import Sample
from server.store.tables import Alarm
from server.watch.state import Key, Memory, PointInfo
from server.watch.steps import Steps


class Late:
    """Delayed samples of one transaction."""

    def __init__(self, steps: Steps) -> None:
        self._steps, self._world, self._tx = steps, steps.world, steps.tx

    def judge(self, point: PointInfo, rule: Rule, sample: Sample, at: int) -> None:
        """Judge a delayed sample; only a new alarm comes out of it."""
        key = Key(point.subject, rule.name)
        state, last = self._world.late.get(key, (INITIAL, 0))
        if at - last > point.deadline_ms:
            state = INITIAL  # nothing is known of the time between
        result = step(rule, state, Seen(at, sample.value, sample.quality, point.key.quantity), at)
        self._world.late[key] = (result.state, max(at, last))
        raised = next((change for change in result.transitions if change.annunciate), None)
        if raised is not None:
            self._known_late(point, rule, Memory(result.state), raised)

    def _known_late(self, point: PointInfo, rule: Rule, late: Memory, raised: Change) -> None:
        key = Key(point.subject, rule.name)
        live = self._world.memory.get(key)
        if live is not None and live.alarm is not None:
            alarm = self._steps.session.get_one(Alarm, live.alarm)
            if raised.at < alarm.raised_at:
                alarm.raised_at, alarm.raised_value = raised.at, raised.value
                self._tx.add_transition(alarm, "known_late", by="", via="")
            return
        # Whether it still holds only a live sample can say: the record starts as "gone before anybody took it".
        state = dataclasses.replace(late.state, tripped=False, latched=rule.latch, cleared_at=raised.at, onsets=(), releases=())
        memory = Memory(state)
        self._world.memory[key] = memory
        alarm = self._tx.new_row(self._steps.of_point(point, key), rule, memory, known_late=True)
        transition = self._tx.add_transition(alarm, "known_late", by="", via="")
        transition.value = raised.value
        if QUANTITIES[point.key.quantity].urgent:
            self._tx.escalate(alarm, transition.id, "raised", self._steps.now)
        self._tx.store(key, memory, alarm)
