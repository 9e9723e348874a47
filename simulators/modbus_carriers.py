"""How a simulated Modbus bus is reached: Modbus TCP, RTU over TCP, and RTU on a pseudo terminal (a serial port without hardware)."""

import asyncio
import contextlib
import errno
import logging
import os
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from simulators.modbus_bus import Bus
from simulators.modbus_wire import Framing, MbapFraming, RtuFraming

log = logging.getLogger("simulators.modbus")

KINDS = ("tcp", "rtu_over_tcp", "pty")


class Carrier(Protocol):
    """A running transport of one bus."""

    bus: Bus

    @property
    def address(self) -> int | str:
        """The TCP port, or the path of the terminal; known after `start`."""
        ...

    async def start(self) -> None:
        """Begin to answer."""

    async def stop(self) -> None:
        """Close everything."""


def _send_later(bus: Bus, framing: Framing, data: bytes, write: Callable[[bytes], None]) -> None:
    """Answer every request in `data`; late pieces go out later, while the next request is already served."""
    loop = asyncio.get_running_loop()
    for request in framing.feed(data, loop.time()):
        for delay, piece in bus.handle(framing, request):
            if delay <= 0:
                write(piece)
            else:
                loop.call_later(delay / 1000.0, write, piece)


class TcpCarrier:
    """Modbus TCP (`rtu` False) or RTU over TCP (True) on `host:port`; 0 picks a free port. `hello` is what a DTU says first on each connection."""

    def __init__(self, bus: Bus, *, rtu: bool, host: str = "127.0.0.1", port: int = 0, hello: bytes = b"") -> None:
        self.bus = bus
        self._host, self._port, self._rtu, self._hello = host, port, rtu, hello
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> int:
        """The port."""
        return self._port

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        self._server = await asyncio.start_server(self._accept, self._host, self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the listener and every connection."""
        if self._server is None:
            return
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("bus %s: a connection failed", self.bus.name, exc_info=error)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        framing: Framing = RtuFraming() if self._rtu else MbapFraming()
        self._writers.add(writer)

        def write(piece: bytes) -> None:
            if not writer.is_closing():
                writer.write(piece)

        try:
            if self._hello:
                write(self._hello)
            while data := await reader.read(4096):
                _send_later(self.bus, framing, data, write)
        except ConnectionError:
            pass  # the master is gone; there is nobody left to tell
        finally:
            self._writers.discard(writer)
            writer.close()


class PtyCarrier:
    """RTU on a pseudo terminal. `address` is the path that a master opens like a serial port; `link` a stable name for it (a symbolic link)."""

    def __init__(self, bus: Bus, *, link: Path | None = None) -> None:
        self.bus = bus
        self._link = link
        self._framing = RtuFraming()
        self._master = self._slave = -1
        self._path = ""

    @property
    def address(self) -> str:
        """The path of the slave side."""
        return self._path

    async def start(self) -> None:
        """Open the pair. Raises OSError when the machine has no terminals left or the link cannot be made."""
        self._master, self._slave = os.openpty()
        for end in (self._master, self._slave):
            tty.setraw(end)
        os.set_blocking(self._master, False)
        self._path = os.ttyname(self._slave)  # the slave stays open here, so that a master may come and go
        if self._link is not None:
            self._link.unlink(missing_ok=True)
            self._link.symlink_to(self._path)
        asyncio.get_running_loop().add_reader(self._master, self._readable)

    async def stop(self) -> None:
        """Close the pair and remove the link."""
        if self._master < 0:
            return
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)
        self._master = -1
        if self._link is not None:
            self._link.unlink(missing_ok=True)

    def _readable(self) -> None:
        try:
            data = os.read(self._master, 4096)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EIO):
                raise
            return
        _send_later(self.bus, self._framing, data, self._write)

    def _write(self, piece: bytes) -> None:
        if self._master >= 0:
            with contextlib.suppress(BlockingIOError):  # nobody reads: on a real line the bytes are gone as well
                os.write(self._master, piece)


def carrier(kind: str, bus: Bus, *, host: str = "127.0.0.1", port: int = 0, link: Path | None = None, hello: bytes = b"") -> Carrier:
    """A carrier by its name of KINDS. Raises ValueError."""
    if kind == "pty":
        return PtyCarrier(bus, link=link)
    if kind in KINDS:
        return TcpCarrier(bus, rtu=kind == "rtu_over_tcp", host=host, port=port, hello=hello)
    raise ValueError(f"unknown kind {kind!r} of a bus; known: {', '.join(KINDS)}")
