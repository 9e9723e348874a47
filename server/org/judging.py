"""How points are judged, for roll-ups and questions alike: both must name the very same limits, or the roll-ups are of no use."""

from __future__ import annotations

from collections.abc import Iterable

from server.live.board import OUTDOOR, Board
from server.series import Limits

HOLD_MS = 15 * 60_000
"""How long a sample of a point holds that the board has never heard of."""


def limits_of(board: Board, points: Iterable[int]) -> dict[int, Limits]:
    """A sample holds until its point's deadline; the band is that of the room's own rules, and a probe outside has none."""
    return {point: _limits(board, point) for point in points}


def all_limits(board: Board) -> dict[int, Limits]:
    """Those of every point that the board knows."""
    return limits_of(board, board.points())


def _limits(board: Board, point: int) -> Limits:
    fact = board.point(point)
    if fact is None:
        return Limits(HOLD_MS)
    room = None if fact.room is None or fact.channel == OUTDOOR else board.room_fact(fact.room)
    low, high = (None, None) if room is None else room.band.get(fact.quantity, (None, None))
    return Limits(fact.deadline_ms, low, high)
