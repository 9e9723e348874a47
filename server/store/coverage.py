"""Questions to the coverage ledger: which part of a time a room was watched."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from server.store.tables import CoverageSpan


class Share(NamedTuple):
    """Milliseconds of a range by state; `unknown` is what the ledger does not account for (before the room was known)."""

    watched: int = 0
    degraded: int = 0
    blind: int = 0
    manual: int = 0
    unknown: int = 0

    @property
    def percent(self) -> float | None:
        """Watched share of the accounted time in percent, None when nothing is accounted for."""
        known = self.watched + self.degraded + self.blind + self.manual
        return None if known == 0 else 100 * self.watched / known


class Stretch(NamedTuple):
    """A span cut to the asked range; UTC ms, half open."""

    since: int
    until: int
    state: str
    cause: str
    detail: str


def stretches(session: Session, rooms: Sequence[str], start: int, end: int) -> dict[str, list[Stretch]]:
    """Spans of each room inside [start, end), cut to it, in order of time; an open span reaches up to `end`."""
    query = select(CoverageSpan).where(
        CoverageSpan.room.in_(rooms), CoverageSpan.since < end, or_(CoverageSpan.until.is_(None), CoverageSpan.until > start)
    )
    found: dict[str, list[Stretch]] = {room: [] for room in rooms}
    for span in session.scalars(query.order_by(CoverageSpan.room, CoverageSpan.since)):
        until = end if span.until is None else min(span.until, end)
        found[span.room].append(Stretch(max(span.since, start), until, span.state, span.cause, span.detail))
    return found


def share(spans: Iterable[Stretch], start: int, end: int) -> Share:
    """Add the spans of one room up."""
    sums = dict.fromkeys(("watched", "degraded", "blind", "manual"), 0)
    for span in spans:
        sums[span.state] += span.until - span.since
    return Share(**sums, unknown=max(0, end - start - sum(sums.values())))
