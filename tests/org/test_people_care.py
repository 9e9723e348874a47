"""Leavers, dormant accounts, the quarterly review, emergency access, calibrations: what the books do by themselves."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.org import calibration, dormancy, emergency, feed, people, review
from server.org import notices as org_notices
from server.org.checks import CheckError
from server.org.feed import directory, drop
from server.settings import LdapSettings
from server.store import audit
from server.store.session import Database
from server.store.tables import Account, AuditEntry, Gateway, Person, Point, Room, WebSession
from server.store.tables_org import Calibration, EmergencyAccess, ImportRun, Notice, PersonReview, PersonRole
from simulators.ldap_server import LdapServer, running
from tests.org.conftest import COUNTY, SISTER, STATION, T0

DAY, HOUR = 86_400_000, 3_600_000
HEAD = "code,name,phone,unit,state\n"


@pytest.fixture
def accounts(db: Database) -> dict[str, int]:
    with db.write() as session:
        for login, role, person in (("lin", "duty", 1), ("sys", "system", None), ("sec", "security", None), ("sec2", "security", 2)):
            session.add(Account(login=login, password_hash="x", role=role, unit=COUNTY, display_name=login, person=person, used_at=T0))
        for person, role in ((1, "duty_officer"), (2, "security")):
            session.add(PersonRole(person=person, unit=COUNTY, role=role, since=T0 - DAY, by="x"))
        session.flush()
        found = {row.login: row.id for row in session.scalars(select(Account))}
        session.add(WebSession(token_hash="t", account=found["lin"], created_at=T0, last_seen_at=T0, expires_at=T0 + DAY))
    return found


def notices(db: Database, kind: str, *, standing: bool = True) -> list[tuple[str, str]]:
    with db.read() as session:
        query = select(Notice).where(Notice.kind == kind).order_by(Notice.id)
        return [(row.level, row.sentence) for row in session.scalars(query) if row.closed_at is None or not standing]


def state(db: Database, code: str) -> tuple[bool, int]:
    """(disabled, accounts that can sign in)."""
    with db.read() as session:
        person = session.scalar(select(Person).where(Person.code == code))
        assert person is not None
        open_ = session.scalar(select(func.count(Account.id)).where(Account.person == person.id, Account.disabled.is_(False)))
        return person.disabled_at is not None, open_ or 0


# -- the feed -----------------------------------------------------------------------------------------------------------------------------


def test_an_increment_brings_people_and_takes_leavers_out_with_their_sessions(db: Database, accounts: dict[str, int], tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    folder.mkdir()
    (folder / "1.csv").write_text(f"{HEAD}P9,新来人,13900009999,{COUNTY},在职\nP1,林国建,,{COUNTY},离职\n", "utf-8")
    (folder / "2.csv.part").write_text("half a file", "utf-8")
    assert drop.run_once(db, folder, T0) == 1
    assert (state(db, "P1"), state(db, "P9"), state(db, "P2")) == ((True, 0), (False, 0), (False, 1))
    assert sorted(path.name for path in folder.rglob("*.*")) == [f"{T0}-1.csv", "2.csv.part"]
    with db.read() as session:
        assert session.query(WebSession).count() == 0
        assert session.query(AuditEntry).filter_by(action="person_left", subject="people:P1").count() == 1
        assert audit.verify(session) is None
    (folder / "3.csv").write_text(f"{HEAD}P1,林国建,13900000001,{COUNTY},在职\n", "utf-8")
    assert drop.run_once(db, folder, T0 + HOUR) == 1
    assert state(db, "P1") == (False, 0), "back, but the account has to be given anew"


def test_a_whole_list_takes_out_who_is_missing_in_its_units_alone_but_not_half_of_them(db: Database, tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    folder.mkdir()
    (folder / "full.csv").write_text(f"{HEAD}P1,林国建,13900000001,{COUNTY},\n", "utf-8")
    assert drop.run_once(db, folder, T0) == 1
    assert [state(db, code)[0] for code in ("P1", "P2", "P3")] == [False, True, False]
    with db.write() as session:
        session.add_all(Person(code=f"Q{n}", name="某人", unit=SISTER) for n in range(60))
    (folder / "full-2.csv").write_text(f"{HEAD}P3,陈丽芳,13900000003,{SISTER},\n", "utf-8")
    assert drop.run_once(db, folder, T0 + 1) == 0
    assert not state(db, "Q1")[0]
    assert notices(db, "feed") == [("alarm", "full-2.csv 没有同步：名单里少了 60 人（原有 61 人），超过一成，没有执行，请核对后再送")]
    assert "超过一成" in next((folder / "refused").glob("*.txt")).read_text("utf-8")


@pytest.mark.parametrize("row", [f"P8,某人,12,{COUNTY},在职", f"P8,某人,13900000008,{COUNTY},也许", "P8,某人,13900000008,999999999999,在职"])
def test_a_wrong_list_changes_nobody(db: Database, tmp_path: Path, row: str) -> None:
    (tmp_path / "x.csv").write_text(f"{HEAD}P1,林国建,,{COUNTY},离职\n{row}\n", "utf-8")
    assert drop.run_once(db, tmp_path, T0) == 0
    assert not state(db, "P1")[0]
    assert [level for level, _ in notices(db, "feed")] == ["alarm"]
    (tmp_path / "x.csv").write_text(f"{HEAD}P1,林国建,,{COUNTY},离职\n", "utf-8")
    assert drop.run_once(db, tmp_path, T0 + 1) == 1
    assert notices(db, "feed") == [], "a good list of the same name ends it"


def test_a_feed_appoints_no_administrators(db: Database, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(f"code,name,phone,unit,roles\nP1,林国建,13900000001,{COUNTY},audit\n", "utf-8")
    assert drop.run_once(db, tmp_path, T0) == 0
    assert "安全管理员任免" in notices(db, "feed")[0][1]


def test_a_silent_feed_is_told(db: Database, tmp_path: Path) -> None:
    assert not feed.listen(db, T0, T0 + DAY)
    assert feed.listen(db, T0, T0 + DAY + 1)
    (tmp_path / "x.csv").write_text(f"{HEAD}P1,林国建,13900000001,{COUNTY},\n", "utf-8")
    drop.run_once(db, tmp_path, T0 + DAY + 2)
    assert notices(db, "feed") == []
    assert not feed.listen(db, T0, T0 + 2 * DAY)


def entries(*names: str, left: str = "") -> list[dict[str, str]]:
    return [
        {"employeeNumber": f"P{n}", "cn": name, "mobile": f"1390000000{n}", "departmentNumber": COUNTY, "mail": f"{n}@example.cn",
         "employeeType": "离职" if name == left else "在职"}
        for n, name in enumerate(names, 1)
    ]  # fmt: skip


def test_a_directory_is_read_in_pages_over_the_wire(db: Database, accounts: dict[str, int], tmp_path: Path) -> None:
    (tmp_path / "password").write_text("geheim\n", "utf-8")
    people_of = LdapServer(entries("林国建", "曾志文", "新来人", "又一人", "第五人"), user="cn=reader", password="geheim", page=2)
    with running(people_of) as server:
        settings = LdapSettings(url=server.url, base="ou=people", user="cn=reader", password_file=tmp_path / "password")
        assert directory.run_once(db, settings, T0)
        assert server.searches == 3
        with db.read() as session:
            assert session.query(Person).filter_by(unit=COUNTY).count() == 5
            assert session.query(Person).filter_by(code="P5").one().email == "5@example.cn"
        server.entries = entries("林国建", "曾志文", "新来人", "又一人", left="林国建")
        assert directory.run_once(db, settings, T0 + HOUR)
        assert [state(db, f"P{n}") for n in (1, 2, 5)] == [(True, 0), (False, 1), (True, 0)]
        wrong = settings.model_copy(update={"user": "cn=nobody"})
        assert not directory.run_once(db, wrong, T0 + 2 * HOUR)
        assert not directory.run_once(db, settings.model_copy(update={"url": "ldap://127.0.0.1:9"}), T0 + 2 * HOUR)
        server.entries = []
        assert not directory.run_once(db, settings, T0 + 3 * HOUR)
    assert [state(db, f"P{n}")[0] for n in (1, 2)] == [True, False]
    assert notices(db, "feed") == [("alarm", "ldap 没有同步：目录里没有找到人员")]
    with db.read() as session:
        assert session.query(ImportRun).filter_by(by=feed.BY, state="done").count() == 2


# -- dormant accounts -----------------------------------------------------------------------------------------------------------------------


def test_an_account_sleeps_after_ninety_days_but_not_the_last_of_its_kind(db: Database, accounts: dict[str, int]) -> None:
    with db.write() as session:
        session.get_one(Account, accounts["sec2"]).used_at = T0 + 60 * DAY
        session.add(Account(login="new", password_hash="x", role="duty", unit=COUNTY, display_name="new"))
        assert dormancy.run_once(session, T0 + 90 * DAY - 1) == 0
    with db.write() as session:
        assert dormancy.run_once(session, T0 + 90 * DAY) == 2
        assert dormancy.run_once(session, T0 + 90 * DAY) == 0
    with db.read() as session:
        asleep = {row.login for row in session.scalars(select(Account).where(Account.disabled.is_(True)))}
        assert asleep == {"lin", "sec"}
        assert session.query(WebSession).count() == 0
    assert state(db, "P1") == (False, 0), "the person is told of alarms as before"
    assert sorted(level for level, _ in notices(db, "dormant")) == ["alarm", "warn", "warn"], "what was foretold has come true and is gone"
    assert any("最后一个账号" in sentence and "sys" in sentence for _, sentence in notices(db, "dormant"))


def test_sleep_is_foretold_for_two_weeks_until_he_signs_in_or_somebody_has_seen_to_it(db: Database, accounts: dict[str, int]) -> None:
    def told(day: float) -> list[str]:
        with db.write() as session:
            dormancy.run_once(session, T0 + round(day * DAY))
        return [sentence for _, sentence in notices(db, "dormant") if "lin（" in sentence]

    assert told(75) == []
    assert "已 76 天没有登录，再过 14 天" in told(76)[0]
    assert "再过 4 天" in told(86)[0]
    with db.write() as session:
        session.get_one(Account, accounts["lin"]).used_at = T0 + 87 * DAY
    assert told(88) == []
    assert len(told(87 + 80)) == 1
    with db.write() as session:
        row = session.scalars(select(Notice).where(Notice.subject == f"account:{accounts['lin']}", Notice.closed_at.is_(None))).one()
        org_notices.close(session, row, "某", T0 + 168 * DAY)
    assert told(87 + 82) == []


# -- the review -----------------------------------------------------------------------------------------------------------------------------


def test_what_is_signed_is_what_was_read(db: Database, accounts: dict[str, int]) -> None:
    with db.write() as session:
        assert review.remind(session, T0) == 1
        seen = review.standing(session, COUNTY, T0)
        assert (seen.quarter, seen.people, seen.accounts, seen.signed) == ("2026-Q3", 2, 4, None)
        people.set_roles(session, session.get_one(Person, 1), {COUNTY: ["duty_officer", "archivist"]}, by="sys", now=T0)
        with pytest.raises(CheckError, match="有变动"):
            review.sign(session, COUNTY, sha256=seen.sha256, by="sec", remark="", now=T0 + 1)
        seen = review.standing(session, COUNTY, T0 + 1)
        review.sign(session, COUNTY, sha256=seen.sha256, by="sec", remark="核对无误", now=T0 + 1)
        with pytest.raises(CheckError, match="已由 sec 签署"):
            review.sign(session, COUNTY, sha256=seen.sha256, by="sec2", remark="", now=T0 + 2)
    assert notices(db, "review") == []
    with db.write() as session:
        assert review.remind(session, T0 + DAY) == 0
        assert review.remind(session, T0 + 30 * DAY) == 1, "the next quarter"
        row = session.query(PersonReview).one()
        assert (row.roles, row.sha256) == (3, seen.sha256)
        people.disable(session, session.get_one(Person, 1), why="退休", by="sys", now=T0 + DAY)
        after = review.standing(session, COUNTY, T0 + 30 * DAY)
        assert (after.people, after.ended, after.left, after.appointed) == (1, 2, 1, 0)


@pytest.mark.parametrize(("instant", "quarter", "ends"), [(T0, "2026-Q3", "2026-09-30T16:00Z"), (T0 + 90 * DAY, "2026-Q4", "2026-12-31T16:00Z")])
def test_quarters_are_those_of_beijing(instant: int, quarter: str, ends: str) -> None:
    assert review.quarter(instant) == quarter
    assert f"{datetime.fromtimestamp(review.ends_at(instant) / 1000, UTC):%Y-%m-%dT%H:%MZ}" == ends
    assert review.quarter(review.ends_at(instant)) != quarter == review.quarter(review.ends_at(instant) - 1)


# -- emergency access -------------------------------------------------------------------------------------------------------------------------


def working(session: Session, account: int, now: int) -> EmergencyAccess | None:
    return session.scalar(select(EmergencyAccess).where(emergency.running(account, now)))


def test_emergency_access_needs_two_people_and_ends_by_itself(db: Database, accounts: dict[str, int]) -> None:
    with db.write() as session:
        sec, sec2 = session.get_one(Account, accounts["sec"]), session.get_one(Account, accounts["sec2"])
        with pytest.raises(CheckError, match="角色"):
            emergency.ask(session, sec, role="audit", reason="x", now=T0)
        with pytest.raises(CheckError, match="角色"):
            emergency.ask(session, sec, role="security", reason="x", now=T0)
        row = emergency.ask(session, sec, role="duty", reason="值班员失联，库房漏水", now=T0)
        with pytest.raises(CheckError, match="已有"):
            emergency.ask(session, sec, role="duty", reason="x", now=T0)
        with pytest.raises(CheckError, match="另一人"):
            emergency.grant(session, row, sec, hours=2, now=T0)
        with pytest.raises(CheckError, match="小时"):
            emergency.grant(session, row, sec2, hours=9, now=T0)
        assert working(session, sec.id, T0) is None
        emergency.grant(session, row, sec2, hours=2, now=T0 + 60_000)
        granted = working(session, sec.id, T0 + 60_000)
        assert granted is not None
        ident, until = granted.id, T0 + 60_000 + 2 * HOUR
        assert (granted.role, granted.until) == ("duty", until)
    assert notices(db, "emergency")[0][0] == "urgent"
    with db.write() as session:
        assert working(session, accounts["sec"], until - 1) is not None
        assert working(session, accounts["sec"], until) is None, "over at the instant, whether or not a job has run"
        assert emergency.expire(session, until) == 1
        actions = session.scalars(select(AuditEntry.action).where(AuditEntry.subject == f"emergency:{ident}").order_by(AuditEntry.id)).all()
        assert actions == ["emergency_ask", "emergency_grant", "emergency_end"]
    assert notices(db, "emergency") == []


def test_the_same_person_with_two_accounts_is_one_person_and_a_request_does_not_wait_for_ever(db: Database, accounts: dict[str, int]) -> None:
    with db.write() as session:
        lin = session.get_one(Account, accounts["lin"])
        other = session.get_one(Account, accounts["sec2"])
        other.person = lin.person
        row = emergency.ask(session, lin, role="system", reason="x", now=T0)
        with pytest.raises(CheckError, match="另一人"):
            emergency.grant(session, row, other, hours=1, now=T0)
        with pytest.raises(CheckError, match="过期"):
            emergency.grant(session, row, session.get_one(Account, accounts["sys"]), hours=1, now=T0 + HOUR + 1)
        assert emergency.expire(session, T0 + HOUR) == 1
        assert session.get_one(EmergencyAccess, row.id).ended_at == T0 + HOUR


# -- calibrations -----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def sensor(db: Database) -> int:
    with db.write() as session:
        session.add(Room(code=f"{STATION}-01", unit=STATION, name="东街1号库", short_name="1号库", sms_place="东街01库"))
        session.add(Gateway(code="GW-1", group_id="350100", unit=STATION))
        session.flush()
        for ident, quantity in ((1, "temperature"), (2, "humidity")):
            session.add(
                Point(id=ident, gateway="GW-1", device="th1", quantity=quantity, channel="", room=f"{STATION}-01", klass="measure", created_at=0)
            )
        session.flush()
        for point in (1, 2):
            session.add(Calibration(point=point, calibrated_at=T0 - DAY, valid_until=T0 + 200 * DAY, recorded_at=T0))
    return 1


def remind(db: Database, now: int) -> list[str]:
    with db.write() as session:
        calibration.remind(session, now)
    return [level for level, _ in notices(db, "calibration")]


def test_a_calibration_is_told_three_months_one_month_and_on_the_day(db: Database, sensor: int) -> None:
    end = T0 + 200 * DAY
    assert remind(db, end - 90 * DAY - 1) == []
    assert remind(db, end - 90 * DAY) == ["warn"], "once for the device, not for each quantity"
    assert remind(db, end - 60 * DAY) == ["warn"]
    with db.write() as session:
        row = session.query(Notice).filter_by(kind="calibration").one()
        row.open_key, row.closed_at = None, end - 60 * DAY
    assert remind(db, end - 59 * DAY) == [], "somebody has seen to it"
    assert remind(db, end - 30 * DAY) == ["alarm"]
    assert remind(db, end) == ["urgent"]
    with db.read() as session:
        assert list(calibration.overdue(session, end - 1)) == []
        assert list(calibration.overdue(session, end)) == [f"{STATION}-01"]
    with db.write() as session:
        for point in (1, 2):
            session.add(Calibration(point=point, calibrated_at=end, valid_until=end + 365 * DAY, recorded_at=end))
    assert remind(db, end + 1) == [], "a new certificate takes it down"
    assert remind(db, end + 280 * DAY) == ["warn"]
    assert len(notices(db, "calibration", standing=False)) == 4


def test_a_room_that_is_not_in_use_is_left_alone(db: Database, sensor: int) -> None:
    with db.write() as session:
        session.get_one(Room, f"{STATION}-01").stage = "retired"
    assert remind(db, T0 + 300 * DAY) == []
