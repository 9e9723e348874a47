"""Imports that run beside the requests: one worker, one import after the other, progress in the import_run row."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from sqlalchemy.exc import SQLAlchemyError

from server.org import imports
from server.store.session import Database

log = logging.getLogger("server.imports")

Told = Callable[[imports.Summary], None]


class ImportJobs:
    """The worker starts with the first import and ends with the process; what a stop cuts off is taken back at the next start (imports.recover)."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def start(self, db: Database, run: int, content: bytes, clock: Callable[[], int], told: Told, *, grants: bool) -> "Future[None]":
        """Queue a begun import; `told` hears what was changed after it is written; `grants`: the importer may appoint administrators."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="import")
        return self._pool.submit(self._one, db, run, content, clock, told, grants)

    def close(self) -> None:
        """Wait for the running import and take no more."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=True, cancel_futures=True)
                self._pool = None

    @staticmethod
    def _one(db: Database, run: int, content: bytes, clock: Callable[[], int], told: Told, grants: bool) -> None:
        try:
            summary = imports.carry_out(db, run, content, clock, grants=grants)
        except (ValueError, SQLAlchemyError) as error:  # the record says it to the person
            log.warning("import %s failed: %s", run, error)
            return
        if summary.changed:
            told(summary)
