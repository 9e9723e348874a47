"""One worker process for what would hold the others up: PDF and XLSX. Started when first needed, replaced when it dies, gone when its parent is."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

Result = TypeVar("Result")

_TASKS_PER_PROCESS = 400
TIMEOUT_S = 600.0


class Pool:
    """Runs functions of modules, one at a time, in a process of its own. Usable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executor: ProcessPoolExecutor | None = None
        self._context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks
        self._leave_read, self._leave = self._context.Pipe(duplex=False)
        self._closed = False

    def run(self, work: Callable[..., Result], *args: Any, timeout_s: float = TIMEOUT_S) -> Result:
        """The result. Raises what the work raises, TimeoutError, BrokenProcessPool when the worker dies a second time or the pool is closed."""
        try:
            return self._submit(work, *args).result(timeout_s)
        except BrokenProcessPool:
            self._drop()
            return self._submit(work, *args).result(timeout_s)

    def close(self) -> None:
        """End the worker at once, whatever it is doing: its callers get BrokenProcessPool. What waits is cancelled."""
        with self._lock:
            executor, self._executor = self._executor, None
            self._closed = True
        self._leave.close()
        if executor is not None:
            executor.shutdown(wait=True, cancel_futures=True)

    def _submit(self, work: Callable[..., Result], *args: Any) -> "Future[Result]":
        with self._lock:
            if self._closed:
                raise BrokenProcessPool("the pool is closed")
            if self._executor is None:
                self._executor = ProcessPoolExecutor(
                    1, mp_context=self._context, initializer=_settle, initargs=(self._leave_read,), max_tasks_per_child=_TASKS_PER_PROCESS
                )
            return self._executor.submit(work, *args)

    def _drop(self) -> None:
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)


def _settle(leave: "Connection[Any, Any]") -> None:
    """Leave Ctrl-C to the parent; end when it closes the pool, and with it however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_after, args=(leave,), daemon=True).start()


def _leave_after(leave: "Connection[Any, Any]") -> None:
    wait([leave])
    os._exit(0)
