"""`archivewatch import history`: what is taken, what is named and left, and that it may be repeated."""

import duckdb
import pytest

from server.live.board import Board, PointFact
from server.org.import_history import HistoryFileError, import_history
from server.org.judging import limits_of
from server.series import Earlier, Row
from server.series.embedded import EmbeddedStore
from server.store import steps
from server.store.tables import Point
from server.store.tables_series import PointStep

DAY = 86_400_000
T0 = 1_790_000_000_000 // DAY * DAY - 8 * 3_600_000  # a midnight in Shanghai
NOW = T0 + 40 * DAY


@pytest.fixture
def db(db):
    with db.write() as session:
        session.add_all(
            Point(id=number, gateway="GW-1", device=device, quantity=quantity, channel=channel, created_at=0)
            for number, (device, quantity, channel) in enumerate([("th", "temperature", ""), ("th", "humidity", ""), ("di", "door", "2")], 1)
        )
    return db


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


MINUTE, HOUR = 60_000, 3_600_000


def allowed(interval_ms):
    return max(3 * (interval_ms or 300_000), 180_000)


def limits_now(db, interval_ms=10_000):
    """As the server judges: the point reports every ten seconds today."""
    board = Board()
    board.apply([PointFact(point_id=1, room=None, gateway="GW-1", device="th", quantity="temperature", deadline_ms=allowed(interval_ms))])
    with db.read() as session:
        return limits_of(session, board, [1], allowed)


def watched(db, store, start, end, interval_ms=10_000):
    return int(store.figures(limits_now(db, interval_ms), start, end).watched_ms.sum()) / (end - start)


def imported(db, store, tmp_path, times, **options):
    path = parquet(tmp_path, [("GW-1/th/temperature", taken, 20.0, "good") for taken in times])
    return import_history(db, store, path, now=NOW, **options)


def test_coarse_history_holds_as_long_as_its_own_step_asks_for(db, store, tmp_path):
    outage = range(T0 + 2 * DAY + HOUR, T0 + 2 * DAY + 7 * HOUR)
    summary = imported(db, store, tmp_path, [taken for taken in range(T0, T0 + 5 * DAY, 10 * MINUTE) if taken not in outage])
    assert summary.steps == {600_000: 1}
    assert watched(db, store, T0, T0 + 2 * DAY) == 1.0
    assert watched(db, store, T0 + 2 * DAY, T0 + 3 * DAY) == pytest.approx(1 - (6 * HOUR - 20 * MINUTE) / DAY), "an outage stays one"
    live = T0 + 6 * DAY
    store.write([Row(1, live + offset, 20.0, 2, live) for offset in range(0, HOUR, 10_000) if not 20 * MINUTE <= offset < 40 * MINUTE])
    assert watched(db, store, live, live + HOUR) == pytest.approx(1 - (20 * MINUTE + 10_000 - 180_000) / HOUR), "today's deadline"


def test_each_stretch_has_its_own_step_and_the_newest_import_goes_first(db, store, tmp_path):
    sparse = [T0 + day * DAY + clock for day in range(3) for clock in (9 * HOUR + day * MINUTE, 15 * HOUR)]
    hourly = range(T0 + 3 * DAY, T0 + 5 * DAY, HOUR)
    assert imported(db, store, tmp_path, [*sparse, *hourly]).steps == {3_600_000: 1}, "too few gaps a day take the step of what comes after"
    assert imported(db, store, tmp_path, sparse).steps == {21_600_000: 1}
    with db.read() as session:
        first, second = steps.of(session)[1]
    assert (first.until, first.step_ms) == (T0 + 5 * DAY - HOUR + 1, HOUR)
    assert (second.since, second.until, second.step_ms) == (T0 + 9 * HOUR, T0 + 2 * DAY + 15 * HOUR + 1, 6 * HOUR)
    assert imported(db, store, tmp_path, sparse).repeats == 6
    assert limits_now(db)[1].earlier == (
        Earlier(T0 + 9 * HOUR, 180_000), Earlier(T0 + 2 * DAY + 15 * HOUR + 1, 18 * HOUR), Earlier(T0 + 5 * DAY - HOUR + 1, 3 * HOUR),
    )  # fmt: skip


def test_a_step_that_is_said_is_believed(db, store, tmp_path):
    imported(db, store, tmp_path, [T0, T0 + 5000, T0 + 10_000, T0 + 2 * HOUR, T0 + 2 * HOUR + 5000], step_ms=HOUR)
    assert limits_now(db)[1].earlier == (Earlier(T0, 180_000), Earlier(T0 + 2 * HOUR + 5001, 3 * HOUR))
    assert watched(db, store, T0, T0 + 2 * HOUR) == 1.0


def test_an_interval_that_changed_is_remembered(db):
    with db.write() as session:
        for until, before in ((T0 + DAY, 60_000), (T0 + 2 * DAY, None), (T0 + 3 * DAY, 600_000)):
            session.add(PointStep(point=1, **steps.until(before, until)))
    expected = (Earlier(T0 + DAY, 180_000), Earlier(T0 + 2 * DAY, 900_000), Earlier(T0 + 3 * DAY, 1_800_000))
    assert limits_now(db)[1].earlier == expected
    assert limits_now(db, 600_000)[1].earlier == expected[:2], "what holds today need not be said"
