"""Word to systemd (Type=notify): ready, alive, stopping. Without systemd every call does nothing.

The watchdog is fed only while everything that has to work is seen to work: the event loop runs the feeder itself, each bus comes back from what
it is doing, and the storage thread looks at its inbox. When one of them hangs, the feeding stops and systemd starts the agent anew; the spool
survives that.
"""

import logging
import os
import socket
from collections.abc import Callable, Mapping
from typing import Final

_log = logging.getLogger("edge.notify")
_FEEDS: Final = 3  # within the time after which systemd loses patience
_SAID_MS: Final = 60_000


class Notifier:
    """`environment` is that of the process: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID come from systemd."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        usec = environment.get("WATCHDOG_USEC", "")
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.interval_s = int(usec) / 1e6 / _FEEDS if self._address and mine and usec.isdecimal() else 0.0
        """How often the watchdog wants to hear; 0 when there is none."""

    def say(self, **words: str | int) -> None:
        """Send assignments such as READY=1. A socket that is gone is worth a line in the log, not an error."""
        if not self._address:
            return
        text = "\n".join(f"{key}={value}" for key, value in words.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
                link.sendto(text.encode(), self._address)
        except OSError as error:
            _log.warning("systemd 没有收到 %s：%s", text.partition("\n")[0], error.strerror)


class Pulse:
    """Who is at work since when. `mono` is monotonic ms; each name belongs to one thread."""

    def __init__(self, patience_ms: float, clock: Callable[[], float]) -> None:
        self._patience, self._clock = patience_ms, clock
        self._since: dict[str, float] = {}
        self._said = float("-inf")

    def begin(self, name: str) -> None:
        """A piece of work starts, which ends by itself within a bounded time."""
        self._since[name] = self._clock()

    def end(self, name: str) -> None:
        """It is done; waiting for the next one may take as long as it likes."""
        self._since.pop(name, None)

    def stuck(self) -> list[str]:
        """Those who have been at one piece of work for too long."""
        now = self._clock()
        found = sorted(name for name, since in self._since.copy().items() if now - since > self._patience)
        if found and now - self._said >= _SAID_MS:
            self._said = now
            _log.error("停住了：%s；不再向看门狗报平安", "、".join(found))
        return found
