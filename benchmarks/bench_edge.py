"""The edge: what reading registers costs beside the bare library, how a slow line with dead devices keeps its schedule, what a whole gateway weighs,
how soon a change is published, what comes of three days without an uplink, and how fast the spool takes batches beside bare SQLite commits.
"""

import json
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks import edge_backfill, edge_gateway, edge_line
from benchmarks.edge_registers import CONNECTIONS, DEVICES
from benchmarks.figures import Row, bare_commits, row, spread, took_ms
from contract.sample import PointKey, Sample
from edge.rows import Lane, encode
from edge.settings import SpoolSettings
from edge.spool import Spool
from simulators.broker import Broker

T0 = 1_790_000_000_000
GATEWAY = "GW-350102-01"


def appends(folder: Path, size: int, times: int) -> tuple[dict[str, float], dict[str, float]]:
    """ms of each append of `size` samples, and of bare commits that alternate with them."""
    numbers = count()
    points = [PointKey(GATEWAY, f"d{n}", "humidity") for n in range(size)]
    folder.mkdir()
    spool = Spool(folder, GATEWAY, SpoolSettings(), T0)
    ours, bare = [], []
    try:
        for _ in range(10):
            for _ in range(times // 10):
                at = T0 + next(numbers) * 1000
                samples = [Sample(point, at, 50 + at // 1000 % 79 / 10) for point in points]
                ours.append(took_ms(lambda samples=samples: spool.append(samples, Lane.NORMAL)))
            bare += bare_commits(folder / "bare", [[encode(samples)]] * (times // 10))
    finally:
        spool.close()
    return spread(ours), spread(bare)


def registers(seconds: float) -> Row:
    """CPU of reading 100,000 registers a second, ours and the bare library's turn by turn at one and the same slave, each in a process of its own."""
    spent: dict[str, list[float]] = {"ours": [], "bare": []}
    kept = []
    with edge_gateway.slave() as (port, _changes):
        for way in ("bare", "ours", "bare"):
            command = [sys.executable, "-m", "benchmarks.edge_registers", way, str(port), str(seconds)]
            found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            spent[way].append(100 * found["cpu_s"] / found["requests"] * CONNECTIONS * DEVICES)
            kept.append(round(found["requests"] / found["seconds"]))
    ours, bare = spent["ours"][0], sum(spent["bare"]) / len(spent["bare"])
    return row("100,000 registers/s in blocks of 100: CPU", ours, "% core", "pymodbus alone", bare, wanted_at_most=60, requests_per_s=kept)


def spool(folder: Path, times: int) -> tuple[list[Row], dict[str, Any]]:
    """Durable appends, and bare commits of the same bytes."""
    rows, details = [], {}
    for size in (1, 10, 500):
        ours, bare = appends(folder / f"spool{size}", size, times)
        rows.append(row(f"append of {size}, on the disk: p50", ours["p50"], "ms", "bare SQLite FULL commit", bare["p50"], spread=ours, bare=bare))
        details[str(size)] = {"appends_per_s": round(1000 / ours["p50"]), "samples_per_s": round(1000 * size / ours["p50"])}
    return rows, details


def run(folder: Path, quick: bool) -> dict[str, Any]:
    rows = [registers(5 if quick else 30), *edge_line.measure(folder / "line", 200 if quick else 3600)]
    with Broker(folder / "broker") as broker:
        rows += edge_gateway.weigh(folder / "weigh", broker, 8 if quick else 60)
        rows += edge_gateway.delay(folder / "delay", broker, 12 if quick else 120)
        rows += edge_backfill.measure(folder / "backfill", broker, 3600 if quick else 60)
    more, details = spool(folder, 200 if quick else 2000)
    return {"rows": rows + more, "by_batch": details}
