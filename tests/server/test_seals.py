"""Seals of history: late samples extend them and say so; a sample that was changed, removed or slipped in is found and named."""

import hashlib

import duckdb
import numpy as np
import pytest

from server.history import retention
from server.history import seals as sealing
from server.series import Row, digest
from server.series.batch import Batch
from server.series.compaction import Policy
from server.series.embedded import EmbeddedStore
from server.series.partition import DAY_MS, day_label, day_of, day_start
from server.store import audit, journal, seals
from server.store.journal import JournalRow
from server.store.tables import Point, Room, Unit
from server.store.tables_series import SeriesAnchor, SeriesSeal

DAY = day_of(1_790_000_000_000)
START = day_start(DAY)
HOUR = 3_600_000
PROVINCE, COUNTY = "350000000000", "350102000000"
ROOM, OTHER = f"{COUNTY}-01", f"{COUNTY}-02"
NIGHT = START + DAY_MS + 3 * HOUR
KEYS = {1: "GW/th1/temperature", 2: "GW/th1/humidity", 3: "GW/th2/temperature", 4: "GW/wx/temperature"}


@pytest.fixture
def db(db):
    with db.write() as session:
        session.add(Unit(code=PROVINCE, level=1, name="省厅", short_name="省厅"))
        session.flush()
        session.add(Unit(code=COUNTY, parent=PROVINCE, level=3, name="鼓楼", short_name="鼓楼"))
        session.flush()
        session.add_all(Room(code=code, unit=COUNTY, name=code, short_name="库", sms_place="库") for code in (ROOM, OTHER))
        session.flush()
        for ident, key in KEYS.items():
            gateway, device, quantity = key.split("/")
            room = {1: ROOM, 2: ROOM, 3: OTHER, 4: None}[ident]
            session.add(Point(id=ident, gateway=gateway, device=device, quantity=quantity, room=room, created_at=0))
    return db


@pytest.fixture
def store(tmp_path):
    made = EmbeddedStore(tmp_path / "series", policy=Policy(grace_ms=0))
    made.write(rows())
    yield made
    made.close()


def rows(day=DAY, points=(1, 2, 3, 4)):
    found = []
    for point in points:
        for taken in range(day_start(day) + point, day_start(day + 1), 10 * 60_000):
            bad = taken % 7 == 0
            found.append(Row(point, taken, None if bad else point + taken % 991 / 10, 0 if bad else 2, taken + 1234, "crc" if bad else ""))
    return found


def sealed(db):
    with db.read() as session:
        return [(row.place, row.day - DAY, row.revision, row.reason, row.samples) for row in session.query(SeriesSeal).order_by(SeriesSeal.id)]


def findings(db, store):
    return [*sealing.verify(db, store, DAY - 1, DAY + 3)]


def test_a_closed_day_is_sealed_once_for_every_place(db, store):
    assert sealing.seal(db, store, START + DAY_MS).seals == 0, "the day is not over for long enough"
    assert sealing.seal(db, store, NIGHT) == (1, 3, 0, 0)
    assert sorted(sealed(db)) == [(ROOM, 0, 1, "closed", 288), (OTHER, 0, 1, "closed", 144), ("GW", 0, 1, "closed", 144)]
    assert sealing.seal(db, store, NIGHT + HOUR).seals == 0
    assert findings(db, store) == []


def test_the_digest_does_not_depend_on_where_samples_lie(db, store, tmp_path):
    sealing.seal(db, store, NIGHT)
    store.compact(NIGHT)
    assert findings(db, store) == []
    store.compact(NIGHT + 60 * DAY_MS)
    assert findings(db, store) == []
    other = EmbeddedStore(tmp_path / "another")
    other.write([row._replace(received_at=row.received_at + 400) for row in sorted(rows(), key=lambda row: -row.taken_at)])
    assert findings(db, other) == [], "the same second of arrival"
    other.close()


def test_late_samples_make_a_revision_that_names_the_reason(db, store):
    sealing.seal(db, store, NIGHT)
    store.compact(NIGHT)
    store.write([Row(1, START + 5 * HOUR + 77, 21.0, 2, NIGHT + HOUR)])
    assert findings(db, store) == [], "what came after the seal does not break it"
    assert sealing.seal(db, store, NIGHT + 3 * HOUR) == (1, 1, 1, 0)
    assert sealed(db)[-1] == (ROOM, 0, 2, "late", 289)
    store.compact(NIGHT + 3 * HOUR)
    assert findings(db, store) == []


def test_a_point_that_joins_or_leaves_a_room_breaks_nothing(db, store):
    sealing.seal(db, store, NIGHT)
    with db.write() as session:
        session.get(Point, 2).room = OTHER
    store.write([Row(2, START + 77, 50.0, 2, NIGHT + HOUR), Row(1, START + 78, 20.0, 2, NIGHT + HOUR)])
    sealing.seal(db, store, NIGHT + 3 * HOUR)
    assert sorted(sealed(db)[3:]) == [(ROOM, 0, 2, "late", 290), (OTHER, 0, 2, "assigned", 289)]
    assert findings(db, store) == []


AT = f"point = 2 AND taken_at = {START + 2 + 6 * HOUR}"
DOUBLED = f"INSERT INTO hot SELECT * REPLACE (taken_at + 5 AS taken_at, received_at + 5 AS received_at) FROM hot WHERE {AT}"


def tampered(store, statement):
    """Somebody with the file in his hands: DuckDB is asked, nobody else."""
    with store._hot.writing() as connection:
        connection.execute(statement)


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        (f"UPDATE hot SET value = value + 0.1 WHERE {AT}", "changed"),
        (f"UPDATE hot SET quality = 1 WHERE {AT}", "changed"),
        (f"UPDATE hot SET taken_at = taken_at + 1 WHERE {AT}", "changed"),
        (f"DELETE FROM hot WHERE {AT}", "missing"),
        (DOUBLED, "added"),
    ],
)
def test_a_changed_sample_is_found_and_named(db, store, statement, kind):
    sealing.seal(db, store, NIGHT)
    tampered(store, statement)
    (found,) = findings(db, store)
    assert (found.kind, found.place, found.day, found.point, found.hours) == (kind, ROOM, day_label(DAY), KEYS[2], (6,))
    assert found.sentence().startswith(f"{ROOM} {day_label(DAY)} {KEYS[2]} 06:00—07:00 ")


def test_a_rewritten_partition_file_is_found(db, store):
    sealing.seal(db, store, NIGHT)
    store.compact(NIGHT)
    (path,) = store._hot.folder.glob("20*/*.parquet")
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT * FROM read_parquet(?)", [str(path)])
        connection.execute(f"UPDATE t SET scaled = scaled + 1 WHERE point = 3 AND taken_at = {START + 3 + 13 * HOUR}")
        connection.execute(f"COPY (FROM t ORDER BY point, taken_at) TO '{path}' (FORMAT parquet)")
    (found,) = findings(db, store)
    assert (found.kind, found.place, found.point, found.hours) == ("changed", OTHER, KEYS[3], (13,))


def test_a_tampered_day_is_not_sealed_away(db, store, caplog):
    sealing.seal(db, store, NIGHT)
    tampered(store, f"UPDATE hot SET value = 1 WHERE point = 1 AND taken_at = {START + 1}")
    store.write([Row(1, START + 77, 21.0, 2, NIGHT + HOUR)])
    assert sealing.seal(db, store, NIGHT + 3 * HOUR) == (1, 1, 0, 1)
    assert "is not what was sealed" in caplog.text
    assert [(found.kind, found.point, found.hours) for found in findings(db, store)] == [("changed", KEYS[1], (0,))]


@pytest.mark.parametrize("what", ["digest", "points", "samples", "cut", "reason"])
def test_a_changed_seal_is_found(db, store, what):
    sealing.seal(db, store, NIGHT)
    with db.write() as session:
        row = session.query(SeriesSeal).filter_by(place=OTHER).one()
        setattr(row, what, {"digest": "0" * 64, "points": seals.pack(seals.Parts([], b"")), "samples": 1, "cut": 1, "reason": "late"}[what])
    assert ("chain", OTHER) in [(found.kind, found.place) for found in findings(db, store)]


def test_anchors_show_a_chain_that_was_cut_or_rewritten(db, store):
    sealing.seal(db, store, NIGHT)
    with db.read() as session:
        anchors = {row.unit: (row.places, row.digest) for row in session.query(SeriesAnchor)}
        (entry,) = audit.page(session, before=None, limit=10)
    assert {unit: places for unit, (places, _) in anchors.items()} == {PROVINCE: 3, COUNTY: 2}
    assert (entry.action, entry.subject, entry.detail["digest"]) == ("history.anchor", f"unit:{PROVINCE}", anchors[PROVINCE][1])
    with db.write() as session:
        row = session.query(SeriesSeal).filter_by(place=ROOM).one()
        row.samples = 5
        row.chain = seals.link(seals.GENESIS, row)
    assert {(found.kind, found.place) for found in findings(db, store)} == {("anchor", COUNTY), ("anchor", PROVINCE)}
    with db.write() as session:
        session.delete(session.query(SeriesSeal).filter_by(place=ROOM).one())
    assert {(found.kind, found.place) for found in findings(db, store)} == {("anchor", COUNTY), ("anchor", PROVINCE)}


def test_nothing_is_sealed_before_the_store_has_it(db, store):
    with db.write() as session:
        journal.register(session, "history")
        journal.append(session, [JournalRow(1, START + 9, 20.0, 2, False, START + DAY_MS)], START + DAY_MS)
    assert sealing.seal(db, store, NIGHT + DAY_MS).seals == 0
    with db.write() as session:
        journal.advance(session, "history", 1)
    assert sealing.seal(db, store, NIGHT + DAY_MS).seals == 3


def test_deleted_days_are_not_asked_for(db, store):
    store.write(rows(DAY + 1))
    sealing.seal(db, store, NIGHT + DAY_MS)
    store.compact(NIGHT + DAY_MS)
    assert store.expire(START + DAY_MS + 5) == 4 * 144
    assert store.extent()[0] == START + DAY_MS + 1
    assert findings(db, store) == []
    tampered(store, "DELETE FROM partition")
    assert {found.day for found in findings(db, store)} == {day_label(DAY + 1)}


def test_what_is_not_sealed_stays_beyond_its_time(db, store):
    assert retention.expire(store, 1, START + 5 * DAY_MS) == 0, "nothing is sealed"
    sealing.seal(db, store, NIGHT)
    store.write(rows(DAY + 1))
    assert retention.expire(store, 1, START + 5 * DAY_MS) == 4 * 144
    assert store.kept_from() == START + DAY_MS, "the second day waits for its seal"
    sealing.seal(db, store, NIGHT + DAY_MS)
    assert retention.expire(store, 1, START + 5 * DAY_MS) == 4 * 144
    assert (store.count(), findings(db, store)) == (0, [])


def test_canonical_form_is_written_down():
    batch = Batch.of([Row(5, START, 20.5, 2, START + 1500), Row(5, START + HOUR, None, 0, START + HOUR, "crc")])
    found = digest.of_day(batch, {5: "GW/th1/temperature"}, START)
    record = np.dtype([("t", "<i8"), ("v", "<f8"), ("q", "u1"), ("d", "<i8")])
    body = np.array([(START, 20.5, 2, 2), (START + HOUR, np.nan, 0, 0)], dtype=record).tobytes()

    one = hashlib.sha256(b"AW1GW/th1/temperature\0" + body + b"\0crc").digest()
    assert found.digest == hashlib.sha256(b"GW/th1/temperature\0" + one).hexdigest()
    assert found.points == {5: (2, one[:8])}
