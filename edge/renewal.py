"""Opening the spool's file, and replacing it when it is damaged: a fresh epoch at once, the good rows of the old file afterwards.

Every step survives a crash: the new folder is complete before the old one is moved away, and it names the old one until its rows are through.
"""

import json
import logging
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from edge.highwater import HighWater, Mark
from edge.rescue import Salvage
from edge.spoolfile import NAME, SpoolDamagedError, SpoolFile, build, sync_folder

_log = logging.getLogger("edge.spool")
_UNKNOWN_END: Final = 1 << 62
_KEPT_ASIDE: Final = 2


@dataclass(frozen=True, slots=True)
class Opener:
    """How to open or replace the spool in `folder`. `new_epoch` gives a random unsigned 64-bit number."""

    folder: Path
    durable: bool
    quota_bytes: int
    new_epoch: Callable[[], int]

    def open(self, highwater: HighWater, now: int) -> SpoolFile:
        """The file; a fresh one when there is none, or when it is damaged. Raises SpoolError, OSError."""
        if self._building.exists() and not self.folder.exists():
            self._install()  # a crash came between the two renames
        mark = highwater.mark
        if not self.folder.exists():
            if mark is not None and mark.last > 0:
                return self.renew(highwater, "数据文件不见了", now)
            return self._fresh(highwater, {})
        try:
            return self._inspected(mark)
        except SpoolDamagedError as error:
            return self.renew(highwater, str(error), now)

    def renew(self, highwater: HighWater, reason: str, now: int) -> SpoolFile:
        """Set the file aside and start a new epoch that knows where to salvage from. The old file must be closed. Raises SpoolError, OSError."""
        mark = highwater.mark or Mark(_epoch_inside(self.folder / NAME), _UNKNOWN_END, 0)
        aside = self.folder.with_name(f"{self.folder.name}-damaged-{now}-{mark.epoch:016x}")
        task = Task(aside.name, mark.epoch, mark.acknowledged, mark.last, mark.acknowledged)
        _log.error("本机缓存损坏（%s）：原文件另存为 %s，已换新文件继续采集", reason, aside.name)
        return self._fresh(highwater, {"previous": str(mark.epoch), "salvage": task.text}, aside)

    @property
    def _building(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}-new")

    def _install(self) -> None:
        self._building.rename(self.folder)
        sync_folder(self.folder.parent)

    def _fresh(self, highwater: HighWater, meta: dict[str, str], aside: Path | None = None) -> SpoolFile:
        epoch = self.new_epoch()
        build(self._building, meta | {"epoch": str(epoch)})
        if aside is not None and self.folder.exists():
            self.folder.rename(aside)
            _keep_newest(self.folder)
        self._install()
        highwater.write(Mark(epoch, 0, 0))
        return self._file()

    def _file(self) -> SpoolFile:
        return SpoolFile(self.folder, durable=self.durable, quota_bytes=self.quota_bytes)

    def _inspected(self, mark: Mark | None) -> SpoolFile:
        file = self._file()
        try:
            _inspect(file, mark)
        except BaseException:
            file.close()
            raise
        return file


def _keep_newest(folder: Path) -> None:
    for old in sorted(folder.parent.glob(f"{folder.name}-damaged-*"))[:-_KEPT_ASIDE]:
        shutil.rmtree(old, ignore_errors=True)


def _epoch_inside(database: Path) -> int:
    """The epoch of a file whose mark is lost; 0, under which no checksum fits, when it cannot be read."""
    try:
        db = sqlite3.connect(database)
        try:
            return int(db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()[0])
        finally:
            db.close()
    except (sqlite3.Error, TypeError, ValueError):
        return 0


def _inspect(file: SpoolFile, mark: Mark | None) -> None:
    """Compare the file with itself and with the mark. Raises SpoolDamagedError."""
    file.check()
    epoch = file.meta("epoch")
    if epoch is None or not epoch.isdecimal():
        raise SpoolDamagedError("no epoch in the file")
    if mark is None or str(mark.epoch) == file.meta("previous"):
        return
    if str(mark.epoch) != epoch:
        raise SpoolDamagedError("the file and its high-water mark are of different epochs")
    last = file.rows("SELECT COALESCE(MAX(last), 0) FROM batch")[0][0]
    if not isinstance(last, int) or last < mark.last:
        raise SpoolDamagedError(f"readings up to {mark.last} were written, the file ends at {last}")


@dataclass(frozen=True, slots=True)
class Task:
    """What is still to be salvaged: rows of `folder` with sequences after `after`, up to `until`, written under `epoch`.

    `start` is where it began and `found` how many readings were recovered so far.
    """

    folder: str
    epoch: int
    start: int
    until: int
    after: int
    found: int = 0

    @classmethod
    def of(cls, file: SpoolFile) -> "Task | None":
        """The task that a renewed file carries, if it is not done yet."""
        text = file.meta("salvage")
        return cls(**json.loads(text)) if text else None

    def open(self, parent: Path, gateway: str) -> Salvage:
        """Start reading."""
        return Salvage(parent / self.folder / NAME, gateway, self.epoch, self.after, self.until)

    @property
    def text(self) -> str:
        """For the meta table."""
        return json.dumps(asdict(self))

    @property
    def lost(self) -> int:
        """Readings that were written and not found; 0 when the end of the old file is unknown."""
        return 0 if self.until == _UNKNOWN_END else max(0, self.until - self.start - self.found)
