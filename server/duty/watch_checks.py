"""查岗: a question to the duty desk that only somebody who looks at the board can answer, compared with the sensor."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.store import audit, drills
from server.store.session import Database
from server.store.tables import Account, WebSession
from server.store.tables_drill import WatchCheck

ANSWER_MS = 10 * 60_000
AT_DESK_MS = 5 * 60_000
DAY_MS = 86_400_000
TOLERANCE = {"temperature": 1.0, "humidity": 3.0}
"""How far an answer may be from the present value: what a person reads a minute later."""

Present = Callable[[str, str], float | None]
"""(room, quantity) -> the good value of now, None where there is none."""


class NothingToAskError(ValueError):
    """No room of the unit has a fresh reading; the text is a sentence for the person."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`per_day`: questions to each staffed desk in a day on average; 0 = only when somebody asks."""

    per_day: float = 0.0


class WatchChecks:
    """Asks at random and counts what nobody answered. `run_once(now)` may be called at any pace: the chance grows with the time
    since the last call."""

    def __init__(self, db: Database, present: Present, settings: Settings, chance: random.Random | None = None) -> None:
        self._db, self._present, self._settings = db, present, settings
        self._chance = chance or random.SystemRandom()
        self._last: int | None = None

    def run_once(self, now: int) -> int:
        """One round; returns how many questions were asked or given up."""
        passed, self._last = (0 if self._last is None else now - self._last), now
        with self._db.read() as session:
            overdue = session.scalars(select(WatchCheck.id).where(WatchCheck.state == "open", WatchCheck.due_at <= now)).all()
            desks = _staffed(session, now) if self._settings.per_day > 0 else ()
        asked = [unit for unit in desks if self._chance.random() < self._settings.per_day * passed / DAY_MS]
        if not overdue and not asked:
            return 0
        with self._db.write() as session:
            for ident in overdue:
                _miss(session, session.get_one(WatchCheck, ident), now)
            for unit in asked:
                if drills.open_check(session, unit) is None:
                    self._ask(session, unit, now)
        return len(overdue) + len(asked)

    def _ask(self, session: Session, unit: str, now: int) -> None:
        try:
            ask(session, unit, "定时", self._present, now, self._chance)
        except NothingToAskError:
            return  # a desk whose rooms are all blind has other things to do, and its board says so


def ask(session: Session, unit: str, by: str, present: Present, now: int, chance: random.Random | None = None) -> WatchCheck:
    """Put a question to a desk. Raises NothingToAskError."""
    fresh = [(room, quantity) for room, _ in drills.rooms(session, unit) for quantity in TOLERANCE if present(room, quantity) is not None]
    if not fresh:
        raise NothingToAskError("这个单位现在没有可以核对的读数。")
    room, quantity = (chance or random.SystemRandom()).choice(fresh)
    check = WatchCheck(unit=unit, room=room, quantity=quantity, asked_at=now, asked_by=by, due_at=now + ANSWER_MS)
    session.add(check)
    session.flush()
    audit.append(session, by, "watch_check.ask", unit, {"check": check.id, "room": room, "quantity": quantity}, now)
    return check


def answer(session: Session, check: WatchCheck, value: float, by: str, present: Present, now: int) -> bool:
    """Take the answer. Returns whether it fits what the sensor shows; raises NothingToAskError when the question is over or the reading is gone."""
    if check.state != "open":
        raise NothingToAskError("这个问题已经答过或过时。")
    measured = present(check.room, check.quantity)
    if measured is None:
        raise NothingToAskError("该测点现在没有有效数据，这次查岗作罢。")
    right = abs(value - measured) <= TOLERANCE[check.quantity]
    check.state, check.answered_at, check.answered_by, check.answer, check.measured = "right" if right else "wrong", now, by, value, measured
    audit.append(session, by, "watch_check.answer", check.unit, {"check": check.id, "answer": value, "measured": measured, "right": right}, now)
    return right


def _miss(session: Session, check: WatchCheck, now: int) -> None:
    check.state = "missed"
    audit.append(session, "系统", "watch_check.missed", check.unit, {"check": check.id}, now)


def _staffed(session: Session, now: int) -> tuple[str, ...]:
    """Units at whose desk somebody is signed in for duty."""
    query = select(Account.unit).join(WebSession, WebSession.account == Account.id)
    query = query.where(Account.role == "duty", WebSession.last_seen_at > now - AT_DESK_MS, WebSession.expires_at > now)
    return tuple(sorted(set(session.scalars(query))))
