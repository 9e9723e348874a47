"""Writers of one SQLite file take turns: whoever waits comes next, the watch first, and nobody is kept out for ever."""

import threading

import pytest
from sqlalchemy import delete, insert, text
from sqlalchemy.exc import OperationalError

from server.store.session import Database, NestedWriteError, ReadOnlyError
from server.store.tables import Refused

PATIENCE_S = 20


def test_who_waits_comes_next_and_the_watch_before_the_others(tmp_path):
    db, order, threads = Database(f"sqlite:///{tmp_path / 'a.db'}"), [], []
    with db.write() as session:
        session.execute(text("CREATE TABLE t (x INTEGER)"))

    def writer(name, first):
        with db.write(first=first) as session:
            session.execute(text("INSERT INTO t VALUES (1)"))
            order.append(name)

    with db.write():
        for number, (name, first) in enumerate((("b", False), ("c", False), ("watch", True)), 1):
            threads.append(threading.Thread(target=writer, args=(name, first)))
            threads[-1].start()
            while len(db._turns._waiting) < number:
                threading.Event().wait(0.001)
    for thread in threads:
        thread.join(PATIENCE_S)
    assert order == ["watch", "b", "c"]
    with db.read() as session:
        assert session.scalar(text("SELECT count(*) FROM t")) == 3
    db.close()


def test_one_that_commits_without_a_pause_keeps_nobody_out(tmp_path):
    db, stop = Database(f"sqlite:///{tmp_path / 'a.db'}"), threading.Event()
    with db.write() as session:
        session.execute(text("CREATE TABLE t (x INTEGER)"))

    def busy():
        while not stop.is_set():
            with db.write(first=True) as session:
                session.execute(text("INSERT INTO t VALUES (1)"))

    thread = threading.Thread(target=busy)
    thread.start()
    for _ in range(10):
        with db.write() as session:
            session.execute(text("INSERT INTO t VALUES (2)"))
    stop.set()
    thread.join(PATIENCE_S)
    with db.read() as session:
        rows = list(session.scalars(text("SELECT x FROM t ORDER BY rowid")))
    others = [place for place, value in enumerate(rows) if value == 2]
    assert len(others) == 10
    db.close()


def test_a_failed_transaction_gives_its_turn_away(tmp_path):
    db = Database(f"sqlite:///{tmp_path / 'a.db'}")
    for _ in range(2):
        with pytest.raises(OperationalError), db.write() as session:
            session.execute(text("INSERT INTO nowhere VALUES (1)"))
    with db.write() as session:
        session.execute(text("CREATE TABLE t (x INTEGER)"))
    db.close()


def test_a_write_inside_a_write_is_refused_at_once_and_the_next_one_works(tmp_path):
    db = Database(f"sqlite:///{tmp_path / 'a.db'}")

    def nested():
        with db.write(), db.write():
            pass

    with pytest.raises(NestedWriteError):
        nested()
    with db.write() as session:
        session.execute(text("CREATE TABLE t (x INTEGER)"))
    db.close()


@pytest.mark.parametrize("write", [
    lambda session: session.add(Refused(at=1, topic="t", reason="r", detail="", payload=b"")) or session.flush(),
    lambda session: session.execute(delete(Refused)),
    lambda session: session.execute(insert(Refused).values(at=1, topic="t", reason="r", detail="", payload=b"")),
])  # fmt: skip
def test_a_session_for_queries_writes_nothing(db, write):
    with db.read() as session, pytest.raises(ReadOnlyError, match="for queries"):
        write(session)
    with db.write() as session:
        write(session)


def test_a_checkpoint_brings_everything_into_the_file_and_the_log_starts_anew(tmp_path):
    db = Database(f"sqlite:///{tmp_path / 'a.db'}")
    with db.write() as session:
        session.execute(text("CREATE TABLE t (x BLOB)"))
    for _ in range(20):
        with db.write() as session:
            session.execute(text("INSERT INTO t VALUES (randomblob(100000))"))
    log = tmp_path / "a.db-wal"
    grown = log.stat().st_size
    db.checkpoint()
    (tmp_path / "alone.db").write_bytes((tmp_path / "a.db").read_bytes())
    alone = Database(f"sqlite:///{tmp_path / 'alone.db'}")
    with alone.read() as session:
        assert session.scalar(text("SELECT count(*) FROM t")) == 20
    alone.close()
    for _ in range(10):
        with db.write() as session:
            session.execute(text("INSERT INTO t VALUES (randomblob(100000))"))
    assert log.stat().st_size == grown
    db.close()
