"""A TCP relay in front of a broker or gateway that can be cut: the network cable of the simulation.

Modes: pass; cut (connections are reset and new ones refused); freeze (nothing is read any more, the sockets stay open: a half-open line);
blackhole (bytes are taken and thrown away).
"""

import asyncio
import contextlib
import logging
import socket
import struct

MODES = ("pass", "cut", "freeze", "blackhole")
log = logging.getLogger("simulators.relay")


class Relay:
    """Listens on `host:port` (0 = free) and forwards to `target`."""

    def __init__(self, name: str, target: tuple[str, int], *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.name = name
        self.target = target
        self.mode = "pass"
        self.host, self.port = host, port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to listen; `port` is the real one afterwards."""
        self._server = await asyncio.start_server(self._accept, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def set_mode(self, mode: str) -> None:
        """Switch at once. Raises ValueError for an unknown mode."""
        if mode not in MODES:
            raise ValueError(f"unknown mode {mode!r} of a relay; known: {', '.join(MODES)}")
        self.mode = mode
        if mode == "freeze":
            self._flowing.clear()
        else:
            self._flowing.set()
        if mode == "cut":
            self._reset_all()
        log.info("relay %s: %s", self.name, mode)

    async def stop(self) -> None:
        """Close every connection and stop listening."""
        self._flowing.set()
        self._reset_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == "cut":
            _reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target)
        except OSError as error:
            log.info("relay %s: %s does not answer: %s", self.name, self.target, error)
            _reset(writer)
            return
        self._links |= {writer, far_writer}
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            self._links -= {writer, far_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):  # a reset is the relay's business, not a failure of it
            while True:
                await self._flowing.wait()
                data = await reader.read(65536)
                if not data:
                    break
                await self._flowing.wait()
                if self.mode != "blackhole":
                    writer.write(data)
                    await writer.drain()
        writer.close()

    def _reset_all(self) -> None:
        for writer in list(self._links):
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN, as a broken line does."""
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
