"""Buckets and compliance against a reference that looks at every single millisecond."""

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.series import Earlier, Limits, Row, fold
from server.series.batch import Batch
from server.series.fold import Samples

rows = st.lists(
    st.builds(
        lambda point, taken, value, quality: Row(point, taken, value if quality else None, quality, taken),
        st.integers(1, 3),
        st.integers(-40, 260),
        st.floats(-50, 50).map(lambda value: round(value, 1)),
        st.sampled_from([2, 2, 2, 2, 0, 1, 3]),
    ),
    max_size=40,
    unique_by=lambda row: (row.point_id, row.taken_at),
)


def buckets(samples, start, end, step, hold):
    return fold.figures(samples, start, end, step, fold.limits_of(range(1, 4), hold)).buckets()


def all_buckets(fetch, points, start, end, step, hold):
    fold.check(points, start, end, step)
    return fold.all_figures(fetch, fold.limits_of(points, hold), start, end, step).buckets()


def columns(listed):
    batch, _ = Batch.of(sorted(listed)).firsts()
    return Samples(batch.point, batch.taken_at, batch.value, batch.quality)


def held(listed, point, instant, hold):
    """The good value in force at an instant, None if there is none."""
    before = [row for row in listed if row.point_id == point and row.taken_at <= instant]
    latest = max(before, key=lambda row: row.taken_at, default=None)
    good = latest is not None and latest.quality == 2 and latest.value is not None and instant < latest.taken_at + hold
    return latest.value if good else None


def reference(listed, start, end, step, holds):
    in_force, counts = defaultdict(list), defaultdict(int)
    for point in holds:
        for instant in range(start, end):
            value = held(listed, point, instant, holds[point])
            if value is not None:
                in_force[point, start + (instant - start) // step * step].append(value)
    for row in listed:
        if row.quality == 2 and row.value is not None and start <= row.taken_at < end:
            counts[row.point_id, start + (row.taken_at - start) // step * step] += 1
    return {key: (min(values), math.fsum(values) / len(values), max(values), counts[key], len(values)) for key, values in in_force.items()}


@given(rows, st.integers(1, 90), st.integers(0, 20), st.integers(0, 200), st.tuples(*[st.integers(1, 120)] * 3))
def test_buckets_are_what_every_millisecond_says(listed, step, start, length, holds):
    hold = dict(enumerate(holds, 1))
    expected = reference(listed, start, start + length, step, hold)
    visible = [row for row in listed if start - max(holds) <= row.taken_at < start + length]
    found = buckets(columns(visible), start, start + length, step, hold) if visible else []
    assert [(bucket.point, bucket.time) for bucket in found] == sorted(expected)
    for bucket in found:
        low, mean, high, count, watched = expected[bucket.point, bucket.time]
        assert (bucket.min, bucket.max, bucket.count, bucket.watched_ms) == (low, high, count, watched)
        assert bucket.mean == pytest.approx(mean, abs=1e-9)
        assert bucket.min <= bucket.mean <= bucket.max


@given(rows, st.integers(1, 60), st.one_of(st.none(), st.integers(-20, 20)), st.one_of(st.none(), st.integers(-20, 20)))
def test_compliance_is_what_every_millisecond_says(listed, hold, low, high):
    mine = [row for row in listed if row.point_id == 1]
    values = [held(mine, 1, instant, hold) for instant in range(200)]
    valid = [value for value in values if value is not None]
    inside = [value for value in valid if (low is None or value >= low) and (high is None or value <= high)]
    found = fold.figures(columns(row for row in mine if -hold <= row.taken_at < 200), 0, 200, 200, {1: Limits(hold, low, high)})
    assert (found.in_band_ms.sum(), found.watched_ms.sum()) == (len(inside), len(valid))


@given(rows, st.integers(1, 50))
def test_cutting_a_period_into_windows_changes_nothing(listed, step):
    def fetch(points, first, last):
        return columns(row for row in listed if row.point_id in points and first <= row.taken_at <= last)

    whole = all_buckets(fetch, [1, 2, 3], 0, 240, step, 70)
    pieces = [all_buckets(fetch, [1, 2, 3], since, min(240, since + step), step, 70) for since in range(0, 240, step)]
    assert sorted(whole, key=lambda each: (each.time, each.point)) == [bucket for piece in pieces for bucket in piece]


def test_a_bad_sample_ends_the_hold_of_a_good_one():
    listed = [Row(1, 0, 20.0, 2, 0), Row(1, 10, None, 0, 10), Row(1, 60, 22.0, 2, 60)]
    (first, second) = buckets(columns(listed), 0, 100, 50, 1000)
    assert (first.watched_ms, first.count, first.mean) == (10, 1, 20.0)
    assert (second.watched_ms, second.count, second.mean) == (40, 1, 22.0)


def test_a_year_of_one_second_buckets_is_refused_in_words():
    with pytest.raises(ValueError, match="longer step"):
        all_buckets(lambda *_: columns([]), [1], 0, 365 * 86_400_000, 1000, 60_000)


@pytest.mark.parametrize(("step", "hold", "words"), [(0, 1000, "no buckets"), (1000, 0, "at least 1 ms"), (1000, {2: 5}, "no allowed silence")])
def test_impossible_questions_are_refused(step, hold, words):
    with pytest.raises(ValueError, match=words):
        all_buckets(lambda *_: columns([]), [1], 0, 10_000, step, hold)


def test_the_first_of_equal_keys_wins_and_others_are_counted():
    batch, conflicts = Batch.of(
        [Row(1, 5, 1.0, 2, 9), Row(1, 5, 1.0, 2, 10), Row(1, 5, 2.0, 2, 11), Row(1, 4, None, 0, 9), Row(1, 4, None, 0, 9)]
    ).firsts()
    assert conflicts == 1
    assert batch.rows() == [Row(1, 4, None, 0, 9), Row(1, 5, 1.0, 2, 9)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_not_taken(value):
    with pytest.raises(ValueError, match="not finite"):
        Batch.of([Row(1, 5, value, 2, 9)])


def test_joined_batches_keep_their_reasons():
    one, two = Batch.of([Row(1, 1, None, 0, 1, "crc")]), Batch.of([Row(2, 1, 5.0, 1, 1, "stuck"), Row(3, 1, None, 0, 1, "crc"), Row(4, 1, 1.0, 2, 1)])
    assert [row.reason for row in Batch.joined([one, two]).rows()] == ["crc", "stuck", "crc", ""]
    assert len(Batch.joined([])) == 0
    assert np.array_equal(Batch.joined([one]).point, one.point)


def test_a_sample_holds_for_as_long_as_was_allowed_when_it_was_taken():
    past = (Earlier(100, 30), Earlier(200, 5))
    rows = [Row(1, taken, 7.0, 2, taken) for taken in (0, 40, 99, 130, 199, 200)]
    found = fold.figures(columns(rows), 0, 300, 300, {1: Limits(10, None, None, past), 2: Limits(10)})
    assert found.watched_ms.tolist() == [30 + 30 + 30 + 5 + 1 + 10]
    assert fold.longest({1: Limits(10, earlier=past)}) == 30
    with pytest.raises(ValueError, match="at least 1 ms"):
        fold.longest({1: Limits(10, earlier=(Earlier(5, 0),))})
