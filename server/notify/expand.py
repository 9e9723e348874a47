"""From due escalation steps to messages in the outbox: one step, one transaction, which also plans the next step.

The step row is claimed by a conditional update in the transaction that writes its messages, so a crash leaves both or neither and two dispatchers
never expand the same step; the unique key (step, phone, channel) stands behind that.
"""

import logging
from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from server.duty.escalation import EscalationTable
from server.duty.routing import Plan, Recipient, inform, plan
from server.notify import situation
from server.notify.rows import changed
from server.notify.situation import Knowledge, Situation
from server.notify.texts import AlarmFacts, Catalogue
from server.store.tables import EscalationStep, Notification, Transition

log = logging.getLogger("server.notify")

Count = Callable[[str, str], None]
_REPEAT_MS = 10 * 60_000
_NEWS_REPEAT_MS = 24 * 3_600_000


class Expander:
    """Turns steps into notifications. `channel` is the first channel's name; `count(channel, result)` feeds the metrics."""

    def __init__(
        self, table: EscalationTable, texts: Catalogue, channel: str, count: Count, *, knowledge: Knowledge | None = None, reply_hint: bool = False
    ) -> None:
        self._table, self._texts, self._channel, self._count = table, texts, channel, count
        self._knowledge, self._reply_hint = knowledge or Knowledge(), reply_hint

    @staticmethod
    def due(session: Session, now: int, limit: int) -> Sequence[int]:
        """Ids of steps that are due, oldest first."""
        query = select(EscalationStep.id).where(EscalationStep.state == "pending", EscalationStep.due <= now)
        return session.scalars(query.order_by(EscalationStep.due, EscalationStep.id).limit(limit)).all()

    def expand(self, session: Session, ident: int, now: int) -> int:
        """Expand one step within the caller's transaction. Returns the number of messages written; 0 when somebody else had the step."""
        claim = update(EscalationStep).where(EscalationStep.id == ident, EscalationStep.state == "pending", EscalationStep.due <= now)
        if not changed(session, claim.values(state="done")):
            return 0
        found = situation.load(session, session.get_one(EscalationStep, ident))
        if not situation.needed(found.alarm, found.step.reason) or situation.superseded(session, found.step):
            found.step.state = "cancelled"
            return 0
        if found.step.reason in ("taken", "cleared"):
            return self._news(session, found, now)
        return self._call(session, found, now)

    # -- somebody is asked for ----------------------------------------------------------------------------------------------------------

    def _call(self, session: Session, found: Situation, now: int) -> int:
        told = frozenset(one.phone for one in situation.told(session, found.alarm.id, found.step.annunciation))
        org = situation.organisation(session, found.unit, found.room)
        outcome = plan(found.context(self._channel, told), org, self._table, now)
        if outcome.deferred_until is not None:
            found.step.state, found.step.due = "pending", outcome.deferred_until
            return 0
        self._report_gaps(found, outcome)
        if outcome.next_due is not None:
            self._plan_next(session, found, outcome.step + 1, outcome.next_due, now)
        facts = found.text_facts(self._knowledge, now)
        texts = ((one, self._call_text(found, facts, one, told), now) for one in outcome.recipients)
        return self._write(session, found, outcome.step, texts, now, repeat_ms=_NEWS_REPEAT_MS if found.alarm.drill else _REPEAT_MS)

    def _report_gaps(self, found: Situation, outcome: Plan) -> None:
        for index in outcome.skipped:
            self._count(self._channel, "no_recipient")
            log.warning("alarm %s, step %d: nobody to tell in unit %s, next level at once", found.alarm.number, index, found.unit.code)
        if outcome.nobody:
            found.step.state = "blocked"
            self._count(self._channel, "nobody")
            log.error("alarm %s: there is nobody at all to tell, from unit %s upwards", found.alarm.number, found.unit.code)

    def _call_text(self, found: Situation, facts: AlarmFacts, one: Recipient, told: frozenset[str]) -> str:
        """Drills say so always; who hears of it first is told what happened, others that nobody has answered."""
        if facts.drill:
            key = "drill"
        elif found.step.reason in ("assist", "reopened"):
            key = found.step.reason
        elif not told:
            return self._texts.first(facts, reply_hint=self._reply_hint)
        else:
            key = "again" if one.phone in told else "escalated"
        return self._texts.follow_up(key, facts, reply_hint=self._reply_hint)

    def _plan_next(self, session: Session, found: Situation, step: int, due: int, now: int) -> None:
        """Write the next step. An alarm that comes and goes must not push the upper levels away for ever: what was planned before it came back
        stays planned, unless somebody had taken it over in between."""
        step, due = self._carried(session, found, now) or (step, due)
        add_step(session, found.step.alarm, found.step.annunciation, step, due)

    def _carried(self, session: Session, found: Situation, now: int) -> tuple[int, int] | None:
        mine = found.step
        if mine.step > 0:
            return None
        query = (
            select(EscalationStep, Transition.level)
            .join(Transition, Transition.id == EscalationStep.annunciation)
            .where(EscalationStep.alarm == mine.alarm, EscalationStep.reason == "raised", EscalationStep.annunciation < mine.annunciation)
            .where(EscalationStep.state == "cancelled", EscalationStep.step > 0, EscalationStep.due > now)
            .order_by(EscalationStep.annunciation.desc(), EscalationStep.step.desc())
        )
        before = session.execute(query.limit(1)).first()
        if before is None or before[1] != found.level or self._taken_between(session, before[0], mine):
            return None
        return before[0].step, before[0].due

    @staticmethod
    def _taken_between(session: Session, before: EscalationStep, mine: EscalationStep) -> bool:
        query = select(Transition.id).where(Transition.alarm == mine.alarm, Transition.name == "acknowledged")
        return session.scalar(query.where(Transition.id > before.annunciation, Transition.id < mine.annunciation).limit(1)) is not None

    # -- news -----------------------------------------------------------------------------------------------------------------------------

    def _news(self, session: Session, found: Situation, now: int) -> int:
        """Somebody has it, or it is over: to those who were called."""
        reason, alarm = found.step.reason, found.alarm
        if alarm.drill and reason == "cleared":
            return 0
        people = situation.told(session, alarm.id, states=situation.GONE)
        facts = found.text_facts(self._knowledge, now)
        text = self._texts.follow_up("drill_taken" if alarm.drill else reason, facts)
        told = inform(people, situation.takers(session, alarm.id), reason, self._table, now)
        return self._write(session, found, 0, ((one, text, due) for one, due in told), now, repeat_ms=_NEWS_REPEAT_MS)

    # -- rows -----------------------------------------------------------------------------------------------------------------------------

    def _write(self, session: Session, found: Situation, step: int, items: Iterable[tuple[Recipient, str, int]], now: int, *, repeat_ms: int) -> int:
        written = 0
        for one, text, due in items:
            if self._said_before(session, one.phone, text, now - repeat_ms):
                self._count(one.channel, "repeated")
                continue
            # One that waits for the morning exists from then on: its validity must not run out overnight.
            reason = "escalated" if found.step.reason == "raised" and step else found.step.reason
            row = Notification(
                escalation_step=found.step.id, alarm=found.alarm.id, number=found.alarm.number, reason=reason, step=step, person=one.person_id,
                person_name=one.name[:60], phone=one.phone, channel=self._channel, text=text, created_at=due, due=due, state="queued",
            )  # fmt: skip
            session.add(row)
            written += 1
        session.flush()
        return written

    @staticmethod
    def _said_before(session: Session, phone: str, text: str, since: int) -> bool:
        """The very same words to the same phone say nothing new, and carriers refuse them."""
        query = select(Notification.id).where(Notification.phone == phone, Notification.text == text, Notification.created_at > since)
        return session.scalar(query.where(Notification.state.in_(situation.REACHED)).limit(1)) is not None


def add_step(session: Session, alarm: int, annunciation: int, step: int, due: int) -> None:
    """Plan a step unless the annunciation has it already."""
    known = select(EscalationStep.id).where(
        EscalationStep.alarm == alarm, EscalationStep.annunciation == annunciation, EscalationStep.reason == "raised", EscalationStep.step == step
    )
    if session.scalar(known) is None:
        session.add(EscalationStep(alarm=alarm, annunciation=annunciation, reason="raised", step=step, due=due, state="pending"))
