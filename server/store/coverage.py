"""Questions to the coverage ledger: which part of a time a room was watched."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, case, func, or_, select
from sqlalchemy.orm import Session

from server.store.tables import CoverageSpan
from server.store.tables_watch import RoomReport


class Share(NamedTuple):
    """Milliseconds of a range by state; `unknown` is what the ledger does not account for (before the room was known).

    `counted` is the part in which the room was in use, `counted_watched` the watched part of that: only they make a percentage.
    """

    watched: int = 0
    degraded: int = 0
    blind: int = 0
    manual: int = 0
    unknown: int = 0
    counted: int = 0
    counted_watched: int = 0

    @property
    def percent(self) -> float | None:
        """Watched share of the counted time in percent, None when nothing is counted."""
        return None if self.counted == 0 else 100 * self.counted_watched / self.counted


class Stretch(NamedTuple):
    """A span cut to the asked range; UTC ms, half open."""

    since: int
    until: int
    state: str
    cause: str
    detail: str
    counted: bool = True


def stretches(session: Session, rooms: Sequence[str], start: int, end: int) -> dict[str, list[Stretch]]:
    """Spans of each room inside [start, end), cut to it, in order of time; an open span reaches up to `end`."""
    query = select(CoverageSpan).where(
        CoverageSpan.room.in_(rooms), CoverageSpan.since < end, or_(CoverageSpan.until.is_(None), CoverageSpan.until > start)
    )
    found: dict[str, list[Stretch]] = {room: [] for room in rooms}
    for span in session.scalars(query.order_by(CoverageSpan.room, CoverageSpan.since)):
        until = end if span.until is None else min(span.until, end)
        found[span.room].append(Stretch(max(span.since, start), until, span.state, span.cause, span.detail, span.counted))
    return found


class Total(NamedTuple):
    """Milliseconds of all rooms together in a state, with its cause; `counted`: of rooms in use."""

    state: str
    cause: str
    counted: bool
    ms: int


def totals(session: Session, rooms: Select[str], start: int, end: int) -> list[Total]:
    """The same added up by the database: spans of one room never overlap. `rooms` is a query for their codes."""
    since = case((CoverageSpan.since < start, start), else_=CoverageSpan.since)
    until = case((or_(CoverageSpan.until.is_(None), CoverageSpan.until > end), end), else_=CoverageSpan.until)
    query = select(CoverageSpan.state, CoverageSpan.cause, CoverageSpan.counted, func.sum(until - since)).where(*_touching(rooms, start, end))
    found = session.execute(query.group_by(CoverageSpan.state, CoverageSpan.cause, CoverageSpan.counted).order_by(CoverageSpan.state))
    return [Total(state, cause, counted, int(ms)) for state, cause, counted, ms in found]


def counted_rooms(session: Session, rooms: Select[str], start: int, end: int) -> int:
    """How many of these rooms were in use at some time of [start, end)."""
    query = select(func.count(CoverageSpan.room.distinct())).where(*_touching(rooms, start, end), CoverageSpan.counted)
    return session.scalar(query) or 0


def _touching(rooms: Select[str], start: int, end: int) -> tuple[ColumnElement[bool], ...]:
    open_or_later = or_(CoverageSpan.until.is_(None), CoverageSpan.until > start)
    return CoverageSpan.room.in_(rooms), CoverageSpan.since < end, open_or_later


def report(session: Session, room: str, now: int) -> RoomReport | None:
    """The report of a person that counts now, if there is one."""
    query = select(RoomReport).where(RoomReport.room == room, RoomReport.at <= now, RoomReport.until > now)
    return session.scalar(query.order_by(RoomReport.id.desc()).limit(1))


def watched_since(session: Session, room: str) -> int | None:
    """When a room's sensors were first heard, None: never."""
    heard = select(CoverageSpan.since).where(CoverageSpan.room == room, CoverageSpan.state.in_(("watched", "degraded")))
    return session.scalar(heard.order_by(CoverageSpan.since).limit(1))


def share(spans: Sequence[Stretch], start: int, end: int) -> Share:
    """Add the spans of one room up."""
    sums = dict.fromkeys(("watched", "degraded", "blind", "manual"), 0)
    for span in spans:
        sums[span.state] += span.until - span.since
    counted = [span for span in spans if span.counted]
    return Share(
        **sums, unknown=max(0, end - start - sum(sums.values())), counted=sum(span.until - span.since for span in counted),
        counted_watched=sum(span.until - span.since for span in counted if span.state == "watched"),
    )  # fmt: skip
