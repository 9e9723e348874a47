"""Sign-in beyond the password: rules and age, second factor, sessions, keys, terminals, visitors, certificates, the first three accounts."""

import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyotp
import pytest
from starlette.testclient import TestClient

from server import cli
from server.org import credentials, sessions
from server.store.session import Database
from server.store.tables import Account, Unit
from server.store.tables_org import EmergencyAccess
from server.store.tables_security import AccountSecurity
from server.web import site
from tests.fresh import fresh
from tests.web.house import COUNTY, PASSWORD, ROOM, T0, House

HTML = {"accept": "text/html"}
STRONG = "Kx7-lange Nacht"
DAY = 86_400_000


def account_of(house: House, login: str) -> int:
    with house.db.read() as session:
        return session.query(Account).filter_by(login=login).one().id


def extra(house: House, login: str, **values: object) -> None:
    with house.db.write() as session:
        row = credentials.security(session, session.query(Account).filter_by(login=login).one().id)
        for name, value in values.items():
            setattr(row, name, value)


@pytest.mark.parametrize("weak", ["Ab1-567", "abcdefgh1", "Passw0rd-11", "Duty-12345x", "aaaaAAAA1111", "archivewatch-X9"])
def test_weak_passwords_are_refused(weak: str) -> None:
    with pytest.raises(credentials.WeakPasswordError):
        credentials.check_password(weak, "duty")


@pytest.mark.parametrize("good", [STRONG, "vier lange worte zusammen", "Tz8!kmWq"])
def test_good_passwords_pass(good: str) -> None:
    credentials.check_password(good, "duty")


def test_an_old_password_opens_only_the_page_that_changes_it(house: House) -> None:
    extra(house, "duty", password_changed_at=T0 - 90 * DAY)
    client = house.client("duty")
    assert client.get("/api/v1/rooms").json()["code"] == "first_password"
    assert "data-stream" not in client.get("/me/security", headers={"accept": "text/html"}).text, "a stream would be refused"
    assert client.get("/", headers=HTML).headers["location"] == "/me/security"
    assert client.get("/me/security", headers=HTML).status_code == 200
    bad = client.post("/me/security/password", data={"old": "no", "new": STRONG, "again": STRONG}, headers=HTML)
    assert (bad.status_code, "本人密码不对" in bad.text) == (422, True)
    done = client.post("/me/security/password", data={"old": PASSWORD, "new": STRONG, "again": STRONG}, headers=HTML)
    assert (done.status_code, done.headers["location"]) == (303, "/login?said=password")
    assert client.get("/api/v1/rooms").status_code == 401, "all sessions end with the old password"
    again = house.client()
    assert again.post("/api/v1/session", json={"login": "duty", "password": STRONG}).status_code == 200
    assert again.get("/api/v1/rooms").status_code == 200


def test_a_second_factor_is_enrolled_asked_for_and_never_taken_twice(house: House) -> None:
    extra(house, "province-system", totp_required=True)
    client = house.client("province-system")
    assert client.get("/api/v1/rooms").json()["code"] == "first_totp"
    page = client.post("/me/security/totp", data={"old": PASSWORD}, headers=HTML)
    secret = re.search(r"secret=([A-Z2-7]+)", page.text)[1]
    assert "<svg" in page.text
    code = pyotp.TOTP(secret).at(house.now // 1000)
    assert client.post("/me/security/totp/confirm", data={"code": "000000"}, headers=HTML).status_code == 422
    assert client.post("/me/security/totp/confirm", data={"code": code}, headers=HTML).status_code == 303
    assert client.get("/api/v1/rooms").status_code == 200
    fresh = house.client()
    body = {"login": "province-system", "password": PASSWORD}
    assert fresh.post("/api/v1/session", json=body).json()["code"] == "second_factor"
    assert "one-time-code" in fresh.post("/login", data=body, headers=HTML).text
    assert fresh.post("/api/v1/session", json=body | {"code": code}).status_code == 401, "a code counts once"
    house.now += 60_000
    assert fresh.post("/api/v1/session", json=body | {"code": pyotp.TOTP(secret).at(house.now // 1000)}).status_code == 200
    for _ in range(5):
        refused = house.client().post("/api/v1/session", json=body | {"code": "123456"})
    assert refused.status_code == 429, "wrong codes lock like wrong passwords"


def test_an_open_browser_is_not_enough_to_change_a_sign_in(house: House) -> None:
    secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    extra(house, "duty", totp_secret=secret, totp_since=T0)
    body = {"login": "duty", "password": PASSWORD}
    client = house.client()
    assert client.post("/api/v1/session", json=body | {"code": pyotp.TOTP(secret).at(T0 // 1000)}).status_code == 200
    assert "secret=" not in client.post("/me/security/totp", data={"old": "not mine"}, headers=HTML).text
    page = client.post("/me/security/totp", data={"old": PASSWORD}, headers=HTML)
    waiting = re.search(r"secret=([A-Z2-7]+)", page.text)[1]
    house.now += 60_000
    assert house.client().post("/api/v1/session", json=body).json()["code"] == "second_factor", "asked for until the new one is confirmed"
    assert house.client().post("/api/v1/session", json=body | {"code": pyotp.TOTP(secret).at(house.now // 1000)}).status_code == 200
    code = pyotp.TOTP(waiting).at(house.now // 1000)
    assert client.post("/me/security/totp/confirm", data={"code": code}, headers=HTML).status_code == 303
    house.now += 60_000
    assert house.client().post("/api/v1/session", json=body | {"code": pyotp.TOTP(secret).at(house.now // 1000)}).status_code == 401
    for path in ("password", "pin", "certificate", "totp"):
        answer = client.post(f"/me/security/{path}", data={"old": "not mine", "new": "730516"}, headers=HTML)
        assert (answer.status_code, "本人密码不对" in answer.text or "已锁定" in answer.text) == (422, True), path
    assert "已锁定" in client.post("/me/security/totp", data={"old": PASSWORD}, headers=HTML).text, "guessing here locks as it does at the door"


def test_nothing_outlives_a_visit_or_an_emergency(house: House) -> None:
    extra(house, "inspector", visitor=True, valid_from=T0, valid_until=T0 + DAY)
    with house.db.write() as session:
        guest = session.query(Account).filter_by(login="inspector").one()
        before = credentials.make_key(session, guest, name="早先", actions=["view"], days=90, now=T0)
        urgent = session.query(Account).filter_by(login="system").one()
        grant = EmergencyAccess(account=urgent.id, role="duty", unit=urgent.unit, reason="x", asked_at=T0, granted_at=T0, until=T0 + DAY)
        session.add(grant)
    for login in ("inspector", "system", "audit"):
        client = house.client(login)
        assert client.post("/me/security/terminal", data={"name": "大屏"}).status_code == 403, login
        if login != "audit":
            assert client.post("/me/security/key", data={"name": "程序", "days": "90", "actions": "view"}).status_code == 403, login
            assert "访客和应急授权期间" in client.get("/me/security", headers=HTML).text
    program = TestClient(house.app, headers={"Authorization": f"Bearer {before}"})
    assert program.get("/api/v1/rooms").status_code == 200
    house.now += DAY
    assert program.get("/api/v1/rooms").status_code == 401, "a visitor's key ends with the visit"


def test_sessions_are_listed_and_revoked(house: House) -> None:
    here, there = house.client("duty"), house.client("duty")
    page = here.get("/me/security", headers=HTML).text
    public = re.search(r'name="public" value="([0-9a-f]{12})"', page)[1]
    assert here.post("/me/security/revoke", data={"public": public[:3]}).status_code == 303
    assert there.get("/api/v1/rooms").status_code == 200, "a part of a name is no name"
    here.post("/me/security/revoke", data={"public": public})
    assert there.get("/api/v1/rooms").status_code == 401
    assert here.get("/api/v1/rooms").status_code == 200
    here.post("/me/security/revoke")
    assert here.get("/api/v1/rooms").status_code == 401


def test_a_key_does_what_it_names_until_it_ends(house: House) -> None:
    client = house.client("duty")
    page = client.post("/me/security/key", data={"name": "大屏", "days": "2", "actions": ["view", "organise"]}, headers=HTML).text
    key = re.search(r"aw_[\w-]+", page)[0]
    assert key not in client.get("/me/security", headers=HTML).text
    program = TestClient(house.app, headers={"Authorization": f"Bearer {key}"})
    assert program.get("/api/v1/rooms").status_code == 200
    assert program.get("/api/v1/notifications").status_code == 403, "the owner may, the key may not"
    assert program.get("/me/security").status_code == 403
    house.now += 2 * DAY
    assert program.get("/api/v1/rooms").status_code == 401
    house.now -= 2 * DAY
    client.post("/me/security/key/revoke", data={"key": "1"})
    assert program.get("/api/v1/rooms").status_code == 401


def test_a_terminal_reads_all_night_and_nobodys_lock_ends_it(house: House) -> None:
    client = house.client("duty")
    assert client.post("/me/security/terminal", data={"name": "值班室大屏"}).status_code == 303
    alarm = house.smoke()
    house.now += 30 * 3_600_000
    assert client.get("/api/v1/session").json()["role"] == "kiosk", "the session has ended, the terminal goes on"
    assert client.get("/", headers=HTML).status_code == 200
    assert client.post(f"/api/v1/alarms/{alarm}/comment", json={"note": "x"}).status_code == 403
    for _ in range(6):
        client.post("/api/v1/session", json={"login": "duty", "password": "wrong wrong"})
    assert client.get("/", headers=HTML).status_code == 200
    assert client.get(f"/api/v1/rooms/{ROOM}").status_code == 200
    house.now += 3_600_000
    client.post("/api/v1/session", json={"login": "duty", "password": PASSWORD})
    assert client.post(f"/api/v1/alarms/{alarm}/comment", json={"note": "x"}).status_code == 200, "signed in on top, somebody acts"
    client.post("/me/security/terminal/end", data={"terminal": "1"})
    client.post("/logout")
    assert client.get("/api/v1/rooms").status_code == 401


def test_a_visitor_has_a_beginning_and_an_end(house: House) -> None:
    extra(house, "inspector", visitor=True, valid_from=T0, valid_until=T0 + DAY)
    client = house.client("inspector")
    assert client.get("/api/v1/rooms").status_code == 200
    house.now += DAY
    assert client.get("/api/v1/rooms").status_code == 401
    assert "有效期" in house.client().post("/api/v1/session", json={"login": "inspector", "password": PASSWORD}).json()["detail"]


def test_a_certificate_counts_only_from_a_trusted_proxy(house: House) -> None:
    extra(house, "duty", certificate="CN=陈值班,O=GA")
    header = {"X-Client-Verify": "SUCCESS", "X-Client-Subject": "CN=陈值班,O=GA".encode().decode("latin-1")}
    extra(house, "duty", certificate=header["X-Client-Subject"])
    ascii_only = {"X-Client-Verify": "SUCCESS", "X-Client-Subject": "CN=duty-0001"}
    extra(house, "duty", certificate="CN=duty-0001")
    assert house.client().get("/login/certificate", headers=ascii_only).status_code == 401, "anybody can write a header"
    app = site.build(replace(house.services, settings=replace(house.settings, trusted_proxies=("10.9.0.0/24",))))
    behind = TestClient(app, client=("10.9.0.7", 1), follow_redirects=False)
    assert behind.get("/login/certificate", headers=ascii_only | {"X-Client-Verify": "NONE"}).status_code == 401
    refused = behind.get("/login/certificate?next=/alarms", headers=ascii_only | {"X-Client-Subject": "CN=other"})
    assert refused.status_code == 401
    assert all(said in refused.text for said in ("这张证书没有对应的账号", 'name="password"')), "why, and another way in"
    escaped = behind.get("/login", headers=ascii_only | {"X-Client-Subject": r"CN=\E9\99\88\E5\80\BC\E7\8F\AD,O=GA"}).text
    assert all(said in escaped for said in ("用客户端证书登录", "CN=陈值班,O=GA")), "nginx writes what is not ASCII byte by byte"
    assert "用客户端证书登录" not in behind.get("/login").text + house.client().get("/login", headers=ascii_only).text
    assert behind.get("/login/certificate", headers=ascii_only).status_code == 303
    assert behind.get("/api/v1/session").json()["login"] == "duty"
    assert TestClient(app, client=("10.8.0.7", 1)).get("/login/certificate", headers=ascii_only).status_code == 401


@pytest.fixture
def books(tmp_path: Path) -> Iterator[tuple[Database, list[str]]]:
    """An empty province with a city and a county, and the words that name its configuration to a command."""
    (tmp_path / "server.yaml").write_text("data_dir: var\n")
    (tmp_path / "var").mkdir()
    db = Database(fresh(tmp_path / "var" / "archivewatch.db"))
    with db.write() as session:
        for level, (code, parent) in enumerate((("350000000000", None), ("350100000000", "350000000000"), (COUNTY, "350100000000")), start=1):
            session.add(Unit(code=code, parent=parent, level=level, name=code, short_name=code[:6]))
            session.flush()
    yield db, ["--config", str(tmp_path / "server.yaml"), "--json"]
    db.close()


def test_no_command_makes_an_administrator_below_a_city(books, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    db, config = books

    def run(*words: str, typed: str = "") -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        return cli.main(["account", *words, *config])

    rows = [
        json.dumps({"login": f"l-{unit}", "role": "audit", "unit": unit, "name": "某", "password": PASSWORD}) for unit in ("350100000000", COUNTY)
    ]
    assert run("first-run", "--unit", COUNTY) == 4
    assert "管理员设在省厅和市局" in capsys.readouterr().err
    assert run("add", "sec", "--role", "security", "--unit", COUNTY, typed=PASSWORD) == 4
    assert run("load", typed="\n".join(rows)) == 4
    with db.read() as session:
        assert session.query(Account).count() == 0, "not even the one of the city before it: all or none"
    assert run("add", "sec", "--role", "security", "--unit", "350100000000", typed=PASSWORD) == 0
    assert run("add", "duty", "--role", "duty", "--unit", COUNTY, typed=PASSWORD) == 0


def test_the_first_run_makes_three_administrators_once(books, capsys: pytest.CaptureFixture[str]) -> None:
    db, config = books
    assert cli.main(["account", "first-run", "--unit", "350000000000", *config]) == 0
    made = json.loads(capsys.readouterr().out)["accounts"]
    assert [row["role"] for row in made] == ["system", "security", "audit"]
    with db.read() as session:
        assert {row.role for row in session.query(Account)} == {"system", "security", "audit"}
        assert all(row.must_change and row.totp_required for row in session.query(AccountSecurity))
    _, who = sessions.sign_in(db, made[0]["login"], made[0]["password"], T0, sessions.SignInLimits())
    assert who.duty == "password"
    assert cli.main(["account", "first-run", "--unit", "350000000000", *config]) == 4
