"""One worker process for what would hold the others up: PDF and XLSX. Started when first needed, replaced when it dies, gone when its parent is."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, TypeVar

Result = TypeVar("Result")

_TASKS_PER_PROCESS = 400
TIMEOUT_S = 600.0


class Pool:
    """Runs functions of modules, one at a time, in a process of its own. Usable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executor: ProcessPoolExecutor | None = None

    def run(self, work: Callable[..., Result], *args: Any, timeout_s: float = TIMEOUT_S) -> Result:
        """The result. Raises what the work raises, TimeoutError, BrokenProcessPool when the worker dies a second time."""
        try:
            return self._submit(work, *args).result(timeout_s)
        except BrokenProcessPool:
            self._drop()
            return self._submit(work, *args).result(timeout_s)

    def close(self) -> None:
        """Stop the worker; what waits is cancelled."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, cancel_futures=True)

    def _submit(self, work: Callable[..., Result], *args: Any) -> "Future[Result]":
        with self._lock:
            if self._executor is None:
                context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks
                self._executor = ProcessPoolExecutor(1, mp_context=context, initializer=_settle, max_tasks_per_child=_TASKS_PER_PROCESS)
            return self._executor.submit(work, *args)

    def _drop(self) -> None:
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)


def _settle() -> None:
    """Leave Ctrl-C to the parent, and end with it however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_after, args=(parent.sentinel,), daemon=True).start()


def _leave_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(0)
