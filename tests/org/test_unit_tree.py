"""The tree of units in memory says what the database says: at once after a change by this process, soon after one by another."""

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import InstrumentedAttribute, Session

from server.store import tree, units
from server.store.session import Database
from server.store.tables import AuditEntry, Gateway, Person, Unit
from tests.org.conftest import CITY, COUNTY, PROVINCE, SISTER, STATION


def within(db: Database, code: str, scope: str) -> bool:
    with db.read() as session:
        return units.within(session, code, scope)


def test_a_path_goes_from_the_top_down(db: Database) -> None:
    with db.read() as session:
        assert units.path(session, STATION) == (PROVINCE, CITY, COUNTY, STATION)
        assert units.path(session, "999999999999") == ()
        assert [units.within(session, STATION, scope) for scope in (None, PROVINCE, COUNTY, STATION, SISTER)] == [True, True, True, True, False]
        assert not units.within(session, COUNTY, STATION)


@pytest.mark.parametrize("how", ["row", "statement"])
def test_a_move_counts_inside_its_transaction_and_after_it(db: Database, how: str) -> None:
    assert within(db, STATION, COUNTY)
    with db.read() as old:
        units.get(old, STATION)  # a snapshot from before the move
        with db.write() as session:
            if how == "row":
                session.get_one(Unit, STATION).parent = SISTER
                assert units.within(session, STATION, SISTER), "not even flushed"
            else:
                session.execute(text(f"UPDATE unit SET parent = '{SISTER}' WHERE code = '{STATION}'"))
                assert units.within(session, STATION, SISTER)
        assert units.within(old, STATION, SISTER), "rights follow the tree of now, whatever the asker's snapshot"
    assert within(db, STATION, SISTER)
    assert not within(db, STATION, COUNTY)


def test_a_move_that_is_rolled_back_never_was(db: Database) -> None:
    def fail() -> None:
        with db.write() as session:
            session.get_one(Unit, STATION).parent = SISTER
            session.flush()
            assert units.within(session, STATION, SISTER)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert within(db, STATION, COUNTY)


def test_what_another_process_wrote_is_seen_after_a_while(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    assert within(db, STATION, COUNTY)
    other = Database(str(db.engine.url))
    with other.write() as session:
        session.get_one(Unit, STATION).parent = SISTER
    other.close()
    monkeypatch.setattr(tree.time, "monotonic", lambda real=tree.time.monotonic: real() + tree.RELOAD_S)
    assert within(db, STATION, SISTER)


def test_whoever_sees_the_whole_tree_is_not_asked_for_each_row_and_nobody_sees_more_by_it(db: Database) -> None:
    def asked(column: InstrumentedAttribute, scope: str | None) -> bool:
        with db.read() as session:
            return str(units.inside(session, column, scope)) != "true"

    assert [asked(Person.unit, scope) for scope in (None, PROVINCE, CITY)] == [False, False, True]
    assert asked(Gateway.unit, PROVINCE), "a gateway of nobody lies below nobody"
    assert asked(AuditEntry.unit, PROVINCE), "an entry about the whole names no unit"
    with db.write() as session:
        session.add(Unit(code="360000000000", parent=None, level=1, name="邻省", short_name="邻省"))
        session.flush()
        assert str(units.inside(session, Person.unit, PROVINCE)) != "true", "inside the transaction that changes the tree"
    assert asked(Person.unit, PROVINCE), "there is another tree beside it"


@pytest.mark.parametrize("few", [200, 1, 0])
def test_named_one_by_one_or_asked_for_as_a_subtree_the_units_are_the_same(db: Database, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(units, "_FEW", few)

    def found(scope: str, session: Session) -> set[str]:
        return set(session.scalars(select(Unit.code).where(units.inside(session, Unit.code, scope))))

    with db.read() as session:
        assert found(COUNTY, session) == {COUNTY, STATION}
        assert found(STATION, session) == {STATION}
        assert found("999999999999", session) == set()
        assert STATION in found(CITY, session)
        assert PROVINCE not in found(CITY, session)
    with db.write() as session:
        session.get_one(Unit, STATION).parent = SISTER
        session.flush()
        assert (found(COUNTY, session), STATION in found(SISTER, session)) == ({COUNTY}, True), "inside the transaction that moves it"
    with db.read() as session:
        assert (found(COUNTY, session), STATION in found(SISTER, session)) == ({COUNTY}, True)
