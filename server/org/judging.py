"""How points are judged, for roll-ups and questions alike: both must name the very same limits, or the roll-ups are of no use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from sqlalchemy.orm import Session

from server.live.board import OUTDOOR, Board
from server.series import Earlier, Limits
from server.store import steps
from server.store.steps import Stretch

HOLD_MS = 15 * 60_000
"""How long a sample of a point holds that the board has never heard of."""
LONGEST_MS = 86_400_000
"""No sample of the past holds longer than a day, however seldom its point was read."""

Allowed = Callable[[int | None], int]
"""How long a point of an interval (ms; None: not known) may be silent, ms: WatchSettings.allowed_ms."""


def limits_of(session: Session, board: Board, points: Iterable[int], allowed: Allowed) -> dict[int, Limits]:
    """A sample holds until its point's deadline, one of the past until that of its time; the band is that of the room's own rules, and a probe
    outside has none.
    """
    idents = list(points)
    past = steps.of(session, idents)
    return {point: _limits(board, point, past.get(point, ()), allowed) for point in idents}


def all_limits(session: Session, board: Board, allowed: Allowed) -> dict[int, Limits]:
    """Those of every point that the board knows."""
    past = steps.of(session)
    return {point: _limits(board, point, past.get(point, ()), allowed) for point in board.points()}


def earlier(past: Sequence[Stretch], hold_ms: int, allowed: Allowed) -> tuple[Earlier, ...]:
    """What held in the past, of stretches the later of which go before the others; between them holds what holds today, `hold_ms`."""
    borders = sorted({0, *(border for each in past for border in (each.since, each.until))})
    found: list[Earlier] = []
    for since, until in pairwise(borders):
        said = next((each for each in reversed(past) if each.since <= since < each.until), None)
        hold = hold_ms if said is None else min(allowed(said.step_ms), LONGEST_MS)
        if found and found[-1].hold_ms == hold:
            found.pop()
        found.append(Earlier(until, hold))
    if found and found[-1].hold_ms == hold_ms:
        found.pop()
    return tuple(found)


def _limits(board: Board, point: int, past: Sequence[Stretch], allowed: Allowed) -> Limits:
    fact = board.point(point)
    if fact is None:
        return Limits(HOLD_MS, earlier=earlier(past, HOLD_MS, allowed))
    room = None if fact.room is None or fact.channel == OUTDOOR else board.room_fact(fact.room)
    low, high = (None, None) if room is None else room.band.get(fact.quantity, (None, None))
    return Limits(fact.deadline_ms, low, high, earlier(past, fact.deadline_ms, allowed))
