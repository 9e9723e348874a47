"""Before the first shift: a test message and a drill by themselves, and a gap in the roster where somebody had none."""

from datetime import date

import pytest
from sqlalchemy import select

from server.duty import book, readiness, vacancy
from server.duty.calendar import Workdays
from server.duty.clock import midnight
from server.duty.roster import gaps
from server.jobs_duty import DutyConditions
from server.store.session import Database
from server.store.tables import Alarm, Gateway, Notification, Person, Point, Room, Unit
from server.store.tables_drill import Drill, DrillCampaign
from server.store.tables_duty import Roster
from tests.fresh import fresh

HERE = "350102000000"
TEN = midnight(date(2026, 11, 23)) + 10 * 3_600_000


@pytest.fixture
def db(tmp_path):
    made = Database(fresh(tmp_path / "aw.db"))
    with made.write() as session:
        session.add(Unit(code=HERE, parent=None, level=3, name="鼓楼分局", short_name="鼓楼"))
        session.flush()
        session.add(Room(code=f"{HERE}-01", unit=HERE, name="库", short_name="库", sms_place="库", stage="in_use"))
        session.add(Gateway(code="G1", group_id="350100", unit=HERE, changed_at=0, online=True))
        session.flush()
        session.add(
            Point(gateway="G1", device="s1", quantity="smoke", channel="", room=f"{HERE}-01", interval_ms=30_000, klass="event", created_at=0)
        )
        session.add(Person(id=1, code="p1", name="周夜", unit=HERE, phone="13900001111", duty=""))
        session.add(Person(id=2, code="p2", name="无号", unit=HERE, phone=None, duty=""))
        session.add(Roster(unit=HERE, name="夜班", starts_min=1080, minutes=840, anchor="2026-11-24", people=[[1, 2]]))
    yield made
    made.close()


def prepared(db, now=TEN):
    return DutyConditions(db, Workdays(), (), lambda _command: None).prepare(now)


def rows(db, table):
    with db.read() as session:
        return list(session.scalars(select(table)))


def reasons(db, now=TEN + 24 * 3_600_000):
    with db.read() as session:
        return [gap.reasons for gap in gaps(book.load(session, [HERE], Workdays(), now), HERE, now, now + vacancy.AHEAD_MS, vacancy.reaches)]


def test_newcomers_get_a_test_message_and_a_drill_once_in_working_hours(db):
    assert prepared(db, TEN - 6 * 3_600_000) == 0, "nobody is tested before the office opens"
    assert prepared(db, TEN - 86_400_000) == 0, "nor on a Sunday"
    assert prepared(db) == 2
    assert prepared(db, TEN + 300_000) == 0
    [note] = rows(db, Notification)
    assert (note.person, note.reason, note.phone) == (1, "test", "+8613900001111")
    [campaign] = rows(db, DrillCampaign)
    assert (campaign.note, campaign.by, [drill.room for drill in rows(db, Drill)]) == (readiness.NOTE, "系统", [f"{HERE}-01"])
    assert prepared(db, TEN + readiness.AGAIN_MS) == 2, "two days later, when both were in vain"


def test_who_was_never_drilled_or_tested_is_a_gap(db):
    assert reasons(db)[0] == ("unverified", "no_phone")
    with db.write() as session:
        session.get_one(Person, 1).phone_verified_at = TEN
    assert reasons(db)[0] == ("undrilled", "no_phone")
    with db.write() as session:
        session.add(Alarm(id=5, subject=f"room:{HERE}-01", rule="smoke", kind="state", quantity="smoke", room=f"{HERE}-01", unit=HERE, state="normal",
                          level="critical", raised_at=TEN, number="000000", drill=True))  # fmt: skip
        session.flush()
        session.add(Notification(alarm=5, reason="raised", step=0, person=1, phone="1", channel="sms", number="0", text="", created_at=TEN,
                                 due=TEN, state="delivered"))  # fmt: skip
    assert reasons(db)[0] == ("no_phone",)
    assert vacancy.REASONS.keys() >= {"undrilled", "unverified", "no_phone"}
