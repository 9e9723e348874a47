"""The late lane: what delayed samples would have raised becomes a known-late alarm (补记), judged on a machine of its own that survives restarts.

Climate is listed and never sounded, and asks nobody for anything: its record is written, closed, once it is known to be over; what proves to be the
beginning of a live alarm is that alarm's and no record. Smoke, fast heat, leak, intrusion and forced doors are annunciated as urgent although they
may be over ("go and look"); a live sample that still holds makes the record a live alarm with its true start.
"""

from alarms.grouping import stands_alone
from alarms.lifecycle import INITIAL, AlarmState, Change, Seen, step
from alarms.model import Level
from alarms.rules import Rule
from alarms.state import Onset
from contract.sample import Sample
from server.duty.numbers import number
from server.store import memories
from server.store.tables import Alarm, Transition
from server.watch.commit import Asked, Subject
from server.watch.infos import LATE_CALM_MS, Key, LateState, Memory, PointInfo, evaluator
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
        self._wind(point, key, rule, late, at)
        before = late.state
        result = step(rule, late.state, Seen(at, sample.value, sample.quality, point.key.quantity, point.id), at)
        late.state, late.last = result.state, max(at, late.last)
        if late.state.memory is not before.memory:
            late.of = evaluator(rule) if late.state.memory else ""
        if late.state is INITIAL and late.alarm is None:
            if self._world.late.pop(key, None) is not None:
                self._touched[key] = late
            return
        self._world.late[key] = self._touched[key] = late
        raised = next((change for change in result.transitions if change.annunciate), None)
        if raised is not None:
            again = late.ahead is not None and 0 <= raised.at - late.ahead <= point.deadline_ms
            if again:  # the rest comes to what the news ahead of it had said
                late.state = late.state._replace(raised_at=late.ahead)
            if not again or late.alarm is None:
                self._known_late(point, key, rule, late, raised)
        if before.tripped and not late.state.tripped:
            self._ended(key, rule, late, at)
        live = self._world.memory.get(key)
        if late.state.tripped and live is not None and live.alarm is not None and live.state.tripped and late.met != live.alarm:
            self.meet(key, rule, self._steps.session.get_one(Alarm, live.alarm))
        self._world.late_waiting.pop(key, None)
        if late.worst is not None:
            self._world.late_waiting[key] = self._steps.now + LATE_CALM_MS

    def _wind(self, point: PointInfo, key: Key, rule: Rule, late: LateState, at: int) -> None:
        """Where the machine cannot go on from where it stands: news of alarms comes ahead of the rest, and of a gap nothing is known."""
        slack = 0 if key.subject == point.subject else point.deadline_ms
        if at < late.last - slack:
            self._list(key, rule, late, late.last)
            late.ahead = late.state.raised_at if late.state.tripped else late.ahead
            late.state, late.last = INITIAL, at
        elif at > late.last + point.deadline_ms:
            self._list(key, rule, late, late.last)
            late.state, late.alarm, late.last = INITIAL, None, at

    def _known_late(self, point: PointInfo, key: Key, rule: Rule, late: LateState, raised: Change) -> None:
        live = self._world.memory.get(key)
        subject = self._steps.subject(point, key, rule)
        level = raised.level or Level.WARN
        alone = stands_alone(rule.name, rule.kind, subject.quantity, level)
        # The record of this very event may have been closed in the meantime: what else is found belongs to it.
        known = late.alarm is not None and not (alone and raised.name == "re_raised")
        if not alone and not known:
            late.worst = max(level, late.worst or level)
        elif alone and live is not None and live.alarm is not None:
            alarm = self._steps.session.get_one(Alarm, live.alarm)
            if live.state.isa == "latched_acked" and raised.at > (live.state.acked_at or 0):
                self._again(subject, rule, live, alarm, late, raised)
            else:
                self._add(alarm, rule, late, raised)
        elif known:
            self._add(self._steps.session.get_one(Alarm, late.alarm), rule, late, raised)
        else:
            self._open(subject, rule, late, raised)

    def _add(self, alarm: Alarm, rule: Rule, late: LateState, raised: Change) -> None:
        late.alarm, late.worst = alarm.id, None
        if alarm.known_late and raised.at < alarm.raised_at:
            alarm.raised_at, alarm.raised_value = raised.at, raised.value
        if alarm.known_late and alarm.closed_at is not None and raised.level is not None:
            self._grade(alarm, rule, max(raised.level, Level.of(alarm.level)))
        self._note(alarm, rule, raised.value, raised.level)

    def _ended(self, key: Key, rule: Rule, late: LateState, at: int) -> None:
        """The late samples say themselves that it is over."""
        if late.worst is not None:
            self._list(key, rule, late, at)
        elif late.alarm is not None:
            record = self._steps.session.get_one(Alarm, late.alarm)
            if record.known_late and record.acked_at is None and record.closed_at is not None:
                record.cleared_at = at

    def _list(self, key: Key, rule: Rule, late: LateState, ended: int) -> None:
        """Write the record of what is over and was never sounded, if there is such: nobody need answer it, so it is closed from the first."""
        if late.worst is None:
            return
        level, late.worst, state = late.worst, None, late.state
        subject = self._steps.of(key, rule)
        since = state.raised_at if state.raised_at is not None else ended
        alarm = Alarm(
            subject=key.subject, rule=rule.name, kind=subject.kind or rule.kind, quantity=subject.quantity, room=subject.room, unit=subject.unit,
            state="normal", level="warn", raised_at=since, raised_value=state.raised_value, cleared_at=max(since, ended),
            closed_at=self._steps.now, known_late=True, number="",
        )  # fmt: skip
        self._grade(alarm, rule, level)
        self._steps.session.add(alarm)
        self._steps.session.flush()
        alarm.number, late.alarm = number(alarm.id), alarm.id
        self._note(alarm, rule, state.raised_value, level)
        self._tx.say(alarm)

    @staticmethod
    def _grade(alarm: Alarm, rule: Rule, level: Level) -> None:
        rung = rule.rung(level)
        alarm.level, alarm.limit = min(level, Level.URGENT).word, rung.limit if rung is not None else None

    def _note(self, alarm: Alarm, rule: Rule, value: float | None, level: Level | None, *, annunciated: bool = False) -> int:
        """Write into the alarm's history that late samples have spoken, with the rule set and the limit that they were judged by."""
        rung = rule.rung(level) if level is not None else None
        row = Transition(
            alarm=alarm.id, at=self._steps.now, name="known_late", before=alarm.state, after=alarm.state, level=alarm.level, by="", via="", note="",
            value=value, rule_set=self._world.rule_set.version, limit=rung.limit if rung is not None else None,
            limit_origin=rung.origin if rung is not None else "",
        )  # fmt: skip
        self._steps.session.add(row)
        self._steps.session.flush()
        if annunciated:
            self._tx.asked.append((alarm, Asked(row.id, row.at, row.level)))
        return row.id

    def due(self) -> None:
        """List what nothing more has come of: its late samples ended in the breach, and no live one goes on with it."""
        waiting, now = self._world.late_waiting, self._steps.now
        while waiting and waiting[key := next(iter(waiting))] <= now:
            del waiting[key]
            late, rule, live = self._world.late.get(key), self._world.rule(key), self._world.memory.get(key)
            if late is None or late.worst is None or rule is None:
                continue
            if live is not None and any(_reached(rule, onset) > now for onset in live.state.onsets):
                waiting[key] = now + LATE_CALM_MS  # it may be the beginning of what is about to be raised
            else:
                self._touched[key] = late
                self._list(key, rule, late, late.last)

    def _again(self, subject: Subject, rule: Rule, live: Memory, alarm: Alarm, late: LateState, raised: Change) -> None:
        """The one before was answered and waits for its reset: this is another, and nobody has looked after it."""
        late.alarm, late.worst = alarm.id, None
        live.state = live.state._replace(acknowledged=False, acked_at=None, acked_by="", announced=True)
        ident = self._note(alarm, rule, raised.value, raised.level, annunciated=True)
        alarm.state, alarm.acked_at, alarm.acked_by = live.state.isa, None, ""
        self._tx.escalation.ask(alarm, ident, "raised", self._steps.now)
        self._tx.store(subject.key, live, alarm)

    def _open(self, subject: Subject, rule: Rule, late: LateState, raised: Change) -> None:
        """Whether it still holds only a live sample can say: the record starts as "gone before anybody took it".

        Inhibits, running delays and remembered readings of the live machine stay as they are.
        """
        live = self._world.memory.get(subject.key)
        known = live.state if live is not None else INITIAL
        told = not known.inhibited
        state = known._replace(
            level=late.state.level, acknowledged=False, latched=rule.latch, announced=told, raised_at=late.state.raised_at,
            raised_value=late.state.raised_value, cleared_at=raised.at, acked_at=None, acked_by="", occurrence=late.state.occurrence,
        )  # fmt: skip
        memory = Memory(state, of=live.of if live is not None else "")
        alarm = self._tx.new_row(subject, rule, memory, known_late=True)
        alarm.level = min(raised.level or Level.WARN, Level.URGENT).word
        late.alarm, late.worst = alarm.id, None
        ident = self._note(alarm, rule, raised.value, raised.level, annunciated=told)
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
            if late.worst is not None:
                late.alarm, late.worst, self._touched[key] = alarm.id, None, late
                self._note(alarm, rule, late.state.raised_value, late.state.level)
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
        memories.keep_late(self._steps.session, [(key, late.alarm, late.last, late.to_dict()) for key, late in worth])
        wanted = {key for key, _ in worth}
        memories.forget_late(self._steps.session, sorted(key for key, late in self._touched.items() if late.stored and key not in wanted))
        for key, late in self._touched.items():
            late.stored = key in wanted


def _reached(rule: Rule, onset: Onset) -> int:
    """When a limit whose breach has begun is reached, if it lasts."""
    rung = rule.rung(onset.level)
    return onset.since + (rung.on_delay_ms if rung is not None else 0)
