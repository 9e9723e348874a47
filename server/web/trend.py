"""What an alarm is about over the last hours, as shapes of a small picture: out of stored history, the same from every store, needing no script."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from contract.quantities import QUANTITIES, Kind
from server.series import Limits
from server.series.figures import Figures
from server.store.tables import Alarm

HOUR_MS = 3_600_000
SHORT_MS, LONG_MS = 6 * HOUR_MS, 24 * HOUR_MS
_BEFORE_MS, _AFTER_MS = 2 * HOUR_MS, HOUR_MS
_STEPS = 72
_WIDE, _HIGH = 1000, 100
"""Of the drawing, in its own units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """`start` and `end` in UTC ms; `line`, `envelope` are SVG paths, `gaps` (x, width), `limit_y`, `raised_x` and `last_xy` places in a drawing of
    1000 × 100; None where there is none. `beyond_ms` is the time on the wrong side of the limit, `missing_ms` the time without a value.
    """

    start: int
    end: int
    low: float | None = None
    high: float | None = None
    line: str = ""
    envelope: str = ""
    gaps: tuple[tuple[float, float], ...] = ()
    limit_y: float | None = None
    raised_x: float | None = None
    last_xy: tuple[float, float] | None = None
    beyond_ms: int = 0
    missing_ms: int = 0


def drawable(alarm: Alarm) -> bool:
    """Whether there is something measured that a line can show."""
    known = QUANTITIES.get(alarm.quantity)
    return alarm.room is not None and known is not None and known.kind is not Kind.STATE


def span(alarm: Alarm, now: int) -> tuple[int, int, int]:
    """Start, end and step (ms): up to now, or to an hour after the end; from two hours before the alarm, at least 6 and at most 24 hours."""
    end = now if alarm.closed_at is None else min(now, alarm.closed_at + _AFTER_MS)
    length = min(max(end - alarm.raised_at + _BEFORE_MS, SHORT_MS), LONG_MS)
    step = -(-length // _STEPS // 60_000) * 60_000
    end = -(-end // step) * step
    return end - _STEPS * step, end, step


def against(limits: Limits, limit: float | None, side: str) -> Limits:
    """How the point is judged when the alarm's own limit is the only one, on the `side` of its rule: above | below."""
    return limits._replace(low=limit if side == "below" else None, high=limit if side == "above" else None)


def drawn(found: Figures, within: tuple[int, int, int], now: int, limit: float | None, raised_at: int) -> Trend:
    """The shapes. `found` are the steps of one point, ascending; time to come is no gap. Pure."""
    start, end, step = within
    until = min(end, now)
    rows: list[tuple[int, float, float, float]] = list(
        zip(found.time.tolist(), found.min.tolist(), found.mean.tolist(), found.max.tolist(), strict=True)
    )
    raised = _WIDE * (raised_at - start) / (end - start) if start <= raised_at < end else None
    if not rows:
        return Trend(start=start, end=end, raised_x=raised, gaps=((0.0, _x(until, start, end)),), missing_ms=until - start)
    low, high = min(row[1] for row in rows), max(row[3] for row in rows)
    edges = (low, high) if limit is None else (min(low, limit), max(high, limit))
    margin = max((edges[1] - edges[0]) * 0.12, 0.2)
    floor, ceiling = edges[0] - margin, edges[1] + margin

    def y(value: float) -> float:
        return round(_HIGH * (ceiling - value) / (ceiling - floor), 2)

    def x(time: int) -> float:
        return _x(min(time + step // 2, until), start, end)

    runs = _runs(rows, step)
    line, envelope = [], []
    for run in runs:
        means = [f"{x(time)} {y(mean)}" for time, _, mean, _ in run]
        line.append(f"M{' L'.join(means if len(means) > 1 else means * 2)}")
        upper, lower = [f"{x(row[0])} {y(row[3])}" for row in run], [f"{x(row[0])} {y(row[1])}" for row in reversed(run)]
        envelope.append(f"M{' L'.join([*upper, *lower])}Z")
    borders = [start, *(border for run in runs for border in (run[0][0], run[-1][0] + step)), until]
    gaps = [(_x(since, start, end), _x(till, start, end)) for since, till in list(pairwise(borders))[::2] if till > since]
    return Trend(
        start=start,
        end=end,
        low=low,
        high=high,
        line=" ".join(line),
        envelope=" ".join(envelope),
        gaps=tuple((left, round(right - left, 2)) for left, right in gaps),
        limit_y=None if limit is None else y(limit),
        raised_x=None if raised is None else round(raised, 2),
        last_xy=(x(rows[-1][0]), y(rows[-1][2])),
        beyond_ms=0 if limit is None else int((found.watched_ms - found.in_band_ms).sum()),
        missing_ms=max(0, until - start - int(found.watched_ms.sum())),
    )


def _x(time: int, start: int, end: int) -> float:
    return round(_WIDE * (time - start) / (end - start), 2)


def _runs(rows: Sequence[tuple[int, float, float, float]], step: int) -> list[list[tuple[int, float, float, float]]]:
    """Steps that follow each other."""
    runs = [[rows[0]]]
    for before, row in pairwise(rows):
        if row[0] - before[0] > step:
            runs.append([])
        runs[-1].append(row)
    return runs
