"""A unit goes over into another: what is at work goes along, what is a record stays; and no table that names a unit can be forgotten."""

import pytest
from sqlalchemy import String, select

from server.org import changes, merging, people, visitors
from server.org.changes import Asked, Asker
from server.org.checks import CheckError
from server.store import limits, units
from server.store.schema import Base
from server.store.session import Database
from server.store.tables import Account, Alarm, Person, Room, Unit
from server.store.tables_alarms import LimitChange, ShadowRun
from server.store.tables_drill import DrillPlan
from server.store.tables_duty import Roster, UnitPair
from server.store.tables_org import OrgChange, PersonRole
from server.store.tables_security import ApiKey
from tests.org.conftest import CITY, COUNTY, PROVINCE, SISTER, STATION, T0

NO_CODES = {"point.unit"}
"""What a point measures in."""
ROOM = f"{COUNTY}-01"
PROVINCIAL = Asker(name="省厅系统管理员", unit=None)


def merge(db: Database, code: str, into: str, write: bool = True) -> changes.Applied:
    asked = Asked(kind="merge", key={"code": code}, after={"into": into}, reason="机构改革")
    with db.write() as session:
        return changes.change(session, asked, PROVINCIAL, T0, write=write)


def edit(db: Database, kind: str, code: str, after: dict[str, str], *, grants: bool = True) -> None:
    with db.write() as session:
        asker = Asker(name="安全管理员", unit=None, grants=grants)
        changes.change(session, Asked(kind=kind, key={"code": code}, after=after, reason="调整"), asker, T0)


def room(code: str, unit: str) -> Room:
    return Room(code=code, unit=unit, name="一号库", short_name="一号库", sms_place="一号库")


def limit(unit: str, room: str | None = None, **more: object) -> LimitChange:
    said = {"rule": "humidity_high", "level": "warn", "limit": 58.0, "on_delay_ms": None, "by": "x", "why": "y", "created_at": T0, "since": T0}
    return LimitChange(**(said | {"unit": unit, "room": room} | more))


def test_every_column_that_names_a_unit_has_its_fate() -> None:
    named = set()
    for table in Base.metadata.tables.values():
        for column in table.columns:
            refers = any(key.column.table.name == "unit" for key in column.foreign_keys)
            looks_so = column.name in ("unit", "view_unit", "merged_into") and isinstance(column.type, String) and column.type.length == 12
            if refers or looks_so:
                named.add(f"{table.name}.{column.name}")
    follows = {f"{column.class_.__tablename__}.{column.key}" for column, _ in merging.FOLLOWS}
    decided = [*follows, *merging.SETTLED, *merging.STAYS]
    assert named - NO_CODES == set(decided)
    doubled = {name for name in decided if decided.count(name) > 1}
    assert doubled == {"limit_change.unit"} or not doubled, "limits of rooms go along, those of the whole unit are dealt out"


def test_shifts_pairs_drills_and_keys_go_along_and_a_visit_does_not(db: Database) -> None:
    shift = {"starts_min": 0, "minutes": 1440, "anchor": "2026-01-01"}
    with db.write() as session:
        people.set_roles(session, session.get_one(Person, 1), {COUNTY: ["duty_officer"]}, by="x", now=T0)
        session.add_all(
            [
                Roster(unit=COUNTY, name="夜班", people=[1], **shift), Roster(unit=SISTER, name="夜班", people=[3], **shift),
                Roster(unit=COUNTY, name="旧班", ended_at=T0 - 1, **shift),
                UnitPair(unit=COUNTY, stand_in=SISTER), UnitPair(unit=STATION, stand_in=COUNTY), UnitPair(unit=SISTER, stand_in=COUNTY),
                DrillPlan(unit=COUNTY, every_days=30, by="x", at=T0), DrillPlan(unit=SISTER, every_days=90, by="x", at=T0),
                ShadowRun(name="试行", unit=COUNTY, body="{}", version="v", by="x", since=T0 - 1),
            ]
        )  # fmt: skip
        visit, _ = visitors.make(session, "x", login="v", name="检查组", unit=COUNTY, since=T0, until=T0 + 86_400_000, reason="检查", now=T0)
        owner = Account(login="o", password_hash="x", role="in_charge", unit=COUNTY, display_name="o")
        session.add(owner)
        session.flush()
        session.add(ApiKey(digest="d", name="接口", account=owner.id, unit=COUNTY, created_at=T0, expires_at=T0 + 1))
        visit_id, owner_id = visit.id, owner.id
    moved = merge(db, COUNTY, SISTER).after["moved"]
    assert (moved["roster"], moved["person_role"], moved["api_key"], moved["account"]) == (1, 1, 1, 1)
    with db.read() as session:
        assert {(one.unit, one.name) for one in session.scalars(select(Roster))} == {(SISTER, "鼓楼分局 夜班"), (SISTER, "夜班"), (COUNTY, "旧班")}
        assert {(one.unit, one.stand_in) for one in session.scalars(select(UnitPair))} == {(STATION, SISTER)}, "nobody stands in for himself"
        assert [(one.unit, one.every_days) for one in session.scalars(select(DrillPlan))] == [(SISTER, 30)]
        assert session.scalars(select(ShadowRun.until)).one() == T0
        assert session.scalars(select(PersonRole.unit)).all() == [SISTER]
        assert (session.get_one(Account, owner_id).unit, session.get_one(Account, visit_id).unit) == (SISTER, COUNTY)
        assert session.get_one(Account, visit_id).disabled, "granted for one unit, not for two"
        assert session.scalars(select(ApiKey.unit)).one() == SISTER
        assert session.get_one(Unit, STATION).parent == SISTER
        assert {row.kind: row.after.get("moved") for row in session.scalars(select(OrgChange))} == {"merge": moved, "absorb": moved}


def test_limits_go_on_for_exactly_the_rooms_that_had_them(db: Database) -> None:
    with db.write() as session:
        session.add_all([room(ROOM, COUNTY), room(f"{SISTER}-01", SISTER), room(f"{STATION}-01", STATION)])
        session.flush()
        whole, own = limit(COUNTY, until=T0 + 99), limit(COUNTY, ROOM, rule="temperature_high", limit=22.0)
        over = limit(COUNTY, rule="temperature_high", until=T0 - 1)
        session.add_all([whole, own, over])
    merge(db, COUNTY, SISTER)
    with db.read() as session:
        held = {(one.rule, one.unit, one.room, one.until) for one in limits.in_force(session, T0)}
    assert held == {
        ("humidity_high", SISTER, ROOM, T0 + 99), ("humidity_high", STATION, None, T0 + 99), ("temperature_high", SISTER, ROOM, None),
    }  # fmt: skip


def test_what_happened_stays_under_the_old_code_and_whoever_took_over_sees_it(db: Database) -> None:
    with db.write() as session:
        session.add(room(ROOM, COUNTY))
        session.flush()
        session.add(
            Alarm(
                subject=f"room:{ROOM}",
                rule="r",
                number="000001",
                kind="state",
                unit=COUNTY,
                room=ROOM,
                state="normal",
                level="warn",
                raised_at=T0 - 9,
                closed_at=T0 - 5,
            )
        )
    merge(db, COUNTY, SISTER)
    with db.read() as session:
        assert session.scalars(select(Alarm.unit)).one() == COUNTY
        assert units.path(session, COUNTY) == (PROVINCE, CITY, SISTER, COUNTY)
        assert COUNTY not in {unit.code for unit in units.children(session, SISTER)}, "it is no unit to choose any more"
    with pytest.raises(CheckError, match="已并入"):
        edit(db, "units", COUNTY, {"name": "又来了"})


def test_a_merger_that_would_turn_the_tree_upside_down_or_sink_an_administrator_is_refused(db: Database) -> None:
    with db.write() as session:
        session.add_all([Unit(code="350200000000", parent=PROVINCE, level=2, name="厦门市局", short_name="厦门市局")])
        session.add(Unit(code="350103901000", parent=SISTER, level=4, name="台江所", short_name="台江所"))
        session.flush()
        session.add(Account(login="a", password_hash="x", role="audit", unit="350200000000", display_name="a"))
    with pytest.raises(CheckError, match="鼓楼东街所"):
        merge(db, COUNTY, "350103901000", write=False)
    with pytest.raises(CheckError, match="管理员"):
        merge(db, "350200000000", COUNTY, write=False)
    with pytest.raises(CheckError, match="管理员"):
        edit(db, "units", "350200000000", {"level": "3", "parent": CITY})


def test_a_room_that_is_handed_on_takes_its_limits_along(db: Database) -> None:
    with db.write() as session:
        session.add(room(ROOM, COUNTY))
        session.flush()
        session.add(limit(COUNTY, ROOM))
    edit(db, "rooms", ROOM, {"unit": SISTER})
    with db.read() as session:
        assert [(one.unit, one.room) for one in limits.in_force(session, T0)] == [(SISTER, ROOM)]


@pytest.mark.parametrize("role", ["system", "security", "audit"])
def test_no_administrator_is_appointed_below_the_city(db: Database, role: str) -> None:
    for name, unit in (("P1", COUNTY), ("P1", STATION)):
        with pytest.raises(CheckError, match="省厅和市局"):
            edit(db, "people", name, {"roles": role, "unit": unit})
    with db.write() as session, pytest.raises(people.NotPossibleError, match="省厅和市局"):
        people.set_roles(session, session.get_one(Person, 1), {COUNTY: [role]}, by="x", now=T0)
    edit(db, "people", "P1", {"roles": role, "unit": CITY})
    with db.read() as session:
        assert people.held(session, session.get_one(Person, 1), T0) == {CITY: [role]}
