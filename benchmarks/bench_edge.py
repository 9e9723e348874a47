"""The edge's spool: durable appends a second. Beside it: bare SQLite commits (WAL, synchronous FULL) of the same bytes."""

from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.figures import bare_commits, row, spread, took_ms
from contract.sample import PointKey, Sample
from edge.rows import Lane, encode
from edge.settings import SpoolSettings
from edge.spool import Spool

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


def run(folder: Path, quick: bool) -> dict[str, Any]:
    times = 300 if quick else 2000
    rows, details = [], {}
    for size in (1, 10, 500):
        ours, bare = appends(folder / f"spool{size}", size, times)
        rows.append(row(f"append of {size}, on the disk: p50", ours["p50"], "ms", "bare SQLite FULL commit", bare["p50"], spread=ours, bare=bare))
        details[str(size)] = {"appends_per_s": round(1000 / ours["p50"]), "samples_per_s": round(1000 * size / ours["p50"])}
    return {"rows": rows, "by_batch": details}
