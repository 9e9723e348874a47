"""Calibrations that fall due: a notice three months and one month before, and on the day a notice of the highest level and an alarm of the room.

Said once per sensor (gateway and device), however many quantities it measures. A notice that somebody has closed does not come back before the next
stage; a new certificate takes down what stands.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from contract.quantities import QUANTITIES
from server.org import notice_words, notices
from server.org.rows import day
from server.store.tables import Gateway, Point, Room
from server.store.tables_org import Calibration, Notice

RULE: Final = "calibration_due"
KIND: Final = "calibration"
DAY_MS: Final = 86_400_000
STAGES: Final[Mapping[int, str]] = {0: "urgent", 30: "alarm", 90: "warn"}
"""Days before the certificate ends -> level of the notice, the last first."""


@dataclass(frozen=True, slots=True)
class Sensor:
    """A sensor with the end of its certificate (UTC ms), where it stands, and which of its quantities is due first."""

    gateway: str
    device: str
    unit: str
    room: str | None
    place: str
    quantity: str
    until: int

    @property
    def subject(self) -> str:
        """Of its notices."""
        return f"device:{self.gateway}/{self.device}"[:80]

    def stage(self, now: int) -> int | None:
        """Which of STAGES it has reached; the day of the end counts from its midnight."""
        return next((days for days in STAGES if self.until - days * DAY_MS <= now), None)


def sensors(session: Session, until: int) -> Iterator[Sensor]:
    """Sensors of claimed gateways whose newest certificate ends before `until`, the earliest of its quantities each."""
    newest = select(Calibration.point, func.max(Calibration.valid_until).label("until")).group_by(Calibration.point).subquery()
    query = select(Point, Gateway.unit, Room.name, newest.c.until).join(newest, newest.c.point == Point.id)
    query = query.join(Gateway, Gateway.code == Point.gateway).outerjoin(Room, Room.code == Point.room)
    live = or_(Room.code.is_(None), Room.stage.not_in(("retired", "not_connected")))
    seen: set[tuple[str, str]] = set()
    query = query.where(Gateway.unit.is_not(None), newest.c.until < until, live).order_by(newest.c.until, Point.id)
    for point, unit, name, end in session.execute(query):
        if (point.gateway, point.device) not in seen:
            seen.add((point.gateway, point.device))
            yield Sensor(point.gateway, point.device, unit, point.room, name or point.gateway, point.quantity, end)


def remind(session: Session, now: int) -> int:
    """Put up what has come due and take down what was mended, in the caller's write transaction. Returns how many notices are new."""
    due = {one.subject: (one, stage) for one in sensors(session, now + max(STAGES) * DAY_MS + 1) if (stage := one.stage(now)) is not None}
    last = {row.subject: row for row in session.scalars(select(Notice).where(Notice.kind == KIND).order_by(Notice.id))}
    for subject, row in last.items():
        if row.open_key is not None and subject not in due:
            notices.take_down(session, row.open_key, now)
    return sum(_remind(session, one, STAGES[stage], last.get(subject), now) for subject, (one, stage) in due.items())


def _remind(session: Session, one: Sensor, level: str, last: Notice | None, now: int) -> bool:
    said = last is not None and (last.level, day(one.until) in last.sentence) == (level, True)
    if said:
        return False  # standing, or closed by a person who knows
    if last is not None and last.open_key is not None:
        notices.take_down(session, last.open_key, now)  # the stage before
    text = notice_words.FELL_DUE if one.until <= now else notice_words.FALLS_DUE
    sentence = text % {"place": one.place, "device": one.device, "quantity": QUANTITIES[one.quantity].zh, "day": day(one.until)}
    key = f"{RULE}:{one.subject}"
    return notices.put_up(session, key=key, kind=KIND, level=level, unit=one.unit, subject=one.subject, sentence=sentence, now=now)


def overdue(session: Session, now: int) -> dict[str, list[Sensor]]:
    """Rooms with sensors whose certificate has ended, and which."""
    found: dict[str, list[Sensor]] = {}
    for one in sensors(session, now + 1):
        if one.room is not None:
            found.setdefault(one.room, []).append(one)
    return found
