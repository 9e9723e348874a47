"""The centre looks at itself: a disk that fills, work that fails again and again, history that is not written. Each becomes an alarm like any other:
a centre that fails without a word is the worst silence of all.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import select

from server.jobs import ZONE, Failing
from server.store import units
from server.store.session import Database
from server.store.tables import Alarm
from server.watch.commands import Command, Condition

RULE = "centre_fault"
LOW_FREE, LEAST_FREE = 5 << 30, 1 << 30
"""Bytes of free disk: below the first somebody has to look within the day, below the second at once."""
PATIENCE_MS = 5 * 60_000
"""What works again by itself within this time was no fault. A job that comes more seldom than that is one at its first failure."""
HISTORY_MS = 15 * 60_000
"""Samples wait in the journal for so long at the most; nothing is lost there, but nobody sees them in the history."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong: `subject` tells faults apart, `level` is its word, `note` says it and what to do."""

    subject: str
    level: str
    note: str


class Health:
    """`troubles(now)` gives what the parts know of themselves; `tell` takes commands of the watch; `free` bytes where the data lie."""

    def __init__(
        self, db: Database, folder: Path, troubles: Callable[[int], Iterable[Trouble]], tell: Callable[[Command], object],
        *, free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free, on_free: Callable[[float], object] = lambda _free: None,
    ) -> None:  # fmt: skip
        self._db, self._folder, self._troubles, self._tell, self._free, self._on_free = db, folder, troubles, tell, free, on_free

    def run_once(self, now: int) -> int:
        """One look; returns how many faults there are. Without a unit there is nobody to tell."""
        free = self._free(self._folder)
        self._on_free(free)
        found = {one.subject: one for one in (*trouble_of_disk(free), *self._troubles(now))}
        with self._db.read() as session:
            top = units.tops(session)
            standing = session.scalars(select(Alarm).where(Alarm.rule == RULE, Alarm.open_key.is_not(None), Alarm.cleared_at.is_(None))).all()
        for alarm in standing:
            if alarm.subject not in found:
                self._say(alarm.subject, alarm.unit, alarm.level, "", active=False)
        told = {(alarm.subject, alarm.level) for alarm in standing}
        for one in found.values() if top else ():
            if (one.subject, one.level) not in told:
                self._say(one.subject, top[0].code, one.level, one.note, active=True)
        return len(found)

    def _say(self, subject: str, unit: str, level: str, note: str, *, active: bool) -> None:
        self._tell(Condition(subject=subject, rule=RULE, active=active, unit=unit, level=level, note=note, by="系统"))


def trouble_of_disk(free: int) -> Iterator[Trouble]:
    """Too little space for what comes."""
    if free < LOW_FREE:
        level = "urgent" if free < LEAST_FREE else "alarm"
        yield Trouble("centre:disk", level, f"中心的磁盘只剩 {free / 2**30:.1f} GiB，请清理或扩容：写满后数据积压在现场的网关里。")


def troubles_of_jobs(failing: Iterable[Failing], now: int) -> Iterator[Trouble]:
    """Work that does not succeed."""
    for one in failing:
        seldom = one.job.every_s is None or one.job.every_s * 1000 >= PATIENCE_MS
        if seldom or now - one.since >= PATIENCE_MS:
            note = f"“{one.job.title}”自 {_clock(one.since)} 起没有做成（{one.reason[:120]}），请看服务日志。"
            yield Trouble(f"centre:job:{one.job.name}", "alarm", note)


def trouble_of_history(waiting: int, now: int) -> Iterator[Trouble]:
    """`waiting`: when the oldest sample came that is not yet in the history, UTC ms."""
    if now - waiting >= HISTORY_MS:
        note = f"{_clock(waiting)} 以来的数据还没有写入历史库，请检查历史库。数据没有丢，历史曲线暂时看不到。"
        yield Trouble("centre:history", "alarm", note)


def _clock(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1000, ZONE):%m-%d %H:%M}"
