"""A whole gateway: what a thousand points a second cost, and how soon a changed register is published."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.edge_host import GATEWAY, GROUP, Agent, Host
from benchmarks.edge_registers import files, profile
from benchmarks.figures import PATIENCE_S, Row, row, spread
from contract.declarations import Data
from simulators.broker import Broker

_REGISTERS: Final = 100
_DEVICES: Final = 10
_POLL_S: Final = 0.5


@contextmanager
def slave(*arguments: str) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """A slave in a process of its own: its port, and a list that grows with the changes of its register 0 (value, UTC ns)."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.edge_slave", *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port, changes = int(process.stdout.readline()), list[tuple[int, int]]()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            value, at = line.split()
            changes.append((int(value), int(at)))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield port, changes
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        reader.join(PATIENCE_S)
        process.stdout.close()


def weigh(folder: Path, broker: Broker, seconds: float) -> list[Row]:
    """1,000 points, each read, stored with fsync, published and acknowledged every second: CPU of the process, and its memory."""
    came = 0

    def count(data: Data, _received: int) -> None:
        nonlocal came
        came += len(data.samples)

    with slave() as (port, _changes):
        devices = [{"name": f"m{unit}", "bus": f"line{unit % 2}", "unit": unit, "interval_s": 1} for unit in range(1, _DEVICES + 1)]
        config = files(folder, port, devices, buses=2, meter=profile("normal", 1, _REGISTERS), gateway=GATEWAY, group=GROUP,
                       broker={"host": broker.host, "port": broker.port})  # fmt: skip
        host = Host(broker, count)
        agent = Agent(config)
        try:
            host.born.wait(PATIENCE_S)
            time.sleep(5)
            began, spent, before = time.monotonic(), agent.cpu_s(), came
            time.sleep(seconds)
            lasted, cpu_s, samples, rss = time.monotonic() - began, agent.cpu_s() - spent, came - before, agent.rss_mb()
        finally:
            status = agent.stop()
            host.close()
    more = {"samples_per_s": round(samples / lasted), "dropped": status["dropped"]}
    return [
        row("1,000 points at 1 s: CPU of the gateway", 100 * cpu_s / lasted, "% core", "wanted: at most", 5, **more),
        row("1,000 points at 1 s: memory of the gateway", rss, "MB", "wanted: at most", 70),
    ]


def delay(folder: Path, broker: Broker, seconds: float) -> list[Row]:
    """How long a changed register takes until its sample is at a subscriber. Changes come at random instants: most of it is waiting for the poll."""
    seen: dict[int, int] = {}

    def note(data: Data, received: int) -> None:
        for sample in data.samples:
            if sample.point.channel == "t0" and sample.value is not None:
                seen.setdefault(round(sample.value * 10), received)

    with slave("--change-s", "0.8") as (port, changes):
        devices = [{"name": "m1", "bus": "line0", "unit": 1, "interval_s": _POLL_S}]
        config = files(folder, port, devices, buses=1, meter=profile("normal", _POLL_S, _REGISTERS), gateway=GATEWAY, group=GROUP,
                       broker={"host": broker.host, "port": broker.port})  # fmt: skip
        host = Host(broker, note)
        agent = Agent(config)
        try:
            host.born.wait(PATIENCE_S)
            time.sleep(3)
            first = len(changes)
            time.sleep(seconds)
            wanted = changes[first:-3]
        finally:
            agent.stop()
            host.close()
    took = [(seen[value] - at) / 1e6 for value, at in wanted if value in seen]
    behind = [each - 1000 * _POLL_S for each in took]
    found = spread(took)
    more: dict[str, Any] = {"changes": len(wanted), "seen": len(took), "spread": found, "beyond_the_poll": spread(behind)}
    return [row("register change to published sample: p99", found["p99"], "ms", f"poll of {_POLL_S:g} s and 50 ms", 1000 * _POLL_S + 50, **more)]
