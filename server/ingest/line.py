"""The line to the broker: the MQTT connection runs in a process of its own, which reads the messages and hands over whole armfuls of what they say.

A province sends more than a thousand messages a second; to receive and to decode them takes a third of a processor. Among threads that judge and
store, that had to wait for the interpreter, and an alarm with it; in a process of its own it waits for nobody. The process keeps nothing: when it
ends, a new one connects and asks the nodes for their births, and the gateways' spools still have what was under way.

The server gives a sign of life every other second. A server that stands still (stopped, swapped out, a virtual machine on hold) gives none; then the
process ends and its Will says offline, so that gateways raise their alarms themselves. When the server goes on, it starts a new one.

Over its pipes go frames: four bytes of length, then MessagePack (frames.py). Down: how to begin, then orders to publish, none as a sign of life. The
end of the pipe means stop.
"""

import contextlib
import fcntl
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import IO, Any, Final

import msgspec

from server.ingest.frames import Armful, Heard, Orders, Packed, Settled, Start, pack
from server.ingest.lanes import Lanes
from server.ingest.mqtt import Connection, Transport, wall_clock
from server.ingest.reader import Reader
from server.interpreter import tune
from server.watch.inputs import GatewayData

log = logging.getLogger("server.ingest.line")

GATHER_S: Final = 0.002
"""Messages are gathered for so long before they are handed over; an alarm is among them."""
STATUS_S: Final = 0.25
PIPE_BYTES: Final = 1 << 20
STOP_S: Final = 5.0
_AT_ONCE: Final = 2_000
_ARMFUL: Final = 64
"""Messages; more in one go would keep what hurries waiting for the reading of the others."""
_PAUSE_S: Final = 1.0


Birth = tuple[str, str, int | None, int | None]
_encoder = msgspec.msgpack.Encoder()
_armful = msgspec.msgpack.Decoder(Armful)
_orders = msgspec.msgpack.Decoder(Orders)
_start = msgspec.msgpack.Decoder(Start)


def _write(pipe: IO[bytes], content: Any) -> None:
    body = _encoder.encode(content)
    pipe.write(len(body).to_bytes(4, "big") + body)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes | None:
    """The next frame; None at the end of the pipe."""
    head = pipe.read(4)
    body = pipe.read(int.from_bytes(head, "big")) if len(head) == 4 else b""
    return body if body else None


def _widen(pipe: IO[bytes]) -> None:
    """So that an armful fits: one that does not is handed over in pieces, each of which waits for the interpreter of the other end."""
    with contextlib.suppress(OSError):  # the system's bound for all pipes of a user may have been reached: then in pieces
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


class Line:
    """The server's end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.connected = False
        self._orders: queue.SimpleQueue[tuple[str, bytes] | Settled | None] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=body, name=name, daemon=True) for name, body in (("line", self._keep), ("line-out", self._speak))]
        self._hear: Callable[[Armful], object] = lambda _armful: None
        self._births: Callable[[], Iterable[Birth]] = tuple

    def start(self, hear: Callable[[Armful], object], births: Callable[[], Iterable[Birth]] = tuple) -> None:
        """Connect in the background; an unreachable broker is retried for ever and said once.

        `hear` takes what is heard; `births` gives the last birth of each gateway (reader.py), asked whenever the process begins.
        """
        self._hear, self._births = hear, births
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Say offline and leave."""
        self._stopping.set()
        self._orders.put(None)
        for thread in self._threads:
            thread.join(STOP_S)
        if (process := self._process) is not None and process.poll() is None:
            process.kill()

    def send(self, topic: str, payload: bytes) -> None:
        """Publish a command at QoS 0; one that is lost is asked for again by what it answers."""
        self._orders.put((topic, payload))

    def settle(self, settled: Settled) -> None:
        """Acknowledge what a gateway sent, likewise."""
        self._orders.put(settled)

    def _keep(self) -> None:
        """Run the process and begin anew when it has ended, however it ended: a thread that dies here would leave the province unheard for ever."""
        while not self._stopping.is_set():
            try:
                ended: object = self._run()
            except OSError as error:  # it could not be started, or has gone while something was still to be said to it
                ended = error
            except Exception as error:  # the database was away when the births were asked for, or a fault of ours
                log.exception("what the line's process said could not be taken")
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
            _widen(process.stdout)
            try:
                _write(process.stdin, Start(self._connection, list(self._births())))
                self._process = process
                while (frame := _read(process.stdout)) is not None:
                    armful = _armful.decode(frame)
                    self.connected = armful.connected
                    self._hear(armful)
            except msgspec.MsgspecError:
                log.exception("the line's process said what cannot be read; it is replaced")
                process.kill()
            finally:
                self._process, self.connected = None, False
        return process.returncode

    def _speak(self) -> None:
        """Hand orders over, all that wait at once; none now and then, as a sign of life."""
        while not self._stopping.is_set():
            orders = [one for one in (self._next(self._connection.patience_s / 5),) if one is not None]
            if orders:
                time.sleep(GATHER_S)  # a group's acknowledgements come in one go, and to be woken by each would hold up who sends them
            while orders and len(orders) < _AT_ONCE and (more := self._next(0)) is not None:
                orders.append(more)
            settled = [one for one in orders if isinstance(one, Settled)]
            self._tell(Orders([one for one in orders if not isinstance(one, Settled)], settled))
        if (process := self._process) is not None and process.stdin is not None:
            with contextlib.suppress(OSError):  # it has gone by itself
                process.stdin.close()

    def _next(self, timeout_s: float) -> tuple[str, bytes] | Settled | None:
        try:
            return self._orders.get(timeout=timeout_s) if timeout_s else self._orders.get_nowait()
        except queue.Empty:
            return None

    def _tell(self, orders: Orders) -> None:
        process = self._process
        try:
            if process is not None and process.stdin is not None:
                _write(process.stdin, orders)
        except (OSError, ValueError):  # it has gone, or its pipe has been closed meanwhile
            log.debug("%d commands were lost with the line's process", len(orders.messages) + len(orders.settled))


# -- the process -----------------------------------------------------------------------------------------------------------------------------


class _Out:
    """Collects what is heard and counted, for the next armful."""

    def __init__(self) -> None:
        self.heard: list[Packed] = []
        self.urgent = False
        self._counted: queue.SimpleQueue[str] = queue.SimpleQueue()

    def hear(self, item: Heard) -> None:
        """From the thread that reads."""
        self.urgent = self.urgent or (isinstance(item, GatewayData) and item.urgent)
        self.heard.append(pack(item) if isinstance(item, GatewayData) else item)

    def count(self, reason: str) -> None:
        """From any thread."""
        self._counted.put(reason)

    def armful(self, connected: bool) -> Armful:
        """All of it; nothing is left."""
        heard, self.heard, self.urgent = self.heard, [], False
        return Armful(heard, connected, Counter(self._counted.get() for _ in range(self._counted.qsize())))


def _read_some(lanes: Lanes, reader: Reader, out: _Out) -> None:
    """What comes within a moment of the first, up to what hurries; nothing when nothing has come."""
    if (message := lanes.next(STATUS_S)) is None:
        return
    reader.accept(message)
    if not out.urgent:
        time.sleep(GATHER_S)
    for _ in range(_ARMFUL):
        if out.urgent or (message := lanes.next(0)) is None:
            return
        reader.accept(message)


class _Server:
    """The other end of the pipe, as the process hears it."""

    def __init__(self, pipe: IO[bytes], transport: Transport, out: IO[bytes], patience_s: float) -> None:
        self._pipe, self._transport, self._out, self._patience_s = pipe, transport, out, patience_s
        self._heard_at = time.monotonic()

    def listen(self) -> None:
        """Publish what it says; when it says no more, leave."""
        while (frame := _read(self._pipe)) is not None:
            self._heard_at = time.monotonic()
            orders = _orders.decode(frame)
            for topic, payload in orders.messages:
                self._transport.send(topic, payload)
            for settled in orders.settled:
                self._transport.send(*settled.command())
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
    tune()
    frame = _read(source)
    if frame is None:
        return
    start, collected = _start.decode(frame), _Out()
    transport = Transport(start.connection, clock=wall_clock, refused=collected.count)
    reader = Reader(collected.hear, transport.send, collected.count, start.births)
    transport.start()
    server = _Server(source, transport, out, start.connection.patience_s)
    for body in (server.listen, server.guard):
        threading.Thread(target=body, daemon=True).start()
    lanes = Lanes(transport.incoming, reader.hurries)
    said: bool | None = None
    while True:
        _read_some(lanes, reader, collected)
        reader.beside(wall_clock())
        transport.tick(wall_clock())
        armful = collected.armful(transport.connected)
        if armful.heard or armful.counts or said is not armful.connected:
            said = armful.connected
            _write(out, armful)


if __name__ == "__main__":
    main()
