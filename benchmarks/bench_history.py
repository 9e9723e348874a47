"""Figures of the embedded series store: write rate, size, query and compaction times, import. Prints one JSON object.

Beside the figures stands bare DuckDB: the same columns into a plain table, and the same hourly means out of it.
python benchmarks/bench_history.py [--quick] [--folder DIR]
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np

from server.history import History
from server.org.import_history import import_history
from server.series import Row
from server.series.batch import Batch
from server.series.embedded import EmbeddedStore
from server.series.partition import DAY_MS, day_of, day_start
from server.store import journal
from server.store.journal import JournalRow
from server.store.session import Database
from server.store.tables import Base, Point

START = day_start(day_of(1_790_000_000_000))
MINUTE = 60_000


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_ms(work: Callable[[], object], times: int = 15) -> dict[str, float]:
    taken = sorted(1000 * seconds(work) for _ in range(times))
    return {"median": round(statistics.median(taken), 1), "max": round(taken[-1], 1)}


def samples(points: int, instants: int, step_ms: int, seed: int = 1) -> Batch:
    """Slow random walks at a resolution of 0.1, instant after instant, arriving 300 to 900 ms late."""
    chance = np.random.default_rng(seed)
    taken = START + np.repeat(np.arange(instants, dtype=np.int64) * step_ms, points)
    value = np.round(20 + np.cumsum(chance.normal(0, 0.05, (instants, points)), axis=0), 1).ravel()
    late = np.repeat(chance.integers(300, 900, instants), points)
    point = np.tile(np.arange(1, points + 1, dtype=np.int64), instants)
    return Batch(point, taken, value, np.full(len(point), 2, np.uint8), taken + late, np.zeros(len(point), np.int32))


def write_in_pieces(store: EmbeddedStore, batch: Batch, size: int) -> float:
    return seconds(lambda: [store.write(batch.take(np.arange(start, min(start + size, len(batch))))) for start in range(0, len(batch), size)])


def month(folder: Path, rooms: int) -> dict[str, object]:
    """Rooms of four points at 10 minutes for 30 days: rate, size, one room over the whole period before and after the month is merged."""
    store = EmbeddedStore(folder)
    batch = samples(rooms * 4, 30 * 144, 10 * MINUTE)
    wrote = write_in_pieces(store, batch, 20_000)
    again = write_in_pieces(store, batch, 20_000)
    room, end = [17, 18, 19, 20], START + 30 * DAY_MS
    hot = in_ms(lambda: store.buckets(room, START, end, 3_600_000))
    compacted = seconds(lambda: store.compact(START + 36 * DAY_MS))
    days = in_ms(lambda: store.buckets(room, START, end, 3_600_000))
    fine = in_ms(lambda: store.buckets(room, START, end, 10 * MINUTE))
    size = store.stats().bytes / len(batch)
    merged = seconds(lambda: store.compact(START + 90 * DAY_MS))
    result = {
        "rows": len(batch),
        "write_rows_per_s": round(len(batch) / wrote),
        "rewrite_of_known_rows_per_s": round(len(batch) / again),
        "compact_days_s": round(compacted, 2),
        "compact_rows_per_s": round(len(batch) / compacted),
        "merge_month_s": round(merged, 2),
        "bytes_per_row_days": round(size, 3),
        "bytes_per_row_month": round(store.stats().bytes / len(batch), 3),
        "room_30d_hourly_hot_ms": hot,
        "room_30d_hourly_days_ms": days,
        "room_30d_10min_days_ms": fine,
        "room_30d_hourly_month_ms": in_ms(lambda: store.buckets(room, START, end, 3_600_000)),
        "compliance_30d_ms": in_ms(lambda: store.compliance(17, START, end, 14, 24)),
        "last_of_all_ms": in_ms(lambda: store.last(list(range(1, rooms * 4 + 1))), 5),
    }
    store.close()
    return result


def day(folder: Path, points: int) -> dict[str, object]:
    """24 h at 10 s, half of it in the hot table; one room in minutes and raw."""
    store = EmbeddedStore(folder)
    batch = samples(points, 8640, 10_000)
    wrote = write_in_pieces(store, batch, 20_000)
    room, end = [17, 18, 19, 20], START + DAY_MS
    hot = in_ms(lambda: store.buckets(room, START, end, MINUTE, 30_000))
    compacted = seconds(lambda: store.compact(end + DAY_MS))
    result = {
        "rows": len(batch),
        "write_rows_per_s": round(len(batch) / wrote),
        "compact_rows_per_s": round(len(batch) / compacted),
        "bytes_per_row": round(store.stats().bytes / len(batch), 3),
        "room_24h_10s_minutes_hot_ms": hot,
        "room_24h_10s_minutes_file_ms": in_ms(lambda: store.buckets(room, START, end, MINUTE, 30_000)),
        "room_24h_10s_raw_ms": in_ms(lambda: store.raw(room, START, end), 5),
    }
    store.close()
    return result


def loop(folder: Path, entries: int) -> dict[str, object]:
    """The history loop: journal entries of 500 samples into the store."""
    db = Database(f"sqlite:///{folder}.db")
    Base.metadata.create_all(db.engine)
    store = EmbeddedStore(folder)
    history = History(db, store)
    rows = [[JournalRow(n, START + k * 1000, 20.0 + n % 90 / 10, 2, False, START + k * 1000 + 500) for n in range(500)] for k in range(entries)]

    def fill() -> None:
        with db.write() as session:
            for some in rows:
                journal.append(session, some, START)

    filled = seconds(fill)
    drained = seconds(lambda: [None for _ in iter(lambda: history.run_once(START), 0)])
    few = [Row(n, START + DAY_MS + n, 20.0, 2, START + DAY_MS) for n in range(100)]
    one = in_ms(lambda: store.write([row._replace(taken_at=row.taken_at + time.perf_counter_ns() % 10**9) for row in few]))
    store.close()
    db.close()
    return {"append_rows_per_s": round(500 * entries / filled), "drain_rows_per_s": round(500 * entries / drained), "write_100_rows_ms": one}


def load(folder: Path, rooms: int) -> dict[str, object]:
    """`archivewatch import history`: rooms × 30 days × 144 a day × 4 points."""
    db = Database(f"sqlite:///{folder}.db")
    Base.metadata.create_all(db.engine)
    names = ("temperature", "humidity", "co2", "door")
    with db.write() as session:
        session.add_all(Point(gateway=f"G{room}", device="d1", quantity=name, created_at=0) for room in range(rooms) for name in names)
    pairs = ", ".join(f"('{name}')" for name in names)
    file = folder.with_suffix(".parquet")
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT 'G' || r || '/d1/' || q AS point_key, {START} + k * 600000 AS time, "
            f"round(20 + sin(k / 50 + r) * 3 + random(), 1) AS value, 'good' AS quality "
            f"FROM range({rooms}) a(r), (VALUES {pairs}) b(q), range(4320) c(k)) "
            f"TO '{file}' (FORMAT parquet)"
        )
    store = EmbeddedStore(folder)
    took = seconds(lambda: import_history(db, store, file, now=START + 60 * DAY_MS))
    rows = store.count()
    store.close()
    db.close()
    return {"rows": rows, "import_s": round(took, 2), "import_rows_per_s": round(rows / took)}


def bare(folder: Path, rooms: int) -> tuple[float, float]:
    """Bare DuckDB with the batch of `month`: rows a second into a plain table in pieces of 20,000, ms of one room's 30 days in hours."""
    batch = samples(rooms * 4, 30 * 144, 10 * MINUTE)
    with duckdb.connect(str(folder.with_suffix(".duckdb"))) as connection:
        connection.execute("CREATE TABLE plain (point BIGINT, taken BIGINT, value DOUBLE)")

        def write(start: int) -> None:
            part = slice(start, start + 20_000)
            piece = {"point": batch.point[part], "taken": batch.taken_at[part], "value": batch.value[part]}  # noqa: F841 - DuckDB finds it by name
            connection.execute("INSERT INTO plain SELECT * FROM piece")

        wrote = seconds(lambda: [write(start) for start in range(0, len(batch), 20_000)])
        query = "SELECT point, taken // 3600000, min(value), avg(value), max(value), count(*) FROM plain WHERE point BETWEEN 17 AND 20 GROUP BY ALL"
        return len(batch) / wrote, in_ms(lambda: connection.execute(query).fetchall())["median"]


def beside(figure: str, value: float, unit: str, bare_value: float) -> dict[str, object]:
    """A line of the table of `make bench`."""
    shown = [round(number) if number >= 1000 else round(number, 3) for number in (value, bare_value)]
    names = ("figure", "value", "unit", "baseline", "baseline_value", "ratio")
    return dict(zip(names, (figure, shown[0], unit, "bare DuckDB", shown[1], round(value / bare_value, 4)), strict=True))


def run(folder: Path, quick: bool) -> dict[str, object]:
    """All figures; `quick` takes about 15 s."""
    rooms = 10 if quick else 40
    wrote, read = bare(folder / "bare", rooms)
    months = month(folder / "month", rooms)
    return {
        "bench": "history",
        "rows": [
            beside("rows written, new", float(months["write_rows_per_s"]), "/s", wrote),  # type: ignore[arg-type]
            beside("rows compacted to days", float(months["compact_rows_per_s"]), "/s", wrote),  # type: ignore[arg-type]
            beside("one room, 30 days in hours, hot: median", months["room_30d_hourly_hot_ms"]["median"], "ms", read),  # type: ignore[index]
            beside("one room, 30 days in hours, day files: median", months["room_30d_hourly_days_ms"]["median"], "ms", read),  # type: ignore[index]
            beside("one room, 30 days in hours, month file: median", months["room_30d_hourly_month_ms"]["median"], "ms", read),  # type: ignore[index]
        ],
        "month_10min": months,
        "day_10s": day(folder / "day", 40 if quick else 200),
        "loop": loop(folder / "loop", 100 if quick else 400),
        "import": load(folder / "import", 10 if quick else 40),
        "machine": {"cpus": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version(), "duckdb": duckdb.__version__},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        print(json.dumps(run(Path(folder), options.quick), indent=1))


if __name__ == "__main__":
    main()
