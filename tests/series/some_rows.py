"""Rows that the tests of the embedded store write, and how they read them back."""

from server.series import Row
from server.series.partition import DAY_MS, day_of, day_start

DAY = day_of(1_790_000_000_000)
MIDNIGHT = day_start(DAY)
LATER = MIDNIGHT + 40 * DAY_MS
HOUR = 3_600_000


def reading(point, taken_at, value=20.0, quality=2, reason=""):
    return Row(point, taken_at, value, quality, taken_at + 1000, reason)


def month_of(points, days=1, step=HOUR, start=MIDNIGHT):
    """A row for each point each `step` over some days."""
    instants = range(start, start + days * DAY_MS, step)
    return [reading(point, taken, round(15 + point % 7 + (taken // step) % 50 / 10, 1)) for taken in instants for point in points]


def everything(store, points):
    return store.raw(sorted(points), 0, MIDNIGHT + 1000 * DAY_MS)
