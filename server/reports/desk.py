"""The desk where papers and exports are ordered: each is a row with its state, its file in the data folder, its hashes, and an audit entry.

One thread works the orders off in turn. A process that stops in the middle finds the order again at its next start and begins it anew.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.reports import bundle, kinds
from server.reports.kinds import KINDS, Order, UnknownSubjectError
from server.reports.paper import Progress
from server.reports.period import DAY_MS, Period, parse_period
from server.reports.render import FORMATS, render
from server.reports.scores import ScoreBook
from server.reports.sources import Sources
from server.store import audit, exports
from server.store.tables_papers import ExportJob

log = logging.getLogger("server.reports")

KEEP_DATA_MS = 7 * DAY_MS
_PAUSE_S = 30.0


ENDINGS = {ending: media for ending, (media, _) in FORMATS.items()} | {bundle.ENDING: bundle.MEDIA}
"""Media types of what can be ordered, by ending."""
_DRAWN = ("pdf", "docx", "html")


class TooLargeError(ValueError):
    """The paper cannot be made in the form asked for; the sentence says which form will do."""


class Runner(Protocol):
    """Where rendering happens: the worker process of the server, or this process for a command without a server."""

    def run(self, work: Callable[..., Any], *args: Any) -> Any:
        """The result of work(*args)."""


class Here:
    """Renders in this process."""

    def run(self, work: Callable[..., Any], *args: Any) -> Any:
        """work(*args)."""
        return work(*args)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An order. `kind` is a key of KINDS or `history`; `code` a room or unit; `options` are those of the kind."""

    kind: str
    code: str
    period: str
    ending: str
    by: str
    options: dict[str, Any]


class Made(NamedTuple):
    """A paper that is not kept: the file, its name and hashes."""

    content: bytes
    name: str
    sha256: str
    digest: str


class Product(Protocol):
    """How data exports are made: writes the file."""

    def __call__(self, sources: Sources, runner: Runner, job: ExportJob, target: Path, progress: Progress) -> str:
        """Write `target`; the digest of its content or ""."""


class Desk:
    """Takes orders and works them off. Usable from any thread; `run` belongs to one."""

    def __init__(self, sources: Sources, runner: Runner, folder: Path, products: dict[str, Product] | None = None) -> None:
        self.sources, self._runner, self._folder = sources, runner, folder
        self.scores = ScoreBook(sources)
        self._products = products or {}
        self._wake = threading.Event()

    def order(self, wanted: Wanted, now: int) -> int:
        """Queue an order; its id. Raises UnknownSubjectError, PeriodError, KeyError for an unknown ending."""
        with self.sources.db.write() as session:
            job = self._row(session, wanted, now)
        self._wake.set()
        return job

    def once(self, wanted: Wanted, now: int) -> Made:
        """Make a paper for somebody who waits: kept nowhere, its hashes are in the audit log. Raises UnknownSubjectError, PeriodError, FormError."""
        paper, _ = kinds.make(self.sources, wanted.kind, wanted.code, parse_period(wanted.period), now, by=wanted.by)
        content: bytes = self._runner.run(render, paper, wanted.ending, self.sources.settings.forms)
        made = Made(content, kinds.file_name(paper, wanted.ending), hashlib.sha256(content).hexdigest(), paper.digest)
        detail = {"period": wanted.period, "ending": wanted.ending, "sha256": made.sha256, "digest": made.digest}
        with self.sources.db.write() as session:
            audit.append(session, wanted.by, f"report.{wanted.kind}", wanted.code, detail, now)
        return made

    def make_now(self, wanted: Wanted, now: int) -> ExportJob:
        """Order and make it in this thread; the row tells whether it went well. Raises as `order` does."""
        with self.sources.db.write() as session:
            ident = self._row(session, wanted, now, state="running")
        return self._work(self._get(ident), now)

    def path(self, job: ExportJob) -> Path:
        """Where the file of a finished order lies."""
        return self._folder / f"{job.id:08d}.{job.ending}"

    def run(self, stop: threading.Event, clock: Callable[[], int]) -> None:
        """Thread body: work off until `stop` is set."""
        self.recover()
        while not stop.is_set():
            if not self.run_once(clock()):
                self._wake.wait(_PAUSE_S)
                self._wake.clear()

    def recover(self) -> None:
        """What a stopped process left half done is queued again; before anybody else works at the desk."""
        with self.sources.db.write() as session:
            for job in session.scalars(select(ExportJob).where(ExportJob.state == "running")):
                job.state = "queued"

    def nudge(self) -> None:
        """Have the thread look again, e.g. to see that it is to stop."""
        self._wake.set()

    def run_once(self, now: int) -> int | None:
        """Work off the oldest order; its id, None when there is none. A failure is part of the row."""
        with self.sources.db.write() as session:
            job = exports.waiting(session)
            if job is None:
                return None
            job.state = "running"
            session.flush()
            session.expunge(job)
        return self._work(job, now).id

    def tidy(self, now: int) -> int:
        """Job: delete files of data exports after a week; papers stay. Returns how many."""
        with self.sources.db.read() as session:
            old = session.scalars(select(ExportJob).where(ExportJob.kind.not_in(KINDS), ExportJob.finished_at < now - KEEP_DATA_MS)).all()
        return sum(1 for job in old if _removed(self.path(job)))

    def _work(self, job: ExportJob, now: int) -> ExportJob:
        try:
            self._finish(job, *self._make(job, now), now)
        except Exception as error:
            log.exception("order %d for %s of %s failed", job.id, job.kind, job.subject)
            sentence = str(error) if isinstance(error, ValueError | LookupError) else f"没有做成：{type(error).__name__}"
            self._update(job.id, state="failed", finished_at=now, error=sentence[:500])
        return self._get(job.id)

    def _get(self, ident: int) -> ExportJob:
        with self.sources.db.read() as session:
            job = session.get_one(ExportJob, ident)
            session.expunge(job)
            return job

    def _row(self, session: Session, wanted: Wanted, now: int, state: str = "queued") -> int:
        period = parse_period(wanted.period)
        if wanted.ending not in ENDINGS:
            raise KeyError(wanted.ending)
        if wanted.kind in KINDS:
            found = kinds.order(session, wanted.kind, wanted.code)
            _must_fit(wanted, found, period)
            title, unit = f"{KINDS[wanted.kind].title} {found.name}", found.unit
        elif wanted.kind in self._products:
            found = kinds.order(session, "register", wanted.code)
            title, unit = f"历史数据 {found.name}", found.unit
        else:
            raise UnknownSubjectError(f"没有“{wanted.kind}”这种报表。")
        job = ExportJob(
            kind=wanted.kind,
            title=title[:200],
            unit=unit,
            subject=wanted.code,
            period=wanted.period,
            ending=wanted.ending,
            options=wanted.options,
            asked_by=wanted.by,
            asked_at=now,
            state=state,
        )
        session.add(job)
        session.flush()
        detail = {"period": wanted.period, "ending": wanted.ending, "job": job.id}
        audit.append(session, wanted.by, f"report.{wanted.kind}", wanted.code, detail, now)
        return job.id

    def _make(self, job: ExportJob, now: int) -> tuple[str, str]:
        """(file name, digest); the file is complete when it has its name."""
        self._folder.mkdir(parents=True, exist_ok=True)
        target = self.path(job)
        partial = target.with_suffix(f".{job.ending}.part")

        def progress(done: int, total: int) -> None:
            self._update(job.id, done=done, total=total)

        if job.ending == bundle.ENDING:
            name, digest = bundle.write(self.sources, self._runner, job, now, partial, progress)
        elif job.kind in self._products:
            digest = self._products[job.kind](self.sources, self._runner, job, partial, progress)
            name = f"{job.title.replace(' ', '_')}_{job.period}.{job.ending}"
        else:
            paper, _ = kinds.make(self.sources, job.kind, job.subject, parse_period(job.period), now, progress, by=job.asked_by)
            partial.write_bytes(self._runner.run(render, paper, job.ending, self.sources.settings.forms))
            name, digest = kinds.file_name(paper, job.ending), paper.digest
        os.replace(partial, target)
        return name, digest

    def _finish(self, job: ExportJob, name: str, digest: str, now: int) -> None:
        target = self.path(job)
        with target.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        size = target.stat().st_size
        self._update(job.id, state="done", finished_at=now, file_name=name[:200], digest=digest, sha256=sha256, bytes=size)

    def _update(self, ident: int, **values: Any) -> None:
        with self.sources.db.write() as session:
            job = session.get_one(ExportJob, ident)
            for name, value in values.items():
                setattr(job, name, value)


def _must_fit(wanted: Wanted, found: Order, period: Period) -> None:
    """Raises TooLargeError for what would be too long as one document, or cannot be a bundle."""
    sheets = len(found.rooms) * (len(list(period.months())) if wanted.kind == "register" else 1)
    if wanted.ending == bundle.ENDING and not KINDS[wanted.kind].of_room:
        raise TooLargeError(f"{KINDS[wanted.kind].title}只有一份，不必打包，请选 PDF 等格式。")
    if wanted.ending in _DRAWN and sheets > bundle.MOST_SHEETS:
        raise TooLargeError(f"共 {sheets} 页，一份文件最多 {bundle.MOST_SHEETS} 页，请选 ZIP：每个单位（或县区）一份 PDF，附目录。")


def _removed(path: Path) -> bool:
    if not path.exists():
        return False
    path.unlink()
    return True
