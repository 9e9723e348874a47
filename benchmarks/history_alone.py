"""What surrounds the series store: the loop that drains the journal into it, and `archivewatch import history`."""

import time
from pathlib import Path

import duckdb

from benchmarks.figures import spread, took_ms
from benchmarks.series_data import START
from server.history import History
from server.org.import_history import import_history
from server.series import Row
from server.series.embedded import EmbeddedStore
from server.series.partition import DAY_MS
from server.store import journal
from server.store.journal import JournalRow
from server.store.session import Database
from server.store.tables import Base, Point


def loop_figures(folder: Path, entries: int) -> dict[str, object]:
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

    filled = took_ms(fill) / 1000
    drained = took_ms(lambda: [None for _ in iter(lambda: history.run_once(START), 0)]) / 1000
    few = [Row(n, START + DAY_MS + n, 20.0, 2, START + DAY_MS) for n in range(100)]
    one = spread(
        [took_ms(lambda: store.write([row._replace(taken_at=row.taken_at + time.perf_counter_ns() % 10**9) for row in few])) for _ in range(15)]
    )
    store.close()
    db.close()
    return {"append_rows_per_s": round(500 * entries / filled), "drain_rows_per_s": round(500 * entries / drained), "write_100_rows_ms": one}


def import_figures(folder: Path, rooms: int) -> dict[str, object]:
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
    took = took_ms(lambda: import_history(db, store, file, now=START + 60 * DAY_MS)) / 1000
    rows = store.count()
    store.close()
    db.close()
    return {"rows": rows, "import_s": round(took, 2), "import_rows_per_s": round(rows / took)}
