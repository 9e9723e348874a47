"""The late lane: what delayed samples would have raised becomes a known-late alarm (补记), judged on a machine of its own that survives restarts.

Climate is listed and never sounded. Smoke, fast heat, leak, intrusion and forced doors are annunciated as urgent although they may be over ("go
and look"); a live sample that still holds makes the record a live alarm with its true start.
"""

import dataclasses

from alarms.grouping import stands_alone
from alarms.lifecycle import INITIAL, Change, Seen, step
from alarms.model import Level
from alarms.rules import Rule
from contract.sample import Sample
from server.store import memories
from server.store.tables import Alarm
from server.watch.infos import Key, LateState, Memory, PointInfo
from server.watch.steps import Steps


class Late:
    """Delayed samples of one transaction."""

    def __init__(self, steps: Steps) -> None:
        self._steps, self._world, self._tx = steps, steps.world, steps.tx
        self._touched: set[Key] = set()

    def judge(self, point: PointInfo, rule: Rule, sample: Sample, at: int) -> None:
        """Judge a delayed sample; only a new alarm comes out of it."""
        key = Key(point.subject, rule.name)
        late = self._world.late.get(key) or LateState(last=at)
        if abs(at - late.last) > point.deadline_ms:
            late.state, late.alarm, late.last = INITIAL, None, at  # nothing is known of the time between
        result = step(rule, late.state, Seen(at, sample.value, sample.quality, point.key.quantity), at)
        late.state, late.last = result.state, max(at, late.last)
        if late.state is INITIAL and late.alarm is None:
            if self._world.late.pop(key, None) is not None:
                self._touched.add(key)
            return
        self._world.late[key] = late
        self._touched.add(key)
        raised = next((change for change in result.transitions if change.annunciate), None)
        if raised is not None:
            self._known_late(point, rule, late, raised)

    def _known_late(self, point: PointInfo, rule: Rule, late: LateState, raised: Change) -> None:
        key = Key(point.subject, rule.name)
        live = self._world.memory.get(key)
        alone = stands_alone(rule.name, rule.kind, point.key.quantity, raised.level or Level.WARN)
        if live is not None and live.alarm is not None:
            self._add(self._steps.session.get_one(Alarm, live.alarm), late, raised)
        elif late.alarm is not None and not (alone and raised.name == "re_raised"):
            # The record of this very event has been closed by a person in the meantime: what else is found belongs to it.
            self._add(self._steps.session.get_one(Alarm, late.alarm), late, raised)
        else:
            self._open(point, rule, late, raised, alone)

    def _add(self, alarm: Alarm, late: LateState, raised: Change) -> None:
        late.alarm = alarm.id
        if raised.at < alarm.raised_at:
            alarm.raised_at, alarm.raised_value = raised.at, raised.value
        self._tx.add_transition(alarm, "known_late", by="", via="", value=raised.value)

    def _open(self, point: PointInfo, rule: Rule, late: LateState, raised: Change, alone: bool) -> None:
        """Whether it still holds only a live sample can say: the record starts as "gone before anybody took it"."""
        key = Key(point.subject, rule.name)
        state = dataclasses.replace(late.state, tripped=False, latched=rule.latch, cleared_at=raised.at, onsets=(), releases=())
        memory = Memory(state)
        alarm = self._tx.new_row(self._steps.of_point(point, key), rule, memory, known_late=True)
        alarm.level = min(raised.level or Level.WARN, Level.URGENT).word
        late.alarm = alarm.id
        ident = self._tx.add_transition(alarm, "known_late", by="", via="", annunciated=alone, value=raised.value)
        if alone:
            self._tx.escalation.ask(alarm, ident, "raised", self._steps.now)
        self._tx.store(key, memory, alarm, annunciate=alone)

    def live(self, point: PointInfo, rule: Rule, alarm: Alarm, at: int) -> None:
        """A live sample holds what late ones had found: the alarm is a live one, since its true start if nothing lies between."""
        key = Key(point.subject, rule.name)
        memory, late = self._world.memory[key], self._world.late.get(key)
        if not memory.state.tripped:
            return
        alarm.known_late = False
        if late is None or not late.state.tripped or at - late.last > point.deadline_ms:
            alarm.raised_at, alarm.raised_value = memory.state.raised_at or at, memory.state.raised_value
        self._tx.restate(alarm)

    def finish(self) -> None:
        """Write the machines that wait for something or have led to a record; the others cost nothing to lose."""
        kept = [(key, late) for key in self._touched if (late := self._world.late.get(key)) is not None]
        worth = [(key, late) for key, late in kept if late.alarm is not None or late.state.tripped or late.state.onsets]
        memories.keep_late(self._steps.session, [(key, late.alarm, late.last, late.state.to_dict()) for key, late in worth])
        memories.forget_late(self._steps.session, sorted(self._touched - {key for key, _ in worth}))
