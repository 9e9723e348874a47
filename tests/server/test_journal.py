"""The journal: its body codec, its readers, its pruning."""

import contextlib
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text

from contract.sample import Quality
from server.store import journal
from server.store.journal import KEEP_MS, QUALITIES, QUALITY_CODE, JournalDamagedError, JournalRow, decode, encode
from server.store.session import Database
from server.store.tables import Journal, Point
from tests.fresh import fresh

T0 = 1_790_000_000_000

rows = st.lists(
    st.builds(
        JournalRow,
        st.integers(1, 2**40),
        st.integers(0, 2**45),
        st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
        st.integers(0, 3),
        st.booleans(),
        st.integers(0, 2**45),
        st.sampled_from(["", "", "crc", "stuck", "超出量程"]),
    ),
    min_size=1,
    max_size=60,
)


@pytest.fixture
def db(tmp_path):
    made = Database(fresh(tmp_path / "aw.db"))
    yield made
    made.close()


def batch(number, points=(1, 2)):
    return [JournalRow(point, T0 + number * 1000, 20.0 + number, 2, False, T0 + number * 1000 + 300) for point in points]


@given(rows)
def test_what_is_packed_comes_back(listed):
    assert list(decode(encode(listed)).rows()) == listed


def test_more_than_256_reasons_fit():
    listed = [JournalRow(1, index, None, 0, True, index, f"reason {index}") for index in range(400)]
    assert list(decode(encode(listed)).rows()) == listed


def test_a_batch_of_500_is_small():
    listed = [JournalRow(index, T0, 20 + index % 40 / 10, 2, False, T0 + 300) for index in range(500)]
    assert len(encode(listed)) < 2_500


def test_nothing_is_no_journal_row():
    with pytest.raises(ValueError, match="at least one"):
        encode([])


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_body_is_never_read_as_another_one(place, change):
    body = bytearray(encode(batch(1) + batch(2)))
    body[place % len(body)] ^= change
    with contextlib.suppress(JournalDamagedError):  # refused, or a bit that carries nothing
        assert list(decode(bytes(body)).rows()) == batch(1) + batch(2)


@pytest.mark.parametrize("change", [{0: 2}, {1: []}, {1: [1]}, {3: [1.0]}, {4: b"\x02"}, {2: [1]}, {6: []}, {7: []}, {8: [0, 9]}])
def test_columns_that_do_not_belong_together_are_refused(change):
    packed = msgspec.msgpack.decode(zlib.decompress(encode(batch(1))))
    for column, value in change.items():
        packed[column] = value
    with pytest.raises(JournalDamagedError):
        decode(zlib.compress(msgspec.msgpack.encode(packed)))


def test_quality_codes_are_those_of_the_series_store():
    assert [QUALITY_CODE[quality] for quality in (Quality.BAD, Quality.UNCERTAIN, Quality.GOOD, Quality.STALE)] == [0, 1, 2, 3]
    assert all(QUALITIES[code] is quality for quality, code in QUALITY_CODE.items())


def test_reading_forwards_and_backwards(db):
    with db.write() as session:
        ids = [journal.append(session, batch(number), T0 + number) for number in range(7)]
    assert ids == sorted(set(ids))
    with db.read() as session:
        assert [entry.id for entry in journal.read_after(session, ids[1], 3)] == ids[2:5]
        assert journal.read_after(session, ids[-1], 3) == []
        assert [entry.id for entry in journal.walk_back(session, page=2)] == ids[::-1]
        newest = next(journal.walk_back(session))
        assert (newest.received_at, newest.samples, list(newest.columns().rows())) == (T0 + 6, 2, batch(6))
        assert journal.oldest(session) == ids[0]


def test_a_reader_moves_forward_only_unless_rewound(db):
    with db.write() as session:
        ids = [journal.append(session, batch(number), T0) for number in range(4)]
        assert journal.cursor_of(session, "history") == 0
        assert journal.backlog(session, "history") == 8
        journal.advance(session, "history", ids[2])
        journal.advance(session, "history", ids[0])
        assert journal.cursor_of(session, "history") == ids[2]
        assert journal.backlog(session, "history") == 2
        journal.rewind(session, "history", ids[3])
        assert journal.cursor_of(session, "history") == ids[2]
        journal.rewind(session, "history", ids[0])
        assert journal.backlog(session, "history") == 6
        journal.register(session, "history")
        assert journal.cursor_of(session, "history") == ids[0]


def test_an_append_that_is_rolled_back_leaves_nothing(db):
    def appended_and_refused():
        with db.write() as session:
            journal.append(session, batch(1), T0)
            journal.append(session, [], T0)

    with pytest.raises(ValueError, match="at least one"):
        appended_and_refused()
    with db.read() as session:
        assert journal.oldest(session) is None


def test_prune_keeps_what_a_reader_still_needs_and_what_is_young(db):
    with db.write() as session:
        ids = [journal.append(session, batch(number), T0 + number * 1000) for number in range(5)]
        assert journal.prune(session, T0 + 10 * KEEP_MS) == 0, "nobody has registered"
        journal.register(session, "slow")
        journal.advance(session, "history", ids[-1])
        assert journal.prune(session, T0 + 10 * KEEP_MS) == 0, "one reader has read nothing"
        journal.advance(session, "slow", ids[3])
        assert journal.prune(session, T0 + KEEP_MS) == 0, "not older than a day"
        assert journal.prune(session, T0 + KEEP_MS + 1001) == 2
        assert journal.prune(session, T0 + 10 * KEEP_MS, limit=1) == 1
        assert journal.prune(session, T0 + 10 * KEEP_MS) == 1
        assert session.scalars(select(Journal.id)).all() == [ids[4]]
        assert journal.append(session, batch(9), T0) > ids[4], "ids are never used twice"


def test_prune_remembers_the_last_sample_of_each_point(db):
    with db.write() as session:
        session.add_all(Point(id=number, gateway="G", device=f"d{number}", quantity="humidity", created_at=0) for number in (1, 2, 3))
        last = max(journal.append(session, some, T0) for some in (batch(5, (1, 2)), batch(3, (1,)), batch(8, (9,))))
        journal.advance(session, "history", last)
    with db.write() as session:
        session.get_one(Point, 2).last_at = T0 + 60_000
    with db.write() as session:
        assert journal.prune(session, T0 + 2 * KEEP_MS) == 3
    with db.read() as session:
        assert {point.id: point.last_at for point in session.scalars(select(Point))} == {1: T0 + 5000, 2: T0 + 60_000, 3: None}


def test_prune_deletes_damaged_entries_too(db, caplog):
    with db.write() as session:
        journal.advance(session, "history", journal.append(session, batch(1), T0))
        session.execute(text("UPDATE journal SET body = x'00'"))
        assert journal.prune(session, T0 + 2 * KEEP_MS) == 1
    assert "damaged journal entry is deleted" in caplog.text
