"""What a due step comes to: worked out beside the writers, written by one of them in a moment.

Working it out reads the organisation, the rosters and what was said before, which takes longer than everything that is written. So it reads without
the writers' turn, and what is written holds only if nobody else had the step and nothing has happened to its alarm since: else nothing is written,
and the step is worked out anew.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from server.duty.routing import Recipient
from server.notify.rows import has_step, message, said_before
from server.notify.situation import Situation
from server.store.tables import EscalationStep, Notification, Transition

_STEP, _MESSAGE, _CHANGE = EscalationStep.__table__, Notification.__table__, Transition.__table__
_NEWER = select(_CHANGE.c.id).where(_CHANGE.c.alarm == bindparam("of"), _CHANGE.c.id > bindparam("seen")).exists()
_SETTLE = (
    update(_STEP)  # type: ignore[arg-type]
    .where(_STEP.c.id == bindparam("ident"), _STEP.c.state == "pending", _STEP.c.due == bindparam("was"), ~_NEWER)
    .values(state=bindparam("becomes"), due=bindparam("until"), held=bindparam("waits"))
)
_PLAN, _SAY = insert(_STEP), insert(_MESSAGE)  # type: ignore[arg-type]


class Due(NamedTuple):
    """A step that is due, its alarm, and the newest change of that alarm (0: none) when it was found."""

    step: int
    alarm: int
    seen: int


class Draft:
    """The outcome of one step. `state`, `due` and `held` are what becomes of the step itself; `counts` (channel, result) belong to the metrics once
    it is written."""

    def __init__(self, due: Due, found: Situation) -> None:
        self._from, self.found = due, found
        self.state, self.due, self.held = "done", found.step.due, found.step.held
        self.counts: list[tuple[str, str]] = []
        self._steps: list[dict[str, object]] = []
        self._messages: list[dict[str, Any]] = []

    def wait(self, until: int, *, held: bool) -> None:
        """It stays pending; `held`: for the digest of the morning."""
        self.state, self.due, self.held = "pending", until, held

    def plan(self, session: Session, step: int, due: int, *, reason: str = "raised", held: bool = False) -> None:
        """A further step, unless the annunciation has it already."""
        of = self.found.step
        if not has_step(session, of.alarm, of.annunciation, step, reason):
            row = {"alarm": of.alarm, "annunciation": of.annunciation, "reason": reason, "step": step, "due": due, "state": "pending", "held": held}
            self._steps.append(row)

    def say(self, session: Session, step: int, one: Recipient, text: str, now: int, *, repeat_ms: int) -> None:
        """A message, unless the same was said within `repeat_ms`."""
        twice = any((one.phone, one.channel) == (row["phone"], row["channel"]) for row in self._messages)
        if twice or said_before(session, one, text, now - repeat_ms):
            self.counts.append((one.channel, "repeated"))
        else:
            self.add(step, one, text, now)

    def add(self, step: int, one: Recipient, text: str, now: int, **changes: str) -> None:
        """A message in any case; `changes`: columns that differ from those of one that is to be sent."""
        self._messages.append(message(self.found, step, one, text, now) | changes)

    def settle(self, session: Session) -> bool:
        """Within the writer's transaction: take the step. False when somebody else had it or its alarm has changed: nothing is to be written."""
        values = {
            "ident": self._from.step, "of": self._from.alarm, "seen": self._from.seen, "was": self.found.step.due,
            "becomes": self.state, "until": self.due, "waits": self.held,
        }  # fmt: skip
        result = session.connection().execute(_SETTLE, values)
        return result.rowcount > 0

    @staticmethod
    def write(session: Session, drafts: Iterable["Draft"]) -> None:
        """Within the same transaction: what settled steps bring with them."""
        drafts = tuple(drafts)
        for statement, rows in ((_PLAN, [row for one in drafts for row in one._steps]), (_SAY, [row for one in drafts for row in one._messages])):
            if rows:
                session.connection().execute(statement, rows)
