"""Rows that are written once: steps of an escalation, messages of the outbox, and the conditional update on which every claim rests."""

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


def add_step(session: Session, alarm: int, annunciation: int, step: int, due: int, *, reason: str = "raised", held: bool = False) -> None:
    """Plan a step unless the annunciation has it already."""
    known = select(EscalationStep.id).where(
        EscalationStep.alarm == alarm, EscalationStep.annunciation == annunciation, EscalationStep.reason == reason, EscalationStep.step == step
    )
    if session.scalar(known) is None:
        session.add(EscalationStep(alarm=alarm, annunciation=annunciation, reason=reason, step=step, due=due, state="pending", held=held))


def message(found: Situation, step: int, one: Recipient, text: str, due: int) -> Notification:
    """A message of a step. One that waits for the morning exists from then on: its validity must not run out overnight."""
    reason = "escalated" if found.step.reason == "raised" and step else found.step.reason
    return Notification(
        escalation_step=found.step.id, alarm=found.alarm.id, unit=found.unit.code, number=found.alarm.number, reason=reason, step=step,
        person=one.person_id, person_name=one.name[:60], phone=one.phone, channel=one.channel, text=text, created_at=due, due=due, state="queued",
    )  # fmt: skip


def said_before(session: Session, one: Recipient, text: str, since: int) -> bool:
    """The very same words to the same phone by the same channel say nothing new, and carriers refuse them."""
    query = select(Notification.id).where(Notification.phone == one.phone, Notification.channel == one.channel, Notification.text == text)
    query = query.where(Notification.created_at > since, Notification.state.in_(REACHED))
    return session.scalar(query.limit(1)) is not None
