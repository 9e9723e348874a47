"""Sums over the coverage ledger: by state and by cause, for a unit and everything below it, whole or day by day.

Every percentage names its denominator. Only stretches of rooms in use are counted in percentages; rooms that are being set up or tried out are
added up apart. What no stretch covers is `unknown`: before a room was connected, or in the future.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from alarms.coverage import day_of
from server.store import coverage, rooms
from server.store.coverage import Stretch, Total
from server.store.tables import Room
from server.store.units import inside

STATES = ("watched", "degraded", "blind", "manual")
_CHUNK, _ALL = 200, 1_000_000


@dataclass(slots=True)
class Sums:
    """Milliseconds over [start, end) of all rooms together.

    `states` and `causes` (of what is not watched) hold the counted rooms; `apart` the others. `rooms` had counted time.
    """

    start: int
    end: int
    rooms: int = 0
    states: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))
    causes: dict[str, int] = field(default_factory=dict)
    apart: int = 0
    unknown: int = 0

    @property
    def counted(self) -> int:
        """The denominator of `percent`: room-milliseconds in use and on record."""
        return sum(self.states.values())

    @property
    def percent(self) -> float | None:
        """Watched share of `counted`, None when nothing is counted."""
        return 100 * self.states["watched"] / self.counted if self.counted else None

    def add(self, spans: Sequence[Stretch]) -> None:
        """One room's stretches, already cut to the range."""
        for span in spans:
            self.add_total(Total(span.state, span.cause, span.counted, span.until - span.since))
        self.rooms += any(span.counted for span in spans)
        self.unknown += max(0, self.end - self.start - sum(span.until - span.since for span in spans))

    def add_total(self, total: Total) -> None:
        """What some rooms were in one state."""
        if not total.counted:
            self.apart += total.ms
            return
        self.states[total.state] += total.ms
        if total.cause and total.state != "watched":
            self.causes[total.cause] = self.causes.get(total.cause, 0) + total.ms


def sums(session: Session, scope: str | None, start: int, end: int, *, room: str = "", daily: bool = False) -> list[Sums]:
    """Sums of a subtree or of one room over [start, end): one, or one per calendar day (Beijing) that the range touches."""
    if not daily:
        return [_whole(session, scope, start, end, room)]
    found = [Sums(*part) for part in days(start, end)]
    codes = [room] if room else list(rooms.codes(session, scope, after="", limit=_ALL))
    for first in range(0, len(codes), _CHUNK):
        part = codes[first : first + _CHUNK]
        stretches = coverage.stretches(session, part, start, end)
        for code in part:
            for one in found:
                one.add(cut(stretches[code], one.start, one.end))
    return found


def _whole(session: Session, scope: str | None, start: int, end: int, room: str) -> Sums:
    """Added up by the database: a province has thousands of spans a month."""
    wanted = select(Room.code).where(Room.code == room if room else inside(session, Room.unit, scope))
    found = Sums(start, end, rooms=coverage.counted_rooms(session, wanted, start, end))
    whole = (session.scalar(select(func.count()).select_from(wanted.subquery())) or 0) * (end - start)
    for total in coverage.totals(session, wanted, start, end):
        whole -= total.ms
        found.add_total(total)
    found.unknown = max(0, whole)
    return found


def days(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The calendar days (Beijing) of a range, the first and the last cut to it."""
    while start < end:
        until = min(day_of(start)[1], end)
        yield start, until
        start = until


def cut(spans: Sequence[Stretch], start: int, end: int) -> list[Stretch]:
    """Stretches cut to a range; one that lies open over midnight is part of both days."""
    return [
        span._replace(since=max(span.since, start), until=min(span.until, end)) for span in spans if max(span.since, start) < min(span.until, end)
    ]
