"""Rows that are written once: steps of an escalation, messages of the outbox, and the conditional update on which claims rest."""

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import CursorResult, Update, bindparam, select
from sqlalchemy.orm import Session

from server.duty.routing import Recipient
from server.notify.situation import REACHED, Situation
from server.store.tables import EscalationStep, Notification

# What is asked for each message is built once: to put a statement together takes longer than to run it.
_STEP = select(EscalationStep.id).where(
    EscalationStep.alarm == bindparam("of"), EscalationStep.annunciation == bindparam("call"), EscalationStep.reason == bindparam("why"),
    EscalationStep.step == bindparam("number"),
)  # fmt: skip
_SAID = (
    select(Notification.id)
    .where(Notification.phone == bindparam("to"), Notification.channel == bindparam("by"), Notification.text == bindparam("words"))
    .where(Notification.created_at > bindparam("after"), Notification.state.in_(REACHED))
    .limit(1)
)


def changed(session: Session, statement: Update, values: Mapping[str, Any] | None = None) -> bool:
    """Run an UPDATE and say whether it changed a row. Its WHERE carries the state that the row must still be in."""
    result = cast(CursorResult[Any], session.execute(statement, values))
    return result.rowcount > 0


def has_step(session: Session, alarm: int, annunciation: int, step: int, reason: str) -> bool:
    """Whether an annunciation has a step, whatever its state."""
    return session.scalar(_STEP, {"of": alarm, "call": annunciation, "why": reason, "number": step}) is not None


def message(found: Situation, step: int, one: Recipient, text: str, due: int) -> dict[str, Any]:
    """A message of a step. One that waits for the morning exists from then on: its validity must not run out overnight."""
    reason = "escalated" if found.step.reason == "raised" and step else found.step.reason
    return {
        "escalation_step": found.step.id, "alarm": found.alarm.id, "unit": found.unit.code, "number": found.alarm.number, "reason": reason,
        "step": step, "person": one.person_id, "person_name": one.name[:60], "phone": one.phone, "channel": one.channel, "text": text,
        "created_at": due, "due": due, "state": "queued",
    }  # fmt: skip


def said_before(session: Session, one: Recipient, text: str, since: int) -> bool:
    """The very same words to the same phone by the same channel say nothing new, and carriers refuse them."""
    return session.scalar(_SAID, {"to": one.phone, "by": one.channel, "words": text, "after": since}) is not None


def said_since(session: Session, since: int) -> set[tuple[str, str, str]]:
    """The same of all: (phone, channel, text)."""
    query = select(Notification.phone, Notification.channel, Notification.text)
    query = query.where(Notification.created_at > since, Notification.state.in_(REACHED))
    return {(phone, channel, text) for phone, channel, text in session.execute(query)}
