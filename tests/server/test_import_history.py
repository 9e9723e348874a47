"""`archivewatch import history`: what is taken, what is named and left, and that it may be repeated."""

import duckdb
import pytest

from server.org.import_history import HistoryFileError, import_history
from server.series import Row
from server.series.embedded import EmbeddedStore
from server.store.migrate import migrate
from server.store.session import Database
from server.store.tables import Point

DAY = 86_400_000
T0 = 1_790_000_000_000 // DAY * DAY - 8 * 3_600_000  # a midnight in Shanghai
NOW = T0 + 40 * DAY


@pytest.fixture
def db(tmp_path):
    made = Database(f"sqlite:///{tmp_path / 'aw.db'}")
    migrate(made)
    with made.write() as session:
        session.add_all(
            Point(id=number, gateway="GW-1", device=device, quantity=quantity, channel=channel, created_at=0)
            for number, (device, quantity, channel) in enumerate([("th", "temperature", ""), ("th", "humidity", ""), ("di", "door", "2")], 1)
        )
    yield made
    made.close()


@pytest.fixture
def store(tmp_path):
    made = EmbeddedStore(tmp_path / "series")
    yield made
    made.close()


def parquet(tmp_path, rows, columns="point_key VARCHAR, time BIGINT, value DOUBLE, quality VARCHAR"):
    path = tmp_path / "its' history.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE given ({columns})")
        connection.executemany(f"INSERT INTO given VALUES ({', '.join('?' * len(rows[0]))})", rows)
        connection.execute("COPY given TO ? (FORMAT parquet)", [str(path)])
    return path


def stored(store):
    return [tuple(row[:4]) for row in store.raw([1, 2, 3], 0, 1 << 60)]


def test_known_points_are_taken_and_others_named(db, store, tmp_path):
    path = parquet(
        tmp_path,
        [
            ("GW-1/th/temperature", T0, 24.6, "good"),
            ("GW-1/th/temperature", T0 + 5 * DAY, 24.7, "GOOD"),
            ("GW-1/th/humidity", T0 + 1000, None, "bad"),
            ("GW-1/di/door/2", T0, 1.0, "uncertain"),
            ("GW-1/di/door/2", T0 + 1, 0.0, "stale"),
            ("GW-9/th/temperature", T0, 1.0, "good"),
            ("GW-9/th/temperature", T0 + 1, 1.0, "good"),
            ("nonsense", T0, 1.0, "good"),
        ],
    )
    seen = []
    dry = import_history(db, store, path, now=NOW, dry_run=True)
    assert (dry.rows, dry.points, dry.new, dry.unknown) == (8, 3, 0, [("GW-9/th/temperature", 2), ("nonsense", 1)])
    assert store.count() == 0
    done = import_history(db, store, path, now=NOW, progress=lambda *of: seen.append(of))
    assert (done.rows, done.points, done.new, done.repeats, done.refused, done.unknown) == (8, 3, 5, 0, {}, dry.unknown)
    assert stored(store) == [
        (1, T0, 24.6, 2),
        (1, T0 + 5 * DAY, 24.7, 2),
        (2, T0 + 1000, None, 0),
        (3, T0, 1.0, 1),
        (3, T0 + 1, 0.0, 3),
    ]
    assert seen[-1] == (5, 8)
    assert store.stats().hot_rows == 0, "closed days are in their files"


def test_rows_without_sense_are_counted_and_left(db, store, tmp_path):
    key = "GW-1/th/temperature"
    path = parquet(
        tmp_path,
        [
            (key, None, 1.0, "good"),
            (key, -5, 1.0, "good"),
            (key, 10**15, 1.0, "good"),
            (key, T0, float("nan"), "good"),
            (key, T0, float("inf"), "bad"),
            (key, T0, None, "good"),
            (key, T0, 1.0, "excellent"),
            (key, T0, 5.0, None),
        ],
    )
    summary = import_history(db, store, path, now=NOW)
    assert (summary.new, summary.refused) == (1, {"time": 3, "value": 3, "quality": 1})
    assert stored(store) == [(1, T0, 5.0, 2)]


def test_again_and_beside_what_is_there(db, store, tmp_path):
    key = "GW-1/th/temperature"
    store.write([Row(1, T0 + 7, 99.0, 2, T0 + 7)])
    path = parquet(tmp_path, [(key, T0 + index, float(index), "good") for index in range(20)])
    first, second = (import_history(db, store, path, now=NOW) for _ in range(2))
    assert (first.new, first.repeats, first.conflicts) == (19, 1, 1)
    assert (second.new, second.repeats, second.conflicts) == (0, 20, 1)
    assert [row[2] for row in stored(store)] == [99.0 if index == 7 else float(index) for index in range(20)]


@pytest.mark.parametrize("kind", ["TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMPTZ"])
def test_timestamps_are_utc(db, store, tmp_path, kind):
    columns = f"point_key VARCHAR, time {kind}, value DOUBLE"
    path = parquet(
        tmp_path, [("GW-1/th/temperature", "2026-10-05 01:02:03.456+00" if kind == "TIMESTAMPTZ" else "2026-10-05 01:02:03.456", 20.5)], columns
    )
    assert import_history(db, store, path, now=NOW).new == 1
    assert stored(store) == [(1, 1_791_162_123_456, 20.5, 2)]


def test_coded_quality_and_time_of_arrival(db, store, tmp_path):
    columns = "point_key VARCHAR, time BIGINT, value FLOAT, quality SMALLINT, received_at BIGINT"
    key = "GW-1/th/temperature"
    rows = [(key, T0 + code, 0.5, code, T0 + code + 2000) for code in (0, 1, 2, 3, 192, 500, 7)]
    summary = import_history(db, store, parquet(tmp_path, rows, columns), now=NOW)
    assert (summary.new, summary.refused) == (6, {"quality": 1})
    assert [row.quality for row in store.raw([1], 0, 1 << 60)] == [0, 1, 2, 3, 2, 3]
    assert {row.received_at - row.taken_at for row in store.raw([1], 0, 1 << 60)} == {2000}


def test_a_file_that_is_none(db, store, tmp_path):
    (tmp_path / "text.parquet").write_text("point_key,time,value")
    with pytest.raises(HistoryFileError, match="not readable"):
        import_history(db, store, tmp_path / "text.parquet", now=NOW)
    with pytest.raises(HistoryFileError, match="not readable"):
        import_history(db, store, tmp_path / "absent.parquet", now=NOW)
    with pytest.raises(HistoryFileError, match="column point_key is missing"):
        import_history(db, store, parquet(tmp_path, [(1, 2.0)], "time BIGINT, value DOUBLE"), now=NOW)
    with pytest.raises(HistoryFileError, match="not readable"):
        import_history(db, store, parquet(tmp_path, [("k", 1, "warm")], "point_key VARCHAR, time BIGINT, value VARCHAR"), now=NOW)
