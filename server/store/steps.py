"""At which intervals points were read in the past. Instants and steps are ms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import case, insert, select
from sqlalchemy.orm import Session

from server.store.tables_series import PointStep

IMPORT, CHANGE = "import", "change"
_AT_ONCE = 500


class Stretch(NamedTuple):
    """Samples of a point taken in [since, until) came every `step_ms`; None where nobody told."""

    point: int
    since: int
    until: int
    step_ms: int | None


def of(session: Session, points: Collection[int] | None = None) -> dict[int, list[Stretch]]:
    """The stretches of these points (None: of all), those that go before others behind them: what was declared, the earliest last, then what imports
    have shown, the newest last.
    """
    earliest_last = case((PointStep.origin == CHANGE, -PointStep.until), else_=0)
    query = select(PointStep.point, PointStep.since, PointStep.until, PointStep.step_ms).order_by(PointStep.origin, earliest_last, PointStep.id)
    found: dict[int, list[Stretch]] = defaultdict(list)
    ids = sorted(points or ())
    parts = [query] if points is None else [query.where(PointStep.point.in_(ids[at : at + _AT_ONCE])) for at in range(0, len(ids), _AT_ONCE)]
    for part in parts:
        for row in session.execute(part):
            found[row.point].append(Stretch(*row))
    return found


def until(before_ms: int | None, now: int) -> dict[str, Any]:
    """The row, but for the point, that says: its declared interval changes now, it was `before_ms` since the change before that."""
    return {"since": 0, "until": now, "step_ms": before_ms, "origin": CHANGE, "noted_at": now}


def seen(session: Session, found: Sequence[Stretch], now: int) -> int:
    """Note what imported samples have shown; what is noted already stays as it is. Returns how many are new."""
    known = {stretch for some in of(session, {each.point for each in found}).values() for stretch in some}
    rows = [each._asdict() | {"origin": IMPORT, "noted_at": now} for each in found if each not in known]
    if rows:
        session.execute(insert(PointStep), rows)
    return len(rows)
