"""One transaction of the watch: alarm rows, memory, transitions and escalation steps that follow from one step of the pure core.

Everything here happens inside the caller's transaction. What people are shown (facts) is collected beside it and published only after the commit.
"""

from collections.abc import Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from alarms.lifecycle import INITIAL, AlarmState, Change, Step
from alarms.rules import Rule
from server.duty.numbers import number
from server.live.facts import AlarmFact, Fact
from server.store.tables import Alarm, AlarmMemory, EscalationStep, Notification, Transition
from server.watch.commands import UNDO_MS
from server.watch.state import DRILL_SUFFIX, Key, Memory, World

PENDING, CANCELLED = "pending", "cancelled"
SUPERVISE = "supervise"


class Subject:
    """Where an alarm belongs: its key, its place, and what is measured."""

    __slots__ = ("key", "quantity", "room", "unit")

    def __init__(self, key: Key, unit: str, room: str | None, quantity: str) -> None:
        self.key, self.unit, self.room, self.quantity = key, unit, room, quantity


class Transaction:
    """Collects what one commit of the watch changes. `raised` counts new annunciations, with the instant of their sample."""

    def __init__(self, session: Session, world: World, now: int) -> None:
        self.session, self.world, self.now = session, world, now
        self.facts: list[Fact] = []
        self.raised: list[int] = []
        self.escalated = False

    def apply(self, subject: Subject, rule: Rule, memory: Memory, step: Step, *, via: str = "", person: int | None = None) -> Alarm | None:
        """Store the outcome of one step: memory, timer, alarm row, transitions, escalation. Returns the alarm row if there is one."""
        before = memory.state
        self.world.timers.set(subject.key, step.due)
        if step.state is before and not step.transitions:
            return None
        memory.state = step.state
        alarm = self._row(subject, rule, memory) if step.transitions or memory.alarm is not None else None
        if alarm is not None:
            self._update(alarm, step.state, rule)
            for change in step.transitions:
                self._transition(alarm, change, rule, via, person)
            self._publish(alarm, annunciate=any(change.annunciate for change in step.transitions))
            if not step.state.open:
                memory.alarm = None
        self._remember(subject.key, memory)
        return alarm

    def add_transition(self, alarm: Alarm, name: str, *, by: str, via: str, note: str = "", person: int | None = None) -> Transition:
        """Record something that changes no state of the core, e.g. a comment or a progress report."""
        row = Transition(
            alarm=alarm.id, at=self.now, name=name, before=alarm.state, after=alarm.state, level=alarm.level, by=by, via=via, note=note, value=None,
            person=person,
        )  # fmt: skip
        self.session.add(row)
        self.session.flush()
        return row

    def escalate(self, alarm: Alarm, annunciation: int, reason: str, due: int) -> None:
        """Ask the dispatcher to tell people, from step 0 of the escalation table."""
        self.escalated = True
        self.session.add(EscalationStep(alarm=alarm.id, annunciation=annunciation, reason=reason, step=0, due=due, state=PENDING))

    def progressed(self, alarm: Alarm, transition: int) -> None:
        """Progress was reported: the clock of the take-over starts anew (the dispatcher plans the next question)."""
        asked = update(EscalationStep).where(EscalationStep.alarm == alarm.id, EscalationStep.state == PENDING)
        self.session.execute(asked.where(EscalationStep.reason.in_(("progress", "expire"))).values(state=CANCELLED))
        if alarm.acked_at is not None:
            self.escalate(alarm, transition, "progressed", self.now)

    def hold_escalation(self, alarm: Alarm) -> None:
        """Stop what has not left yet: pending steps and messages that nobody has claimed. The supervision line goes on: an answer of the handler
        never silences it; the dispatcher finds out by itself when it has nothing more to say."""
        steps = update(EscalationStep).where(EscalationStep.alarm == alarm.id, EscalationStep.state == PENDING)
        self.session.execute(steps.where(EscalationStep.reason != SUPERVISE).values(state=CANCELLED))
        queued = update(Notification).where(Notification.alarm == alarm.id, Notification.state == "queued", Notification.reason != SUPERVISE)
        self.session.execute(queued.values(state="dropped"))

    def resume_escalation(self, alarm: Alarm) -> None:
        """Give the due instants of the last annunciation back, after an undone take-over."""
        newest = (
            select(EscalationStep.annunciation)
            .where(EscalationStep.alarm == alarm.id, EscalationStep.reason == "raised")
            .order_by(EscalationStep.annunciation.desc())
            .limit(1)
            .scalar_subquery()
        )
        steps = update(EscalationStep).where(
            EscalationStep.alarm == alarm.id,
            EscalationStep.reason == "raised",
            EscalationStep.annunciation == newest,
            EscalationStep.state == CANCELLED,
        )
        self.session.execute(steps.values(state=PENDING))
        dropped = update(Notification).where(
            Notification.alarm == alarm.id,
            Notification.state == "dropped",
            Notification.escalation_step.in_(select(EscalationStep.id).where(EscalationStep.annunciation == newest)),
        )
        self.session.execute(dropped.values(state="queued"))

    # -- rows ---------------------------------------------------------------------------------------------------------------------------

    def _row(self, subject: Subject, rule: Rule, memory: Memory) -> Alarm | None:
        if memory.alarm is not None:
            return self.session.get_one(Alarm, memory.alarm)
        if not memory.state.tripped:
            return None
        return self.new_row(subject, rule, memory)

    def new_row(self, subject: Subject, rule: Rule, memory: Memory, *, known_late: bool = False) -> Alarm:
        """Open an alarm row for a state that has just become one."""
        state = memory.state
        alarm = Alarm(
            open_key=f"{subject.key.subject}|{subject.key.rule}",
            subject=subject.key.subject,
            rule=rule.name,
            kind=rule.kind,
            quantity=subject.quantity,
            room=subject.room,
            unit=subject.unit,
            state=state.isa,
            level=state.level.word if state.level is not None else "warn",
            raised_at=state.raised_at or self.now,
            raised_value=state.raised_value,
            known_late=known_late,
            drill=rule.name.endswith(DRILL_SUFFIX),
            number="",
        )
        self.session.add(alarm)
        self.session.flush()
        alarm.number = number(alarm.id)
        memory.alarm = alarm.id
        return alarm

    def _update(self, alarm: Alarm, state: AlarmState, rule: Rule) -> None:
        if state.level is not None:
            alarm.level = state.level.word
            alarm.limit = next((rung.limit for rung in rule.ladder if rung.level == state.level), None)
        alarm.state, alarm.occurrence, alarm.shelved_until = state.isa, max(state.occurrence, 1), state.shelved_until
        alarm.acked_at, alarm.acked_by = state.acked_at, state.acked_by or ""
        alarm.cleared_at = state.cleared_at
        if state.open:
            alarm.closed_at, alarm.open_key = None, f"{alarm.subject}|{alarm.rule}"
        else:
            alarm.closed_at, alarm.open_key, alarm.state = self.now, None, "normal"

    def _transition(self, alarm: Alarm, change: Change, rule: Rule, via: str, person: int | None = None) -> None:
        rung = rule.rung(change.level) if change.level is not None else None
        row = Transition(
            alarm=alarm.id, at=change.at, name=change.name, before=change.before, after=change.after,
            level=change.level.word if change.level is not None else alarm.level, by=change.by, via=via, note=change.note, value=change.value,
            rule_set=self.world.rule_set.version, limit=rung.limit if rung is not None else None,
            limit_origin=rung.origin if rung is not None else "",
            person=person,
        )  # fmt: skip
        self.session.add(row)
        self.session.flush()
        if change.annunciate:
            self.hold_escalation(alarm)
            self.escalate(alarm, row.id, "raised", self.now)
            self.raised.append(change.at)
        elif change.name == "acknowledged":
            self.hold_escalation(alarm)
            alarm.note = change.note
            # The word "somebody has it" waits until the take-over can no longer be undone.
            self.escalate(alarm, row.id, "taken", self.now + UNDO_MS)
        elif change.name == "unacknowledged":
            self.hold_escalation(alarm)
            self.resume_escalation(alarm)
        elif change.name in ("shelved", "suppressed", "out_of_service"):
            self.hold_escalation(alarm)
        elif change.name == "cleared" and not rule.latch:
            self.hold_escalation(alarm)
            self.escalate(alarm, row.id, "cleared", self.now)

    def store(self, key: Key, memory: Memory, alarm: Alarm) -> None:
        """Keep a state and its row as they stand, after a change that came from outside the core."""
        self._remember(key, memory)
        self._publish(alarm, annunciate=True)

    def _remember(self, key: Key, memory: Memory) -> None:
        if memory.state == INITIAL and memory.alarm is None:
            self.world.memory.pop(key, None)
            self.session.execute(delete(AlarmMemory).where(AlarmMemory.subject == key.subject, AlarmMemory.rule == key.rule))
            return
        self.world.memory[key] = memory
        self.session.merge(AlarmMemory(subject=key.subject, rule=key.rule, alarm=memory.alarm, body=memory.state.to_dict()))

    def _publish(self, alarm: Alarm, *, annunciate: bool) -> None:
        self.facts.append(alarm_fact(alarm, annunciate=annunciate))


def alarm_fact(alarm: Alarm, *, annunciate: bool = False) -> AlarmFact:
    """An alarm row as the board wants it."""
    return AlarmFact(
        alarm_id=alarm.id,
        room=alarm.room,
        unit=alarm.unit,
        subject=alarm.subject,
        rule=alarm.rule,
        kind=alarm.kind,
        quantity=alarm.quantity,
        state=alarm.state,
        level=alarm.level,
        raised_at=alarm.raised_at,
        raised_value=alarm.raised_value,
        limit=alarm.limit,
        occurrence=alarm.occurrence,
        acked_by=alarm.acked_by,
        acked_at=alarm.acked_at,
        cleared_at=alarm.cleared_at,
        shelved_until=alarm.shelved_until,
        number=alarm.number,
        drill=alarm.drill,
        known_late=alarm.known_late,
        annunciate=annunciate,
        closed=alarm.closed_at is not None,
    )


def open_alarms(session: Session) -> Sequence[Alarm]:
    """All alarm rows that are still open."""
    return session.scalars(select(Alarm).where(Alarm.open_key.is_not(None)).order_by(Alarm.id)).all()
