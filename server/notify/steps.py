"""Due steps are worked out beside the writers and written in short transactions; one that cannot be is set aside and holds up nobody."""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import update
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from server.duty.directory import Directory
from server.notify import situation
from server.notify.draft import Draft, Due
from server.notify.expand import Count, Expander
from server.notify.morning import Morning
from server.store.session import Database
from server.store.tables import EscalationStep, Unit

T = TypeVar("T")

log = logging.getLogger("server.notify")

_STEPS = 8
"""Worked out at a time: few enough that the first messages leave at once, enough that a thousand alarms do not cost a thousand commits."""
_SET_ASIDE_MS = 60_000


def _each(due: Sequence[Due], work: Callable[[Due], T]) -> tuple[list[T], list[int]]:
    """What each step comes to, and those that break the program: one of them may not keep a thousand people from hearing of the others."""
    done, broken = list[T](), list[int]()
    for one in due:
        try:
            done.append(work(one))
        except DBAPIError:
            raise
        except Exception:
            log.exception("escalation step %d cannot be worked out; set aside for a minute", one.step)
            broken.append(one.step)
    return done, broken


def _gather(directory: Directory, units: Sequence[Unit]) -> None:
    """What cannot be read together is read step by step, where what is broken is set aside alone."""
    try:
        directory.gather(units)
    except DBAPIError:
        raise
    except Exception:
        log.exception("the people of %d units cannot be read together", len(units))


class Steps:
    """Used by one thread. `count(channel, result)` feeds the metrics; a step that breaks the program is counted for `channel`."""

    def __init__(self, db: Database, expander: Expander, count: Count, channel: str) -> None:
        self._db, self._expander, self._count, self._channel = db, expander, count, channel
        self._morning = Morning(expander)

    def run_once(self, now: int) -> int:
        """Work out what is due and write it, the digest when nothing else is. Returns how many steps were dealt with."""
        with self._db.read() as session:
            due = self._expander.due(session, now, _STEPS)
            directory = self._expander.directory(session, now)
            if due:
                _gather(directory, situation.prefetch(session, [one.step for one in due], [one.alarm for one in due]))
            drafts, broken = _each(due, lambda one: self._expander.expand(session, one, now, directory))
        for ident in broken:
            self._set_aside(ident, now)
        if drafts:
            self._write(drafts, now)
        return len(due) or self._digest(now)

    def _write(self, drafts: Sequence[Draft], now: int) -> None:
        """All in one transaction; each by itself where the database refuses one of them."""
        try:
            with self._db.write() as session:
                taken = [draft for draft in drafts if draft.settle(session)]
                Draft.write(session, taken)
        except (IntegrityError, DataError):
            if len(drafts) == 1:
                log.exception("escalation step %d cannot be written; set aside for a minute", drafts[0].found.step.id)
                self._set_aside(drafts[0].found.step.id, now)
                return
            for draft in drafts:
                self._write((draft,), now)
        else:
            self._told(taken)

    def _digest(self, now: int) -> int:
        """What waited for the morning."""
        with self._db.read() as session:
            due = self._morning.due(session, now)
            if not due:
                return 0
            directory = self._expander.directory(session, now)
            prepared, broken = _each(due, lambda one: self._morning.prepare(session, one, now, directory))
        for ident in broken:
            self._set_aside(ident, now)
        taken = list[Draft]()
        if prepared:
            with self._db.write() as session:
                taken = self._morning.run(session, prepared, now)
        self._told(taken)
        return len(taken) + len(broken)

    def _told(self, drafts: Sequence[Draft]) -> None:
        for channel, result in (count for draft in drafts for count in draft.counts):
            self._count(channel, result)

    def _set_aside(self, ident: int, now: int) -> None:
        """A step that breaks the program must not hold up the others, and must not be forgotten."""
        later = update(EscalationStep).where(EscalationStep.id == ident, EscalationStep.state == "pending").values(due=now + _SET_ASIDE_MS)
        with self._db.write() as session:
            session.execute(later)
        self._count(self._channel, "broken")
