"""Child processes of the demo and of the fault tests: started, waited for, killed and started again, each with a log of its own.

Children die with their parent, whatever ends it; nothing is ever ended but what was started here, by its id.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from simulators.signals import die_with_parent


class StartError(RuntimeError):
    """A process did not come up; the text carries the end of its log."""


def command(name: str) -> list[str]:
    """How to start one of our console commands with this very interpreter: archivewatch | archivewatch-edge | archivewatch-sim."""
    module = {"archivewatch": "server", "archivewatch-edge": "edge", "archivewatch-sim": "simulators"}[name]
    return [sys.executable, "-m", module]


class Child:
    """One process. `ready` is asked until it says yes; `line` waits for a JSON line on standard output instead and keeps it in `said`."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        folder: Path,
        *,
        ready: Callable[[], bool] | None = None,
        line: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self._arguments, self._ready, self._line = name, list(arguments), ready, line
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / f"{name}.log"
        self._output = folder / f"{name}.out"
        self._process: subprocess.Popen[bytes] | None = None
        self.said: dict[str, Any] = {}
        self.starts = 0

    @property
    def pid(self) -> int:
        """Process id; raises StartError when it was never started."""
        if self._process is None:
            raise StartError(f"{self.name} was not started")
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self, timeout: float = 60) -> "Child":
        """Start it and wait until it is ready. Raises StartError."""
        self.launch()
        self.wait_ready(timeout)
        return self

    def launch(self) -> None:
        """Start it without waiting."""
        errors: IO[bytes]
        with self.log.open("ab") as errors, self._output.open("wb") as output:
            self._process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=self._environment,
                preexec_fn=die_with_parent,  # noqa: PLW1509
            )
        self.starts += 1

    def wait_ready(self, timeout: float = 60) -> None:
        """Wait until it says that it is ready. Raises StartError when it ends or takes too long."""
        deadline = time.monotonic() + timeout
        while not self._is_ready():
            if not self.alive:
                raise StartError(f"{self.name} 启动后退出了：\n{self.tail()}")
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} 在 {timeout:.0f} 秒内没有就绪：\n{self.tail()}")
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        if self._line:
            for text in self._output.read_text("utf-8", "replace").splitlines():
                with contextlib.suppress(json.JSONDecodeError):
                    self.said = json.loads(text)
                    return True
            return False
        return self._ready is None or self._ready()

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self, timeout: float = 10) -> None:
        """Ask it to end; after the timeout, kill it."""
        if self._process is None or not self.alive:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def tail(self, lines: int = 15) -> str:
        """The end of its log and output."""
        text = "".join(path.read_text("utf-8", "replace") for path in (self._output, self.log) if path.exists())
        return "\n".join(text.splitlines()[-lines:])


def run(arguments: Sequence[str], *, text: str = "") -> str:
    """Run a command to its end and return what it printed. Raises StartError with its last lines when it fails."""
    done = subprocess.run(list(arguments), input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StartError(f"{' '.join(arguments[-4:])}：\n" + "\n".join((done.stdout + done.stderr).splitlines()[-12:]))
    return done.stdout


def answers(url: str) -> bool:
    """Whether a GET is answered with success."""
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:  # nosec # noqa: S310 - our own address on loopback
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False
