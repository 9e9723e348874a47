"""The copy of the tree in memory says what the database says, in every transaction and after every change."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import event

from server.store import units
from server.store.session import Database
from server.store.tables import Unit
from tests.fresh import fresh


def unit(code: str, parent: str | None, level: int) -> Unit:
    return Unit(code=code, parent=parent, level=level, name=code, short_name=code[:6])


@pytest.fixture
def db(tmp_path: Path):
    made = Database(fresh(tmp_path / "aw.db"))
    with made.write() as session:
        session.add(unit("top", None, 1))
        session.flush()
        session.add_all([unit("east", "top", 2), unit("west", "top", 2)])
        session.flush()
        session.add(unit("station", "east", 3))
    yield made
    made.close()


def where(db: Database) -> tuple[str, ...]:
    with db.read() as session:
        return units.path(session, "station")


def test_it_asks_the_database_once(db: Database) -> None:
    asked = []
    assert where(db) == ("top", "east", "station")
    event.listen(db.engine, "before_cursor_execute", lambda *rest: asked.append(rest[2]))
    with db.read() as session:
        assert units.within(session, "station", "top")
        assert units.within(session, "station", "east")
        assert not units.within(session, "station", "west")
        assert not units.within(session, "nowhere", "top")
        assert units.within(session, "nowhere", None)
    assert asked == []


@pytest.mark.parametrize("how", ["orm", "core"])
def test_a_move_is_seen_at_once_by_its_own_transaction_and_after_the_commit_by_all(db: Database, how: str) -> None:
    assert where(db)[1] == "east"
    with db.write() as session:
        if how == "orm":
            session.get_one(Unit, "station").parent = "west"
        else:
            session.query(Unit).filter_by(code="station").update({"parent": "west"})
        assert units.path(session, "station")[1] == "west"
        assert where(db)[1] == "east", "another reader sees what is committed"
    assert where(db)[1] == "west"


def test_a_move_that_is_rolled_back_never_was(db: Database) -> None:
    assert where(db)[1] == "east"

    def fails_halfway() -> None:
        with db.write() as session:
            session.get_one(Unit, "station").parent = "west"
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails_halfway()
    assert where(db)[1] == "east"
    with db.write() as session:
        session.add(unit("new", "west", 3))
        assert units.path(session, "new") == ("top", "west", "new")
    with db.read() as session:
        assert units.within(session, "new", "west")


def test_a_reader_with_an_old_snapshot_keeps_nothing_stale(db: Database) -> None:
    with db.read() as old:
        assert old.get_one(Unit, "station").parent == "east"  # its snapshot begins here

        def move() -> None:
            with db.write() as session:
                session.get_one(Unit, "station").parent = "west"

        thread = threading.Thread(target=move)
        thread.start()
        thread.join()
        assert units.path(old, "station")[1] == "west", "rights follow the newest commit, not a snapshot"
    assert where(db)[1] == "west"
