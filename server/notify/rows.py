"""Rows that are written once: steps of an escalation, messages of the outbox, and the conditional update on which claims rest."""

from typing import Any, cast

from sqlalchemy import CursorResult, Update, select
from sqlalchemy.orm import Session

from server.duty.routing import Recipient
from server.notify.situation import REACHED, Situation
from server.store.tables import EscalationStep, Notification


def changed(session: Session, statement: Update) -> bool:
    """Run an UPDATE and say whether it changed a row. Its WHERE carries the state that the row must still be in."""
    result = cast(CursorResult[Any], session.execute(statement))
    return result.rowcount > 0


def has_step(session: Session, alarm: int, annunciation: int, step: int, reason: str) -> bool:
    """Whether an annunciation has a step, whatever its state."""
    known = select(EscalationStep.id).where(
        EscalationStep.alarm == alarm, EscalationStep.annunciation == annunciation, EscalationStep.reason == reason, EscalationStep.step == step
    )
    return session.scalar(known) is not None


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
    query = select(Notification.id).where(Notification.phone == one.phone, Notification.channel == one.channel, Notification.text == text)
    query = query.where(Notification.created_at > since, Notification.state.in_(REACHED))
    return session.scalar(query.limit(1)) is not None


def said_since(session: Session, since: int) -> set[tuple[str, str, str]]:
    """The same of all: (phone, channel, text)."""
    query = select(Notification.phone, Notification.channel, Notification.text)
    query = query.where(Notification.created_at > since, Notification.state.in_(REACHED))
    return {(phone, channel, text) for phone, channel, text in session.execute(query)}
