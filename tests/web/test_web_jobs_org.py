"""What the books tell the watch: a room with a sensor past its certificate, emergency access; once, and until it is over, also across a restart."""

from pathlib import Path

import pytest

from server.jobs_org import OrgJobs
from server.org import emergency
from server.settings import PeopleFeedSettings, Settings
from server.store.tables import Account, Alarm
from server.store.tables_org import Calibration, Notice, PersonRole
from server.watch.commands import Command
from tests.web.house import ROOM, House

DAY, HOUR = 86_400_000, 3_600_000


def jobs(house: House, **feed: Path) -> OrgJobs:
    """New each time, as after a restart; what they say is carried out before it returns."""

    def tell(command: Command) -> None:
        house.watch.submit(command).result(20)

    return OrgJobs(house.db, Settings(people_feed=PeopleFeedSettings(**feed)), tell, house.now)


def alarms(house: House, rule: str) -> list[tuple[str, str, bool]]:
    with house.db.read() as session:
        rows = session.query(Alarm).filter_by(rule=rule).order_by(Alarm.id).all()
        return [(row.subject, row.level, row.cleared_at is None) for row in rows]


def test_a_certificate_that_has_ended_is_an_alarm_until_there_is_a_new_one(house: House) -> None:
    house.birth()
    with house.db.write() as session:
        session.add(Calibration(point=1, calibrated_at=house.now - 365 * DAY, valid_until=house.now, recorded_at=house.now))
    assert jobs(house).calibrations(house.now) == 1
    assert jobs(house).calibrations(house.now + HOUR) == 0
    assert alarms(house, "calibration_due") == [(f"room:{ROOM}", "warn", True)]
    english = house.client("duty").get("/notices?lang=en").text
    assert "(temperature): the calibration ended on 2026-" in english.lower() or "(humidity): the calibration ended on 2026-" in english.lower()
    with house.db.write() as session:
        session.add(Calibration(point=1, calibrated_at=house.now, valid_until=house.now + 365 * DAY, recorded_at=house.now))
    jobs(house).calibrations(house.now + 2 * HOUR)
    assert alarms(house, "calibration_due") == [(f"room:{ROOM}", "warn", False)]
    assert "校准到期" in house.client("duty").get("/alarms?view=all").text


def test_emergency_access_is_an_urgent_alarm_as_long_as_it_runs(house: House) -> None:
    with house.db.write() as session:
        asker = session.query(Account).filter_by(login="system").one()
        row = emergency.ask(session, asker, role="duty", reason="漏水", now=house.now)
    jobs(house).emergencies(house.now)
    assert alarms(house, "emergency_access") == [], "asked is not granted"
    with house.db.write() as session:
        by = session.query(Account).filter_by(login="security").one()
        emergency.grant(session, session.merge(row), by, hours=1, now=house.now)
    for _ in range(2):
        jobs(house).emergencies(house.now)
    said = {lang: house.client("duty").get(f"/notices?lang={lang}").text for lang in ("zh", "en")}
    assert "以“值班员”权限操作 1 小时" in said["zh"]
    assert "acts as Duty officer for 1 h" in said["en"], "as it is kept, said anew"
    assert "Reason: 漏水" in said["en"], "what a person wrote stays"
    assert [(level, stands) for _, level, stands in alarms(house, "emergency_access")] == [("urgent", True)]
    house.now += HOUR
    jobs(house).emergencies(house.now)
    assert [stands for *_, stands in alarms(house, "emergency_access")] == [False]


def test_an_account_ends_when_the_time_of_its_role_has_run_out(house: House) -> None:
    with house.db.write() as session:
        session.query(Account).filter_by(login="duty").one().person = 1
        session.add(PersonRole(person=1, unit=ROOM[:12], role="duty_officer", since=house.now, until=house.now + HOUR, by="test"))
    states = []
    for _ in range(2):
        jobs(house).books(house.now)
        with house.db.read() as session:
            states.append(session.query(Account).filter_by(login="duty").one().disabled)
        house.now += HOUR
    assert states == [False, True]


@pytest.mark.parametrize("configured", [True, False])
def test_what_runs_depends_on_what_is_configured(house: House, tmp_path: Path, configured: bool) -> None:
    made = jobs(house, **({"folder": tmp_path / "drop"} if configured else {}))
    assert ("people_feed" in {job.name for job in made.table()}) == configured
    house.now += 2 * DAY
    made.books(house.now)
    with house.db.read() as session:
        kinds = {row.kind for row in session.query(Notice).filter_by(closed_at=None)}
    assert kinds == ({"review", "feed"} if configured else {"review"})
    assert made.people_drop(house.now) == 0
