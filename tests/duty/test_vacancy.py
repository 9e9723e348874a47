"""Units that have nobody: seen ahead of time, told once, over when somebody is there; on a real database."""

from datetime import date

import pytest

from server.duty import vacancy
from server.duty.calendar import Workdays
from server.duty.clock import local, midnight
from server.jobs_duty import AGAIN_MS, DutyConditions
from server.store.session import Database
from server.store.tables import Alarm, Notification, Person, Room, Unit
from server.store.tables_duty import Roster, UnitPair
from tests.fresh import fresh

PROVINCE, HERE, NEXT = "350000000000", "350102000000", "350103000000"
NOW = midnight(date(2026, 11, 23)) + 10 * 3_600_000


@pytest.fixture
def db(tmp_path):
    made = Database(fresh(tmp_path / "aw.db"))
    with made.write() as session:
        for code, parent in ((PROVINCE, None), (HERE, PROVINCE), (NEXT, PROVINCE)):
            session.add(Unit(code=code, parent=parent, level=1 if parent is None else 3, name=code, short_name=code[:6]))
            session.flush()
        session.add(Room(code=f"{HERE}-01", unit=HERE, name="库", short_name="库", sms_place="库", stage="in_use"))
    yield made
    made.close()


def put(db, *rows):
    with db.write() as session:
        for row in rows:
            session.merge(row)


def seen(db):
    with db.read() as session:
        return {(one.unit, one.active) for one in vacancy.look(session, Workdays(), NOW)}


def person(ident=1, unit=HERE, **changes):
    return Person(id=ident, code=f"p{ident}", name=f"人{ident}", unit=unit, **{"phone": "13800000001", "duty": "duty_officer"} | changes)


def test_a_unit_with_rooms_in_use_and_nobody_is_vacant_without_any_roster(db):
    assert seen(db) == {(HERE, True)}


@pytest.mark.parametrize(
    "rows",
    [
        [person()],
        [person(duty="person_in_charge")],
        [Unit(code=HERE, parent=PROVINCE, level=3, name="x", short_name="x", duty_phone="0591-87654321")],
        [UnitPair(unit=HERE, stand_in=NEXT), person(unit=NEXT)],
        [Room(code=f"{HERE}-01", unit=HERE, name="库", short_name="库", sms_place="库", stage="trial")],
    ],
)
def test_somebody_who_can_be_called_is_enough(db, rows):
    put(db, *rows)
    assert seen(db) == set()


@pytest.mark.parametrize("rows", [[person(phone="110")], [person(disabled_at=1)], [person(duty="keeper")], [person(unit=NEXT)]])
def test_somebody_who_cannot_be_called_is_nobody(db, rows):
    put(db, *rows)
    assert seen(db) == {(HERE, True)}


def conditions(db, told):
    return DutyConditions(db, Workdays(), ("sms",), told.append)


def test_conditions_are_told_when_they_change_and_now_and_then_while_they_hold(db):
    told = []
    job = conditions(db, told)
    assert job.run_once(NOW) == 2
    assert [(one.rule, one.active) for one in told] == [("duty_vacancy", True), ("channel_outage", False)]
    assert job.run_once(NOW + 15_000) == 0
    assert job.run_once(NOW + AGAIN_MS) == 1
    put(db, person(), Alarm(id=1, open_key="k", subject=f"unit:{HERE}", rule="duty_vacancy", unit=HERE, state="active_unacked", level="alarm",
                            raised_at=NOW, kind="", quantity="", number="1"))  # fmt: skip
    assert job.run_once(NOW + AGAIN_MS + 1) == 1
    assert (told[-1].rule, told[-1].active) == ("duty_vacancy", False)


def test_a_provider_that_takes_nothing_for_a_minute_is_told_to_the_top(db):
    told = []
    put(db, person(), *(
        Notification(id=n, reason="test", step=0, unit=HERE, phone="1", channel="sms", number="0", text="x", created_at=NOW - 90_000,
                     due=NOW, state="queued", attempts=3, error="503") for n in (1, 2)))  # fmt: skip
    conditions(db, told).run_once(NOW)
    [outage] = [one for one in told if one.rule == "channel_outage"]
    assert (outage.subject, outage.active, outage.unit, outage.level) == ("channel:sms", True, PROVINCE, "urgent")


def test_an_outage_of_a_channel_that_is_no_longer_used_ends(db):
    told = []
    put(db, person(), Alarm(id=1, open_key="k", subject="channel:modem", rule="channel_outage", unit=PROVINCE, state="active_unacked", level="urgent",
                            raised_at=NOW, kind="state", quantity="", number="1"))  # fmt: skip
    conditions(db, told).run_once(NOW)
    assert {(one.subject, one.active) for one in told if one.rule == "channel_outage"} == {("channel:sms", False), ("channel:modem", False)}


def test_a_roster_with_an_empty_shift_is_vacant_although_others_could_be_called(db):
    put(db, person(), Roster(unit=HERE, name="夜班", starts_min=1080, minutes=840, anchor="2026-11-01", people=[]))
    with db.read() as session:
        [found] = vacancy.look(session, Workdays(), NOW)
    assert (found.unit, found.level, found.note[:5]) == (HERE, "alarm", "18:00")


@pytest.mark.parametrize(("days", "minutes", "begins"), [("work", 540, "17:30"), ("rest", 1440, None), ("all", 1440, "")])
def test_hours_that_a_roster_leaves_out_are_vacant_where_nobody_else_could_be_called(db, days, minutes, begins):
    """Working days 08:30-17:30 only: at night nobody. Rest days only: nobody now. Round the clock: no hole."""
    put(
        db,
        person(duty="", phone_verified_at=1),
        Roster(unit=HERE, name="班", starts_min=510, minutes=minutes, anchor="2026-11-01", days=days, people=[1]),
    )
    drill = {
        "subject": "x",
        "rule": "smoke",
        "unit": HERE,
        "state": "normal",
        "level": "critical",
        "raised_at": 1,
        "kind": "state",
        "quantity": "smoke",
    }
    put(db, Alarm(id=1, drill=True, number="1", **drill))
    put(db, Notification(reason="raised", step=0, unit=HERE, phone="1", channel="sms", number="1", text="x", created_at=1, due=1, state="delivered",
                         person=1, alarm=1))  # fmt: skip
    with db.read() as session:
        found = {one.unit: one for one in vacancy.look(session, Workdays(), NOW) if vacancy.LEFT_OUT in one.note}
        now = local(NOW)
    assert bool(found) == (begins != "")
    if found:
        assert found[HERE].note.startswith(begins or f"{now:%H:%M}")
        assert found[HERE].level == ("alarm" if begins else "urgent")
        put(db, person(ident=2))
        with db.read() as session:
            assert not [one for one in vacancy.look(session, Workdays(), NOW) if vacancy.LEFT_OUT in one.note]
