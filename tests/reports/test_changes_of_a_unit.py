"""Which entries of the audit log the list of changes takes for a unit, and what it calls their places."""

import pytest
from sqlalchemy import text

from server.reports.changes import AfterColon, _inside, chosen, listing
from server.reports.period import parse_period
from server.store import audit
from server.store.session import Database
from server.store.tables import Alarm, AuditEntry, Room, Unit

T0 = 1_790_000_000_000
YEAR = parse_period("2026")
PROVINCE, COUNTY, SISTER = "350000000000", "350102000000", "350103000000"
MOVED = f"{COUNTY}-02"
ENTRIES = (
    ("change_rooms", f"rooms:{COUNTY}-01"),
    ("change_rooms", f"rooms:{SISTER}-01"),
    ("stage", MOVED),  # without a kind, and of a room that the sister has taken over
    ("shelve", "alarm:7"),
    ("shelve", "alarm:8"),
    ("import_people", "people.csv"),
    ("acknowledge", "alarm:7"),
    ("review_sign", f"review:{COUNTY}:2026-Q3"),
)


@pytest.fixture
def db(database_url):
    made = Database(database_url)
    with made.write() as session:
        for code, parent, name in ((PROVINCE, None, "福建省厅"), (COUNTY, PROVINCE, "鼓楼分局"), (SISTER, PROVINCE, "台江分局")):
            session.add(Unit(code=code, parent=parent, level=1 if parent is None else 3, name=name, short_name=name[:4]))
            session.flush()
        for code, unit, name in ((f"{COUNTY}-01", COUNTY, "一号库"), (MOVED, SISTER, "移交的库"), (f"{SISTER}-01", SISTER, "台江库")):
            session.add(Room(code=code, unit=unit, name=name, short_name=name[:6], sms_place=name[:9], demanded=["temperature"], city="fuzhou"))
        session.flush()
        for ident, unit, room in ((7, COUNTY, f"{COUNTY}-01"), (8, SISTER, None)):
            session.add(Alarm(
                id=ident, subject=f"s{ident}", rule="humidity_high", kind="threshold", room=room, unit=unit, state="normal", level="warn",
                raised_at=T0, number=f"00000{ident}",
            ))  # fmt: skip
        for number, (action, subject) in enumerate(ENTRIES):
            audit.append(session, "tester", action, subject, {}, T0 + number)
    yield made
    made.close()


def test_a_unit_sees_its_own_changes_and_the_province_all(db):
    with db.read() as session:
        places = {unit: [(one.action, one.place) for one in listing(session, chosen(session, unit, YEAR))] for unit in (PROVINCE, COUNTY, SISTER)}
        newest = [one.ident for one in chosen(session, PROVINCE, YEAR, newest=True)]
        elsewhere = chosen(session, COUNTY, parse_period("2025"))
    assert places[COUNTY] == [("更改库房", "一号库"), ("改变阶段", "移交的库"), ("暂停提醒", "一号库"), ("签署季度核对", "鼓楼分局")]
    assert places[SISTER] == [("更改库房", "台江库"), ("改变阶段", "移交的库"), ("暂停提醒", "台江分局")]
    assert len(places[PROVINCE]) == len(ENTRIES) - 1, "all but the acknowledgement, which is no change"
    assert ("导入人员", "people.csv") in places[PROVINCE], "what names no place stands under its own name"
    assert newest == sorted(newest, reverse=True)
    assert elsewhere == []


def test_the_text_behind_a_colon_is_the_same_on_both_databases(db):
    with db.read() as session:
        found = session.query(AuditEntry.subject, AfterColon(AuditEntry.subject)).order_by(AuditEntry.id).all()
    assert [tuple(each) for each in found] == [(subject, subject.partition(":")[2] or subject) for _, subject in ENTRIES]


def test_what_concerns_a_unit_is_found_by_its_place_and_not_by_reading_the_year(db):
    with db.read() as session:
        postgres = session.get_bind().dialect.name == "postgresql"
        if postgres:
            session.execute(text("SET LOCAL enable_seqscan = off"))  # of eight rows it would read all
        statement = str(_inside(session, COUNTY, YEAR).compile(session.get_bind(), compile_kwargs={"literal_binds": True}))
        plan = "\n".join(str(row) for row in session.execute(text(f"EXPLAIN {'' if postgres else 'QUERY PLAN '}{statement}")))
    assert "audit_by_place" in plan, plan
    assert postgres or "audit_by_time" not in plan, plan
