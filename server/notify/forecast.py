"""Who will be called next, and when, if nobody answers: the pending steps of an alarm walked to their end by the very rules that send them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.duty.calendar import Workdays
from server.duty.directory import Directory
from server.duty.escalation import EscalationTable
from server.duty.routing import SUPERVISE, Recipient, plan
from server.notify import situation
from server.notify.lines import Lines
from server.notify.situation import Situation
from server.store.tables import EscalationStep

_LONGEST = 12


@dataclass(frozen=True, slots=True)
class Coming:
    """A step to come at `due` (UTC ms): `names` are those whom it will reach as things stand, each once; `waits`: it was put off to the morning."""

    due: int
    reason: str
    names: tuple[str, ...] = ()
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Forecast:
    """Knows the table, the channels and the calendar."""

    table: EscalationTable
    lines: Lines
    workdays: Workdays

    def of(self, session: Session, alarm: int, now: int) -> list[Coming]:
        """In the order of time. Rosters and leave are those of each step's own hour, as far as they are known now."""
        pending = select(EscalationStep).where(EscalationStep.alarm == alarm, EscalationStep.state == "pending")
        coming = list[Coming]()
        for step in session.scalars(pending.order_by(EscalationStep.due, EscalationStep.id)).all():
            found = situation.load(session, step)
            if situation.needed(found.alarm, step.reason):
                coming += self._walk(session, found, now) if step.reason in ("raised", SUPERVISE) else [Coming(step.due, step.reason)]
        return sorted(coming, key=lambda one: one.due)

    def _walk(self, session: Session, found: Situation, now: int) -> Iterator[Coming]:
        step, lines = found.step, self.lines
        told = frozenset(one.phone for one in situation.told(session, found.alarm.id, step.annunciation))
        begun = situation.begun(session, step)
        context = found.context(lines.channel, told, voice=lines.voice, email=lines.email, begun=begun)
        waits = step.held
        for _ in range(_LONGEST):
            at = max(context.due, now)
            org = Directory(session, self.workdays, at).organisation(found.unit, found.room)
            outcome = plan(context, org, self.table, at, self.workdays)
            if outcome.deferred_until is not None:
                waits = waits or outcome.held
                context = replace(context, due=outcome.deferred_until, held=waits)
                continue
            if outcome.recipients:
                yield Coming(at, step.reason, _names(outcome.recipients), waits)
            if outcome.next_due is None:
                return
            told = told | {one.phone for one in outcome.recipients}
            first = context.begun if context.begun is not None else context.due
            context = replace(context, step=outcome.step + 1, due=outcome.next_due, told=told, begun=first)


def _names(recipients: tuple[Recipient, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.name for one in recipients))
