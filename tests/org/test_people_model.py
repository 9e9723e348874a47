"""Roles, leave and stand-ins of people; which roles combine is walked in full."""

import itertools

import pytest

from server.org import people, roles
from server.org.people import NotPossibleError
from server.store import people as queries
from server.store.migrate import migrate
from server.store.session import Database
from server.store.tables import Account, Person, WebSession
from server.store.tables_org import OrgChange
from tests.org.conftest import COUNTY, SISTER, T0

HOUR = 3_600_000


def test_duty_roles_combine_and_administrators_never_do() -> None:
    for one, other in itertools.combinations(roles.ROLES, 2):
        clash = one in roles.ADMINISTRATORS or other in roles.ADMINISTRATORS
        assert (roles.conflict((one, other)) is not None) == clash, (one, other)
    assert roles.conflict(roles.DUTY) is None
    assert roles.conflict(["security"]) is None
    assert not set(roles.ROLES) & {"super", "root", "admin"}


def test_roles_are_given_and_end(db: Database) -> None:
    with db.write() as session:
        person = session.get_one(Person, 1)
        assert people.set_roles(session, person, {COUNTY: ["person_in_charge", "duty_officer"], SISTER: ["inspector"]}, by="x", now=T0)
        assert not people.set_roles(session, person, {COUNTY: ["duty_officer", "person_in_charge"], SISTER: ["inspector"]}, by="x", now=T0 + 1)
        assert person.duty == "duty_officer"
        people.set_roles(session, person, {COUNTY: ["archive_head"]}, by="x", now=T0 + HOUR)
        assert person.duty == "archive_head"
    with db.read() as session:
        names = [(h.person.name, h.unit, h.role) for h in queries.holders(session, [COUNTY, SISTER], roles.DUTY, T0 + 1)]
        assert sorted(names) == [("林国建", COUNTY, "duty_officer"), ("林国建", COUNTY, "person_in_charge"), ("林国建", SISTER, "inspector")]
        assert [h.role for h in queries.holders(session, [COUNTY], roles.DUTY, T0 + HOUR)] == ["archive_head"]
        assert len(queries.history(session, 1)) == 4


@pytest.mark.parametrize("wanted", [{COUNTY: ["system", "audit"]}, {COUNTY: ["security"], SISTER: ["duty_officer"]}, {COUNTY: ["superuser"]}])
def test_roles_that_do_not_combine_are_refused(db: Database, wanted: dict[str, list[str]]) -> None:
    with db.write() as session, pytest.raises(NotPossibleError):
        people.set_roles(session, session.get_one(Person, 1), wanted, by="x", now=T0)
    with db.read() as session:
        assert queries.history(session, 1) == []


def test_a_stand_in_answers_during_leave_and_only_then(db: Database) -> None:
    with db.write() as session:
        one, two, three = (session.get_one(Person, ident) for ident in (1, 2, 3))
        people.set_roles(session, one, {COUNTY: ["duty_officer"]}, by="x", now=T0)
        people.leave(session, one, since=T0 + HOUR, until=T0 + 3 * HOUR, stand_in=two, why="年假", by="x", now=T0)
        with pytest.raises(NotPossibleError, match="也请假"):
            people.leave(session, three, since=T0, until=T0 + 2 * HOUR, stand_in=one, why="", by="x", now=T0)
        people.leave(session, two, since=T0 + 2 * HOUR, until=T0 + 3 * HOUR, stand_in=three, why="", by="x", now=T0)

    def told(at: int) -> list[str]:
        with db.read() as session:
            return [h.person.name for h in queries.on_duty(session, [COUNTY], ["duty_officer"], at)]

    assert [told(T0), told(T0 + HOUR), told(T0 + 2 * HOUR), told(T0 + 3 * HOUR)] == [["林国建"], ["曾志文"], ["陈丽芳"], ["林国建"]]
    with db.write() as session:
        people.disable(session, session.get_one(Person, 3), why="离职", by="x", now=T0)
    assert told(T0 + 2 * HOUR) == []


def test_leave_in_a_circle_reaches_nobody(db: Database) -> None:
    with db.write() as session:
        one, two = (session.get_one(Person, ident) for ident in (1, 2))
        for person, other in ((one, 2), (two, 1)):
            row = people.leave(session, person, since=T0, until=T0 + HOUR, stand_in=None, why="", by="x", now=T0)
            row.stand_in = other
    with db.read() as session:
        assert queries.stand_ins(session, [1, 2, 3], T0) == {1: None, 2: None, 3: 3}


def test_who_leaves_loses_roles_accounts_and_sessions(db: Database) -> None:
    with db.write() as session:
        person = session.get_one(Person, 1)
        people.set_roles(session, person, {COUNTY: ["duty_officer"]}, by="x", now=T0)
        session.add(Account(id=7, login="lin", password_hash="", role="duty", unit=COUNTY, person=1, display_name="林"))
        session.flush()
        session.add(WebSession(token_hash="a", account=7, created_at=T0, last_seen_at=T0, expires_at=T0 + HOUR))
        session.flush()
        assert people.disable(session, person, why="离职", by="feed", now=T0 + 1) == 1
        assert (people.held(session, person, T0 + 1), person.duty, session.get_one(Account, 7).disabled) == ({}, "", True)
        assert session.query(WebSession).count() == 0
        people.enable(session, person, why="返聘", by="x", now=T0 + 2)
        assert session.get_one(Account, 7).disabled
        assert [change.kind for change in session.query(OrgChange).order_by(OrgChange.id)] == ["disabled", "enabled"]


def test_a_duty_of_the_old_schema_becomes_a_role(tmp_path) -> None:
    old = Database(f"sqlite:///{tmp_path / 'old.db'}")
    migrate(old, "0001")
    with old.write() as session:
        session.connection().exec_driver_sql("INSERT INTO unit (code, level, name, short_name) VALUES ('350000000000', 1, '省厅', '省厅')")
        for code, duty in (("P1", "duty_officer"), ("P2", "")):
            session.connection().exec_driver_sql(f"INSERT INTO person (code, name, unit, duty) VALUES ('{code}', 'x', '350000000000', '{duty}')")
    migrate(old)
    with old.read() as session:
        assert [(h.person.code, h.role) for h in queries.holders(session, ["350000000000"], roles.ROLES, T0)] == [("P1", "duty_officer")]
    old.close()
