"""Who is watching a room: watched, degraded, blind, or a person (manual). Pure folds, exact to the millisecond.

A quantity is fresh at t while one of the points that measure it has a good sample whose deadline lies after t: a gap begins at last good
sample + allowed silence, not when somebody noticed. Intervals are half open, [since, until), so that neighbours share no instant and a day's
stretches add up to exactly the day. Times are UTC ms.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

DAY_MS = 86_400_000
# A calendar day is one of Asia/Shanghai: UTC+8 without daylight saving.
_SHANGHAI_MS = 8 * 3_600_000


class Watch(StrEnum):
    """The words of language.md 2.4."""

    WATCHED = "watched"
    DEGRADED = "degraded"
    BLIND = "blind"
    MANUAL = "manual"


class Coverage(NamedTuple):
    """State now, the demanded quantities without fresh data, and when this changes by itself if no sample comes (None: it stays)."""

    state: Watch
    missing: tuple[str, ...]
    next_change_at: int | None


class Span(NamedTuple):
    """A stretch [since, until) in one state with the same quantities missing."""

    since: int
    until: int
    state: Watch
    missing: tuple[str, ...]


class Heard(NamedTuple):
    """A good sample: what, by which point, when, and how long the point may now be silent."""

    at: int
    quantity: str
    point: str
    allowed_ms: int


def classify(demanded: Sequence[str], deadlines: Mapping[str, Sequence[int]], now: int, manual_until: int | None = None) -> Coverage:
    """Judge a room at `now`.

    `deadlines`: per demanded quantity the deadline of each point that measures it. `manual_until`: until when a named person's report counts;
    it stands in for missing sensors and never adds to full sensor coverage. A room that demands nothing is blind: nothing proves it watched.
    """
    latest = {quantity: max(deadlines.get(quantity, ()), default=now) for quantity in demanded}
    missing = tuple(quantity for quantity in demanded if latest[quantity] <= now)
    changes = [instant for instant in latest.values() if instant > now]
    manual = manual_until is not None and manual_until > now
    if demanded and not missing:
        state = Watch.WATCHED
    elif manual and manual_until is not None:
        state = Watch.MANUAL
        changes.append(manual_until)
    else:
        state = Watch.DEGRADED if len(missing) < len(demanded) else Watch.BLIND
    return Coverage(state, missing, min(changes, default=None))


def stretch(
    demanded: Sequence[str], deadlines: Mapping[str, Sequence[int]], since: int, until: int, manual_until: int | None = None
) -> tuple[Span, ...]:
    """The exact stretches of [since, until) in which no sample came: what a late look must write down."""
    spans = []
    while since < until:
        now = classify(demanded, deadlines, since, manual_until)
        end = until if now.next_change_at is None else min(until, now.next_change_at)
        spans.append(Span(since, end, now.state, now.missing))
        since = end
    return tuple(spans)


def fold(
    demanded: Sequence[str], heard: Iterable[Heard], start: int, end: int, manual: Sequence[tuple[int, int]] = (), first: Iterable[Heard] = ()
) -> tuple[Span, ...]:
    """Replay the good samples of a room (in time order) over [start, end) into stretches that cover it without gap or overlap.

    `first`: the last good sample of each point before `start`. `manual`: the periods in which a person's reports counted.
    """
    deadlines: dict[str, dict[str, int]] = {}
    for sample in first:
        deadlines.setdefault(sample.quantity, {})[sample.point] = sample.at + sample.allowed_ms
    spans: list[Span] = []
    at = start
    for sample in [*(s for s in heard if start <= s.at < end), Heard(end, "", "", 0)]:
        spans += _between(demanded, deadlines, at, sample.at, manual)
        at = sample.at
        deadlines.setdefault(sample.quantity, {})[sample.point] = sample.at + sample.allowed_ms
    return merged(spans)


def _between(
    demanded: Sequence[str], deadlines: Mapping[str, Mapping[str, int]], since: int, until: int, manual: Sequence[tuple[int, int]]
) -> list[Span]:
    """Stretches between two samples, cut where a person's watch begins."""
    instants = {quantity: list(points.values()) for quantity, points in deadlines.items()}
    cuts = sorted({since, until, *(begin for begin, _ in manual if since < begin < until)})
    spans: list[Span] = []
    for begin, end in itertools.pairwise(cuts):
        by_hand = max((last for first, last in manual if first <= begin < last), default=None)
        spans += stretch(demanded, instants, begin, end, by_hand)
    return spans


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Join neighbours that say the same."""
    joined: list[Span] = []
    for span in spans:
        if joined and joined[-1][1:] == (span.since, span.state, span.missing):
            joined[-1] = joined[-1]._replace(until=span.until)
        elif span.since < span.until:
            joined.append(span)
    return tuple(joined)


def totals(spans: Iterable[Span], start: int, end: int) -> dict[Watch, int]:
    """Milliseconds per state inside [start, end). What no span covers is in none of them: end - start - sum is time without a record."""
    sums = dict.fromkeys(Watch, 0)
    for span in spans:
        sums[span.state] += max(0, min(span.until, end) - max(span.since, start))
    return sums


def day_of(at: int) -> tuple[int, int]:
    """The calendar day (Asia/Shanghai) around an instant as [start, end) in UTC ms."""
    start = (at + _SHANGHAI_MS) // DAY_MS * DAY_MS - _SHANGHAI_MS
    return start, start + DAY_MS
