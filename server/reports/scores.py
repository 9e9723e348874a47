"""Scores of many units at once. What they are summed from is measured room by room, which takes a second for a province: it is done in the
background each hour, and whoever asks gets sums of what is known, with the instant of it.
"""

import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import select

from server.reports.measures import RoomMeasure, measure
from server.reports.period import Period, month_of, parse_period
from server.reports.scorecard import Score, scored
from server.reports.sources import Sources
from server.store import units
from server.store.tables import Room

FRESH_MS = 2 * 3_600_000
"""Older measures are not shown: the hourly job has failed, or nobody has asked for this period lately."""
_PERIODS = 4
"""How many periods are remembered: what the province has in use is some megabytes for each."""


class Known(NamedTuple):
    """A room's measure and when it was taken, UTC ms."""

    at: int
    measure: RoomMeasure


class ScoreBook:
    """Any thread may ask."""

    def __init__(self, sources: Sources) -> None:
        self._sources, self._lock = sources, threading.Lock()
        self._known: dict[tuple[int, int], dict[str, Known]] = {}

    def scores(self, named: Sequence[tuple[str, str]], period: Period, now: int) -> tuple[list[Score], int]:
        """The scores of units (code, name) with everything below them, and the instant of the oldest measure in them."""
        wanted = {code for code, _ in named}
        inside: dict[str, list[str]] = defaultdict(list)
        with self._sources.db.read() as session:
            for room, unit in session.execute(select(Room.code, Room.unit).where(Room.stage == "in_use").order_by(Room.code)):
                for above in wanted.intersection(units.path(session, unit)):
                    inside[above].append(room)
        known = self._measured({room for rooms in inside.values() for room in rooms}, period, now)
        found = [scored(unit, [known[room].measure for room in inside[unit[0]] if room in known]) for unit in named]
        return found, min((one.at for one in known.values()), default=now)

    def refresh(self, now: int) -> None:
        """Measure all rooms for the month that runs: what is asked for most."""
        with self._sources.db.read() as session:
            rooms = set(session.scalars(select(Room.code).where(Room.stage == "in_use")))
        self._measured(rooms, parse_period(month_of(now)), now, fresh_ms=0)

    def _measured(self, codes: set[str], period: Period, now: int, fresh_ms: int = FRESH_MS) -> dict[str, Known]:
        """What is known of these rooms; those of which nothing fresh is known are measured first, while others may ask."""
        key = (period.since, period.until)
        with self._lock:
            known = self._known.setdefault(key, {}).copy()
        missing = {code for code in codes if code not in known or known[code].at <= now - fresh_ms}
        if missing:
            with self._sources.db.read() as session:
                rooms = [room for room in session.scalars(select(Room).order_by(Room.code)) if room.code in missing]
            known |= {one.place.code: Known(now, one) for one in measure(self._sources, rooms, period, now)}
            with self._lock:
                self._known.pop(key, None)
                self._known[key] = known  # the newest period is the last to be forgotten
                for old in list(self._known)[:-_PERIODS]:
                    del self._known[old]
        return {code: known[code] for code in codes if code in known}
