"""The way of one alarm, step by step: read, received, judged, told, answered. For `archivewatch trace` and whoever asks where time was lost."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.store import alarms
from server.store.journal import JournalDamagedError, JournalRow, decode
from server.store.tables import Alarm, EscalationStep, Journal, Transition

_LOOK_MS = 120_000  # how far from the raising its sample may have been received; late samples are not looked for
_MOST_BATCHES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happened at an instant (UTC ms).

    `stage`: measured | received | <name of a transition> | step (of the escalation) | queued | sent | receipt. `detail` is for people.
    """

    at: int
    stage: str
    detail: str = ""


def read(session: Session, alarm: Alarm, *, told: bool = True) -> list[Step]:
    """Everything that is recorded about an alarm, in order; of equal instants cause before effect. Without `told`: no messages, no receivers.

    The sample is found only while the journal holds it, which is a day after it came.
    """
    changes = alarms.transitions(session, alarm.id)
    steps = [*_sample(session, alarm), *(_change(row) for row in changes)]
    if told:
        planned = select(EscalationStep).where(EscalationStep.alarm == alarm.id)
        steps += [
            Step(at=row.due, stage="step", detail=f"{row.reason} {row.step} {row.state}")
            for row in session.scalars(planned.order_by(EscalationStep.id))
        ]
        for sent in alarms.notifications(session, alarm.id):
            name = f"{sent.channel} {sent.person_name}".strip()
            steps.append(Step(at=sent.created_at, stage="queued", detail=name))
            if sent.sent_at is not None:
                tries = f" attempts {sent.attempts}" if sent.attempts > 1 else ""
                steps.append(Step(at=sent.sent_at, stage="sent", detail=name + tries))
            if sent.receipt_at is not None:
                steps.append(Step(at=sent.receipt_at, stage="receipt", detail=f"{name} {sent.receipt}"))
    return sorted(steps, key=lambda step: step.at)


def _change(row: Transition) -> Step:
    value = "" if row.value is None else f" {row.value:g}"
    limit = "" if row.limit is None else f" limit {row.limit:g}"
    by = f" {row.by} ({row.via})" if row.by else ""
    return Step(at=row.at, stage=row.name, detail=f"{row.level}{value}{limit}{by}".strip())


def _sample(session: Session, alarm: Alarm) -> list[Step]:
    """The newest sample of the alarm's point that was taken when it was raised."""
    kind, _, ident = alarm.subject.partition(":")
    if kind != "point":
        return []
    near = Journal.received_at.between(alarm.raised_at - _LOOK_MS, alarm.raised_at + _LOOK_MS)
    best: JournalRow | None = None
    for body in session.scalars(select(Journal.body).where(near).order_by(Journal.id).limit(_MOST_BATCHES)):
        for row in _rows(body, int(ident)):
            if row.taken_at <= alarm.raised_at and (best is None or row.taken_at > best.taken_at):
                best = row
    if best is None:
        return []
    value = "" if best.value is None else f"{best.value:g}"
    return [Step(at=best.taken_at, stage="measured", detail=value), Step(at=best.received_at, stage="received", detail=value)]


def _rows(body: bytes, point: int) -> list[JournalRow]:
    """Rows of a point; a damaged body says nothing here, the journal's own readers report it."""
    try:
        columns = decode(body)
    except JournalDamagedError:
        return []
    return [row for row in columns.rows() if row.point_id == point] if point in columns.point_ids else []
