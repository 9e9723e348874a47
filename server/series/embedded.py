"""The embedded series store: a DuckDB hot table and sorted Parquet files in one folder, for one process.

Reads never wait for writes. `write` is durable when it returns. The first value of a (point, taken_at) wins; another value for the same key is
counted as a conflict and logged, never stored.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import numpy as np

from server.series import Changed, Limits, Row, Stats, backup, compaction, queries, rollup, rollup_make, settle
from server.series.answers import Answers
from server.series.batch import Array, Batch, Floats, Ints, differs
from server.series.compaction import Policy
from server.series.figures import Figures
from server.series.hot import EVER, Hot, RollupFile, files, relist
from server.series.judged import set_limits
from server.series.newest import Newest
from server.series.partition import DAY_MS, ZONE_MS, checksum, day_of, day_start
from server.series.recovery import reconcile
from server.series.snapshot import Snapshots

log = logging.getLogger("server.series")

_LATEST = 4_102_444_800_000  # 2100-01-01: what claims to be later, or before 1970, is no time at all


class EmbeddedStore(Answers):
    """SeriesStore in `folder`, which is created when absent. Raises StoreBusyError while another store has it open.

    `threads` and `memory_limit` bound what DuckDB may take from the alarms beside it.
    """

    def __init__(self, folder: Path | str, *, threads: int = 2, memory_limit: str = "1GB", policy: Policy = Policy()) -> None:  # noqa: B008
        self._hot = Hot(Path(folder), threads=threads, memory_limit=memory_limit)
        self._policy = policy
        self._compacting = threading.Lock()
        self._refused: deque[tuple[Row, str]] = deque(maxlen=100_000)
        self._set_aside = 0
        self.conflicts = 0
        try:
            self._generations = itertools.count(reconcile(self._hot))
            self._snapshots = Snapshots(self._hot)
            with self._hot.reading() as connection:
                self._rolled, self._unsettled = rollup.keys_listed(connection), settle.listed(connection)
                reach = queries.extent(connection)
            self._newest = Newest(None if reach is None else reach[1])
        except BaseException:
            self._hot.close()
            raise

    def write(self, rows: Sequence[Row] | Batch, mark: int | None = None) -> int:
        """See SeriesStore.write. Rows whose time is before 1970 or after 2099 are set aside."""
        batch, conflicts = self._in_time(rows if isinstance(rows, Batch) else Batch.of(rows)).firsts()
        try:
            with self._hot.writing(lists=False) as connection:
                reached = self._newest.reaches(batch)
                index, stored = self._known(connection, batch, np.flatnonzero(reached))
                conflicts += int(differs(batch.value[index], stored).sum())
                new = np.delete(np.arange(len(batch)), index)
                fresh = batch.take(new)
                keys = settle.keys_of(fresh)
                if rollup.touch(connection, keys, self._rolled):
                    relist(connection)
                settle.note(connection, keys, _insert(connection, fresh, mark, conflicts), self._unsettled)
            self._newest.stored(fresh, reached[new])
        except BaseException:
            with self._hot.reading() as connection:
                self._unsettled = settle.listed(connection)
            raise
        if conflicts:
            self.conflicts += conflicts
            log.warning("%d samples were refused because another value is stored under their point and time", conflicts)
        return len(fresh)

    def mark(self) -> int | None:
        """See SeriesStore.mark."""
        with self._hot.reading() as connection:
            found: int | None = connection.execute("SELECT mark FROM state").fetchall()[0][0]
        return found

    def take_refused(self) -> list[tuple[Row, str]]:
        """See SeriesStore.take_refused."""
        return [self._refused.popleft() for _ in range(len(self._refused))]

    def figures(self, points: Mapping[int, Limits], start: int, end: int, step_ms: int | None = None) -> Figures:
        """See SeriesStore.figures."""
        with self._snapshots.now(end) as snapshot:
            return rollup.figures(snapshot, points, start, end, step_ms)

    def set_limits(self, limits: Mapping[int, Limits]) -> int:
        """See SeriesStore.set_limits."""
        with self._hot.writing() as connection:
            return set_limits(connection, limits)

    def samples(self, points: Sequence[int], start: int, end: int) -> Batch:
        """See SeriesStore.samples."""
        if not points:
            return Batch.of(())
        with self._snapshots.now(end) as snapshot:
            return queries.batch(snapshot, points, start, end - 1)

    def at_clock(self, points: Sequence[int], start: int, end: int, clock_ms: int, tolerance_ms: int) -> Batch:
        """See SeriesStore.at_clock; one pass over the period, however many days it has."""
        if not points or end <= start:
            return Batch.of(())
        since = (clock_ms - tolerance_ms - ZONE_MS) % DAY_MS
        with self._snapshots.now(end) as snapshot:
            return queries.batch(snapshot, points, start, end - 1, f"(taken_at - {since}) % {DAY_MS} <= {2 * tolerance_ms}")

    def extent(self) -> tuple[int, int] | None:
        """See SeriesStore.extent."""
        with self._hot.reading() as connection:
            return queries.extent(connection)

    def raw(self, points: Sequence[int], start: int, end: int, limit: int | None = None) -> list[Row]:
        """See SeriesStore.raw."""
        if not points:
            return []
        with self._snapshots.now(end) as snapshot:
            return queries.rows(snapshot, points, start, end - 1, limit)

    def last(self, points: Sequence[int], since: int = 0) -> dict[int, Row]:
        """See SeriesStore.last; from memory, save for points that have not been asked for and have sent nothing since the store was opened."""
        changes = self._newest.changes
        found, unknown = self._newest.of(points, since)
        if unknown:
            with self._snapshots.now() as snapshot:
                read = queries.newest(snapshot, unknown, since)
            self._newest.learn(unknown, since, read, changes)
            found |= read
        return found

    def count(self) -> int:
        """See SeriesStore.count."""
        return self.stats().rows

    def stats(self) -> Stats:
        """See SeriesStore.stats; `bytes` are those of the partition files."""
        with self._hot.reading() as connection:
            hot: int = connection.execute("SELECT count(*) FROM hot").fetchall()[0][0]
            number, stored, size = connection.execute("SELECT count(*), coalesce(sum(rows), 0), coalesce(sum(bytes), 0) FROM partition").fetchall()[0]
            conflicts: int = connection.execute("SELECT conflicts FROM state").fetchall()[0][0]
        return Stats(hot + int(stored), hot, number, int(size), conflicts, self._set_aside)

    def flush(self, now: int) -> None:  # noqa: ARG002 - the embedded store has nothing that waits for a time
        """Fold the write-ahead log into the database file."""
        self._hot.checkpoint()

    def compact(self, now: int) -> int:
        """See SeriesStore.compact and compaction.Policy; then rolls up. A second call at the same time waits for the first."""
        with self._compacting:
            moved = compaction.compact(self._hot, self._policy, self._generations, now)
            rollup_make.roll(self._hot, self._policy.grace_ms, now, self._generations, self._rolled)
        return moved

    def changed(self, before: int) -> Changed:
        """See SeriesStore.changed."""
        with self._hot.reading() as connection:
            return settle.changed(connection, before)

    def settled(self, keys: Sequence[tuple[int, int]], upto: int) -> None:
        """See SeriesStore.settled."""
        with self._hot.writing(lists=False) as connection:
            settle.settled(connection, keys, upto, self._unsettled)

    def kept_from(self) -> int:
        """See SeriesStore.kept_from."""
        with self._hot.reading() as connection:
            return settle.kept_from(connection)

    def expire(self, before: int) -> int:
        """See SeriesStore.expire; what goes is rolled up first, if it is not yet."""
        with self._compacting:
            rollup_make.roll(self._hot, 0, day_start(day_of(before)), self._generations, self._rolled)
            gone = settle.expire(self._hot, before)
        self._newest.forget(day_start(day_of(before)))
        return gone

    def verify(self) -> list[str]:
        """Names of the partition files whose content is not what was written; reads all of them."""
        with self._hot.reading() as connection:
            return [file.file for file in files(connection) if checksum(self._hot.folder / file.file) != file.sha256]

    def rollup_files(self) -> list[RollupFile]:
        """The files of roll-ups in use."""
        with self._hot.reading() as connection:
            return [RollupFile(*row) for row in connection.execute("SELECT * FROM rollup ORDER BY file").fetchall()]

    def backup(self, target: Path) -> int | None:
        """Copy the store as it is now into a new or empty folder; returns the mark of the copy. `backup.load` makes a store of it again."""
        return backup.save(self._hot, target)

    def close(self) -> None:
        """See SeriesStore.close; waits for a running `compact`."""
        with self._compacting:
            self._hot.close()

    def _known(self, connection: duckdb.DuckDBPyConnection, batch: Batch, old: Ints) -> tuple[Array, Floats]:
        """See queries.known; only the rows `old` may be stored already."""
        if not len(old):
            return old, np.empty(0)
        index, stored = queries.known(self._snapshots.of(connection), batch.take(old))
        return old[index], stored

    def _in_time(self, batch: Batch) -> Batch:
        sane = (batch.taken_at >= 0) & (batch.taken_at < _LATEST)
        if sane.all():
            return batch
        strange = batch.take(~sane).rows()
        self._set_aside += len(strange)
        self._refused += [(row, "time") for row in strange]
        return batch.take(sane)


def _insert(connection: duckdb.DuckDBPyConnection, batch: Batch, mark: int | None, conflicts: int) -> int:
    first = int(batch.taken_at.min()) if len(batch) else EVER
    state = "UPDATE state SET mark = coalesce(?, mark), seq = seq + 1, conflicts = conflicts + ?, hot_first = least(hot_first, ?) RETURNING seq"
    seq: int = connection.execute(state, [mark, conflicts, first]).fetchall()[0][0]
    if not len(batch):
        return seq
    columns = {
        "point": batch.point,
        "taken_at": batch.taken_at,
        "value": batch.value,
        "quality": batch.quality,
        "received_at": batch.received_at,
        "word": batch.reason,
        "day": (batch.taken_at + ZONE_MS) // DAY_MS,
    }
    # NaN arrives in DuckDB as NULL.
    connection.register("incoming", columns)
    reason, words = ("?[word + 1]", [list(batch.words)]) if batch.reason.any() else ("''", [])
    query = f"INSERT INTO hot SELECT point, taken_at, value, quality, received_at, {reason}, day, ? FROM incoming"  # noqa: S608
    connection.execute(query, [*words, seq])
    connection.unregister("incoming")
    return seq
