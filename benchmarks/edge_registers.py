"""Reading registers, measured in a process of its own: python -m benchmarks.edge_registers bare|ours PORT SECONDS.

Ten connections, a hundred reads of a hundred registers a second on each: 100,000 registers a second. `bare` is pymodbus with nothing around
it. `ours` is what the agent runs for a bus (edge/polling.py, driver, decoding into readings, judgement): each device has four blocks of 25
registers, which are merged into one read, and 100 points. They are fast points: read each second, sent on a change beyond the dead-band and
else each minute; what would be sent is counted here and goes no further. Measured after the first readings are through.
Prints one JSON object: requests, CPU seconds, wall seconds.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pymodbus.client import AsyncModbusTcpClient

from edge.clock import both
from edge.configfile import load, load_devices
from edge.drivers import create
from edge.intake import Intake, Report
from edge.plan import Plan, build
from edge.polling import BusLoop
from edge.taken import Stamper

CONNECTIONS: Final = 10
DEVICES: Final = 100
"""On each connection; each is read once a second."""
REGISTERS: Final = 100
ROOM: Final = "350102000001-01"
_BLOCKS: Final = 4


def profile(priority: str, poll_s: float, registers: int = REGISTERS) -> str:
    """A device of temperatures in tenths, one a register."""
    each = registers // _BLOCKS
    blocks = [{"id": f"b{n}", "fc": 3, "address": n * each, "count": each, "poll_s": poll_s, "priority": priority} for n in range(_BLOCKS)]
    points = [
        {"id": f"t{n}", "class": "measure", "quantity": "temperature", "channel": f"t{n}", "unit": "°C", "block": f"b{n // each}", "at": n % each,
         "type": "i16", "scale": "1/10", "range": [-40, 6000], "deadband": 0.2}
        for n in range(registers)
    ]  # fmt: skip
    whole = {
        "schema": 1, "id": "bench-meter", "vendor": "bench", "model": "meter", "category": "climate", "evidence": "assumed",
        "title": {"zh": "基准", "en": "Benchmark"}, "sources": ["benchmark"], "blocks": blocks, "points": points,
        "connection": {"kind": "modbus", "carriers": ["tcp"], "timing": {"min_poll_s": 0.05}},
    }  # fmt: skip
    return json.dumps(whole, ensure_ascii=False)


def files(folder: Path, port: int, devices: Sequence[dict[str, Any]], *, buses: int, meter: str, **more: Any) -> Path:
    """The files of a gateway with buses line0, line1, … at one port; returns edge.yaml."""
    (folder / "profiles").mkdir(parents=True)
    (folder / "profiles" / "bench-meter.yaml").write_text(meter, "utf-8")
    lines = [{"name": f"line{n}", "kind": "tcp", "host": "127.0.0.1", "port": port} for n in range(buses)]
    settings = {"gateway": "GW-350102-01", "group": "350100", "broker": {"host": "127.0.0.1"}, "data_dir": "data", "devices_file": "devices.yaml",
                "profiles_dir": "profiles", "buses": lines, **more}  # fmt: skip
    (folder / "edge.yaml").write_text(json.dumps(settings), "utf-8")
    (folder / "devices.yaml").write_text(json.dumps({"devices": [{"profile": "bench-meter", "room": ROOM, **device} for device in devices]}), "utf-8")
    return folder / "edge.yaml"


def plan(config: Path) -> Plan:
    settings = load(config)
    return build(settings, *load_devices(settings.devices_file))


def prepared(port: int, folder: Path) -> Plan:
    """A thousand devices on ten lines."""
    places = [(line, unit) for line in range(CONNECTIONS) for unit in range(1, DEVICES + 1)]
    devices = [{"name": f"m{line}-{unit}", "bus": f"line{line}", "unit": unit, "interval_s": 60} for line, unit in places]
    return plan(files(folder, port, devices, buses=CONNECTIONS, meter=profile("fast", 1)))


class Watch:
    """CPU and wall time of `seconds`, from the moment on at which `warm` requests are through."""

    def __init__(self, seconds: float, warm: int) -> None:
        self._seconds, self._warm, self._at = seconds, warm, (0.0, 0.0, 0)

    def goes_on(self, requests: int) -> bool:
        """Asked now and then; False when the time is over."""
        began = self._at[0]
        if not began and requests >= self._warm:
            began = time.monotonic()
            self._at = began, time.process_time(), requests
        return not began or time.monotonic() < began + self._seconds

    def result(self, requests: int) -> dict[str, float]:
        began, spent, before = self._at
        return {"requests": requests - before, "seconds": time.monotonic() - began, "cpu_s": time.process_time() - spent}


async def bare(port: int, seconds: float) -> dict[str, float]:
    """Ask with the library alone, at the same pace."""
    watch, total = Watch(seconds, 500), 0

    async def line(number: int) -> None:
        nonlocal total
        client = AsyncModbusTcpClient("127.0.0.1", port=port)
        await client.connect()
        due = time.monotonic() + number / 1000
        while watch.goes_on(total):
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            reply = await client.read_holding_registers(0, count=REGISTERS, device_id=1 + total % DEVICES)
            assert len(reply.registers) == REGISTERS
            due, total = due + 1 / DEVICES, total + 1
        client.close()

    await asyncio.gather(*(line(number) for number in range(CONNECTIONS)))
    return watch.result(total)


async def ours(found: Plan, seconds: float, folder: Path) -> dict[str, float]:
    """The agent's own loops over the agent's own driver."""
    intake, reports = Intake(found.devices, Stamper(folder / "clock"), 0), 0

    def sink(some: Sequence[Report]) -> None:
        nonlocal reports
        reports += len(some)

    loops = []
    for name, some in found.buses.items():
        driver = create(found.bus(name), some)
        await driver.open()
        loops.append(BusLoop(name, driver, some, intake, sink))
    watch = Watch(seconds, 2 * CONNECTIONS * DEVICES)  # by then every device was read, and told its first values

    async def run(loop: BusLoop) -> None:
        while watch.goes_on(sum(each.counters.reads for each in loops)):
            due = await loop.run_once(both)
            await loop.pause(max(0.0, due - both()[1]) / 1000)

    await asyncio.gather(*map(run, loops))
    failures = sum(loop.counters.failures for loop in loops)
    assert not failures, f"{failures} reads failed"
    return watch.result(sum(loop.counters.reads for loop in loops)) | {"reports": reports}


def main() -> None:
    way, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    with tempfile.TemporaryDirectory() as folder:
        work = ours(prepared(port, Path(folder, "gateway")), seconds, Path(folder)) if way == "ours" else bare(port, seconds)
        print(json.dumps(asyncio.run(work)))


if __name__ == "__main__":
    main()
