"""The time-series store behind one protocol: what history is made of, and the questions that may be asked of it.

All instants are UTC ms. Quality codes are those of the journal: 0 bad, 1 uncertain, 2 good, 3 stale. Only good samples count in buckets and
compliance; a good sample holds until the next sample of its point, of whatever quality, and at most for the point's allowed silence `hold`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from server.series.batch import Batch
    from server.series.figures import Figures

GOOD = 2
HOLD_MS = 30 * 60_000
Hold = int | Mapping[int, int]


class Earlier(NamedTuple):
    """Samples taken before `until`, and not before that of the one ahead of it, hold for `hold_ms`: what was allowed when they were taken."""

    until: int
    hold_ms: int


class Limits(NamedTuple):
    """How one point is judged: how long a good sample holds (ms), and the band, limits included; None is no limit on that side.

    `hold_ms` is for what is taken today; where the point was read at other intervals in the past, `earlier` says so, ascending.
    """

    hold_ms: int
    low: float | None = None
    high: float | None = None
    earlier: tuple[Earlier, ...] = ()

    @property
    def longest_ms(self) -> int:
        """The longest that any sample holds."""
        return max((self.hold_ms, *(each.hold_ms for each in self.earlier)))


class Row(NamedTuple):
    """One stored sample. `value` is None when nothing usable was read."""

    point_id: int
    taken_at: int
    value: float | None
    quality: int
    received_at: int
    reason: str = ""


class Bucket(msgspec.Struct, frozen=True):
    """What one point did in the `step` beginning at `time`.

    A value counts while it holds, also when it was taken before the bucket: `min` and `max` are over these values, `mean` is weighted by the time
    each held, `watched_ms` is that time and `count` the number of good samples taken in the bucket itself (it may be 0). A bucket in which no good
    value held is not listed: gaps are gaps.
    """

    point: int
    time: int
    min: float
    mean: float
    max: float
    count: int
    watched_ms: int


class Compliance(NamedTuple):
    """Time in the band and time known, both in ms; what is not known is neither in nor out of the band."""

    in_band_ms: int
    valid_ms: int


class Stats(NamedTuple):
    """The store in figures. `conflicts`: samples ever refused because another value had come first. `set_aside`: samples that it could not take."""

    rows: int
    hot_rows: int
    files: int
    bytes: int
    conflicts: int
    set_aside: int


class Changed(NamedTuple):
    """Days (numbers, see partition.day_of) and buckets of points into which samples came since last `settled`; `upto` goes back with them."""

    keys: list[tuple[int, int]]
    upto: int


class SeriesError(Exception):
    """The series store cannot do what was asked of it; the sentence says why."""


class StoreBusyError(SeriesError):
    """The embedded store is open in another process."""


class SeriesStore(Protocol):
    """What history, reports and charts may ask. Every method may be called from any thread.

    `conflicts` counts, since the store was opened, the samples refused because another value is stored under their point and time.
    """

    conflicts: int

    def write(self, rows: Sequence[Row] | Batch, mark: int | None = None) -> int:
        """Store rows durably and return how many were new; raises on failure, and then the same rows may be written again.

        Idempotent by (point_id, taken_at). `mark` is the journal id up to which everything has been written; it is stored with the rows.
        """

    def mark(self) -> int | None:
        """The last `mark` written, None in a new store: behind the journal's cursor it shows that older data were restored."""

    def take_refused(self) -> list[tuple[Row, str]]:
        """Rows set aside since the last call, each with the store's reason; they are in no other place."""

    def buckets(self, points: Sequence[int], start: int, end: int, step_ms: int, hold_ms: Hold = HOLD_MS) -> list[Bucket]:
        """Buckets of `step_ms` from `start` (the last one is cut at `end`), sorted by point and time. Raises ValueError for impossible arguments."""

    def compliance(self, point: int, start: int, end: int, low: float | None, high: float | None, hold_ms: int = HOLD_MS) -> Compliance:
        """Time with `low` <= value <= `high` in [start, end); None is no limit."""

    def figures(self, points: Mapping[int, Limits], start: int, end: int, step_ms: int | None = None) -> Figures:
        """Lowest, mean, highest value, count, watched and in-band ms of each point and step (None: one step from `start` to `end`), as columns.

        Gaps are gaps: a step without a good value is not listed. Long ranges come from the hourly and daily roll-ups wherever these were made
        with the very limits given; everything else (today, late data not yet merged, other limits) is folded from the samples, so that the answer
        is the same. Raises ValueError for impossible arguments.
        """

    def set_limits(self, limits: Mapping[int, Limits]) -> int:
        """Say how points are judged from now on; returns how many of them changed. `compact` makes the roll-ups of all closed days anew for those.

        Points not named keep what was said before.
        """

    def samples(self, points: Sequence[int], start: int, end: int) -> Batch:
        """All samples of [start, end) as columns, sorted by point and time: `raw` without making a Python object of each."""

    def at_clock(self, points: Sequence[int], start: int, end: int, clock_ms: int, tolerance_ms: int) -> Batch:
        """Samples of [start, end) taken at most `tolerance_ms` before or after a time of day (ms since midnight in Shanghai); sorted as `samples`."""

    def extent(self) -> tuple[int, int] | None:
        """Times of the first and the last sample stored, None when there is none; may reach a little further."""

    def raw(self, points: Sequence[int], start: int, end: int, limit: int | None = None) -> list[Row]:
        """All samples of [start, end), sorted by point and time; at most `limit`."""

    def last(self, points: Sequence[int], since: int = 0) -> dict[int, Row]:
        """The newest sample of each point taken at `since` or later; points without one are absent."""

    def count(self) -> int:
        """Number of stored samples."""

    def stats(self) -> Stats:
        """The store in figures."""

    def changed(self, before: int) -> Changed:
        """Days that ended before an instant and hold samples that are not settled, i.e. not under a seal yet."""

    def settled(self, keys: Sequence[tuple[int, int]], upto: int) -> None:
        """These are sealed, save for what came after `changed` was asked."""

    def kept_from(self) -> int:
        """Instant before which samples have been deleted because their time of retention is over; 0 when none were."""

    def expire(self, before: int) -> int:
        """Delete the samples of days that ended before an instant; roll-ups stay. Returns how many samples went."""

    def flush(self, now: int) -> None:
        """Bring everything into its resting place as far as that is possible without `compact`."""

    def compact(self, now: int) -> int:
        """Move what belongs to closed days into long-term storage; returns the number of samples moved. May take minutes, blocks no reader."""

    def close(self) -> None:
        """Release files and connections."""
