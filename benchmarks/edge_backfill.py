"""Three days without an uplink, and what happens when it is back: everything must arrive, and what is new must not wait behind what is old."""

import time
from pathlib import Path
from typing import Final

from benchmarks.edge_gateway import slave
from benchmarks.edge_host import GATEWAY, GROUP, Agent, Host
from benchmarks.edge_registers import files, profile
from benchmarks.figures import Row, row
from contract.declarations import Data
from contract.sample import PointKey, Sample
from edge.rows import Lane
from edge.settings import SpoolSettings
from edge.spool import Spool
from simulators.broker import Broker

_HOURS: Final = 72
_DEVICES: Final = 10
_REGISTERS: Final = 100
_LIVE_S: Final = 10.0
_BATCH: Final = 500
_PATIENCE_S: Final = 1200


def fill(folder: Path, interval_s: int) -> int:
    """The spool of a gateway that collected for three days and reached nobody; returns its last sequence. Written without sync: that is not what is
    measured here.
    """
    start = time.time_ns() // 1_000_000 - _HOURS * 3_600_000
    points = [PointKey(GATEWAY, f"m{device}", "temperature", f"t{n}") for device in range(1, _DEVICES + 1) for n in range(_REGISTERS)]
    spool = Spool(folder, GATEWAY, SpoolSettings(synchronous="off"), start)
    for at in range(start, start + _HOURS * 3_600_000, interval_s * 1000):
        for first in range(0, len(points), _BATCH):
            samples = [Sample(point, at, 20 + (at // 60_000 + n) % 50 / 10) for n, point in enumerate(points[first : first + _BATCH])]
            spool.append(samples, Lane.NORMAL)
    last = spool.last
    spool.close()
    return last


def measure(folder: Path, broker: Broker, interval_s: int) -> list[Row]:
    """1,000 points, three days of them each `interval_s`; beside the back-fill they are sampled each ten seconds."""
    received, lost, lags = 0, 0, list[float]()

    def note(data: Data, came: int) -> None:
        nonlocal received, lost
        received += len(data.samples)
        if data.gap and data.outbox is not None:
            lost += data.outbox.last - data.outbox.first + 1
        if data.samples and not data.samples[0].historical:
            lags.append(came / 1e9 - min(sample.taken_at for sample in data.samples) / 1e3)

    with slave() as (port, _changes):
        devices = [{"name": f"m{n}", "bus": "line0", "unit": n, "interval_s": _LIVE_S} for n in range(1, _DEVICES + 1)]
        config = files(folder, port, devices, buses=1, meter=profile("normal", _LIVE_S, _REGISTERS), gateway=GATEWAY, group=GROUP,
                       broker={"host": broker.host, "port": broker.port})  # fmt: skip
        began = time.monotonic()
        last = fill(folder / "data", interval_s)
        filled = time.monotonic()
        megabytes = sum(file.stat().st_size for file in (folder / "data").rglob("*") if file.is_file()) / 1e6
        host, agent = Host(broker, note), Agent(config)
        try:
            while host.upto < last and time.monotonic() < filled + _PATIENCE_S:
                time.sleep(0.2)
            drained, recovered = time.monotonic(), host.upto
        finally:
            agent.stop()
            host.close()
    share = 100 * (min(recovered, last) - lost) / last
    more = {"interval_s": interval_s, "samples": last, "spool_mb": round(megabytes, 1), "filled_s": round(filled - began, 1)}
    return [
        row("uplink cut for 72 h, 1,000 points: recovered", share, "%", "wanted", 100, **more, samples_per_s=round(last / (drained - filled))),
        row("live lag during that back-fill: worst", max(lags), "s", "wanted: at most", 5, live_messages=len(lags)),
    ]
