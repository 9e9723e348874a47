"""A changed sample is found and named wherever the samples have been carried: merged to a month, joined by late ones, restored, in another store."""

import duckdb
import httpx
import pytest

from server.history import carry, seals
from server.series import Row, backup
from server.series.compaction import Policy
from server.series.embedded import EmbeddedStore
from server.series.influx import InfluxStore
from server.series.partition import DAY_MS, day_label, day_of, day_start
from server.store.session import Database
from server.store.tables import Point, Room, Unit
from tests.fresh import fresh

DAY = day_of(1_790_000_000_000)
START = day_start(DAY)
HOUR = 3_600_000
NIGHT = START + 6 * DAY_MS
COUNTY = "350102000000"
ROOM = f"{COUNTY}-01"
POINT, TAKEN = 2, START + 13 * HOUR


@pytest.fixture
def db(tmp_path):
    made = Database(fresh(tmp_path / "aw.db"))
    with made.write() as session:
        session.add(Unit(code=COUNTY, level=3, name="鼓楼", short_name="鼓楼"))
        session.flush()
        session.add(Room(code=ROOM, unit=COUNTY, name="库", short_name="库", sms_place="库"))
        session.flush()
        session.add_all(Point(id=n, gateway="GW", device=f"d{n}", quantity="temperature", room=ROOM, created_at=0) for n in (1, POINT))
    yield made
    made.close()


@pytest.fixture
def sealed(db, tmp_path):
    """Five days of two points, sealed, merged to a month, joined by a late sample that is sealed too."""
    store = EmbeddedStore(tmp_path / "series", policy=Policy(grace_ms=0, month_delay_ms=0))
    rows = [Row(point, START + k * HOUR, 20 + k % 7 / 10, 2, START + k * HOUR + 900) for k in range(5 * 24) for point in (1, POINT)]
    store.write(rows)
    seals.seal(db, store, NIGHT)
    store.compact(NIGHT + 40 * DAY_MS)
    store.write([Row(1, START + 77, 21.0, 2, NIGHT + HOUR)])
    assert seals.seal(db, store, NIGHT + 3 * HOUR).late == 1
    store.compact(NIGHT + 40 * DAY_MS)
    assert found(db, store) == []
    yield store
    store.close()


def found(db, store):
    return [(each.kind, each.place, each.day, each.point, each.hours) for each in seals.verify(db, store, DAY - 1, DAY + 6)]


CHANGED = [("changed", ROOM, day_label(DAY), "GW/d2/temperature", (13,))]


def forge(store):
    """Somebody with the files in his hands raises one value by a tenth, in all files and tables that hold it."""
    here = f"point = {POINT} AND taken_at = {TAKEN}"
    with store._hot.writing() as connection:
        connection.execute(f"UPDATE hot SET value = value + 0.1 WHERE {here}")
    for path in store._hot.folder.glob("20*/*.parquet"):
        with duckdb.connect() as connection:
            connection.execute("CREATE TABLE t AS SELECT * FROM read_parquet(?)", [str(path)])
            connection.execute(f"UPDATE t SET scaled = scaled + 1 WHERE {here}")
            connection.execute(f"COPY (FROM t ORDER BY point, taken_at) TO '{path}' (FORMAT parquet)")


def test_after_the_month_was_merged_and_a_late_sample_came(db, sealed):
    forge(sealed)
    assert found(db, sealed) == CHANGED


def test_after_a_restore(db, sealed, tmp_path):
    backup.save(sealed._hot, tmp_path / "copy")
    backup.load(tmp_path / "copy", tmp_path / "again")
    again = EmbeddedStore(tmp_path / "again")
    try:
        assert found(db, again) == []
        forge(again)
        assert found(db, again) == CHANGED
    finally:
        again.close()


def test_after_a_migration_and_a_change_in_the_other_server(db, sealed, influx_database, influxd):
    url, bucket = influx_database
    other = InfluxStore(url, bucket=bucket)
    try:
        assert carry.migrate(db, sealed, other).differing == []
        assert found(db, other) == []
        line = f"sample,point={POINT} v=99 {TAKEN}"  # the server itself takes another value without a word
        httpx.post(
            f"{influxd.behind}/write", params={"db": bucket.partition("/")[0], "precision": "ms"}, content=line, trust_env=False
        ).raise_for_status()
        assert found(db, other) == CHANGED
    finally:
        other.close()
