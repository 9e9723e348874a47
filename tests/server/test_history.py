"""The history loop: journal to series store, at least once and without a double."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select, text

from server.history import READER, History, pause_after
from server.series.embedded import EmbeddedStore
from server.store import journal
from server.store.journal import KEEP_MS, JournalRow
from server.store.tables import Refused

T0 = 1_790_000_000_000
ROOT = Path(__file__).parents[2]


def batch(number, points=(1, 2, 40)):
    return [JournalRow(point, T0 + number * 1000, 20.0 + number % 70, 2, number % 5 == 0, T0 + number * 1000 + 1000) for point in points]


def stored(store):
    return [(row.point_id, row.taken_at, row.value) for row in store.raw([1, 2, 40], 0, T0 + 10**12)]


def expected(*numbers):
    return sorted((row.point_id, row.taken_at, row.value) for number in numbers for row in batch(number))


def fill(db, *numbers):
    with db.write() as session:
        return [journal.append(session, batch(number), T0 + number * 1000) for number in numbers]


def cursor(db):
    with db.read() as session:
        return journal.cursor_of(session, READER)


@pytest.fixture
def store(tmp_path):
    made = EmbeddedStore(tmp_path / "series")
    yield made
    made.close()


def test_entries_move_in_order_and_once(db, store):
    history = History(db, store, batch=7)
    ids = fill(db, *range(6))
    assert [history.run_once(T0) for _ in range(4)] == [9, 9, 0, 0]
    assert stored(store) == expected(*range(6))
    assert cursor(db) == store.mark() == ids[-1]
    fill(db, 6)
    assert history.run_once(T0) == 3
    assert (history.counters.rows, history.counters.repeats, history.counters.failures) == (21, 0, 0)
    with db.read() as session:
        assert history.backlog(session) == 0


def test_a_crash_between_store_and_cursor_repeats_a_batch_and_changes_nothing(db, store):
    history = History(db, store)
    ids = fill(db, 0, 1)
    history.run_once(T0)
    with db.write() as session:
        journal.rewind(session, READER, 0)  # as if the transaction of the cursor had never happened
    again = History(db, store)
    assert again.run_once(T0) == 6
    assert (again.counters.rows, again.counters.repeats, again.counters.conflicts) == (0, 6, 0)
    assert stored(store) == expected(0, 1)
    assert cursor(db) == ids[-1]


def test_a_conflict_is_counted_and_the_first_value_stays(db, store):
    history = History(db, store)
    fill(db, 0)
    with db.write() as session:
        journal.append(session, [msgspec.structs.replace(row, value=-1.0) for row in batch(0)], T0)
    history.run_once(T0)
    assert (history.counters.rows, history.counters.repeats, history.counters.conflicts) == (3, 3, 3)
    assert stored(store) == expected(0)


def test_a_reason_and_a_missing_value_arrive(db, store):
    with db.write() as session:
        journal.append(session, [JournalRow(1, T0, None, 0, False, T0 + 2000, "crc")], T0)
    History(db, store).run_once(T0)
    assert store.raw([1], T0, T0 + 1) == [(1, T0, None, 0, T0 + 2000, "crc")]


def test_a_damaged_entry_is_set_aside_and_the_rest_goes_on(db, store, caplog):
    ids = fill(db, 0, 1, 2)
    with db.write() as session:
        session.execute(text("UPDATE journal SET body = x'0badf00d' WHERE id = :id"), {"id": ids[1]})
    history = History(db, store)
    history.run_once(T0 + 99)
    assert stored(store) == expected(0, 2)
    assert cursor(db) == ids[-1]
    with db.read() as session:
        (kept,) = session.scalars(select(Refused))
        assert (kept.at, kept.topic, kept.reason, kept.payload) == (T0 + 99, f"journal/{ids[1]}", "journal_damaged", b"\x0b\xad\xf0\x0d")
    assert history.counters.damaged == 1
    assert "is damaged and set aside" in caplog.text


def test_only_damaged_entries_move_the_cursor_as_well(db, store):
    ids = fill(db, 0)
    with db.write() as session:
        session.execute(text("UPDATE journal SET body = x'00'"))
    assert History(db, store).run_once(T0) == 3
    assert cursor(db) == ids[-1]
    assert store.count() == 0


def test_what_the_store_cannot_take_is_kept_with_its_reason(db, store):
    fill(db, 0)
    with db.write() as session:
        journal.append(session, [JournalRow(7, 5_000_000_000_000, 1.5, 2, False, T0)], T0)
    history = History(db, store)
    history.run_once(T0)
    assert (history.counters.rows, history.counters.repeats, history.counters.refused) == (3, 0, 1)
    with db.read() as session:
        (kept,) = session.scalars(select(Refused))
        assert (kept.topic, kept.reason, kept.detail) == ("history/7", "series_refused", "time")
        assert json.loads(kept.payload) == [7, 5_000_000_000_000, 1.5, 2, T0, ""]


def test_a_new_store_is_fed_from_the_journal_again(db, tmp_path, caplog):
    first = EmbeddedStore(tmp_path / "first")
    fill(db, *range(4))
    History(db, first).run_once(T0)
    first.close()
    second = EmbeddedStore(tmp_path / "second")
    history = History(db, second)
    assert history.run_once(T0) == 12
    assert stored(second) == expected(*range(4))
    assert "reading again" in caplog.text
    assert "no longer kept" not in caplog.text
    second.close()


def test_a_restored_store_is_fed_from_where_it_stands_and_the_hole_is_reported(db, tmp_path, caplog):
    old = EmbeddedStore(tmp_path / "old")
    current = EmbeddedStore(tmp_path / "current")
    fill(db, 0)
    History(db, old).run_once(T0)
    with db.write() as session:
        journal.rewind(session, READER, 0)
    fill(db, 1, 2, 3)
    history = History(db, current)
    history.run_once(T0)
    assert history.prune(T0 + 2000 + KEEP_MS) == 2
    current.close()
    assert History(db, old).run_once(T0) == 6
    assert stored(old) == expected(0, 2, 3)
    assert "journal 2 … 2 is no longer kept" in caplog.text
    old.close()


def test_prune_never_takes_what_history_has_not_moved(db, store):
    history = History(db, store, batch=1)
    fill(db, *range(12))
    assert history.prune(T0 + 10 * KEEP_MS) == 0
    for _ in range(8):
        history.run_once(T0)
    assert history.prune(T0 + 10 * KEEP_MS) == 8
    with db.read() as session:
        assert history.backlog(session) == 12


def test_prune_works_through_more_than_one_transaction(db, store):
    history = History(db, store)
    with db.write() as session:
        last = [journal.append(session, batch(number), T0) for number in range(450)][-1]
        journal.advance(session, READER, last)
    assert history.prune(T0 + 2 * KEEP_MS) == 450


def test_compact_is_the_stores_affair(db, store):
    history = History(db, store)
    fill(db, 0, 1)
    history.run_once(T0)
    assert history.compact(T0 + 40 * 86_400_000) == 6
    assert stored(store) == expected(0, 1)


def test_the_pause_grows_to_a_minute_and_stays_there_for_days():
    assert [pause_after(failures, 0.5) for failures in (1, 2, 3, 6, 7, 100_000)] == [1.0, 2.0, 4.0, 32.0, 60.0, 60.0]


WORKER = """
import sys
from server.history import History
from server.series.embedded import EmbeddedStore
from server.store.session import Database
store = EmbeddedStore(sys.argv[2])
history = History(Database(sys.argv[1]), store, batch=12)
for count in range(1000):
    if not history.run_once(0):
        break
    print("moved", flush=True)
    if count % 4 == 2:
        store.compact(2_000_000_000_000)
print("done", flush=True)
"""


@pytest.mark.faults
def test_killed_again_and_again_the_store_ends_up_with_the_journal(db, tmp_path):
    fill(db, *range(60))
    chance = random.Random(7)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    word, kills = "", 0
    while word != "done":
        command = [sys.executable, "-c", WORKER, str(db.engine.url), str(tmp_path / "series")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(chance.randint(1, 4) if kills < 3 else 1000):
            word = process.stdout.readline().strip()
            if word != "moved":
                break
        kills += word == "moved"
        process.kill()
        process.wait()
        process.stdout.close()
    assert kills == 3
    store = EmbeddedStore(tmp_path / "series")
    assert stored(store) == expected(*range(60))
    assert store.conflicts == 0
    store.close()
