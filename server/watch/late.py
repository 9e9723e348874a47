"""The late lane: what delayed samples would have raised becomes a known-late alarm (补记), judged on a machine of its own that survives restarts.

Climate is listed and never sounded. Smoke, fast heat, leak, intrusion and forced doors are annunciated as urgent although they may be over ("go
and look"); a live sample that still holds makes the record a live alarm with its true start.
"""

import dataclasses

from alarms.grouping import stands_alone
from alarms.lifecycle import INITIAL, AlarmState, Change, Seen, step
from alarms.model import Level
from alarms.rules import Rule
from contract.sample import Sample
from server.store import memories
from server.store.tables import Alarm
from server.watch.commit import Subject
from server.watch.infos import Key, LateState, Memory, PointInfo
from server.watch.steps import Steps


class Late:
    """Delayed samples of one transaction."""

    def __init__(self, steps: Steps) -> None:
        self._steps, self._world, self._tx = steps, steps.world, steps.tx
        self._touched: dict[Key, LateState] = {}

    def take(self, point: PointInfo, sample: Sample, at: int) -> None:
        """Judge a delayed sample by every rule that it feeds; only new alarms come out of it."""
        for subject, rule in self._steps.fed(point):
            if rule.kind != "stale":
                self._judge(point, Key(subject, rule.name), rule, sample, at)

    def _judge(self, point: PointInfo, key: Key, rule: Rule, sample: Sample, at: int) -> None:
        late = self._world.late.get(key) or LateState(last=at)
        self._wind(point, key, late, at)
        result = step(rule, late.state, Seen(at, sample.value, sample.quality, point.key.quantity, point.id), at)
        late.state, late.last = result.state, max(at, late.last)
        if late.state is INITIAL and late.alarm is None:
            if self._world.late.pop(key, None) is not None:
                self._touched[key] = late
            return
        self._world.late[key] = self._touched[key] = late
        raised = next((change for change in result.transitions if change.annunciate), None)
        if raised is not None:
            again = late.ahead is not None and 0 <= raised.at - late.ahead <= point.deadline_ms
            if again:  # the rest comes to what the news ahead of it had said
                late.state = dataclasses.replace(late.state, raised_at=late.ahead)
            if not again or late.alarm is None:
                self._known_late(point, key, rule, late, raised)
        live = self._world.memory.get(key)
        if late.state.tripped and live is not None and live.alarm is not None and live.state.tripped and late.met != live.alarm:
            self.meet(key, rule, self._steps.session.get_one(Alarm, live.alarm))

    @staticmethod
    def _wind(point: PointInfo, key: Key, late: LateState, at: int) -> None:
        """Where the machine cannot go on from where it stands: news of alarms comes ahead of the rest, and of a gap nothing is known."""
        slack = 0 if key.subject == point.subject else point.deadline_ms
        if at < late.last - slack:
            late.ahead = late.state.raised_at if late.state.tripped else late.ahead
            late.state, late.last = INITIAL, at
        elif at > late.last + point.deadline_ms:
            late.state, late.alarm, late.last = INITIAL, None, at

    def _known_late(self, point: PointInfo, key: Key, rule: Rule, late: LateState, raised: Change) -> None:
        live = self._world.memory.get(key)
        subject = self._steps.subject(point, key, rule)
        alone = stands_alone(rule.name, rule.kind, subject.quantity, raised.level or Level.WARN)
        if live is not None and live.alarm is not None:
            alarm = self._steps.session.get_one(Alarm, live.alarm)
            if alone and live.state.isa == "latched_acked" and raised.at > (live.state.acked_at or 0):
                self._again(subject, live, alarm, late, raised)
            else:
                self._add(alarm, late, raised)
        elif late.alarm is not None and not (alone and raised.name == "re_raised"):
            # The record of this very event has been closed by a person in the meantime: what else is found belongs to it.
            self._add(self._steps.session.get_one(Alarm, late.alarm), late, raised)
        else:
            self._open(subject, rule, late, raised, alone)

    def _add(self, alarm: Alarm, late: LateState, raised: Change) -> None:
        late.alarm = alarm.id
        if alarm.known_late and raised.at < alarm.raised_at:
            alarm.raised_at, alarm.raised_value = raised.at, raised.value
        self._tx.add_transition(alarm, "known_late", by="", via="", value=raised.value)

    def _again(self, subject: Subject, live: Memory, alarm: Alarm, late: LateState, raised: Change) -> None:
        """The one before was answered and waits for its reset: this is another, and nobody has looked after it."""
        late.alarm = alarm.id
        live.state = dataclasses.replace(live.state, acknowledged=False, acked_at=None, acked_by="", announced=True)
        ident = self._tx.add_transition(alarm, "known_late", by="", via="", annunciated=True, value=raised.value)
        alarm.state, alarm.acked_at, alarm.acked_by = live.state.isa, None, ""
        self._tx.escalation.ask(alarm, ident, "raised", self._steps.now)
        self._tx.store(subject.key, live, alarm)

    def _open(self, subject: Subject, rule: Rule, late: LateState, raised: Change, alone: bool) -> None:
        """Whether it still holds only a live sample can say: the record starts as "gone before anybody took it".

        Inhibits, running delays and remembered readings of the live machine stay as they are.
        """
        live = self._world.memory.get(subject.key)
        known = live.state if live is not None else INITIAL
        told = alone and not known.inhibited
        state = dataclasses.replace(
            known, level=late.state.level, acknowledged=False, latched=rule.latch, announced=not known.inhibited, raised_at=late.state.raised_at,
            raised_value=late.state.raised_value, cleared_at=raised.at, acked_at=None, acked_by="", occurrence=late.state.occurrence,
        )  # fmt: skip
        memory = Memory(state)
        alarm = self._tx.new_row(subject, rule, memory, known_late=True)
        alarm.level = min(raised.level or Level.WARN, Level.URGENT).word
        late.alarm = alarm.id
        ident = self._tx.add_transition(alarm, "known_late", by="", via="", annunciated=told, value=raised.value)
        if told:
            self._tx.escalation.ask(alarm, ident, "raised", self._steps.now)
        self._tx.store(subject.key, memory, alarm, annunciate=told)

    def meet(self, key: Key, rule: Rule, alarm: Alarm) -> None:
        """What is live now and what late samples had found are one event, if nothing lies between: it began when its first sample says."""
        memory, late = self._world.memory.get(key), self._world.late.get(key)
        if memory is None or not memory.state.tripped:
            return
        if late is not None and late.state.tripped and self._without_a_gap(key, rule, late, memory.state):
            late.met = alarm.id
            if late.state.raised_at is not None and late.state.raised_at < alarm.raised_at:
                alarm.raised_at, alarm.raised_value = late.state.raised_at, late.state.raised_value
        elif alarm.known_late:
            alarm.raised_at, alarm.raised_value = memory.state.raised_at or self._steps.now, memory.state.raised_value
        alarm.known_late = False
        self._tx.restate(alarm)

    def _without_a_gap(self, key: Key, rule: Rule, late: LateState, live: AlarmState) -> bool:
        """Whether the live breach began (its delay before it was raised) while the newest late sample still counted."""
        rung = rule.rung(live.level) if live.level is not None else None
        began = (live.raised_at or 0) - (rung.on_delay_ms if rung is not None else 0)
        kind, _, ident = key.subject.partition(":")
        points = self._world.rooms[ident].points if kind == "room" else [int(ident)]
        return began - late.last <= max((self._world.points[number].deadline_ms for number in points), default=0)

    def finish(self) -> None:
        """Let records and live alarms of one event meet, and write the machines that wait for something or have led to a record.

        The others cost nothing to lose.
        """
        for key, alarm in list(self._tx.changed.values()):
            if (alarm.known_late or key in self._world.late) and (rule := self._world.rule(key)) is not None:
                self.meet(key, rule, alarm)
        worth = [(key, late) for key, late in self._touched.items() if late.alarm is not None or late.state.tripped or late.state.onsets]
        memories.keep_late(self._steps.session, [(key, late.alarm, late.last, late.state.to_dict()) for key, late in worth])
        wanted = {key for key, _ in worth}
        memories.forget_late(self._steps.session, sorted(key for key, late in self._touched.items() if late.stored and key not in wanted))
        for key, late in self._touched.items():
            late.stored = key in wanted
