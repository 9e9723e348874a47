"""The storage thread: samples into the spool, and the uplink that drains it. One thread owns both, so nothing of them needs a lock.

Ordinary samples wait up to the flush time for company, alarm-class ones not at all. While the spool cannot take them they wait in a bounded ring in
memory, the oldest ordinary ones give way, and every loss is counted. The spool is opened, and after a failure opened again, in here: sampling never
waits.
"""

import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from contract.declarations import PointDeclaration
from contract.drill import drill_of
from contract.sample import Sample
from edge.condition import Condition
from edge.intake import Report
from edge.notify import Pulse
from edge.rows import Lane
from edge.rowstore import Head
from edge.settings import SpoolSettings, UplinkSettings
from edge.spool import Spool
from edge.spoolfile import SpoolDamagedError, SpoolError
from edge.uplink import Uplink

_log = logging.getLogger("edge.outlet")

_REOPEN_MS: Final = 5_000
_REFUSED_MS: Final = 1_000
_PURGE_MS: Final = 60_000
_STATUS_MS: Final = 1_000
_RECALLED: Final = 2_000  # readings looked through after a restart
_SENSIBLE_MS: Final = 1_735_689_600_000  # 1 January 2025: a clock before it was never set


@dataclass(slots=True)
class Counters:
    """In samples, since start. `dropped` never reached the disk."""

    offered: int = 0
    accepted: int = 0
    dropped: int = 0


class Outlet:
    """`offer` is for any thread; everything else belongs to the thread that calls `run_once` or runs `run`.

    `wake` ends a wait of `run`, `pulse` is told of each round, `condition` looks at the spool now and then.
    `latest` is filled with the last stored sample of each metric, for births.
    """

    def __init__(
        self,
        folder: Path,
        gateway: str,
        points: Sequence[PointDeclaration],
        spool: SpoolSettings,
        uplink_settings: UplinkSettings,
        uplink: Uplink,
        wake: threading.Event,
        latest: dict[str, Sample],
        trace: Path | None = None,
        pulse: Pulse | None = None,
        condition: Condition | None = None,
    ) -> None:
        self.counters = Counters()
        self.trouble = ""
        self.spool: Spool | None = None
        self._folder, self._gateway, self._points, self._settings = folder, gateway, points, spool
        self._most, self._flush_ms = uplink_settings.max_samples, uplink_settings.flush_ms
        self._uplink, self._trace, self._latest = uplink, trace, latest
        self._inbox: deque[Report] = deque()
        self._rings: Mapping[Lane, deque[Sample]] = {Lane.URGENT: deque(), Lane.NORMAL: deque()}
        self._undated: deque[tuple[Report, float]] = deque()
        self._waiting_since: float | None = None
        self._reopen_at = self._retry_at = self._purge_at = float("-inf")
        self._wake, self._pulse, self._condition = wake, pulse, condition
        self._ended = False
        self.snapshot: Mapping[str, Any] = {}
        """What `status` said lately; for any thread."""
        self._snapshot_at = float("-inf")

    # ------------------------------------------------------------------------------------------------------------------------ other threads

    def offer(self, reports: Sequence[Report]) -> None:
        """Hand samples over. Returns at once."""
        self._inbox.extend(reports)
        self._wake.set()

    def nudge(self) -> None:
        """There is something for the uplink to tell."""
        self._wake.set()

    def end(self) -> None:
        """Let `run` come to its end."""
        self._ended = True
        self._wake.set()

    # ------------------------------------------------------------------------------------------------------------------------------ running

    def run(self, clock: Callable[[], tuple[int, float]]) -> None:
        """Until `end`: then what waits is stored, and the broker is told goodbye. `clock` gives (UTC ms, monotonic ms)."""
        while not self._ended:
            self._wake.clear()
            if self._pulse is not None:
                self._pulse.begin("本机缓存")
            try:
                due = self.run_once(*clock())
                self._publish_status(clock()[1])
            except Exception:  # whatever it was, it must not end the storing of samples
                _log.exception("the storage thread met an error and goes on")
                due = clock()[1] + _REFUSED_MS
            if self._pulse is not None:
                self._pulse.end("本机缓存")
            self._wake.wait(min(max(due - clock()[1], 0), _REOPEN_MS) / 1000)
        self.close(clock()[0])

    def run_once(self, now: int, mono: float) -> float:
        """Store what is due, then let the uplink work. Returns when to come back at the latest (mono)."""
        self._collect(now, mono)
        try:
            spool = self._opened(now, mono)
            if spool is None:
                return self._reopen_at
            due = self._store(spool, mono)
            self._keep_house(spool, now, mono)
            due = min(due, self._uplink.run_once(spool, now, mono))
            return mono if spool.salvage() else due
        except SpoolDamagedError as error:
            return self._damaged(error, now, mono)
        except SpoolError as error:
            self._say(f"本机缓存读写失败（{error}）；读数暂存内存")
            return mono + _REFUSED_MS
        finally:
            self._trim()

    def close(self, now: int) -> None:
        """Store what waits and let go of everything."""
        self._collect(now, float("-inf"))
        if self.spool is not None:
            try:
                self._store(self.spool, float("inf"))
            except SpoolError as error:
                _log.error("停止时缓存损坏：%s", error)
            self.spool.close()
            self.spool = None
        if left := sum(map(len, self._rings.values())):
            _log.error("停止时有 %d 条读数没能写入", left)
        self._uplink.close(now)

    # ------------------------------------------------------------------------------------------------------------------------------ storing

    def _collect(self, now: int, mono: float) -> None:
        """From the inbox into the rings. A sample of a clock that was never set waits until the time is known, and gets it then."""
        while self._inbox:
            report = self._inbox.popleft()
            self.counters.offered += 1
            if report.sample.taken_at < _SENSIBLE_MS:
                self._undated.append((report, mono))
            else:
                self._keep(report, mono)
        while self._undated and now >= _SENSIBLE_MS:
            report, then = self._undated.popleft()
            self._keep(report._replace(sample=msgspec.structs.replace(report.sample, taken_at=now - max(0, int(mono - then)))), mono)

    def _keep(self, report: Report, mono: float) -> None:
        self._rings[report.lane].append(report.sample)
        if report.lane is Lane.NORMAL and self._waiting_since is None:
            self._waiting_since = mono

    def _trim(self) -> None:
        """What could not be stored is bounded: the oldest ordinary samples give way, then the oldest alarms."""
        while sum(map(len, self._rings.values())) > self._settings.ring_samples:
            (self._rings[Lane.NORMAL] or self._rings[Lane.URGENT]).popleft()
            self.counters.dropped += 1
        while len(self._undated) > self._settings.ring_samples:
            self._undated.popleft()
            self.counters.dropped += 1

    def _store(self, spool: Spool, mono: float) -> float:
        """Write what is due; returns when the rest is. Raises SpoolError, and then nothing is lost but time."""
        if mono < self._retry_at:
            return self._retry_at
        accepted = self.counters.accepted
        try:
            self._drain(spool, Lane.URGENT)
            normal = self._rings[Lane.NORMAL]
            due = float("inf") if self._waiting_since is None else self._waiting_since + self._flush_ms
            if normal and (mono >= due or len(normal) >= self._most):
                self._drain(spool, Lane.NORMAL)
                self._waiting_since, due = None, float("inf")
        except SpoolDamagedError:
            raise
        except SpoolError as error:
            self._retry_at = mono + _REFUSED_MS
            self._say(f"本机缓存写不进去（{error}）；读数暂存内存，请清理磁盘")
            return self._retry_at
        if self.counters.accepted > accepted:
            self._say("")
        return due

    def _drain(self, spool: Spool, lane: Lane) -> None:
        ring = self._rings[lane]
        while ring:
            block = [ring[at] for at in range(min(len(ring), self._most))]
            head = spool.append(block, lane)
            for _ in block:
                ring.popleft()
            self.counters.accepted += len(block)
            self._latest.update((sample.point.metric, sample) for sample in block if drill_of(sample) is None)
            self._write_trace(block, head)

    def _write_trace(self, block: Sequence[Sample], head: Head) -> None:
        if self._trace is None:
            return
        lines = [
            json.dumps({"point": str(sample.point), "taken_at": sample.taken_at, "value": sample.value, "quality": str(sample.quality), "seq": seq})
            for seq, sample in enumerate(block, head.first)
        ]
        with self._trace.open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    # -------------------------------------------------------------------------------------------------------------------------------- spool

    def _opened(self, now: int, mono: float) -> Spool | None:
        if self.spool is None and mono >= self._reopen_at:
            self._reopen_at = mono + _REOPEN_MS
            self.spool = Spool(self._folder, self._gateway, self._settings, now)
            self.spool.remember(self._points)
            self._recall(self.spool)
        return self.spool

    def _recall(self, spool: Spool) -> None:
        """After a restart the birth shows the last values that the spool has."""
        for head in spool.rows.heads(max(1, spool.last - _RECALLED), _RECALLED):
            batch = spool.rows.read(head.first)
            for sample in batch.samples if batch is not None else ():
                if drill_of(sample) is None:
                    self._latest[sample.point.metric] = sample

    def _damaged(self, error: SpoolDamagedError, now: int, mono: float) -> float:
        if self.spool is not None:
            try:
                self.spool.renew(str(error), now)
                self.spool.remember(self._points)
            except SpoolError as worse:
                self._say(f"本机缓存损坏且换不了新文件（{worse}）；读数暂存内存")
                return mono + _REOPEN_MS
        return mono

    def _keep_house(self, spool: Spool, now: int, mono: float) -> None:
        if mono < self._purge_at:
            return
        self._purge_at = mono + _PURGE_MS
        spool.purge(now)
        spool.expire()
        if self._condition is not None:
            self.offer(self._condition.look(spool.fill, spool.counters, self._uplink.clock_offset_s, now, mono))

    def _say(self, trouble: str) -> None:
        """Log a trouble once, and its end once."""
        if trouble and not self.trouble:
            _log.error(trouble)
        elif self.trouble and not trouble:
            _log.info("本机缓存恢复写入")
        self.trouble = trouble

    def _publish_status(self, mono: float) -> None:
        if mono - self._snapshot_at >= _STATUS_MS:
            self._snapshot_at = mono
            self.snapshot = self.status(mono)

    def status(self, mono: float) -> dict[str, Any]:
        """For status.json; from the storage thread."""
        return {
            "accepted": self.counters.accepted,
            "dropped": self.counters.dropped,
            "in_memory": sum(map(len, self._rings.values())) + len(self._undated),
            "clock_unset": bool(self._undated),
            "trouble": self.trouble,
            "spool": None if self.spool is None else self.spool.status(),
            "uplink": self._uplink.status(mono),
        }
