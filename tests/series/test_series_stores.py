"""What every series store must do, run against each; where the Influx family differs by its nature it is said here."""

import pytest

from server.series import Limits, Row
from server.series.embedded import EmbeddedStore
from server.series.influx import InfluxStore

T0 = 1_790_000_000_000
MINUTE = 60_000


def reading(point, minute, value, quality=2, reason=""):
    return Row(point, T0 + minute * MINUTE, value, quality, T0 + minute * MINUTE + 1000, reason)


def first_wins(store):
    return isinstance(store, EmbeddedStore)


def test_an_empty_store_answers_everything_with_nothing(store):
    assert store.count() == 0
    assert store.mark() is None
    assert store.raw([1, 2], 0, T0) == []
    assert store.raw([], 0, T0) == []
    assert store.last([1]) == {}
    assert store.last([]) == {}
    assert store.buckets([1], T0, T0 + 10 * MINUTE, MINUTE) == []
    assert store.compliance(1, T0, T0 + MINUTE, 10, 20) == (0, 0)
    assert store.take_refused() == []


def test_rows_come_back_as_they_were_written(store):
    rows = [reading(2, 0, 24.6), reading(1, 1, None, 0, "crc"), reading(1, 0, -3.05, 1, 'a "stuck" \\ probe'), reading(1, 2, 0.1 + 0.2)]
    assert store.write(rows) == 4
    assert store.count() == 4
    assert store.raw([2, 1], T0, T0 + 3 * MINUTE) == [rows[2], rows[1], rows[3], rows[0]]
    assert store.raw([1, 2], T0, T0 + 3 * MINUTE, limit=2) == [rows[2], rows[1]]
    assert store.raw([1], T0 + 1, T0 + 2 * MINUTE) == [rows[1]], "the end is not part of the period"


def test_writing_again_changes_nothing(store):
    rows = [reading(point, minute, 20 + minute / 10) for minute in range(50) for point in (1, 2, 300)]
    store.write(rows)
    before = store.raw([1, 2, 300], 0, T0 + 10**9)
    assert store.write(rows[:30]) == (0 if first_wins(store) else 30), "Influx cannot tell what was new"
    assert store.raw([1, 2, 300], 0, T0 + 10**9) == before
    assert store.count() == 150


def test_another_value_under_the_same_key(store):
    store.write([reading(1, 0, 20.0)])
    store.write([reading(1, 0, 21.0)])
    expected = 20.0 if first_wins(store) else 21.0  # Influx overwrites and does not see the conflict
    assert [row.value for row in store.raw([1], T0, T0 + 1)] == [expected]
    assert store.conflicts == (1 if first_wins(store) else 0)


def test_the_mark_is_stored_with_the_rows(store):
    store.write([reading(1, 0, 20.0)], mark=7)
    assert store.mark() == 7
    store.write([reading(1, 1, 20.0)])
    assert store.mark() == 7
    store.write([reading(1, 2, 20.0)], mark=9)
    assert store.mark() == 9


def test_last_gives_the_newest_of_each_point(store):
    rows = [reading(1, 0, 20.0), reading(1, 9, None, 0), reading(2, 3, 21.0), reading(40, 1, 5.0)]
    store.write(rows)
    assert store.last([1, 2, 3, 40]) == {1: rows[1], 2: rows[2], 40: rows[3]}
    assert store.last([1, 2], since=T0 + 4 * MINUTE) == {1: rows[1]}


def test_buckets_weigh_by_time_and_leave_gaps(store):
    store.write([reading(1, -5, 10.0), reading(1, 5, 20.0), reading(1, 15, 30.0), reading(1, 18, None, 0), reading(1, 65, 99.0, 1)])
    found = store.buckets([1, 2], T0, T0 + 70 * MINUTE, 10 * MINUTE, hold_ms=12 * MINUTE)
    as_tuples = [((each.time - T0) // MINUTE, each.min, each.mean, each.max, each.count, each.watched_ms // MINUTE) for each in found]
    assert as_tuples == [(0, 10.0, 15.0, 20.0, 1, 10), (10, 20.0, pytest.approx((5 * 20 + 3 * 30) / 8), 30.0, 1, 8)]


def test_each_point_holds_for_its_own_silence(store):
    store.write([reading(1, 0, 1.0), reading(2, 0, 2.0)])
    found = store.buckets([2, 1], T0, T0 + 10 * MINUTE, 10 * MINUTE, hold_ms={1: 3 * MINUTE, 2: 7 * MINUTE})
    assert [(each.point, each.watched_ms // MINUTE) for each in found] == [(1, 3), (2, 7)]


def test_compliance_counts_time_in_the_band_limits_included(store):
    store.write([reading(1, minute, value) for minute, value in [(0, 14.0), (10, 24.0), (20, 24.1), (30, 14.0)]])
    hold = 10 * MINUTE
    assert store.compliance(1, T0, T0 + 60 * MINUTE, 14, 24, hold) == (30 * MINUTE, 40 * MINUTE)
    assert store.compliance(1, T0, T0 + 60 * MINUTE, None, 20, hold) == (20 * MINUTE, 40 * MINUTE)
    assert store.compliance(1, T0 + 5 * MINUTE, T0 + 15 * MINUTE, 20, None, hold) == (5 * MINUTE, 10 * MINUTE)


def test_more_than_a_month_in_one_answer(store):
    day = 24 * 60
    store.write([reading(1, number * day, float(number)) for number in range(80)])
    found = store.buckets([1], T0, T0 + 80 * day * MINUTE, day * MINUTE, hold_ms=10 * MINUTE)
    assert [(each.mean, each.count, each.watched_ms) for each in found] == [(float(number), 1, 10 * MINUTE) for number in range(80)]


def test_compact_and_flush_change_no_answer(store):
    rows = [reading(point, minute, minute / 10) for minute in range(0, 3000, 100) for point in (1, 17)]
    store.write(rows)
    before = store.raw([1, 17], 0, T0 + 10**12), store.buckets([1, 17], T0, T0 + 3000 * MINUTE, 60 * MINUTE)
    store.flush(T0 + 10**10)
    moved = store.compact(T0 + 10**10)
    assert moved == (len(rows) if first_wins(store) else 0)
    assert (store.raw([1, 17], 0, T0 + 10**12), store.buckets([1, 17], T0, T0 + 3000 * MINUTE, 60 * MINUTE)) == before
    assert store.count() == len(rows)


def test_influx_one_bad_point_does_not_block_the_batch(influx_database, caplog):
    url, bucket = influx_database
    store = InfluxStore(url, bucket=bucket)
    rows = [reading(1, minute, 20.0) for minute in range(500)]
    poison = [rows[123]._replace(taken_at=10**19), rows[444]._replace(quality=10**20)]  # neither fits the server's 64 bits
    assert store.write([*rows[:123], poison[0], *rows[123:444], poison[1], *rows[444:]]) == 500
    assert store.count() == 500
    assert sorted(row for row, _ in store.take_refused()) == sorted(poison)
    assert store.take_refused() == []
    assert store.stats().set_aside == 2
    assert caplog.text.count("the series store refuses sample,point=1") == 2
    store.close()


def test_influx_raises_when_it_refuses_everything(influx_database):
    url, bucket = influx_database
    store = InfluxStore(url, bucket=bucket)
    with pytest.raises(Exception, match="refuses more than 100"):
        store.write([reading(1, minute, 20.0)._replace(quality=10**20) for minute in range(200)])
    store.close()


def test_influx_raises_when_the_server_fails(influxd, influx_database):
    url, bucket = influx_database
    store = InfluxStore(url, bucket=bucket)
    influxd.failing = 503
    try:
        with pytest.raises(Exception, match="answered 503"):
            store.write([reading(1, 0, 20.0)])
        with pytest.raises(Exception, match="does not answer a query"):
            store.count()
    finally:
        influxd.failing = None
    assert store.write([reading(1, 0, 20.0)]) == 1
    assert store.count() == 1
    store.close()


def test_influx_raises_when_there_is_no_server_or_no_database(influx_database, free_port):
    gone = InfluxStore(f"http://127.0.0.1:{free_port}", bucket="none")
    with pytest.raises(Exception, match="cannot be reached"):
        gone.write([reading(1, 0, 20.0)])
    gone.close()
    wrong = InfluxStore(influx_database[0], bucket="no_such_database")
    with pytest.raises(Exception, match="answered 404"):
        wrong.write([reading(1, 0, 20.0)])
    wrong.close()


def test_figures_come_as_columns_with_the_time_in_the_band(store):
    store.write([reading(1, minute, value) for minute, value in [(0, 14.0), (10, 24.0), (20, 24.1), (30, 14.0)]] + [reading(33, 5, 50.0)])
    limits = {1: Limits(10 * MINUTE, 14, 24), 33: Limits(60 * MINUTE, None, 45), 7: Limits(MINUTE)}
    assert store.set_limits(limits) in (0, 3), "a store without roll-ups has nothing to note"
    whole = store.figures(limits, T0, T0 + 60 * MINUTE)
    assert whole.rows() == [
        (1, T0, 14.0, pytest.approx(19.025), 24.1, 4, 40 * MINUTE, 30 * MINUTE),
        (33, T0, 50.0, 50.0, 50.0, 1, 55 * MINUTE, 0),
    ]
    halves = store.figures(limits, T0, T0 + 60 * MINUTE, 30 * MINUTE)
    assert list(zip(halves.point.tolist(), (halves.time - T0).tolist(), halves.in_band_ms.tolist(), strict=True)) == [
        (1, 0, 20 * MINUTE), (1, 30 * MINUTE, 10 * MINUTE), (33, 0, 0), (33, 30 * MINUTE, 0),
    ]  # fmt: skip
    assert len(store.figures({}, T0, T0 + MINUTE)) == len(store.figures(limits, T0, T0)) == 0


def test_samples_are_the_rows_as_columns(store):
    rows = [reading(2, 0, 24.6), reading(1, 0, -3.05, 1, "卡死"), reading(1, 1, None, 0, "crc"), reading(1, 2, 0.3), reading(300, 1, 5.0, 1, "crc")]
    store.write(rows)
    for _ in range(2):
        assert store.samples([300, 2, 1], T0, T0 + 2 * MINUTE).rows() == sorted(row for row in rows if row.value != 0.3)
        assert store.samples([], T0, T0 + MINUTE).rows() == store.samples([9], T0, T0 + MINUTE).rows() == []
        store.compact(T0 + 10**10)


def test_the_extent_reaches_from_the_first_to_the_last_sample(store):
    assert store.extent() is None
    store.write([reading(1, 5, 20.0), reading(2, 900, 20.0), reading(1, -3, None, 0)])
    assert store.extent() == (T0 - 3 * MINUTE, T0 + 900 * MINUTE)
    store.compact(T0 + 10**10)
    assert store.extent() == (T0 - 3 * MINUTE, T0 + 900 * MINUTE)


def test_samples_about_a_time_of_day(store):
    nine, midnight = 9 * 60 * MINUTE, T0 - (T0 + 8 * 60 * MINUTE) % (1440 * MINUTE)
    at = [nine - 6, nine - 5, nine + 5, nine + 6, 1440 * MINUTE + nine, 1440 * MINUTE + nine + 700, 2880 * MINUTE + nine]
    store.write([Row(point, midnight + offset, 20.0, 2, midnight + offset) for offset in at for point in (1, 2)])
    found = store.at_clock([1], midnight, midnight + 2880 * MINUTE + nine, nine, 5)
    assert (found.point.tolist(), (found.taken_at - midnight).tolist()) == ([1] * 3, [at[1], at[2], at[4]])
    around = store.at_clock([1], midnight, midnight + 5 * 1440 * MINUTE, 1440 * MINUTE - 2, nine)
    assert len(around) == 2, "a window reaches over midnight: nine hours after 23:59:59.998 is 08:59:59.998"
