"""One transaction of the watch: alarm rows, memory, transitions and escalation steps that follow from one step of the pure core.

Everything here happens inside the caller's transaction. What people are shown (facts) is collected beside it and published only after the commit.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from alarms.grouping import stands_alone
from alarms.lifecycle import INITIAL, AlarmState, Change, Step
from alarms.model import Level
from alarms.rules import Rule
from server.duty.numbers import number
from server.live.facts import AlarmFact, Fact
from server.store import memories
from server.store.alarms import Brief
from server.store.tables import Alarm, Transition
from server.store.tables_watch import Annunciation
from server.watch.behaviour import behaviour
from server.watch.commands import UNDO_MS
from server.watch.escalation import Escalations
from server.watch.infos import DRILL_SUFFIX, Key, Memory, evaluator
from server.watch.state import World

GATHER_MS = 5_000
"""So long the first message about a group waits: it begins with three rooms and has forty a moment later, and the text says how many."""
_TRANSITION = insert(Transition.__table__).returning(Transition.__table__.c.id)  # type: ignore[arg-type]
_ANNUNCIATION = insert(Annunciation.__table__)  # type: ignore[arg-type]
_LAZY_MS, _LAZY_SLICE = 30_000, 100


class Subject:
    """Where an alarm belongs: its key, its place, and what is measured. `kind` names the alarm where that is not the rule's own kind."""

    __slots__ = ("key", "kind", "quantity", "room", "unit")

    def __init__(self, key: Key, unit: str, room: str | None, quantity: str, kind: str = "") -> None:
        self.key, self.unit, self.room, self.quantity, self.kind = key, unit, room, quantity, kind


class Asked(NamedTuple):
    """A transition that asks people for attention."""

    id: int
    at: int
    level: str


class Transaction:
    """Collects what one commit of the watch changes.

    `raised` counts new annunciations, with the instant of their sample; `changed` are the alarm rows whose state a step has changed, with the
    key of each; `asked` are the transitions that ask people for attention; `named` are the names of an alarm's changes.
    """

    def __init__(self, session: Session, world: World, now: int) -> None:
        self.session, self.world, self.now = session, world, now
        self.facts: list[Fact] = []
        self.raised: list[int] = []
        self.escalation = Escalations(session)
        self.changed: dict[int, tuple[Key, Alarm]] = {}
        self.asked: list[tuple[Alarm, Asked]] = []
        self.named: dict[int, list[str]] = {}
        self._memories: dict[Key, Memory] = {}

    def apply(self, subject: Subject, rule: Rule, memory: Memory, step: Step, *, via: str = "", person: int | None = None) -> Alarm | None:
        """Store the outcome of one step: memory, timer, alarm row, transitions, escalation. Returns the alarm row if something happened to it."""
        before = memory.state
        self.world.timers.set(subject.key, step.due)
        if step.state is before and not step.transitions:
            return None
        memory.state = step.state
        if step.state.memory is not before.memory:
            memory.of = evaluator(rule) if step.state.memory else ""
        if not step.transitions:
            # Readings that an evaluator remembers may be written a little later: after a crash they are gathered again.
            self._remember(subject.key, memory, lazy=_same_facts(before, step.state))
            return None
        alarm = self._row(subject, rule, memory)
        if alarm is not None:
            self._update(alarm, step.state, rule)
            for change in step.transitions:
                self._transition(alarm, change, rule, via, person)
            self._publish(alarm, annunciate=any(change.annunciate for change in step.transitions))
            self.changed[alarm.id] = (subject.key, alarm)
            if not step.state.open:
                memory.alarm = None
        self._remember(subject.key, memory)
        return alarm

    def add_transition(
        self,
        alarm: Alarm,
        name: str,
        *,
        by: str,
        via: str,
        note: str = "",
        person: int | None = None,
        annunciated: bool = False,
        value: float | None = None,
    ) -> int:
        """Record something that changes no state of the core, e.g. a comment or a progress report. Returns the id of the transition."""
        ident = self._insert(
            alarm=alarm.id, at=self.now, name=name, before=alarm.state, after=alarm.state, level=alarm.level, by=by, via=via, note=note, value=value,
            rule_set="", limit=None, limit_origin="", person=person,
        )  # fmt: skip
        if annunciated:
            self.asked.append((alarm, Asked(ident, self.now, alarm.level)))
        return ident

    def _insert(self, **values: Any) -> int:
        ident: int = self.session.connection().execute(_TRANSITION, values).scalar_one()
        return ident

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
            kind=subject.kind or rule.kind,
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
        self.escalation.opened(alarm.id)
        memory.alarm = alarm.id
        return alarm

    def _update(self, alarm: Alarm, state: AlarmState, rule: Rule) -> None:
        if state.level is not None:
            level = state.level
            if alarm.known_late and not state.tripped:
                level = min(level, Level.URGENT)  # it is over, as far as anybody knows: go and look, but nobody is called out of bed twice
            alarm.level = level.word
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
        level = change.level.word if change.level is not None else alarm.level
        ident = self._insert(
            alarm=alarm.id, at=change.at, name=change.name, before=change.before, after=change.after,
            level=level, by=change.by, via=via, note=change.note, value=change.value,
            rule_set=self.world.rule_set.version, limit=rung.limit if rung is not None else None,
            limit_origin=rung.origin if rung is not None else "",
            person=person,
        )  # fmt: skip
        behaviour(self.world, alarm, change)
        self.named.setdefault(alarm.id, []).append(change.name)
        if change.annunciate:
            self.asked.append((alarm, Asked(ident, change.at, level)))
            self.escalation.hold(alarm)
            gathers = alarm.kind == "group" and level != "critical"
            self.escalation.ask(alarm, ident, "raised", self.now + (GATHER_MS if gathers else 0))
            self.raised.append(change.at)
        elif change.name == "acknowledged":
            self.escalation.hold(alarm)
            alarm.note = change.note
            # The word "somebody has it" waits until the take-over can no longer be undone.
            self.escalation.ask(alarm, ident, "taken", self.now + UNDO_MS)
        elif change.name == "unacknowledged":
            self.escalation.hold(alarm)
            self.escalation.resume(alarm)
        elif change.name in ("shelved", "suppressed", "out_of_service"):
            self.escalation.hold(alarm)
        elif change.name == "cleared" and not rule.latch:
            self.escalation.hold(alarm)
            self.escalation.ask(alarm, ident, "cleared", self.now)

    def store(self, key: Key, memory: Memory, alarm: Alarm, *, annunciate: bool = True) -> None:
        """Keep a state and its row as they stand, after a change that came from outside the core."""
        self._remember(key, memory)
        self._publish(alarm, annunciate=annunciate)

    def _remember(self, key: Key, memory: Memory, *, lazy: bool = False) -> None:
        if memory.state == INITIAL and memory.alarm is None:
            self.world.memory.pop(key, None)
        else:
            self.world.memory[key] = memory
        self.world.loud(key)
        (self.world.lazy if lazy else self._memories)[key] = memory

    def flush(self) -> None:
        """Write the memories that have changed: once per key, however often it changed."""
        world = self.world
        if self.now - world.lazy_written_at >= _LAZY_MS and not world.writing:
            world.writing, world.lazy, world.lazy_written_at = world.lazy, {}, self.now
        for key in list(islice(world.writing, 0 if self.asked else _LAZY_SLICE)):  # a few at a time, and no alarm waits for them
            self._memories.setdefault(key, world.writing.pop(key))
        for key in self._memories:
            world.lazy.pop(key, None)
        gone = [key for key in self._memories if key not in world.memory]
        kept = [(key, memory.alarm, memory.to_dict()) for key, memory in self._memories.items() if key in world.memory]
        if self.asked:
            rows = [{"transition": one.id, "alarm": alarm.id, "at": one.at, "level": one.level} for alarm, one in self.asked]
            self.session.connection().execute(_ANNUNCIATION, rows)
        memories.forget(self.session, gone)
        memories.keep(self.session, kept)

    def quieten(self, alarm: Alarm) -> None:
        """Take back what this transaction would have said of an alarm: another one speaks for it."""
        self.escalation.hold(alarm)
        self.asked = [entry for entry in self.asked if entry[0] is not alarm]
        self.facts = [fact for fact in self.facts if not (isinstance(fact, AlarmFact) and fact.alarm_id == alarm.id)]
        self._publish(alarm, annunciate=False)

    def keep(self, key: Key, memory: Memory) -> None:
        """Have a state written that was corrected from outside the core."""
        self._remember(key, memory)

    def move(self, old: Key, new: Key, memory: Memory) -> None:
        """A state goes on under another key."""
        self._memories[old] = memory
        self._remember(new, memory)

    def say(self, alarm: Alarm) -> None:
        """State an alarm as it stands now, once."""
        if not any(isinstance(fact, AlarmFact) and fact.alarm_id == alarm.id for fact in self.facts):
            self._publish(alarm, annunciate=False)
        self.restate(alarm)

    def restate(self, alarm: Alarm) -> None:
        """Say the last fact about an alarm anew: its row has been corrected since."""
        for index in range(len(self.facts) - 1, -1, -1):
            fact = self.facts[index]
            if isinstance(fact, AlarmFact) and fact.alarm_id == alarm.id:
                self.facts[index] = alarm_fact(alarm, annunciate=fact.annunciate)
                return

    def _publish(self, alarm: Alarm, *, annunciate: bool) -> None:
        self.facts.append(alarm_fact(alarm, annunciate=annunciate))


def _same_facts(a: AlarmState, b: AlarmState) -> bool:
    return a.onsets is b.onsets and a.releases is b.releases and a.tripped == b.tripped and a.level is b.level


def alone(alarm: Alarm | Brief) -> bool:
    """Whether it is smoke, fast heat, leak, intrusion or a forced door, or the silence after one."""
    return alarm.kind == "lost" or stands_alone(alarm.rule, alarm.kind, alarm.quantity, Level.of(alarm.level))


def alarm_fact(alarm: Alarm, *, annunciate: bool = False, rooms: int = 1) -> AlarmFact:
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
        rooms=int(alarm.raised_value or 1) if alarm.kind == "group" else rooms,
        drill=alarm.drill,
        known_late=alarm.known_late,
        behaviour=alarm.behaviour,
        group=alarm.group_alarm,
        annunciate=annunciate,
        closed=alarm.closed_at is not None,
    )


def open_alarms(session: Session) -> Sequence[Alarm]:
    """All alarm rows that are still open."""
    return session.scalars(select(Alarm).where(Alarm.open_key.is_not(None)).order_by(Alarm.id)).all()
