"""The newest sample of each point is remembered; whatever comes early, late, twice or goes, the answer is the one that the samples give."""

import random

import pytest

from server.series import Row
from server.series.compaction import Policy
from server.series.embedded import EmbeddedStore
from server.series.partition import DAY_MS, day_of, day_start

START = day_start(day_of(1_790_000_000_000))
POINTS = (-3, 1, 2, 17, 4_000_001)


def naive(rows, since):
    best = {}
    for row in rows:
        if row.taken_at >= since and (row.point_id not in best or best[row.point_id].taken_at < row.taken_at):
            best[row.point_id] = row
    return best


def some_rows(chance, day):
    """A few rows of this day or of an earlier one; some without a value or with a reason."""
    found = []
    for _ in range(chance.randrange(1, 12)):
        taken = START + chance.randint(0, day) * DAY_MS + chance.randrange(0, DAY_MS, 60_000)
        good = chance.random() < 0.8
        found.append(Row(chance.choice(POINTS), taken, 20.5 if good else None, 2 if good else 0, taken + 1000, "" if good else "crc"))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_the_newest_is_what_the_samples_say(tmp_path, seed):
    chance, held = random.Random(seed), {}
    store = EmbeddedStore(tmp_path / "series", policy=Policy(grace_ms=0))
    for day in range(8):
        rows = some_rows(chance, day)
        store.write(rows)
        for row in rows:
            held.setdefault((row.point_id, row.taken_at), row)
        if chance.random() < 0.3:
            store.compact(START + (day + 1) * DAY_MS)
        if chance.random() < 0.2:
            before = START + chance.randint(0, day) * DAY_MS
            store.expire(before)
            kept = {(row.point_id, row.taken_at) for row in store.raw(POINTS, 0, 1 << 62)}
            held = {key: row for key, row in held.items() if key in kept}
        if chance.random() < 0.2:
            store.close()
            store = EmbeddedStore(tmp_path / "series", policy=Policy(grace_ms=0))
        for since in (0, START + chance.randint(0, day) * DAY_MS):
            asked = chance.sample(POINTS, 3)
            expected = {point: row for point, row in naive(held.values(), since).items() if point in asked}
            assert store.last(asked, since) == expected, (seed, day, since)
    store.close()


def test_a_question_asked_twice_reads_nothing_and_a_failed_write_is_not_remembered(embedded, monkeypatch):
    embedded.write([Row(1, START, 20.0, 2, START), Row(2, START, 21.0, 2, START)])
    assert embedded.last([1, 2, 3]).keys() == {1, 2}

    def no_reading():
        raise AssertionError("the store is read")

    monkeypatch.setattr(embedded._snapshots, "now", no_reading)
    assert embedded.last([1, 2, 3])[2].value == 21.0
    monkeypatch.undo()
    monkeypatch.setattr("server.series.embedded._insert", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        embedded.write([Row(1, START + 60_000, 25.0, 2, START)])
    assert embedded.last([1])[1].value == 20.0
    monkeypatch.undo()
    assert embedded.write([Row(1, START + 60_000, 25.0, 2, START)]) == 1
    assert embedded.last([1])[1].value == 25.0


def test_a_file_whose_values_are_all_whole_is_read_the_same(tmp_path):
    """Buckets whose files leave out columns, beside those that need all."""
    store = EmbeddedStore(tmp_path / "series", policy=Policy(grace_ms=0))
    plain = [Row(1, START + n * 60_000, None if n == 3 else 20 + n / 10, 0 if n == 3 else 2, START + n * 60_000 + 1000) for n in range(9)]
    other = [Row(17, START + n * 60_000, n / 3, 2, START + n * 60_000 + 1000, "late" if n == 4 else "") for n in range(9)]
    store.write(plain + other)
    store.compact(START + 3 * DAY_MS)
    with store._hot.reading() as connection:
        assert connection.execute("SELECT bucket, plain FROM partition ORDER BY bucket").fetchall() == [(0, 10), (1, None)]
    assert store.raw([1, 17], START, START + DAY_MS) == plain + other
    assert store.samples([1, 17], START, START + DAY_MS).rows() == plain + other
    store.close()
