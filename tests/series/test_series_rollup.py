"""Roll-ups: whatever has been rolled up, arrived late or been judged anew, the answer is the one that the samples give."""

import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.series import Earlier, Limits, Row, fold
from server.series.batch import Batch
from server.series.compaction import Policy
from server.series.embedded import EmbeddedStore
from server.series.partition import DAY_MS, day_of, day_start

DAY = day_of(1_790_000_000_000)
START = day_start(DAY)
HOUR = 3_600_000
POINTS = (1, 2, 17, 18)
PAST = (Earlier(START + DAY_MS + 7 * HOUR, 2 * HOUR), Earlier(START + 3 * DAY_MS, HOUR // 4))
"""A point that was read more seldom, then more often, then as today."""
LIMITS = {1: Limits(HOUR, 14, 24, PAST), 2: Limits(2 * HOUR, None, 60), 17: Limits(HOUR // 2), 18: Limits(HOUR, 20, None)}


def rows_of(chance, days, share=1.0):
    found = []
    for point in POINTS:
        for taken in range(START, START + days * DAY_MS, 25 * 60_000):
            if chance.random() < share:
                good = chance.random() < 0.9
                found.append(Row(point, taken + point, round(chance.uniform(10, 70), 1) if good else None, 2 if good else 0, taken + 5000))
    return found


def by_samples(rows, limits, start, end, step):
    batch, _ = Batch.of([row for row in rows if row.point_id in limits and start - 2 * HOUR <= row.taken_at < end]).firsts()
    samples = fold.Samples(batch.point, batch.taken_at, batch.value, batch.quality)
    return fold.figures(samples, start, end, end - start if step is None else step, limits)


def assert_same(found, expected):
    assert found.point.tolist() == expected.point.tolist()
    for name in ("time", "min", "max", "count", "watched_ms", "in_band_ms"):
        assert getattr(found, name).tolist() == getattr(expected, name).tolist(), name
    assert np.allclose(found.mean, expected.mean, rtol=0, atol=5.1e-5), "a roll-up keeps the mean to a thousandth of the resolution of 0.1"


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6),
    step=st.sampled_from([None, 600_000, HOUR, 3 * HOUR, DAY_MS, 3 * DAY_MS]),
    start=st.sampled_from([0, 0, DAY_MS, 5 * HOUR, 5 * HOUR + 1234, -DAY_MS]),
    length=st.sampled_from([6 * DAY_MS, 3 * DAY_MS, 4 * DAY_MS + 7 * HOUR, 2 * DAY_MS + 12345]),
)
def test_any_question_is_answered_as_by_the_samples(tmp_path_factory, seed, step, start, length):
    chance = random.Random(seed)
    store = EmbeddedStore(tmp_path_factory.mktemp("rolled") / "series", policy=Policy(grace_ms=0))
    rows = rows_of(chance, 5)
    late = [row for row in rows if chance.random() < 0.01]
    changed = LIMITS | {2: Limits(HOUR, 30, 50, PAST[:1]), 1: LIMITS[1]._replace(earlier=PAST[1:])}
    try:
        store.set_limits(LIMITS)
        store.write([row for row in rows if row not in late and row.taken_at < START + 4 * DAY_MS])
        store.compact(START + 4 * DAY_MS)
        store.write([row for row in rows if row.taken_at >= START + 4 * DAY_MS])
        store.write(late)
        since, until = START + start, START + start + length
        for limits in (LIMITS, changed):
            assert_same(store.figures(limits, since, until, step), by_samples(rows, limits, since, until, step))
        store.set_limits(changed)
        assert_same(store.figures(changed, since, until, step), by_samples(rows, changed, since, until, step))
        store.compact(START + 6 * DAY_MS)
        assert_same(store.figures(changed, since, until, step), by_samples(rows, changed, since, until, step))
    finally:
        store.close()


def listed(store):
    with store._hot.reading() as connection:
        return connection.execute("SELECT day, bucket, version FROM rolled ORDER BY day, bucket").fetchall()


def test_only_what_changed_is_rolled_up_again(tmp_path):
    store = EmbeddedStore(tmp_path / "series", policy=Policy(grace_ms=0))
    assert store.set_limits(LIMITS) == 4
    store.write(rows_of(random.Random(1), 3))
    store.compact(START + 3 * DAY_MS)
    assert listed(store) == [(DAY + day, bucket, 1) for day in range(3) for bucket in (0, 1)]
    files = store.rollup_files()
    assert store.set_limits(LIMITS) == 0
    store.compact(START + 3 * DAY_MS)
    assert store.rollup_files() == files, "nothing to do, nothing touched"
    store.write([Row(2, START + DAY_MS + 77, 20.0, 2, START + 3 * DAY_MS)])
    assert listed(store) == [(DAY, 0, 1), (DAY, 1, 1), (DAY + 1, 1, 1), (DAY + 2, 1, 1)], "the late sample's day, and the next into which it may hold"
    store.compact(START + 3 * DAY_MS)
    assert store.set_limits({17: Limits(HOUR, 1, 2)}) == 1
    store.compact(START + 3 * DAY_MS)
    assert {(bucket, version) for _, bucket, version in listed(store)} == {(0, 1), (1, 2)}
    store.close()


def test_long_ranges_do_not_read_samples(tmp_path, monkeypatch):
    store = EmbeddedStore(tmp_path / "series", policy=Policy(grace_ms=0))
    store.set_limits(LIMITS)
    store.write(rows_of(random.Random(2), 4))
    store.compact(START + 5 * DAY_MS)
    monkeypatch.setattr("server.series.queries.samples", lambda *_: pytest.fail("samples were read"))
    assert len(store.figures(LIMITS, START, START + 4 * DAY_MS, DAY_MS)) == 16
    assert len(store.figures(LIMITS, START, START + 4 * DAY_MS)) == 4
    assert store.buckets([18], START, START + DAY_MS, 6 * HOUR, HOUR)
    store.close()


def test_a_lost_roll_up_is_made_again(tmp_path):
    store = EmbeddedStore(tmp_path / "series", policy=Policy(grace_ms=0))
    store.set_limits(LIMITS)
    store.write(rows_of(random.Random(3), 3))
    store.compact(START + 4 * DAY_MS)
    before = store.figures(LIMITS, START, START + 3 * DAY_MS, DAY_MS)
    store.close()
    next((tmp_path / "series" / "rollup").glob("*")).unlink()
    (tmp_path / "series" / "rollup" / "2020-01.day.b00.00000001.tmp").write_bytes(b"half a file")
    store = EmbeddedStore(tmp_path / "series", policy=Policy(grace_ms=0))
    assert_same(store.figures(LIMITS, START, START + 3 * DAY_MS, DAY_MS), before)
    store.compact(START + 4 * DAY_MS)
    assert_same(store.figures(LIMITS, START, START + 3 * DAY_MS, DAY_MS), before)
    assert {path.name for path in (tmp_path / "series" / "rollup").glob("*")} == {file.file.partition("/")[2] for file in store.rollup_files()}
    store.close()


def test_what_outlives_its_retention_is_rolled_up_first(tmp_path):
    store = EmbeddedStore(tmp_path / "series", policy=Policy(grace_ms=0))
    rows = rows_of(random.Random(4), 3)
    store.set_limits(LIMITS)
    store.write(rows)
    assert store.expire(START + 2 * DAY_MS) > 0, "nothing had been compacted"
    whole = (START, START + 2 * DAY_MS, DAY_MS)
    assert_same(store.figures(LIMITS, *whole), by_samples(rows, LIMITS, *whole))
    store.close()
