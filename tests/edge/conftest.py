"""What several tests of the edge share: a Modbus line that answers while the test blocks."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from simulators.modbus_bus import Bus
from simulators.modbus_carriers import carrier


@contextmanager
def _carried(bus: Bus) -> Iterator[str]:
    loop, carried = asyncio.new_event_loop(), carrier("rtu_over_tcp", bus)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(carried.start(), loop).result(10)
    try:
        yield f"127.0.0.1:{carried.address}"
    finally:
        asyncio.run_coroutine_threadsafe(carried.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture
def on_line() -> Callable[[Bus], AbstractContextManager[str]]:
    """A bus behind a serial server that speaks RTU over TCP, in a thread of its own; gives host:port."""
    return _carried
