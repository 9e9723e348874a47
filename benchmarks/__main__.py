"""`make bench`: every bench_<name>.py of this folder, one after the other. A readable table on stderr, one JSON object as the last line of stdout.

python -m benchmarks [--quick] [--folder DIR] [NAME …]
Each figure stands beside a bare thing measured in the same run: read the ratio, not the figure. Exit 1 when a benchmark could not be run.
"""

import argparse
import importlib
import inspect
import json
import pkgutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import benchmarks
from benchmarks.figures import machine

PREFIX = "bench_"


def names() -> list[str]:
    """The benchmarks there are, by the names of their files."""
    return sorted(found.name.removeprefix(PREFIX) for found in pkgutil.iter_modules(benchmarks.__path__) if found.name.startswith(PREFIX))


def call(name: str, folder: Path, quick: bool) -> dict[str, Any]:
    """Run one, with those of the two arguments that it wants."""
    run = importlib.import_module(f"benchmarks.{PREFIX}{name}").run
    given = {"folder": folder, "quick": quick}
    return dict(run(**{key: given[key] for key in inspect.signature(run).parameters}))


def measure(name: str, folder: Path, quick: bool) -> dict[str, Any]:
    """One benchmark in a folder of its own; a failure is part of the result."""
    began = time.monotonic()
    work = folder / name
    work.mkdir()
    try:
        result = call(name, work, quick)
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
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {', '.join(names())}")
    parser.add_argument("--quick", action="store_true", help="at most 5 minutes instead of 30")
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder. What lies on a RAM disk says nothing about fsync.")
    options = parser.parse_args(argv)
    if unknown := set(options.names) - set(names()):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    where, began = machine(), time.monotonic()
    say(f"{where['cores']} cores, {where['cpu']}, Python {where['python']}, load {where['load_average'][0]}")
    results = {}
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="aw-bench-") as folder:
        for name in options.names or names():
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
