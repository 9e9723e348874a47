"""The embedded store: partitions, late samples, recovery, readers beside writers."""

import random
import struct
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.series import Row, StoreBusyError
from server.series.batch import Batch
from server.series.compaction import Policy
from server.series.embedded import EmbeddedStore
from server.series.partition import DAY_MS, bucket_of, day_label, day_of, day_start

sys.path.insert(0, str(Path(__file__).parent))
from some_rows import DAY, HOUR, LATER, MIDNIGHT, everything, month_of, reading


def files_of(store):
    with store._hot.reading() as connection:
        return connection.execute("SELECT period, bucket, rows FROM partition ORDER BY file").fetchall()


values = st.one_of(
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-999_999, 999_999).map(lambda number: number / 10),
    st.integers(-(10**9), 10**9).map(lambda number: number / 1000),
    st.sampled_from([0.0, -0.0, 5e-324, 1.7976931348623157e308, -1e12, 999_999_999_999.9, 0.1 + 0.2, 1 / 3, 24.6, 2**53 + 2.0]),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.lists(st.tuples(values, st.integers(0, 3), st.sampled_from(["", "crc", "stuck", "实验"])), min_size=1, max_size=80),
    offset=st.integers(0, DAY_MS),
)
def test_partition_files_give_back_every_bit(embedded, data, offset):
    point = embedded.count() * 16 + 1
    rows = [Row(point, MIDNIGHT + offset + index, value, quality, MIDNIGHT + offset + index, why) for index, (value, quality, why) in enumerate(data)]
    embedded.write(rows)
    hot = everything(embedded, [point])
    embedded.compact(LATER)
    cold = everything(embedded, [point])
    assert embedded.stats().hot_rows == 0
    assert hot == rows
    assert cold == rows
    as_bits = [[row.value is not None and struct.pack("d", row.value) for row in some] for some in (rows, hot, cold)]
    assert as_bits[0] == as_bits[1] == as_bits[2]


@pytest.mark.parametrize("lag", [-61_234, -1, 0, 1, 999, 1000, 1001, 86_400_123])
def test_time_of_arrival_is_kept_to_the_second_above(embedded, lag):
    embedded.write([Row(1, MIDNIGHT, 20.0, 2, MIDNIGHT + lag)])
    embedded.compact(LATER)
    received = everything(embedded, [1])[0].received_at
    assert 0 <= received - (MIDNIGHT + lag) < 1000


@pytest.mark.parametrize("label", ["1991-06-30", "2024-02-29", "2026-10-05", "2026-12-31", "2027-01-01"])
def test_a_day_begins_at_midnight_in_shanghai(tmp_path, label):
    day = next(number for number in range(25_000) if day_label(number) == label)
    start = day_start(day)
    assert start % DAY_MS == 16 * HOUR
    store = EmbeddedStore(tmp_path / label)
    store.write([reading(1, start - 1), reading(1, start), reading(1, start + DAY_MS - 1), reading(1, start + DAY_MS)])
    store.compact(start + 2 * DAY_MS + 2 * HOUR)
    assert [(period, rows) for period, _, rows in files_of(store)] == [(day_label(day - 1), 1), (label, 2), (day_label(day + 1), 1)]
    store.close()


def test_the_open_day_stays_hot_until_its_grace_is_over(embedded):
    embedded.write(month_of([1], days=2))
    end = MIDNIGHT + 2 * DAY_MS
    assert embedded.compact(end - 1) == 24
    assert embedded.compact(end + 2 * HOUR - 1) == 0
    assert embedded.compact(end + 2 * HOUR) == 24
    assert embedded.compact(end + 2 * HOUR) == 0


def test_late_samples_are_merged_into_their_day(embedded):
    rows = month_of([1, 2, 40], days=3)
    kept = [row for row in rows if row.taken_at % (4 * HOUR)]
    embedded.write(kept)
    embedded.compact(LATER - 30 * DAY_MS)
    files = files_of(embedded)
    assert embedded.write(rows) == len(rows) - len(kept), "what is in files already is known"
    assert everything(embedded, [1, 2, 40]) == sorted(rows), "hot and files together"
    embedded.compact(LATER - 30 * DAY_MS)
    assert [(period, bucket) for period, bucket, _ in files_of(embedded)] == [(period, bucket) for period, bucket, _ in files], "still one file each"
    assert everything(embedded, [1, 2, 40]) == sorted(rows)
    assert embedded.conflicts == 0


def test_another_value_for_a_sample_in_a_file_is_a_conflict(embedded):
    embedded.write([reading(1, MIDNIGHT), reading(1, MIDNIGHT + 1, None, 0)])
    embedded.compact(LATER)
    assert embedded.write([reading(1, MIDNIGHT, 21.0), reading(1, MIDNIGHT + 1, 5.0), reading(1, MIDNIGHT + 2), reading(1, MIDNIGHT + 2, 3.0)]) == 1
    assert embedded.conflicts == embedded.stats().conflicts == 3
    assert [row.value for row in everything(embedded, [1])] == [20.0, None, 20.0]


def test_a_full_hot_table_is_moved_in_pieces(tmp_path):
    store = EmbeddedStore(tmp_path / "series", policy=Policy(seal_rows=60, together=30))
    rows = month_of(range(1, 50), step=6 * HOUR)
    for start in range(0, len(rows), 60):
        store.write(rows[start : start + 60])
        store.compact(MIDNIGHT + HOUR)
        assert everything(store, range(1, 50)) == sorted(rows[: start + 60])
    assert store.write(rows) == 0
    pieces = len(files_of(store))
    store.compact(LATER - 35 * DAY_MS)
    assert len(files_of(store)) == 4 < pieces, "one file per bucket when the day is over"
    assert everything(store, range(1, 50)) == sorted(rows)
    store.close()


def test_a_closed_month_becomes_one_file_per_bucket(embedded):
    points = [1, 17]
    start = day_start(next(day for day in range(DAY, DAY + 40) if day_label(day).endswith("-01")))
    rows = month_of(points, days=35, start=start, step=6 * HOUR)
    embedded.write(rows)
    embedded.compact(start + 36 * DAY_MS)
    assert {len(period) for period, _, _ in files_of(embedded)} == {10}, "the month is closed for less than a week"
    embedded.compact(start + 45 * DAY_MS)
    month = day_label(day_of(start))[:7]
    days = {31: 31, 30: 30, 28: 28, 29: 29}[sum(1 for day in range(35) if day_label(day_of(start) + day).startswith(month))]
    assert [entry for entry in files_of(embedded) if entry[0] == month] == [(month, 0, days * 4), (month, 1, days * 4)]
    assert everything(embedded, points) == sorted(rows)
    late = reading(1, start + 1)
    assert embedded.write([late, rows[0]]) == 1
    embedded.compact(start + 45 * DAY_MS)
    assert sum(1 for period, *_ in files_of(embedded) if period.startswith(month)) == 3, "one late sample does not rewrite the month"
    assert everything(embedded, points) == sorted([*rows, late])
    assert embedded.verify() == []


def test_no_month_larger_than_allowed(tmp_path):
    store = EmbeddedStore(tmp_path / "series", policy=Policy(month_rows=10))
    store.write(month_of([1], days=20, step=12 * HOUR))
    store.compact(LATER + 40 * DAY_MS)
    assert {len(period) for period, *_ in files_of(store)} == {10}
    store.close()


def test_neighbouring_points_share_a_file():
    assert {bucket_of(point) for point in range(32, 48)} == {2}
    assert {bucket_of(point) for point in range(0, 4096, 16)} == set(range(16))


def test_samples_of_no_sane_time_are_set_aside(embedded):
    strange = [reading(1, -1), reading(1, 4_102_444_800_000)]
    assert embedded.write([*strange, reading(1, 0), reading(1, MIDNIGHT)]) == 2
    assert embedded.take_refused() == [(row, "time") for row in strange]
    assert embedded.stats().set_aside == 2
    embedded.compact(LATER)
    assert embedded.stats().hot_rows == 0


def test_a_second_store_on_the_folder_is_refused(embedded, tmp_path):
    with pytest.raises(StoreBusyError, match="in use"):
        EmbeddedStore(tmp_path / "series")
    embedded.write([reading(1, MIDNIGHT)])
    assert embedded.count() == 1


def test_everything_is_there_after_reopening(tmp_path):
    rows = month_of([1, 20], days=3)
    for number in range(3):
        store = EmbeddedStore(tmp_path / "series")
        assert store.count() == number * len(rows) // 3
        store.write(rows[number * len(rows) // 3 : (number + 1) * len(rows) // 3], mark=number)
        if number == 1:
            store.compact(MIDNIGHT + 2 * DAY_MS)
        assert store.mark() == number
        store.close()
    store = EmbeddedStore(tmp_path / "series")
    assert everything(store, [1, 20]) == sorted(rows)
    store.close()


def test_more_than_a_row_group_in_one_write(embedded):
    """DuckDB treats inserts of 122,880 rows and more in another way than small ones."""
    rows = 300_000
    taken = MIDNIGHT + np.arange(rows, dtype=np.int64) // 100 * 10_000
    point = np.arange(rows, dtype=np.int64) % 100
    value = np.round(np.sin(np.arange(rows) / 1000) * 30, 1)
    whole = Batch(point, taken, value, np.full(rows, 2, np.uint8), taken, np.zeros(rows, np.int32))
    assert embedded.write(whole) == rows
    assert embedded.write(whole) == 0
    expected = sorted(zip(point.tolist(), taken.tolist(), value.tolist(), strict=True))

    def all_of_it():
        return [(row.point_id, row.taken_at, row.value) for row in everything(embedded, range(100))]

    assert all_of_it() == expected
    assert embedded.compact(LATER) == rows
    assert all_of_it() == expected
    assert embedded.write(whole) == 0


def test_readers_beside_writer_and_compaction_see_each_sample_once(tmp_path):
    store = EmbeddedStore(tmp_path / "series", policy=Policy(seal_rows=500, together=100))
    points = [1, 17, 33]
    rows = month_of(points, days=6, step=HOUR // 2)
    written = [0]
    stop = threading.Event()
    faults = []

    def read():
        shuffled = random.Random(threading.get_ident())
        while not stop.is_set():
            least = written[0]
            found = everything(store, points)
            if len(found) != len(set(found)) or len(found) < least or set(found) - set(rows):
                faults.append((least, len(found), len(set(found))))
            point = shuffled.choice(points)
            buckets = store.buckets([point], MIDNIGHT, MIDNIGHT + 6 * DAY_MS, DAY_MS, HOUR)
            if sum(bucket.count for bucket in buckets) < least // len(points):
                faults.append(("buckets", least, buckets))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for start in range(0, len(rows), 60):
        store.write(rows[start : start + 60])
        written[0] = min(start + 60, len(rows))
        store.compact(rows[min(start + 59, len(rows) - 1)].taken_at + 3 * HOUR)
    stop.set()
    for reader in readers:
        reader.join()
    assert faults == []
    assert everything(store, points) == sorted(rows)
    store.close()
    listed = {path.name for path in (tmp_path / "series").glob("*/*.parquet")}
    again = EmbeddedStore(tmp_path / "series")
    assert len(listed) == again.stats().files, "replaced files are gone as soon as no reader needs them"
    again.close()


def test_compact_beside_compact_moves_each_sample_once(embedded):
    embedded.write(month_of([1, 17], days=10))
    moved = []
    threads = [threading.Thread(target=lambda: moved.append(embedded.compact(LATER))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(moved) == [0, 0, 480]
    assert embedded.count() == 480
