"""Derived quantities of a data export: dew point and the rest of each pair of temperature and humidity, over the whole range at once.

Not day by day as the measured ones: the mould risk is counted up from the beginning of the range.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from server.reports.sources import Sources
from server.series import Limits
from server.series.derived import DERIVED, Air, figures, samples


class DerivedPoint(NamedTuple):
    """A pair of points in a room; `key` is that of its temperature."""

    room: str
    key: str
    air: Air


class DerivedRow(NamedTuple):
    """One value or step: instant, where, which quantity, and figures; `watched_s` None for a single value."""

    at: int
    point: DerivedPoint
    quantity: str
    low: float
    mean: float
    high: float
    watched_s: float | None


def rows(
    sources: Sources, points: Sequence[DerivedPoint], limits: Mapping[int, Limits], wanted: Sequence[str], span: tuple[int, int], step: int | None
) -> Iterator[DerivedRow]:
    """All rows, by quantity and pair in order of time; `step` in ms, None for each sample."""
    for quantity in (name for name in wanted if name in DERIVED):
        for point in points:
            yield from _each(sources, point, limits, quantity, span) if step is None else _steps(sources, point, limits, quantity, span, step)


def _each(sources: Sources, point: DerivedPoint, limits: Mapping[int, Limits], quantity: str, span: tuple[int, int]) -> Iterator[DerivedRow]:
    for at, value in zip(*samples(sources.store, point.air, limits, quantity, *span), strict=True):
        shown = round(value, 4)
        yield DerivedRow(at, point, quantity, shown, shown, shown, None)


def _steps(
    sources: Sources, point: DerivedPoint, limits: Mapping[int, Limits], quantity: str, span: tuple[int, int], step: int
) -> Iterator[DerivedRow]:
    grid = span[0] - (span[0] + 8 * 3_600_000) % step
    found = figures(sources.store, [point.air], limits, quantity, grid, span[1], step)[point.air]
    columns = (found.time, found.min, found.mean, found.max, found.watched_ms)
    for at, low, mean, high, watched in zip(*(column.tolist() for column in columns), strict=True):
        yield DerivedRow(at, point, quantity, round(low, 4), round(mean, 4), round(high, 4), watched / 1000)
