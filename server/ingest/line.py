"""The line to the broker: the MQTT connection runs in a process of its own and hands over whole armfuls of messages.

A province sends more than a thousand messages a second, and each costs its receiver several system calls. Among threads that judge, decode and store,
every one of them had to wait for the interpreter; in a process of its own it waits for nobody. The process keeps nothing: when it ends, a new one
connects, which counts as a new connection, and the gateways' spools still have what was under way.

The server gives a sign of life every other second. A server that stands still (stopped, swapped out, a virtual machine on hold) gives none; then the
process ends and its Will says offline, so that gateways raise their alarms themselves. When the server goes on, it starts a new one.

Over its pipes go frames: four bytes of length, then MessagePack. Down: the settings once, then commands to publish, none as a sign of life. The end
of the pipe means stop.
"""

import contextlib
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import IO, Any, Final

import msgspec

from server.ingest.mqtt import QUEUE_LIMIT, Connection, Incoming, Transport, wall_clock
from server.ingest.scout import Scout

log = logging.getLogger("server.ingest.line")

GATHER_S: Final = 0.002
"""Messages are gathered for so long before they are handed over; an alarm is among them."""
SWITCH_S: Final = 0.0005
"""Who receives does not wait longer than this for who hands over."""
STATUS_S: Final = 0.25
STOP_S: Final = 5.0
_AT_ONCE: Final = 2_000
_PAUSE_S: Final = 1.0


class Armful(msgspec.Struct, array_like=True):
    """What the process hands over: messages, its state, and how many it could not keep, by reason."""

    messages: list[Incoming]
    connected: bool
    refused: dict[str, int]


Command = tuple[str, bytes]
_encoder = msgspec.msgpack.Encoder()
_armful = msgspec.msgpack.Decoder(Armful)
_commands = msgspec.msgpack.Decoder(list[Command])
_settings = msgspec.msgpack.Decoder(Connection)


def _write(pipe: IO[bytes], content: Any) -> None:
    body = _encoder.encode(content)
    pipe.write(len(body).to_bytes(4, "big") + body)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes | None:
    """The next frame; None at the end of the pipe."""
    head = pipe.read(4)
    body = pipe.read(int.from_bytes(head, "big")) if len(head) == 4 else b""
    return body if body else None


class Line:
    """The server's end. `incoming` is what the ingest thread takes; `refused(reason, number)` counts what was lost on the way in."""

    def __init__(self, connection: Connection, refused: Callable[[str, int], object]) -> None:
        self._settings, self._refused = connection, refused
        self.incoming: queue.Queue[Incoming] = queue.Queue(QUEUE_LIMIT)
        self.connected = False
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=body, name=name, daemon=True) for name, body in (("line", self._keep), ("line-out", self._speak))]
        self._base = self._highest = 0

    def start(self) -> None:
        """Connect in the background; an unreachable broker is retried for ever and said once."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Say offline and leave."""
        self._stopping.set()
        self._commands.put(None)
        for thread in self._threads:
            thread.join(STOP_S)
        if (process := self._process) is not None and process.poll() is None:
            process.kill()

    def send(self, topic: str, payload: bytes) -> None:
        """Publish a command at QoS 0; one that is lost is asked for again by what it answers."""
        self._commands.put((topic, payload))

    def _keep(self) -> None:
        """Run the process and begin anew when it has ended, however it ended: a thread that dies here would leave the province unheard for ever."""
        while not self._stopping.is_set():
            try:
                ended: object = self._run()
            except OSError as error:  # it could not be started, or has gone while something was still to be said to it
                ended = error
            if not self._stopping.wait(_PAUSE_S):
                log.error("the process that talks to the broker has ended (%s); a new one is started", ended)

    def _run(self) -> int:
        """One life of the process, whose exit code is returned: take in what it hands over. Raises OSError."""
        # Its own session: Ctrl-C and SIGTERM are for the server, which says offline first.
        command = [sys.executable, "-m", "server.ingest.line"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as process:
            assert process.stdin is not None  # noqa: S101 - for the type checker
            assert process.stdout is not None  # noqa: S101 - for the type checker
            self._base = self._highest
            try:
                _write(process.stdin, self._settings)
                self._process = process
                while (frame := _read(process.stdout)) is not None:
                    self._take(_armful.decode(frame))
            except msgspec.MsgspecError:
                log.exception("the line's process said what cannot be read; it is replaced")
                process.kill()
            finally:
                self._process, self.connected = None, False
        return process.returncode

    def _take(self, armful: Armful) -> None:
        self.connected = armful.connected
        for reason, number in armful.refused.items():
            self._refused(reason, number)
        for message in armful.messages:
            self._highest = self._base + message.connection
            try:
                self.incoming.put_nowait(message._replace(connection=self._highest) if self._base else message)
            except queue.Full:
                self._refused("queue_full", 1)

    def _speak(self) -> None:
        """Hand commands over, all that wait at once; none now and then, as a sign of life."""
        while not self._stopping.is_set():
            commands = [one for one in (self._next(self._settings.patience_s / 5),) if one is not None]
            if commands:
                time.sleep(GATHER_S)  # a group's acknowledgements come in one go, and to be woken by each would hold up who sends them
            while commands and len(commands) < _AT_ONCE and (more := self._next(0)) is not None:
                commands.append(more)
            self._tell(commands)
        if (process := self._process) is not None and process.stdin is not None:
            with contextlib.suppress(OSError):  # it has gone by itself
                process.stdin.close()

    def _next(self, timeout_s: float) -> Command | None:
        try:
            return self._commands.get(timeout=timeout_s) if timeout_s else self._commands.get_nowait()
        except queue.Empty:
            return None

    def _tell(self, commands: list[Command]) -> None:
        process = self._process
        try:
            if process is not None and process.stdin is not None:
                _write(process.stdin, commands)
        except (OSError, ValueError):  # it has gone, or its pipe has been closed meanwhile
            log.debug("%d commands were lost with the line's process", len(commands))


# -- the process -----------------------------------------------------------------------------------------------------------------------------


def _gather(incoming: "queue.Queue[Incoming]") -> list[Incoming]:
    """What comes within a moment of the first; nothing when nothing has come."""
    try:
        messages = [incoming.get(timeout=STATUS_S)]
    except queue.Empty:
        return []
    time.sleep(GATHER_S)
    while len(messages) < _AT_ONCE and not incoming.empty():
        messages.append(incoming.get_nowait())
    return messages


class _Server:
    """The other end of the pipe, as the process hears it."""

    def __init__(self, pipe: IO[bytes], transport: Transport, out: IO[bytes], patience_s: float) -> None:
        self._pipe, self._transport, self._out, self._patience_s = pipe, transport, out, patience_s
        self._heard_at = time.monotonic()

    def listen(self) -> None:
        """Publish what it says; when it says no more, leave."""
        while (frame := _read(self._pipe)) is not None:
            self._heard_at = time.monotonic()
            for topic, payload in _commands.decode(frame):
                self._transport.send(topic, payload)
        self._transport.stop()
        self._out.flush()
        os._exit(0)

    def guard(self) -> None:
        """End when it has been silent for too long, whatever the other threads wait for: the pipe is full by then."""
        while (silent_s := time.monotonic() - self._heard_at) < self._patience_s:
            time.sleep(self._patience_s / 10)
        log.error("the server has said nothing for %.0f s; its gateways are told that it is offline", silent_s)
        os._exit(1)


def main() -> None:
    """The process: standard input and output are the pipes, logs go to standard error."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    source, out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    sys.setswitchinterval(SWITCH_S)
    settings = _read(source)
    if settings is None:
        return
    refused: queue.SimpleQueue[str] = queue.SimpleQueue()
    to = _settings.decode(settings)
    transport = Transport(to, clock=wall_clock, refused=refused.put)
    transport.start()
    server = _Server(source, transport, out, to.patience_s)
    for body in (server.listen, server.guard):
        threading.Thread(target=body, daemon=True).start()
    said: bool | None = None
    scout = Scout()
    while True:
        messages = [one._replace(hurries=True) if scout.hurries(one.topic, one.payload) else one for one in _gather(transport.incoming)]
        transport.tick(wall_clock())
        lost = Counter(refused.get() for _ in range(refused.qsize()))
        if messages or lost or said is not transport.connected:
            said = transport.connected
            _write(out, Armful(messages, said, lost))


if __name__ == "__main__":
    main()
