"""Deleting samples whose time of retention is over."""

from __future__ import annotations

import logging

from server.series import SeriesStore
from server.series.partition import DAY_MS, day_label, day_of, day_start

log = logging.getLogger("server.history")


def expire(store: SeriesStore, keep_days: int, now: int) -> int:
    """Job: delete samples older than so many days, up to the first day that is not under a seal; returns how many went.

    What cannot be proven any more would look the same as what was never there; so a day that cannot be sealed stays, and the log says so.
    """
    before = now - keep_days * DAY_MS
    unsealed = min((day for day, _ in store.changed(before).keys), default=None)
    if unsealed is not None:
        log.warning("history before %s is kept although its time is over: %s is not sealed yet", day_label(day_of(before)), day_label(unsealed))
        before = min(before, day_start(unsealed))
    return store.expire(before)
