"""`make bench`: every benchmark of the table below, one after the other. A readable table on stderr, one JSON object as the last line of stdout.

python -m benchmarks [--quick] [--folder DIR] [NAME …]
Each figure stands beside a bare thing measured in the same run: read the ratio, not the figure. Exit 1 when a benchmark could not be run.
"""

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import bench_alarm, bench_decode, bench_edge, bench_history, bench_ingest, bench_live, bench_path
from benchmarks.figures import machine

TABLE = {
    "decode": bench_decode.run,
    "alarm": bench_alarm.run,
    "edge": bench_edge.run,
    "ingest": bench_ingest.run,
    "live": bench_live.run,
    "history": bench_history.run,
    "path": bench_path.run,
}


def measure(name: str, folder: Path, quick: bool) -> dict[str, Any]:
    """One benchmark in a folder of its own; a failure is part of the result."""
    began = time.monotonic()
    work = folder / name
    work.mkdir()
    try:
        result = dict(TABLE[name](work, quick))
    except Exception as error:  # the other figures are wanted all the same
        traceback.print_exc()
        result = {"rows": [], "error": f"{type(error).__name__}: {error}"}
    return result | {"seconds": round(time.monotonic() - began, 1)}


def show(name: str, result: dict[str, Any]) -> None:
    """The rows of one benchmark, and what it could not do."""
    say(f"\n{name}  ({result['seconds']} s)")
    for row in result["rows"]:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:>9.3g}×"
        bare = f"{row['baseline_value']:>12,} {row['baseline']}"
        say(f"  {row['figure']:<54}{row['value']:>12,} {row['unit']:<10}{ratio:>11}  {bare}")
    for key in ("error", "missing"):
        if result.get(key):
            say(f"  {key}: {result[key]}")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {', '.join(TABLE)}")
    parser.add_argument("--quick", action="store_true", help="at most 5 minutes instead of 30")
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder. What lies on a RAM disk says nothing about fsync.")
    options = parser.parse_args(argv)
    if unknown := set(options.names) - set(TABLE):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    where, began = machine(), time.monotonic()
    say(f"{where['cores']} cores, {where['cpu']}, Python {where['python']}, load {where['load_average'][0]}")
    results = {}
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="aw-bench-") as folder:
        for name in options.names or TABLE:
            results[name] = measure(name, Path(folder), options.quick)
            show(name, results[name])
    summary = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": options.quick,
        "seconds": round(time.monotonic() - began, 1),
        "machine": where,
        "benchmarks": results,
    }
    print(json.dumps(summary, ensure_ascii=False), flush=True)
    return 1 if any("error" in result for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
