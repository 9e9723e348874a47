"""A 9600-baud line with 64 points and two dead devices, in simulated byte times.

The clock of the event loop is simulated: when nothing can be read and nobody can go on, it jumps to the next timer. So an hour of line takes
minutes, and the load of this machine changes nothing. The line is RTU over TCP on loopback; each answer comes after the time that request,
turnaround and answer would take on the wire.
"""

import asyncio
import json
import random
import selectors
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerType

from benchmarks.edge_registers import ROOM, plan
from benchmarks.figures import Row, row
from contract.frames import build_reply, parse_request
from edge.drivers import create
from edge.intake import Intake, Report
from edge.load import bus_load
from edge.plan import Plan
from edge.polling import BusLoop
from edge.taken import Stamper

_DEVICES: Final = 32
_DEAD: Final = 2
_INTERVAL_S: Final = 5.0
_CHARACTER_S: Final = 10 / 9600
_TURNAROUND_S: Final = 0.03
_GAP_S: Final = 0.02
_TIMEOUT_S: Final = 0.5
_T0: Final = 1_790_000_000_000
_Result = TypeVar("_Result")


class _Jumping(selectors.DefaultSelector):
    """Waits by turning the clock forward, once nothing comes from the sockets."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found and timeout:
            found = super().select(0.001)  # what is on its way through the kernel
            if not found:
                self.now += timeout
        return found


def simulated(work: Callable[[], Coroutine[Any, Any, _Result]]) -> _Result:
    """Run a coroutine on a loop whose time is simulated."""
    selector = _Jumping()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(work())


class _Line(asyncio.Protocol):
    """The slaves."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        asked = parse_request(data)
        if asked.unit > _DEVICES:
            return
        reply = build_reply(asked, [500 + asked.unit, 200 + asked.unit])
        wait = (len(data) + len(reply)) * _CHARACTER_S + _TURNAROUND_S
        asyncio.get_running_loop().call_later(wait, self._transport.write, reply)  # type: ignore[attr-defined]


def _gateway(folder: Path, port: int) -> Plan:
    folder.mkdir()
    devices = [{"name": f"th{n}", "profile": "renke-rs-ws-n01", "bus": "line", "unit": n, "room": ROOM, "interval_s": _INTERVAL_S}
               for n in range(1, _DEVICES + _DEAD + 1)]  # fmt: skip
    line = {"name": "line", "kind": "rtu_over_tcp", "host": "127.0.0.1", "port": port, "baud": 9600}
    settings = {"gateway": "GW-350102-01", "group": "350100", "broker": {"host": "-"}, "data_dir": "data", "devices_file": "devices.yaml",
                "buses": [line]}  # fmt: skip
    (folder / "edge.yaml").write_text(json.dumps(settings), "utf-8")
    (folder / "devices.yaml").write_text(json.dumps({"devices": devices}), "utf-8")
    return plan(folder / "edge.yaml")


async def _listen() -> tuple[asyncio.Server, int]:
    server = await asyncio.get_running_loop().create_server(_Line, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def _ours(folder: Path, seconds: float) -> tuple[list[int], float]:
    server, port = await _listen()
    found = _gateway(folder, port)
    some = found.buses["line"]
    counts = dict.fromkeys((device.name for device in some), 0)

    def sink(reports: Sequence[Report]) -> None:
        for report in reports:
            if report.sample.point.quantity == "temperature" and report.sample.value is not None:
                counts[report.sample.point.device] += 1

    loop = asyncio.get_running_loop()
    driver = create(found.bus("line"), some)
    polling = BusLoop("line", driver, some, Intake(some, Stamper(folder / "clock"), _T0), sink, noise=random.Random(1))

    def clock() -> tuple[int, float]:
        return _T0 + int(loop.time() * 1000), loop.time() * 1000

    await driver.open()
    while loop.time() < seconds:
        due = await polling.run_once(clock)
        await polling.pause(max(0.0, due - clock()[1]) / 1000)
    await driver.close()
    server.close()
    return [counts[device.name] for device in some if device.unit <= _DEVICES], bus_load(found.bus("line"), some)  # type: ignore[arg-type]


async def _bare(seconds: float) -> list[int]:
    """The library in a loop over all devices, as its examples do it, with its own three retries."""
    server, port = await _listen()
    loop, counts = asyncio.get_running_loop(), [0] * (_DEVICES + _DEAD)
    client, rounds = AsyncModbusTcpClient("127.0.0.1", port=port, framer=FramerType.RTU, timeout=_TIMEOUT_S), 0
    await client.connect()
    while loop.time() < seconds:
        await asyncio.sleep(max(0.0, rounds * _INTERVAL_S - loop.time()))
        rounds = int(loop.time() // _INTERVAL_S) + 1
        for at in range(len(counts)):
            await asyncio.sleep(2 * _GAP_S)
            try:
                await client.read_holding_registers(0, count=2, device_id=at + 1)
                counts[at] += 1
            except ModbusException:
                if not client.connected:
                    await client.connect()
    client.close()
    server.close()
    return counts[:_DEVICES]


def measure(folder: Path, seconds: float) -> list[Row]:
    """Share of its schedule that the worst healthy device keeps."""
    wanted = seconds / _INTERVAL_S
    counts, load = simulated(lambda: _ours(folder, seconds))
    bare = simulated(lambda: _bare(seconds))
    return [
        row("64 points at 9600 baud, two dead devices: worst healthy", 100 * min(counts) / wanted, "% of schedule", "pymodbus alone",
            100 * min(bare) / wanted, mean=round(100 * sum(counts) / len(counts) / wanted, 2), bus_load=round(load, 3), simulated_s=seconds)
    ]  # fmt: skip
