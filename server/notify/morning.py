"""What waited for the morning: at the hour of the table each phone gets one message, however many alarms and recoveries of the night it is about."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from server.duty.directory import Directory
from server.duty.ladder import LEVELS
from server.duty.routing import Recipient
from server.notify import situation
from server.notify.draft import Draft, Due
from server.notify.expand import REPEAT_MS, Expander, newest_change
from server.notify.rows import said_since
from server.store.tables import EscalationStep


class Item(NamedTuple):
    """One thing for one phone: a call for attention at `step`, or the news that an alarm is `over`. `text` is what it says when it comes alone."""

    draft: Draft
    step: int
    to: Recipient
    text: str
    over: bool

    @property
    def rank(self) -> tuple[bool, int, int]:
        """Calls before news, the worst first."""
        return self.over, LEVELS.index(self.draft.found.level), self.draft.found.alarm.id


class Morning:
    """The digest; works with what the expander knows of steps and texts."""

    def __init__(self, expander: Expander) -> None:
        self._expander = expander

    @staticmethod
    def due(session: Session, now: int) -> list[Due]:
        """Every step that has waited and is due."""
        return [Due(*row) for row in session.execute(_HELD, {"now": now})]

    def run(self, session: Session, prepared: Sequence[tuple[Draft, list[Item]]], now: int) -> list[Draft]:
        """One transaction, so that a crash leaves all or nothing; each alarm keeps a row of its own (state merged), for its record and its next
        steps. Returns the drafts that were written; what has changed meanwhile waits for the next round."""
        taken = {draft: items for draft, items in prepared if draft.settle(session)}
        mail = dict[tuple[str, str], list[Item]]()
        for item in (item for items in taken.values() for item in items):
            mail.setdefault((item.to.phone, item.to.channel), []).append(item)
        said = said_since(session, now - REPEAT_MS)
        for items in mail.values():
            self._letter(sorted(items, key=lambda item: item.rank), said, now)
        Draft.write(session, taken)
        return list(taken)

    def prepare(self, session: Session, due: Due, now: int, directory: Directory) -> tuple[Draft, list[Item]]:
        """What one of them comes to. Only reads: a thousand of them take seconds, in which alarms must be written."""
        draft = Draft(due, situation.load(session, session.get_one(EscalationStep, due.step)))
        found = draft.found
        if not situation.needed(found.alarm, found.step.reason) or situation.superseded(session, found.step):
            draft.state = "cancelled"
            return draft, []
        facts = self._expander.facts(found, now)
        if found.step.reason == "cleared":
            text = self._expander.texts.follow_up("cleared", facts)
            return draft, [Item(draft, 0, one, text, over=True) for one in self._expander.others(session, found)]
        told, outcome = self._expander.outcome(session, found, now, directory)
        if outcome.deferred_until is not None:
            draft.wait(outcome.deferred_until, held=found.step.held)
            return draft, []
        self._expander.follow(session, draft, outcome, now)
        texts = ((one, self._expander.call_text(session, found, facts, one, told)) for one in outcome.recipients)
        return draft, [Item(draft, outcome.step, one, text, over=False) for one, text in texts]

    def _letter(self, items: Sequence[Item], said: AbstractSet[tuple[str, str, str]], now: int) -> None:
        """The message of one phone: about the alarm itself when it is one, else how many there are, under the number of the worst."""
        draft, step, one, *_ = items[0]
        text = self._text(items, now)
        if (one.phone, one.channel, text) in said:
            draft.counts.append((one.channel, "repeated"))
            return
        draft.add(step, one, text, now)
        for other in items[1:]:
            other.draft.add(other.step, other.to, text, now, state="merged", reason="cleared" if other.over else "digest")

    def _text(self, items: Sequence[Item], now: int) -> str:
        first, over = items[0], sum(item.over for item in items)
        if len(items) == 1:
            return first.text
        key = "digest_over" if over == len(items) else "digest_both" if over else "digest"
        facts = replace(self._expander.facts(first.draft.found, now), count=len(items) - over, over=over)
        return self._expander.texts.follow_up(key, facts)


_HELD = (
    select(EscalationStep.id, EscalationStep.alarm, newest_change(EscalationStep.alarm))
    .where(EscalationStep.state == "pending", EscalationStep.held.is_(True), EscalationStep.due <= bindparam("now"))
    .order_by(EscalationStep.id)
)
