"""What the benchmarks share: clocks, percentiles, one row of the table, the machine, and the bare things that figures are compared with."""

import os
import platform
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt

Row = dict[str, Any]
PATIENCE_S = 20


def row(figure: str, value: float, unit: str, baseline: str, beside: float, **more: Any) -> Row:
    """One line of the table: a figure, the bare thing it stands beside, and the figure as a multiple of it. `baseline_value` has the same unit."""
    ratio = round(value / beside, 4) if beside else None
    return {"figure": figure, "value": _short(value), "unit": unit, "baseline": baseline, "baseline_value": _short(beside), "ratio": ratio, **more}


def _short(value: float) -> float:
    return round(value) if abs(value) >= 1000 else round(value, 3)


def spread(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and max of a series, rounded; the percentiles are values that occurred."""
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 2)

    return {"p50": round(statistics.median(ordered), 2), "p95": at(0.95), "p99": at(0.99), "max": round(ordered[-1], 2), "n": len(ordered)}


def took_ms(work: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def per_second(work: Callable[[], int], at_least_s: float = 0.5) -> float:
    """How many things a second `work` does: it says how many it did at each call, and is called until the time is over."""
    work()
    done, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < at_least_s:
        done += work()
    return done / spent


def bare_loop(calls: int = 200_000) -> float:
    """Calls a second of a Python function that returns its argument: the speed of the interpreter here and now."""

    def nothing(value: object) -> object:
        return value

    def loop() -> int:
        for number in range(calls):
            nothing(number)
        return calls

    return per_second(loop, 0.3)


def bare_commits(folder: Path, bodies: Sequence[Sequence[bytes]]) -> list[float]:
    """ms of each SQLite commit (WAL, synchronous FULL) that inserts the given bodies, through the driver alone."""
    folder.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(folder / "bare.db", isolation_level=None)
    try:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "journal_size_limit=67108864"):
            db.execute(f"PRAGMA {pragma}")
        db.execute("CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")

        def commit(some: Sequence[bytes]) -> None:
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT INTO entry (body) VALUES (?)", [(body,) for body in some])
            db.execute("COMMIT")

        return [took_ms(lambda some=some: commit(some)) for some in bodies]
    finally:
        db.close()


def bare_round_trips(host: str, port: int, times: int) -> list[float]:
    """ms from publish to receipt of QoS 0 messages that one paho client sends to itself through the broker."""
    came, subscribed = threading.Event(), threading.Event()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"bench-{os.getpid()}")
    client.on_connect = lambda one, *_: one.subscribe("bench/echo", 0)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda *_: came.set()
    client.connect(host, port)
    client.loop_start()
    try:
        if not subscribed.wait(PATIENCE_S):
            raise TimeoutError("the broker did not take the subscription")
        taken = []
        for _ in range(times):
            came.clear()
            began = time.perf_counter()
            client.publish("bench/echo", b"x" * 100, 0)
            if not came.wait(PATIENCE_S):
                raise TimeoutError("a message did not come back")
            taken.append(1000 * (time.perf_counter() - began))
        return taken
    finally:
        client.disconnect()
        client.loop_stop()


def machine() -> dict[str, Any]:
    """Where and under what load the figures were measured."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8", "replace").splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "sqlite": sqlite3.sqlite_version,
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }
