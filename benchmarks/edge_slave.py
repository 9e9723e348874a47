"""A Modbus TCP slave for the figures of the edge: fast enough to be no part of what is measured. Every unit answers every register read.

python -m benchmarks.edge_slave: prints its port. The registers of a reply change with each request by a unit or two, like a probe that is
read faster than its room changes. With --change-s N register 0 is a counter (250 and up) that steps at random instants, about each N seconds; each
step is printed as "<value> <UTC ns>".
"""

import argparse
import asyncio
import random
import time
from itertools import count
from typing import Final

_PAGES: Final = 64
_HIGHEST: Final = 125


class Counter:
    """What register 0 shows while changes are timed."""

    value = 0


def pages(registers: int) -> list[bytes]:
    noise = random.Random(registers)
    return [b"".join(noise.randrange(200, 203).to_bytes(2, "big") for _ in range(registers)) for _ in range(_PAGES)]


class Slave(asyncio.Protocol):
    """One connection."""

    made: Final[dict[int, list[bytes]]] = {}
    number = count()

    def __init__(self, counter: Counter) -> None:
        self._counter, self._rest = counter, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while len(self._rest) >= 12:
            asked, self._rest = self._rest[:12], self._rest[12:]
            self._transport.write(self._answer(asked))  # type: ignore[attr-defined]

    def _answer(self, asked: bytes) -> bytes:
        registers = min(int.from_bytes(asked[10:12], "big"), _HIGHEST)
        if registers not in self.made:
            self.made[registers] = pages(registers)
        body = self.made[registers][next(self.number) % _PAGES]
        if self._counter.value and asked[8:10] == b"\0\0":
            body = self._counter.value.to_bytes(2, "big") + body[2:]
        return asked[:4] + (3 + len(body)).to_bytes(2, "big") + asked[6:8] + bytes((len(body),)) + body


async def change(counter: Counter, every_s: float) -> None:
    """Step the counter at instants that no poll can keep step with."""
    noise = random.Random(1)
    for value in count(250):
        await asyncio.sleep(noise.uniform(0.6, 1.4) * every_s)
        counter.value = value
        print(value, time.time_ns(), flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--change-s", type=float, default=0)
    every_s = parser.parse_args().change_s
    counter = Counter()
    server = await asyncio.get_running_loop().create_server(lambda: Slave(counter), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    if every_s:
        counter.value = 249
        await change(counter, every_s)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
