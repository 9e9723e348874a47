"""From due escalation steps to messages in the outbox: what one step comes to, with the next step.

Everything here only reads, and ends in a `Draft`. The step row is claimed by a conditional update in the transaction that writes the draft, so a
crash leaves both or neither and two dispatchers never expand the same step; the unique key (step, phone, channel) stands behind that.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Case, ScalarSelect, bindparam, case, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from server.duty import readiness
from server.duty.calendar import Workdays
from server.duty.directory import Directory
from server.duty.escalation import EscalationTable
from server.duty.ladder import LEVELS
from server.duty.routing import Plan, Recipient, inform, plan, supervisions
from server.notify import situation
from server.notify.draft import Draft, Due
from server.notify.lines import Broadcast, Lines
from server.notify.situation import Knowledge, Situation
from server.notify.texts import AlarmFacts, Catalogue
from server.store.tables import Alarm, EscalationStep, Transition

log = logging.getLogger("server.notify")

Count = Callable[[str, str], None]
REPEAT_MS = 10 * 60_000
"""The same words are not said again to the same phone within this."""
_NEWS_REPEAT_MS = 24 * 3_600_000
_NOBODY_MS, _NOBODY_MOST_MS = 60_000, 900_000
"""So long after nobody at all was found it is looked again: from a minute on, rarer the longer it lasts."""
_TRY_AGAIN_MS = 1_800_000
"""Where nobody at all was reached, those who could not be are tried again after this: a provider that was out for hours comes back, a number of
yesterday's may work today."""
WATCH_STEPS = "expire"
"""Steps of this reason are carried out by the watch, which alone changes alarms."""


class Expander:
    """Works out what steps come to."""

    def __init__(
        self, table: EscalationTable, texts: Catalogue, lines: Lines, *, knowledge: Knowledge | None = None, workdays: Workdays | None = None
    ) -> None:
        self._table, self.texts, self._lines = table, texts, lines
        self._knowledge, self._workdays = knowledge or Knowledge(), workdays or Workdays()

    @staticmethod
    def due(session: Session, now: int, limit: int) -> list[Due]:
        """Steps that are due, the worst alarms first, each level in the order of time; of one alarm only the first, whose messages the others look
        at. What waited for the morning is the digest's."""
        first: dict[int, Due] = {}
        for row in session.execute(_DUE, {"now": now, "most": limit}):
            first.setdefault(row[1], Due(*row))
        return list(first.values())

    def directory(self, session: Session, now: int) -> Directory:
        """Who can be told now, for one batch of steps."""
        return Directory(session, self._workdays, now)

    def expand(self, session: Session, due: Due, now: int, directory: Directory) -> Draft:
        """What one step comes to. Raises NoResultFound when it is gone."""
        draft = Draft(due, situation.load(session, session.get_one(EscalationStep, due.step)))
        found, reason = draft.found, draft.found.step.reason
        if not situation.needed(found.alarm, reason) or situation.superseded(session, found.step):
            draft.state = "cancelled"
        elif reason in ("taken", "cleared"):
            self._news(session, draft, now)
        elif reason == "progress":
            self._ask(session, draft, now)
        elif reason != "progressed":
            self._call(session, draft, now, directory)
        if reason in ("taken", "progressed") and draft.state != "cancelled":
            self._plan_progress(session, draft)
        return draft

    def facts(self, found: Situation, now: int) -> AlarmFacts:
        """What a text may say about a step's alarm."""
        return found.text_facts(self._knowledge, now)

    # -- somebody is asked for ----------------------------------------------------------------------------------------------------------

    def _call(self, session: Session, draft: Draft, now: int, directory: Directory) -> None:
        found = draft.found
        told, outcome = self.outcome(session, found, now, directory)
        if outcome.deferred_until is not None:
            draft.wait(outcome.deferred_until, held=outcome.held)
            return
        self.follow(session, draft, outcome, now)
        facts, repeat_ms = self.facts(found, now), _NEWS_REPEAT_MS if found.alarm.drill else REPEAT_MS
        for one in [*outcome.recipients, *self._newcomers(session, found, outcome, now)]:
            draft.say(session, outcome.step, one, self.call_text(session, found, facts, one, told), now, repeat_ms=repeat_ms)
        if found.step.reason == "raised" and found.step.step == 0:
            for one in self._groups(session, found):
                draft.say(session, outcome.step, one, self.texts.first(facts), now, repeat_ms=self._repeat_ms(one, repeat_ms))

    def outcome(self, session: Session, found: Situation, now: int, directory: Directory) -> tuple[frozenset[str], Plan]:
        """The phones that the annunciation has reached so far, and what the step comes to now."""
        told = frozenset(one.phone for one in situation.told(session, found.alarm.id, found.step.annunciation))
        org = directory.organisation(found.unit, found.room)
        lines, begun = self._lines, situation.begun(session, found.step)
        context = found.context(lines.channel, told, voice=lines.voice, email=lines.email, begun=begun)
        outcome = plan(context, org, self._table, now, self._workdays)
        if outcome.nobody and found.step.step > 0:  # asked anew: somebody may have come to a step before, or the provider may be back
            first = plan(replace(context, step=0), org, self._table, now, self._workdays)
            tried = situation.tried(session, found.step, now - _TRY_AGAIN_MS)
            if new := tuple(one for one in first.recipients if one.phone not in tried):
                outcome = replace(outcome, recipients=new, nobody=False, step=found.step.step)  # the step behind it is new then
        return told, outcome

    def follow(self, session: Session, draft: Draft, outcome: Plan, now: int) -> None:
        """What a step that is being told brings with it: the next one, and with the first the supervision line."""
        found = draft.found
        self._report_gaps(draft, outcome, now)
        if outcome.next_due is not None:
            # What came with the digest goes on together: the next level gets one message as well, not one for each room.
            step, due = self._carried(session, found, now) or (outcome.step + 1, outcome.next_due)
            draft.plan(session, step, due, held=found.step.held)
        if found.step.reason == "raised" and found.step.step == 0:
            context = found.context(self._lines.channel, frozenset())
            for number, due in enumerate(supervisions(context, self._table)):
                draft.plan(session, number, due, reason="supervise", held=found.step.held)

    def _report_gaps(self, draft: Draft, outcome: Plan, now: int) -> None:
        """An alarm that has reached nobody is never given up: somebody may be put on the roster, or get a number, at any minute."""
        found = draft.found
        for index in () if outcome.nobody else outcome.skipped:
            draft.counts.append((self._lines.channel, "no_recipient"))
            log.warning("alarm %s, step %d: nobody to tell in unit %s, next level at once", found.alarm.number, index, found.unit.code)
        if outcome.nobody:
            draft.wait(now + min(max((now - found.annunciated_at) // 2, _NOBODY_MS), _NOBODY_MOST_MS), held=False)
            draft.counts.append((self._lines.channel, "nobody"))
            log.error("alarm %s: there is nobody at all to tell, from unit %s upwards; looking again", found.alarm.number, found.unit.code)

    def call_text(self, session: Session, found: Situation, facts: AlarmFacts, one: Recipient, told: frozenset[str]) -> str:
        """Drills say so always; who hears of it first is told what happened, others that nobody has answered."""
        if facts.drill:
            key = "drill"
        elif found.step.reason in ("assist", "reopened"):
            key = found.step.reason
        elif found.step.reason == "supervise":
            if not facts.acked:
                return self.texts.follow_up("supervise", facts)
            return self.texts.follow_up("supervise_taken", replace(facts, post=situation.post_of_taker(session, found.alarm.id)))
        elif not told:
            return self.texts.first(facts, reply_hint=self._lines.reply_hint)
        else:
            key = "again" if one.phone in told else "escalated"
        return self.texts.follow_up(key, facts, reply_hint=self._lines.reply_hint)

    def _newcomers(self, session: Session, found: Situation, outcome: Plan, now: int) -> list[Recipient]:
        """A drill also goes to those of the unit whose first shift is to come: nobody's first call shall be a real one."""
        if not found.alarm.drill or found.step.reason != "raised" or found.step.step:
            return []
        there = {one.phone for one in outcome.recipients}
        coming = readiness.undrilled(session, found.unit.code, self._workdays, now)
        return [one for one in situation.reachable(session, coming, self._lines.channel) if one.phone not in there]

    def _groups(self, session: Session, found: Situation) -> list[Recipient]:
        """Groups that follow an alarm of this unit and level."""
        if not self._lines.broadcasts:
            return []
        path = situation.path_of(session, found.unit)
        wanted = (one for one in self._lines.broadcasts if found.level in one.levels and (one.unit is None or one.unit in path))
        return [Recipient(None, one.name, one.address, one.channel) for one in wanted]

    def _carried(self, session: Session, found: Situation, now: int) -> tuple[int, int] | None:
        """(step, due) of the ladder before. An alarm that comes and goes must not push the upper levels away for ever: what was planned before it
        came back stays planned, unless somebody had taken it over in between."""
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

    def _news(self, session: Session, draft: Draft, now: int) -> None:
        """Somebody has it, or it is over: to those who were called; the supervision line hears who has it. What can wait goes into the digest."""
        found, reason, alarm = draft.found, draft.found.step.reason, draft.found.alarm
        if alarm.drill and reason == "cleared":
            return
        facts, groups = self.facts(found, now), self._group_addresses()
        people = situation.told(session, alarm.id, states=situation.CALLED)
        told = inform([one for one in people if one.phone not in groups], situation.takers(session, alarm.id), reason, self._table, now)
        text = self.texts.follow_up("drill_taken" if alarm.drill else reason, facts)
        news = [(one, text) for one, due in told if due <= now]
        if later := max((due for _, due in told if due > now), default=None):
            draft.plan(session, 1, later, reason=reason, held=True)
        if reason == "taken":
            text = self.texts.follow_up("supervise_taken", replace(facts, post=situation.post_of_taker(session, alarm.id)))
            heard = {one.phone for one, _ in told}
            news += [(one, text) for one in situation.told_of(session, alarm.id, "supervise") if one.phone not in heard]
        general = self.texts.follow_up("group_taken" if reason == "taken" else reason, facts)
        news += [(one, general) for one in people if one.phone in groups and self._hears(session, alarm, groups[one.phone], now)]
        for one, text in news:
            draft.say(session, 0, one, text, now, repeat_ms=self._repeat_ms(one, _NEWS_REPEAT_MS))

    def _repeat_ms(self, one: Recipient, usual: int) -> int:
        """What makes noise is told the same again: to sound is no news, it is done anew."""
        group = self._group_addresses().get(one.phone)
        return 0 if group is not None and group.sounds_s else usual

    @staticmethod
    def _hears(session: Session, alarm: Alarm, group: Broadcast, now: int) -> bool:
        """Whether a group hears of news. What makes noise is not asked to stop while it sounds for another alarm, nor because of a drill."""
        if not group.sounds_s:
            return group.news
        return group.news and not alarm.drill and not situation.asks_for(session, alarm.id, group.address, now - group.sounds_s * 1000)

    def others(self, session: Session, found: Situation) -> list[Recipient]:
        """Who was called by an alarm and did not take it over, each phone once, groups left out."""
        groups, takers = self._group_addresses(), situation.takers(session, found.alarm.id)
        called = situation.told(session, found.alarm.id, states=situation.CALLED)
        return list({one.phone: one for one in called if one.phone not in groups and one.person_id not in takers}.values())

    def _group_addresses(self) -> dict[str, Broadcast]:
        return {one.address: one for one in self._lines.broadcasts}

    # -- progress -------------------------------------------------------------------------------------------------------------------------

    def _plan_progress(self, session: Session, draft: Draft) -> None:
        """When the one who has it will be asked how it goes."""
        found = draft.found
        wanted = self._table.progress.get(found.alarm.level)
        if wanted is not None and found.alarm.acked_at is not None and not found.alarm.drill:
            draft.plan(session, 0, found.annunciated_at + wanted.ask, reason="progress")

    def _ask(self, session: Session, draft: Draft, now: int) -> None:
        """Ask who has it for progress, and plan the end of the take-over for the case that nothing comes."""
        found = draft.found
        wanted = self._table.progress.get(found.alarm.level)
        if wanted is None:
            return
        draft.plan(session, 0, now + wanted.expire, reason=WATCH_STEPS)
        minutes = max(now - (found.alarm.acked_at or now), 0) // 60_000
        text = self.texts.follow_up("progress", replace(self.facts(found, now), minutes=minutes))
        for one in situation.reachable(session, situation.takers(session, found.alarm.id), self._lines.channel):
            draft.say(session, 0, one, text, now, repeat_ms=REPEAT_MS)


def worst_first() -> Case[int]:
    """The rank of an alarm's level, for sorting; whatever belongs to no alarm comes last."""
    return case({level: rank for rank, level in enumerate(LEVELS)}, value=Alarm.level, else_=len(LEVELS))


def newest_change(alarm: InstrumentedAttribute[int]) -> ScalarSelect[int]:
    """The id of the newest change of an alarm, 0 without one: what a draft rests on."""
    return select(func.coalesce(func.max(Transition.id), 0)).where(Transition.alarm == alarm).scalar_subquery()


_DUE = (
    # Built once: the dispatcher looks after each commit, and to put a statement together takes longer than to run it.
    select(EscalationStep.id, EscalationStep.alarm, newest_change(EscalationStep.alarm))
    .join(Alarm, Alarm.id == EscalationStep.alarm)
    .where(EscalationStep.state == "pending", EscalationStep.due <= bindparam("now"), EscalationStep.held.is_(False))
    .where(EscalationStep.reason != WATCH_STEPS)
    .order_by(worst_first(), EscalationStep.due, EscalationStep.id)
    .limit(bindparam("most"))
)
