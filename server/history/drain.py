"""The way of accepted samples from the journal into the series store, and the upkeep of both."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import insert
from sqlalchemy.orm import Session

from server.series import Limits, Row, SeriesStore
from server.series.batch import Batch
from server.store import journal
from server.store.journal import Columns, Entry, JournalDamagedError
from server.store.session import Database
from server.store.tables import Refused

log = logging.getLogger("server.history")

READER = "history"
_LONGEST_PAUSE_S = 60.0


@dataclass
class Counters:
    """What has happened since the start. `rows` were new to the store, `repeats` were there already, of which `conflicts` said another value.

    `refused` samples and `damaged` journal entries are in table Refused; `failures` are attempts that raised.
    """

    rows: int = 0
    repeats: int = 0
    conflicts: int = 0
    refused: int = 0
    damaged: int = 0
    failures: int = 0


class History:
    """Drains the journal into the series store, at least once and without a double.

    A batch is written to the store first, together with the journal id it reaches to; only then the cursor of reader "history" moves, in the
    relational database. A crash between the two means that the same batch is written again, which the store ignores by (point_id, taken_at).
    The cursor alone holds journal entries back from deletion, so a dead store costs delay and disk, never a sample. When the store remembers less
    than the cursor says (a restored backup, a new disk), the cursor goes back to what the store remembers, as far as the journal reaches.
    """

    def __init__(
        self, db: Database, store: SeriesStore, *, batch: int = 20_000, entries: int = 500, limits: Callable[[], Mapping[int, Limits]] = dict
    ) -> None:
        """`batch` samples are written at once, or `entries` journal rows if that is less; a single entry is never divided.

        `limits` says how every point is judged now: `compact` makes the roll-ups with it.
        """
        self.counters = Counters()
        self._db, self._store = db, store
        self._batch, self._entries = batch, entries
        self._limits = limits
        self._agreed = False
        with db.write() as session:
            journal.register(session, READER)

    def run_once(self, now: int) -> int:
        """Move one batch; returns the number of samples taken from the journal, 0 when there is nothing to do. Raises what the store raises."""
        try:
            return self._move(now)
        except Exception:
            self.counters.failures += 1
            self._agreed = False  # the store may come back with older data
            raise

    def run(self, stop: threading.Event, clock: Callable[[], int], pause_s: float = 0.5) -> None:
        """Thread body: drain until `stop` is set. A failure is logged once, tried again at growing intervals, and its end is logged too."""
        failing = 0
        while not stop.is_set():
            try:
                moved = self.run_once(clock())
            except Exception:
                failing += 1
                if failing == 1:
                    log.exception("history stands still; the journal keeps the samples")
                stop.wait(pause_after(failing, pause_s))
                continue
            if failing:
                log.info("history runs again after %d failed attempts", failing)
                failing = 0
            if moved < self._batch:
                stop.wait(pause_s)  # many at once cost the store, the database and the interpreter a fraction of the same in small portions

    def backlog(self, session: Session) -> int:
        """Samples in the journal that are not in the series store yet."""
        return journal.backlog(session, READER)

    def waiting_since(self, session: Session) -> int | None:
        """When the oldest samples came that are not in the series store yet, UTC ms; None when all are."""
        return journal.waiting_since(session, READER)

    def prune(self, now: int, keep_ms: int = journal.KEEP_MS) -> int:
        """Job: delete journal entries that all readers have passed and that are old enough, in short transactions; returns how many."""
        deleted = 0
        while some := self._prune_some(now, keep_ms):
            deleted += some
        return deleted

    def compact(self, now: int) -> int:
        """Job: move closed days into long-term storage and roll them up; returns the number of samples moved."""
        self._store.set_limits(self._limits())
        return self._store.compact(now)

    def _prune_some(self, now: int, keep_ms: int) -> int:
        with self._db.write() as session:
            return journal.prune(session, now, keep_ms)

    def _move(self, now: int) -> int:
        self._agree()
        with self._db.read() as session:
            found = journal.read_after(session, journal.cursor_of(session, READER), self._entries)
        if not found:
            return 0
        entries = self._portion(found)
        batches, damaged = _unpack(entries)
        batch = Batch.joined(batches)
        conflicts = self._store.conflicts
        new = self._store.write(batch, entries[-1].id)
        refused = self._store.take_refused()
        with self._db.write() as session:
            _set_aside(session, now, refused, damaged)
            journal.advance(session, READER, entries[-1].id)
        self.counters.conflicts += self._store.conflicts - conflicts
        self._count(len(batch), new, len(refused), len(damaged))
        return sum(entry.samples for entry in entries)

    def _portion(self, found: Sequence[Entry]) -> Sequence[Entry]:
        samples = 0
        for index, entry in enumerate(found):
            samples += entry.samples
            if samples >= self._batch:
                return found[: index + 1]
        return found

    def _count(self, samples: int, new: int, refused: int, damaged: int) -> None:
        self.counters.rows += new
        self.counters.repeats += samples - new - refused
        self.counters.refused += refused
        self.counters.damaged += damaged

    def _agree(self) -> None:
        """Compare the cursor with what the store remembers; once per start and after each failure."""
        if self._agreed:
            return
        mark = self._store.mark() or 0
        with self._db.write() as session:
            cursor = journal.cursor_of(session, READER)
            if mark < cursor:
                oldest = journal.oldest(session)
                log.warning("the series store remembers journal %d, the cursor is at %d: reading again from %s", mark, cursor, oldest or cursor)
                if oldest is None or oldest > mark + 1:
                    log.error("journal %d … %d is no longer kept and cannot be read again", mark + 1, (oldest or cursor + 1) - 1)
                journal.rewind(session, READER, mark)
        self._agreed = True


def pause_after(failures: int, pause_s: float) -> float:
    """Seconds to wait after so many failures in a row: doubling, a minute at most."""
    return min(pause_s * (1 << min(failures, 16)), _LONGEST_PAUSE_S)


def _unpack(entries: Sequence[Entry]) -> tuple[list[Batch], list[tuple[Entry, str]]]:
    batches: list[Batch] = []
    damaged: list[tuple[Entry, str]] = []
    for entry in entries:
        try:
            batches.append(_batch(entry.columns()))
        except JournalDamagedError as damage:
            log.exception("journal entry %d is damaged and set aside", entry.id)
            damaged.append((entry, str(damage)))
    return batches, damaged


def _batch(columns: Columns) -> Batch:
    return Batch.columns(
        columns.point_ids,
        columns.taken_at,
        columns.values,
        list(columns.qualities),
        columns.received_at,
        list(columns.reasons),
        tuple(columns.words),
    )


def _set_aside(session: Session, now: int, refused: Sequence[tuple[Row, str]], damaged: Sequence[tuple[Entry, str]]) -> None:
    """Keep poison where people can look at it, in the transaction that moves the cursor past it."""
    rows = [
        {"at": now, "topic": f"history/{row.point_id}", "reason": "series_refused", "detail": reason[:400], "payload": json.dumps(row).encode()}
        for row, reason in refused
    ]
    rows += [
        {"at": now, "topic": f"journal/{entry.id}", "reason": "journal_damaged", "detail": detail[:400], "payload": entry.body}
        for entry, detail in damaged
    ]
    if rows:
        session.execute(insert(Refused), rows)
