"""The relay: a line that can be cut, frozen and mended."""

import asyncio

import pytest

from simulators.relay import Relay


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1000):
        writer.write(data)
    writer.close()


async def _exchange(port: int, text: bytes) -> bytes:
    """What comes back, b"" when the line is dead."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(text)
        return await reader.read(1000)
    except ConnectionError:
        return b""


async def _silent(port: int) -> bool:
    try:
        await asyncio.wait_for(_exchange(port, b"x"), 0.3)
    except TimeoutError:
        return True
    return False


def test_a_line_through_all_its_modes() -> None:
    async def story() -> None:
        echo = await asyncio.start_server(_echo, "127.0.0.1", 0)
        relay = Relay("uplink", echo.sockets[0].getsockname()[:2])
        await relay.start()
        assert await _exchange(relay.port, b"hello") == b"hello"
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(b"a")
        assert await reader.read(10) == b"a"
        relay.set_mode("freeze")
        assert await _silent(relay.port)
        writer.write(b"b")
        relay.set_mode("pass")
        assert await reader.read(10) == b"b", "a frozen line delivers afterwards"
        relay.set_mode("cut")
        with pytest.raises(ConnectionError):
            await reader.read(10)
        assert await _exchange(relay.port, b"x") == b""
        relay.set_mode("blackhole")
        assert await _silent(relay.port)
        relay.set_mode("pass")
        assert await _exchange(relay.port, b"again") == b"again"
        await relay.stop()
        echo.close()

    asyncio.run(story())


def test_nobody_behind_the_line(free_port: int) -> None:
    async def story() -> None:
        relay = Relay("uplink", ("127.0.0.1", free_port))
        await relay.start()
        assert await _exchange(relay.port, b"x") == b""
        with pytest.raises(ValueError, match="mode"):
            relay.set_mode("slow")
        await relay.stop()

    asyncio.run(story())
