"""The gateway's durable queue. From the return of `append` on, a sample survives a power cut until the server has acknowledged it.

SQLite in WAL mode with synchronous=FULL, one row per outgoing batch, row id = first sequence. Sequences count readings without a gap over both lanes,
from 1 in each epoch; an epoch is a random 64-bit number, new with each database file. A row is forgotten only after the server's watermark has passed
it, and stays `keep_acknowledged_h` longer, because a server restored from a backup asks again. The watermark itself is written with the next append:
losing it costs a resend, never a sample.

Damage is looked for: quick_check and the continuity of sequences at start, the high-water mark beside the file (SQLite does not notice a cut WAL), a
CRC-32 per row at each read. A damaged file is set aside and a fresh one, with a new epoch, takes its place; what can be read of the old one is queued
again by `salvage`, a little at a time. A range that can never be sent becomes a gap row, so that a hole is known.

A disk restored from an old image would number its new readings as those that the server had from it before. What was written since a start and
before anything was sent (`unsent`) the server cannot know: if it says that it does, the spool is renewed and those readings are sent under new
sequences.

One thread owns a spool; a lock file keeps a second process out.
"""

import logging
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from contract.declarations import Outbox, PointDeclaration
from contract.sample import Sample
from edge.ballast import Ballast
from edge.highwater import HighWater, Mark
from edge.renewal import Opener, Task
from edge.rescue import Salvage
from edge.rows import Batch, Lane
from edge.rowstore import Head, RowStore
from edge.settings import SpoolSettings
from edge.spoolfile import SpoolDamagedError, SpoolError, SpoolFile, SpoolFullError, SpoolUnavailableError, lock

_log = logging.getLogger("edge.spool")

_SALVAGED_AT_ONCE: Final = 16  # rows
_SOFT: Final = 0.9  # share of the quota that is filled before eviction starts
_ALARM_PAGES: Final = 128  # room inside the file that readings leave to alarms once the reserve is gone
_MINUTE: Final = 60_000
_HOUR: Final = 3_600_000


@dataclass(slots=True)
class Counters:
    """Since start, in readings.

    `lost` were accepted once and could not be read again; `evicted` gave way to newer ones under the quota, `expired` grew too old.
    """

    appended: int = 0
    evicted: int = 0
    expired: int = 0
    salvaged: int = 0
    lost: int = 0
    renewed: int = 0


class Spool:
    """See the module. `now` is UTC ms everywhere. Everything may raise SpoolError (edge/spoolfile.py).

    `last` is the highest sequence written, `acknowledged` the server's watermark; `rows` reads. `unsent` is the lowest sequence that nobody can have
    sent, until `sending` says that it may go out.
    """

    rows: RowStore
    unsent: int | None

    def __init__(
        self, folder: Path, gateway: str, settings: SpoolSettings, now: int, new_epoch: Callable[[], int] = lambda: secrets.randbits(64)
    ) -> None:
        self.counters = Counters()
        self._gateway, self._settings, self._folder = gateway, settings, folder
        durable = settings.synchronous == "full"
        self._opener = Opener(folder / "spool", durable, int(settings.quota_mb * 1024 * 1024), new_epoch)
        with ExitStack() as opened:
            opened.enter_context(lock(folder))
            try:
                self._highwater = HighWater(folder / "spool.mark", durable=durable)
                opened.callback(self._highwater.close)
                self._ballast = Ballast(folder / "spool.reserve")
                self._start(now, opened)
                self._ballast.restore()
            except OSError as error:
                raise SpoolUnavailableError(f"{folder}：{error.strerror}") from error
            self._opened = opened.pop_all()

    # ---------------------------------------------------------------------------------------------------------------------------- opening

    def _start(self, now: int, opened: ExitStack) -> None:
        before = self._highwater.mark
        self._file = self._opener.open(self._highwater, now)
        opened.callback(self._close_file)
        self._load(self._file)
        self.counters.renewed = int(before is not None and before.epoch != self.epoch)
        if self.last and self.unsent is None:
            self._note_unsent(self.last + 1)
        try:
            self.counters.lost += self.rows.close_holes(self.acknowledged)
        except SpoolDamagedError as error:
            self.renew(str(error), now)

    def _close_file(self) -> None:
        self._file.close()  # whichever it is by then

    def _load(self, file: SpoolFile) -> None:
        self._file = file
        self.epoch = int(file.meta("epoch") or 0)
        self.rows = RowStore(file, self.epoch, self._gateway, verify=self._settings.verify_crc)
        self.last = self.rows.last()
        mark = self._highwater.mark
        logged: int = file.rows("SELECT COALESCE(MAX(upto), 0) FROM acknowledged")[0][0]
        self.acknowledged = min(self.last, max(logged, mark.acknowledged if mark and mark.epoch == self.epoch else 0))
        self.unsent = int(file.meta("unsent") or 0) or None
        self._hour: int | None = None  # of the newest row, once it is in the table `written`
        self._unlogged: int | None = None  # minute of an acknowledgement that the next append writes down
        self._task = Task.of(file)
        self._salvage: Salvage | None = None
        self._found: Iterator[Batch] = iter(())
        self._note_mark()

    def renew(self, reason: str, now: int) -> None:
        """Replace the file: it is damaged, or the server knows sequences of this epoch that it does not (a spool restored or copied)."""
        self._note_mark()  # the newest watermark bounds what is salvaged
        self._file.close()
        try:
            self._load(self._opener.renew(self._highwater, reason, now))
        except OSError as error:
            raise SpoolUnavailableError(str(error)) from error
        self.counters.renewed += 1

    def _note_mark(self) -> None:
        try:
            self._highwater.write(Mark(self.epoch, self.last, self.acknowledged))
        except OSError as error:  # the rows are safe; only the detection of a cut file is weaker until the next append
            _log.warning("spool.mark cannot be written: %s", error.strerror)

    def close(self) -> None:
        """Write the watermark down and give the files back."""
        try:
            with self._file.transaction() as db:
                self._log_watermark(db)
        except SpoolError as error:
            _log.warning("watermark not written at close: %s", error)
        self._note_mark()
        self._opened.close()

    def sending(self) -> None:
        """From here on rows go out: what the server says it has may be of this run."""
        if self.unsent is not None:
            self._note_unsent(None)

    def _note_unsent(self, sequence: int | None) -> None:
        self.unsent = sequence
        try:
            with self._file.transaction():
                self._file.set_meta("unsent", str(sequence or 0))
        except SpoolFullError as error:  # nothing is lost by it; a restored image is only found by its numbers
            _log.warning("the start of what is unsent cannot be written: %s", error)

    # ---------------------------------------------------------------------------------------------------------------------------- writing

    def append(self, samples: Sequence[Sample], lane: Lane) -> Head:
        """Store a batch; on return it is on the disk. Raises ValueError for none, SpoolFullError when neither quota nor disk has room."""
        if not samples:
            raise ValueError("an empty batch has no sequence")
        self._keep_quota()
        if lane is Lane.NORMAL and not self._ballast.restore() and self._file.free_pages() < _ALARM_PAGES:
            raise SpoolFullError("the space that is left is kept for alarms")
        try:
            head = self._insert(samples, lane)
        except SpoolFullError:
            if not self._relieve(lane):
                raise
            head = self._insert(samples, lane)
        self.counters.appended += len(samples)
        return head

    def _insert(self, samples: Sequence[Sample], lane: Lane) -> Head:
        head = Head(self.last + 1, self.last + len(samples), lane)
        with self._file.transaction() as db:
            self.rows.write(db, head, samples)
            if (hour := samples[-1].taken_at // _HOUR) != self._hour:
                # Where each hour of collecting began. A clock that jumps makes one hour of its own, and so ages nothing.
                db.execute("INSERT OR IGNORE INTO written VALUES (?, ?)", (hour, self.last))
            self._log_watermark(db)
        self._unlogged, self._hour = None, hour
        self.last = head.last
        self._note_mark()
        return head

    def _log_watermark(self, db: sqlite3.Connection) -> None:
        if self._unlogged is not None:
            db.execute("INSERT OR REPLACE INTO acknowledged VALUES (?, ?)", (self._unlogged, self.acknowledged))

    def _keep_quota(self) -> None:
        soft = int(self._file.quota_pages * _SOFT)
        while self._file.used_pages() > soft:
            if self.rows.purge(self.acknowledged):
                continue
            evicted = self.rows.evict(self.acknowledged)
            if not evicted:
                return
            if not self.counters.evicted:
                _log.error("本机缓存已满（%s MB）：开始放弃最旧的普通读数，缺口会如实上报", self._settings.quota_mb)
            self.counters.evicted += evicted

    def _relieve(self, lane: Lane) -> bool:
        """The disk is full: forget what the server has, give the reserve to an alarm. True when a second try makes sense."""
        oldest = self._file.rows("SELECT COALESCE(MIN(last), 0) FROM batch WHERE first < (SELECT MAX(first) FROM batch)")[0][0]
        if lane is not Lane.URGENT and not 0 < oldest <= self.acknowledged:
            return False
        self._ballast.release()  # even a delete needs space: the WAL grows
        return self._purge_to(self.acknowledged) > 0 or lane is Lane.URGENT

    # --------------------------------------------------------------------------------------------------------------------- acknowledgement

    def acknowledge(self, upto: int, now: int) -> None:
        """The server has everything up to `upto`. A lower watermark than before makes the rows above it unsent again, a hole among them a gap.

        Raises ValueError for a sequence that was never written, or never sent: then this spool is not the one that the server knows.
        """
        if not self.knows(upto):
            raise ValueError(f"the server acknowledged {upto}, but {self.last} is the last that was written, and {self.unsent} was never sent")
        regressed = upto < self.acknowledged
        self.acknowledged = upto
        self._unlogged = now // _MINUTE
        if regressed:
            with self._file.transaction() as db:
                db.execute("DELETE FROM acknowledged WHERE upto > ?", (upto,))
            self._note_mark()
            self.rows.close_holes(upto)

    def knows(self, upto: int) -> bool:
        """Whether the server can have readings of this spool up to a sequence."""
        return upto <= self.last and (self.unsent is None or upto < self.unsent)

    def purge(self, now: int) -> int:
        """Delete rows acknowledged longer ago than the retention; returns their number."""
        minute = (now - int(self._settings.keep_acknowledged_h * 60 * _MINUTE)) // _MINUTE
        upto: int = self._file.rows("SELECT COALESCE(MAX(upto), 0) FROM acknowledged WHERE minute <= ?", (minute,))[0][0]
        return self._purge_to(min(upto, self.acknowledged))

    def expire(self) -> int:
        """Give up what nobody acknowledged for `keep_days` of collecting; returns the readings. The server is told of the gap."""
        hours = int(self._settings.keep_days * 24)
        found = self._file.rows("SELECT upto FROM written ORDER BY upto DESC, hour DESC LIMIT 1 OFFSET ?", (hours,))
        total = 0
        while found and (given_up := self.rows.expire(self.acknowledged, found[0][0])):
            total += given_up
        if found and self._file.rows("SELECT 1 FROM written WHERE upto < ? LIMIT 1", found[0]):
            with self._file.transaction() as db:
                db.execute("DELETE FROM written WHERE upto < ?", found[0])
        self.counters.expired += total
        return total

    def _purge_to(self, upto: int) -> int:
        total = 0
        while purged := self.rows.purge(upto):
            total += purged
            self._file.shrink_wal()
        if total:
            with self._file.transaction() as db:  # one entry at or below the watermark is enough
                db.execute("DELETE FROM acknowledged WHERE upto < ?", (upto,))
        return total

    @property
    def outbox(self) -> Outbox:
        """Epoch, lowest sequence still held, highest written; an empty spool is the range (last + 1, last)."""
        return Outbox(self.epoch, self.rows.first() or self.last + 1, self.last)

    @property
    def fill(self) -> float:
        """Share of the quota that is in use, 0–1."""
        return self._file.used_pages() / self._file.quota_pages

    def status(self) -> dict[str, Any]:
        """For people and scripts."""
        return {
            "epoch": str(self.epoch),
            "last": self.last,
            "acknowledged": self.acknowledged,
            "unacknowledged": self.last - self.acknowledged,
            "fill": round(self.fill, 4),
            **asdict(self.counters),
        }

    # ---------------------------------------------------------------------------------------------------------------------------- salvage

    def salvage(self) -> bool:
        """Queue a few good rows of a damaged file again; True while there is more to do."""
        if self._task is None:
            return False
        if self._salvage is None:
            self._salvage = self._task.open(self._folder, self._gateway)
            self._found = self._salvage.rows()
        rows = list(islice(self._found, _SALVAGED_AT_ONCE)) if self.fill < _SOFT else []
        if rows:
            self._adopt(rows, self._task)
        else:
            self._finish(self._task, self._salvage)
        return bool(rows)

    def _adopt(self, rows: Sequence[Batch], task: Task) -> None:
        last = self.last
        found = sum(len(row.samples) for row in rows)
        task = replace(task, after=rows[-1].last, found=task.found + found)
        with self._file.transaction() as db:
            for row in rows:
                self.rows.write(db, Head(last + 1, last + len(row.samples), row.lane), row.samples)
                last += len(row.samples)
            self._file.set_meta("salvage", task.text)
        self._task, self.last = task, last
        self.counters.salvaged += found
        self._note_mark()

    def _finish(self, task: Task, reader: Salvage) -> None:
        reader.close()
        self._file.set_meta("salvage", "")
        self._task = self._salvage = None
        self.counters.lost += task.lost
        _log.warning("旧缓存 %s：救回 %d 条读数，丢失 %d 条", task.folder, task.found, task.lost)

    # ----------------------------------------------------------------------------------------------------------------------------- points

    def remember(self, points: Iterable[PointDeclaration]) -> None:
        """Keep what was declared, so that rows of a device which is configured no longer can still be declared and sent."""
        rows = [(point.metric, point.room, point.unit, point.klass) for point in points]
        with self._file.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO point VALUES (?, ?, ?, ?)", rows)

    def remembered(self) -> Mapping[str, PointDeclaration]:
        """Every point ever declared from this spool, by metric, without interval: nobody promises further samples of it."""
        rows = self._file.rows("SELECT metric, room, unit, class FROM point ORDER BY metric")
        return {metric: PointDeclaration(metric, None, room, unit, None, klass) for metric, room, unit, klass in rows}
