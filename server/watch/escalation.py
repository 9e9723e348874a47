"""Due instants of the escalation, as one transaction of the watch asks for them, stops them and gives them back.

The dispatcher does the telling; both meet in the table. The statements of the way from sample to alarm are built once: building them took longer than
running them.
"""

from typing import Any

from sqlalchemy import bindparam, exists, insert, select, update
from sqlalchemy.orm import Session

from server.duty.ladder import TOGETHER_MS
from server.store.tables import Alarm, EscalationStep, Notification

PENDING, CANCELLED = "pending", "cancelled"
SUPERVISE, PART = "supervise", "group"
_STEP, _MESSAGE = EscalationStep.__table__, Notification.__table__
_ASK = insert(_STEP)  # type: ignore[arg-type]
_HOLD = (
    update(_STEP)  # type: ignore[arg-type]
    .where(_STEP.c.alarm == bindparam("of"), _STEP.c.state == PENDING, _STEP.c.reason != SUPERVISE)
    .values(state=CANCELLED)
)
_OTHER = _MESSAGE.alias()
_CARRIES = exists().where(
    _OTHER.c.state == "merged", _OTHER.c.phone == _MESSAGE.c.phone, _OTHER.c.channel == _MESSAGE.c.channel,
    _OTHER.c.created_at > _MESSAGE.c.created_at - TOGETHER_MS, _OTHER.c.text == _MESSAGE.c.text, _OTHER.c.alarm != _MESSAGE.c.alarm,
)  # fmt: skip
"""A digest or a summary speaks for the alarms that were merged into it as well; whether those still want it is asked when it is sent."""
_DROP = (
    update(_MESSAGE)  # type: ignore[arg-type]
    .where(_MESSAGE.c.alarm == bindparam("of"), _MESSAGE.c.state == "queued", _MESSAGE.c.reason != SUPERVISE, ~_CARRIES)
    .values(state="dropped")
)


class Escalations:
    """Steps within one transaction; `asked` says whether the dispatcher has something new to look at."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.asked = False
        self._new: set[int] = set()

    def opened(self, alarm: int) -> None:
        """An alarm of this transaction: nothing of it can have been asked before."""
        self._new.add(alarm)

    def ask(self, alarm: Alarm, annunciation: int, reason: str, due: int) -> None:
        """Ask the dispatcher to tell people, from step 0 of the escalation table."""
        self.asked = True
        row = {"alarm": alarm.id, "annunciation": annunciation, "reason": reason, "step": 0, "due": due, "state": PENDING, "held": False}
        self._run(_ASK, row)
        self._new.discard(alarm.id)

    def progressed(self, alarm: Alarm, transition: int, now: int) -> None:
        """Progress was reported: the clock of the take-over starts anew (the dispatcher plans the next question)."""
        asked = update(EscalationStep).where(EscalationStep.alarm == alarm.id, EscalationStep.state == PENDING)
        self._session.execute(asked.where(EscalationStep.reason.in_(("progress", "expire"))).values(state=CANCELLED))
        if alarm.acked_at is not None:
            self.ask(alarm, transition, "progressed", now)

    def hold(self, alarm: Alarm) -> None:
        """Stop what has not left yet: pending steps and messages that nobody has claimed. The supervision line goes on: an answer of the handler
        never silences it; the dispatcher finds out by itself when it has nothing more to say."""
        if alarm.id not in self._new:
            self._run(_HOLD, {"of": alarm.id})
            self._run(_DROP, {"of": alarm.id})

    def resume(self, alarm: Alarm) -> None:
        """Give the due instants of the last annunciation back, after an undone take-over."""
        newest = (
            select(EscalationStep.annunciation)
            .where(EscalationStep.alarm == alarm.id, EscalationStep.reason == "raised")
            .order_by(EscalationStep.annunciation.desc())
            .limit(1)
            .scalar_subquery()
        )
        steps = update(EscalationStep).where(
            EscalationStep.alarm == alarm.id,
            EscalationStep.reason == "raised",
            EscalationStep.annunciation == newest,
            EscalationStep.state == CANCELLED,
        )
        self._session.execute(steps.values(state=PENDING))
        dropped = update(Notification).where(
            Notification.alarm == alarm.id,
            Notification.state == "dropped",
            Notification.escalation_step.in_(select(EscalationStep.id).where(EscalationStep.annunciation == newest)),
        )
        self._session.execute(dropped.values(state="queued"))

    def rewind(self, now: int, by: int) -> None:
        """The server's clock was ahead by so many ms and has been put back to `now`: what is due later is due so much sooner, or the next level would
        be called only when the clock is there again. What waits for a time of day (held) keeps it."""
        steps = update(EscalationStep).where(EscalationStep.state == PENDING, EscalationStep.due > now, EscalationStep.held.is_(False))
        self._session.execute(steps.values(due=EscalationStep.due - by))
        waiting = update(Notification).where(Notification.state == "queued", Notification.due > now)
        self._session.execute(waiting.values(due=Notification.due - by))
        claimed = update(Notification).where(Notification.state == "claimed", Notification.claimed_until > now)
        self._session.execute(claimed.values(claimed_until=Notification.claimed_until - by))
        self.asked = True

    def _run(self, statement: Any, values: dict[str, Any]) -> None:
        self._session.connection().execute(statement, values)
