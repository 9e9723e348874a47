"""What waited for the morning: at the hour of the table each phone gets one message, however many alarms and recoveries of the night it is about."""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from server.duty.directory import Directory
from server.duty.ladder import LEVELS
from server.duty.routing import Recipient
from server.notify import situation
from server.notify.expand import REPEAT_MS, Expander
from server.notify.rows import message
from server.notify.situation import Situation
from server.store.tables import EscalationStep


class Item(NamedTuple):
    """One thing for one phone: a call for attention at `step`, or the news that an alarm is `over`. `told`: whom its annunciation has reached."""

    found: Situation
    step: int
    to: Recipient
    told: frozenset[str]
    over: bool

    @property
    def rank(self) -> tuple[bool, int, int]:
        """Calls before news, the worst first."""
        return self.over, LEVELS.index(self.found.level), self.found.alarm.id


class Morning:
    """The digest; works with what the expander knows of steps and texts."""

    def __init__(self, expander: Expander) -> None:
        self._expander = expander

    @staticmethod
    def waits(session: Session, now: int) -> bool:
        """Whether anything held is due."""
        return session.scalar(_held(now).limit(1)) is not None

    def run(self, session: Session, now: int) -> int:
        """One transaction, so that a crash leaves all or nothing; each alarm keeps a row of its own (state merged), for its record and its next
        steps. Returns the number of messages."""
        directory, mail = self._expander.directory(session, now), dict[tuple[str, str], list[Item]]()
        for step in session.scalars(_held(now)).all():
            for item in self._items(session, step, now, directory):
                mail.setdefault((item.to.phone, item.to.channel), []).append(item)
        for items in mail.values():
            self._letter(session, sorted(items, key=lambda item: item.rank), now)
        return len(mail)

    def _items(self, session: Session, step: EscalationStep, now: int, directory: Directory) -> Iterable[Item]:
        step.state = "done"
        found = situation.load(session, step)
        if not situation.needed(found.alarm, step.reason) or situation.superseded(session, step):
            step.state = "cancelled"
            return ()
        if step.reason == "cleared":
            return [Item(found, 0, one, frozenset(), over=True) for one in self._expander.others(session, found)]
        told, outcome = self._expander.outcome(session, found, now, directory)
        if outcome.deferred_until is not None:
            step.state, step.due = "pending", outcome.deferred_until
            return ()
        self._expander.follow(session, found, outcome, now)
        return [Item(found, outcome.step, one, told, over=False) for one in outcome.recipients]

    def _letter(self, session: Session, items: list[Item], now: int) -> None:
        """The message of one phone: about the alarm itself when it is one, else how many there are, under the number of the worst."""
        first = items[0]
        text = self._text(session, items, now)
        if not self._expander.write(session, first.found, first.step, [(first.to, text, now)], now, repeat_ms=REPEAT_MS):
            return
        for other in items[1:]:
            row = message(other.found, other.step, other.to, text, now)
            row.state, row.reason = "merged", "cleared" if other.over else "digest"
            session.add(row)
        session.flush()

    def _text(self, session: Session, items: list[Item], now: int) -> str:
        first, over = items[0], sum(item.over for item in items)
        facts, texts = self._expander.facts(first.found, now), self._expander.texts
        if len(items) == 1:
            return texts.follow_up("cleared", facts) if over else self._expander.call_text(session, first.found, facts, first.to, first.told)
        key = "digest_over" if over == len(items) else "digest_both" if over else "digest"
        return texts.follow_up(key, replace(facts, count=len(items) - over, over=over))


def _held(now: int) -> Select[EscalationStep]:
    query = select(EscalationStep).where(EscalationStep.state == "pending", EscalationStep.held.is_(True), EscalationStep.due <= now)
    return query.order_by(EscalationStep.id)
