"""Sign-in by provider, PIN and certificate in place, visitors, and a form that outlives a session."""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.testclient import TestClient

from server import cli
from server.duty.incidents import Incidents
from server.org import credentials, sessions
from server.org.oidc import Provider
from server.org.sessions import SignInLimits
from server.org.vouching import ProviderSettings
from server.store.tables import Account, AuditEntry, Person
from server.store.tables_incident import Incident
from server.web import site
from simulators.oidc_provider import OidcProvider
from tests.web.house import COUNTY, OTHER, PASSWORD, ROOM, SISTER, T0, House, serving
from tests.web.test_web_security import extra

HTML = {"accept": "text/html"}
DAY = 86_400_000
PIN = "482913"


class Town:
    """A house with a provider in front; `browser` follows it there and back."""

    def __init__(self, house: House, provider: OidcProvider) -> None:
        self.house, self.provider = house, provider
        provider.clock = lambda: house.now // 1000
        settings = ProviderSettings(issuer=provider.issuer, client_id="aw", client_secret="s3cret")
        self.app = site.build(replace(house.services, provider=Provider(settings)))

    def browser(self) -> TestClient:
        return TestClient(self.app, follow_redirects=False)

    def away(self, browser: TestClient, target: str = "/") -> str:
        """To the provider and to the address that it sends the browser back to."""
        there = browser.get(f"/login/provider?next={target}")
        assert there.status_code == 303, there.text
        answer = httpx.get(there.headers["location"], trust_env=False)
        assert answer.status_code == 302, answer.text
        back = urlsplit(answer.headers["location"])
        return f"{back.path}?{back.query}"


@pytest.fixture
def town(house: House) -> Iterator[Town]:
    with house.db.write() as session:
        session.query(Account).filter_by(login="duty").one().person = 1
    with OidcProvider({"aw": "s3cret"}, {"preferred_username": "P-0001"}) as provider:
        yield Town(house, provider)


def test_whoever_the_provider_vouches_for_is_the_person_with_that_code(town: Town) -> None:
    browser = town.browser()
    assert "用统一身份认证登录" in browser.get("/login", headers=HTML).text
    back = browser.get(town.away(browser, "/alarms"))
    assert (back.status_code, back.headers["location"]) == (303, "/alarms")
    assert browser.get("/api/v1/session").json()["login"] == "duty"
    with town.house.db.read() as session:
        assert session.query(AuditEntry).filter_by(action="session.open").count() == 1


@pytest.mark.parametrize("twist", ["nonce", "audience", "issuer", "expired", "key", "unsigned"])
def test_a_token_that_is_not_for_us_now_by_that_provider_opens_nothing(town: Town, twist: str) -> None:
    town.provider.twist = twist
    browser = town.browser()
    answer = browser.get(town.away(browser), headers=HTML)
    assert (answer.status_code, "没有通过验证" in answer.text) == (401, True)
    assert browser.get("/api/v1/session").status_code == 401


def test_state_belongs_to_one_browser_and_counts_once_and_not_for_long(town: Town) -> None:
    browser, other = town.browser(), town.browser()
    address = town.away(browser)
    assert other.get(address).status_code == 401, "a victim who is led to somebody else's answer"
    assert browser.get(address.replace("state=", "state=x")).status_code == 401
    assert browser.get(address).status_code == 303
    browser.cookies.clear()
    assert browser.get(address).status_code == 401
    late = town.browser()
    address = town.away(late)
    town.house.now += 600_001
    assert "已过期" in late.get(address).text


def test_a_code_is_useless_without_the_verifier_and_with_another_secret(town: Town) -> None:
    browser = town.browser()
    address = town.away(browser)
    code = re.search(r"code=([\w-]+)", address)[1]
    stolen = {"grant_type": "authorization_code", "code": code, "redirect_uri": "http://testserver/login/provider/back", "code_verifier": "guess"}
    assert httpx.post(f"{town.provider.issuer}/token", data=stolen, auth=("aw", "s3cret"), trust_env=False).status_code == 400
    assert browser.get(address).status_code == 401, "the code was spent"
    town.provider.clients["aw"] = "changed"
    assert browser.get(town.away(browser)).status_code == 401


def test_an_unknown_person_a_disabled_one_and_an_administrator_without_second_factor_stay_outside(town: Town) -> None:
    house = town.house
    for claims, sentence in (({"preferred_username": "P-9999"}, "没有账号"), ({"preferred_username": ""}, "没有给出"), ({}, "没有给出")):
        town.provider.person = claims
        browser = town.browser()
        answer = browser.get(town.away(browser), headers=HTML)
        assert (answer.status_code, sentence in answer.text) == (401, True), answer.text
    town.provider.person = {"preferred_username": "P-0001"}
    extra(house, "duty", totp_required=True, totp_since=T0)
    browser = town.browser()
    assert "双因素" in browser.get(town.away(browser)).text
    town.provider.person = {"preferred_username": "P-0001", "amr": ["pwd", "otp"]}
    assert browser.get(town.away(browser)).status_code == 303
    with house.db.write() as session:
        session.get_one(Person, 1).disabled_at = T0
    assert browser.get(town.away(browser)).status_code == 401


def test_without_the_provider_the_password_still_works(house: House) -> None:
    settings = ProviderSettings(issuer="http://127.0.0.1:9", client_id="aw", client_secret="s")
    browser = TestClient(site.build(replace(house.services, provider=Provider(settings))), follow_redirects=False)
    answer = browser.get("/login/provider", headers=HTML)
    assert (answer.status_code, "连不上统一身份认证" in answer.text) == (503, True)
    assert browser.post("/api/v1/session", json={"login": "duty", "password": PASSWORD}).status_code == 200
    assert house.client().get("/login/provider").status_code == 404


# -- at a terminal ------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def terminal(house: House) -> TestClient:
    client = house.client("duty")
    bad = client.post("/me/security/pin", data={"old": PASSWORD, "new": "123456"}, headers=HTML)
    assert (bad.status_code, "不能是连号" in bad.text) == (422, True)
    assert client.post("/me/security/pin", data={"old": "wrong", "new": PIN}, headers=HTML).status_code == 422
    assert client.post("/me/security/pin", data={"old": PASSWORD, "new": PIN}).status_code == 303
    client.post("/me/security/terminal", data={"name": "值班室大屏"})
    client.post("/logout")
    return client


def test_acting_at_a_terminal_asks_for_a_pin_in_place_and_leaves_nobody_signed_in(house: House, terminal: TestClient) -> None:
    alarm = house.smoke()
    assert 'name="actor_pin"' in terminal.get(f"/alarms/{alarm}", headers=HTML).text
    assert 'name="actor_pin"' in terminal.get(f"/alarms/{alarm}/dialog/acknowledge", headers=HTML).text
    assert terminal.get(f"/alarms/{alarm}/dialog/out-of-service").status_code == 403, "what takes an alarm away needs a sign-in"
    address = f"/alarms/{alarm}/acknowledge"
    for actor in ({}, {"actor_login": "duty", "actor_pin": "000000"}, {"actor_login": "duty", "actor_pin": PASSWORD[:12]}):
        assert terminal.post(address, data=actor).status_code == 403
    wrong = terminal.post(address, data={"actor_login": "duty", "actor_pin": "864209", "note": "已到二楼"}, headers=HTML)
    assert "登录名或 PIN 不对" in wrong.text, "not: a wrong password"
    assert 'name="note" value="已到二楼"' in wrong.text, "what was typed is not lost"
    assert (wrong.text.count('name="actor_pin"'), "864209" in wrong.text) == (1, False)
    assert "请填写自己的登录名和 PIN" in terminal.post(address, data={"note": "已到门外"}, headers=HTML).text, "not: a wrong password"
    house.now += 7_200_000
    done = terminal.post(address, data={"actor_login": "duty", "actor_pin": PIN, "note": "已到门外"})
    assert done.status_code == 303, done.text
    with house.db.read() as session:
        assert session.query(Account).filter_by(login="duty").one().used_at == house.now, "whoever acts at terminals alone is no sleeper"
    assert (house.alarm(ROOM, "smoke").acked_by, terminal.get("/api/v1/session").json()["role"]) == ("陈值班", "kiosk")
    assert house.client().post("/api/v1/session", json={"login": "duty", "password": PIN}).status_code == 401, "a PIN opens no session"
    assert terminal.post(f"/alarms/{alarm}/comment", data={"actor_login": "sister-duty", "actor_pin": PIN, "note": "x"}).status_code == 403


def test_every_act_of_a_board_is_done_in_place(house: House, terminal: TestClient) -> None:
    me = {"actor_login": "duty", "actor_pin": PIN}
    house.send(OTHER, leak=1)
    house.now += 6_000
    house.send(OTHER, leak=1)
    alarm, leak = house.smoke(), house.alarm(OTHER, "leak").id
    Incidents(house.db, house.store, house.services.cards, lambda *_: None).run_once(house.now)
    with house.db.read() as session:
        incident = session.query(Incident).filter_by(alarm=alarm).one().id
    reading = {"taken_at": "2026-09-21T08:00", "temperature": "20", "humidity": "50", "reader": "陈值班", "confirmed": "1"}
    acts = (
        *((f"/alarms/{alarm}/{act}", {"note": "去看"}) for act in ("acknowledge", "progress", "assist", "no-danger", "comment", "decline")),
        (f"/alarms/{leak}/shelve", {"minutes": "30", "reason": "水管检修"}),
        (f"/alarms/{leak}/unshelve", {}),
        (f"/rooms/{ROOM}/report", {"note": "温湿度正常"}),
        (f"/incidents/{incident}/log", {"text": "已断电"}),
        (f"/incidents/{incident}/step", {"number": "1", "done": "1"}),
        (f"/rooms/{ROOM}/readings", reading),
    )
    for address, form in acts:
        for refused in ({}, me | {"actor_pin": "000000"}):
            assert terminal.post(address, data=form | refused).status_code in (403, 422), address
        answer = terminal.post(address, data=form | me)
        assert answer.status_code == 303, (address, answer.text)
        house.now += 60_000
    for address in (f"/rooms/{ROOM}/maintenance", f"/rooms/{ROOM}/stage", f"/alarms/{alarm}/out-of-service"):
        assert terminal.post(address, data={"reason": "x", "minutes": "30", "stage": "trial"} | me).status_code == 403, address
    for page in (f"/rooms/{ROOM}", f"/incidents/{incident}", f"/rooms/{ROOM}/readings"):
        assert 'name="actor_pin"' in terminal.get(page, headers=HTML).text, page
    with house.db.read() as session:
        said = {(entry.actor, entry.action) for entry in session.query(AuditEntry).filter(AuditEntry.id > 3)}
    assert not [who for who, action in said if who == "值班室大屏" and action not in ("kiosk.make",)], "the board itself never acts"


def test_a_pin_does_what_its_owner_may_and_no_more(house: House, terminal: TestClient) -> None:
    alarm = house.smoke()
    extra(house, "inspector", pin_hash=_pin_of(house, "duty"))
    for address in (f"/alarms/{alarm}/acknowledge", f"/rooms/{ROOM}/report", f"/rooms/{ROOM}/readings"):
        assert terminal.post(address, data={"actor_login": "inspector", "actor_pin": PIN, "note": "x"}).status_code in (403, 422)
    assert "没有这项权限" in terminal.post(f"/rooms/{ROOM}/readings", data={"actor_login": "inspector", "actor_pin": PIN}, headers=HTML).text


def _pin_of(house: House, login: str) -> str:
    with house.db.read() as session:
        account = session.query(Account).filter_by(login=login).one()
        return credentials.security(session, account.id).pin_hash


def test_wrong_pins_lock_pins_at_terminals_never_the_board_nor_a_sign_in(house: House, terminal: TestClient) -> None:
    address = f"/alarms/{house.smoke()}/comment"
    wrong, right = ({"actor_login": "duty", "actor_pin": pin, "note": "x"} for pin in ("864209", PIN))
    house.now += 1
    assert [terminal.post(address, data=wrong).status_code for _ in range(5)] == [403] * 4 + [429]
    assert "登录不受影响" in terminal.post(address, data=right, headers=HTML).text, "even the right one, for now"
    assert terminal.get("/", headers=HTML).status_code == 200
    desk = house.client()
    assert desk.post("/api/v1/session", json={"login": "duty", "password": PASSWORD}).status_code == 200, "his own desk is open to him"
    for _ in range(5):
        desk.post("/api/v1/session", json={"login": "duty", "password": "guessed"})
    assert desk.post("/api/v1/session", json={"login": "duty", "password": PASSWORD}).status_code == 429, "passwords lock as they did"
    house.now += 15 * 60_000
    assert terminal.post(address, data=right).status_code == 303
    seen = [row["action"] for row in house.client("audit").get("/api/v1/audit").json()["items"] if row["action"].startswith("pin.")]
    assert sorted(seen) == ["pin.change", "pin.locked", *["pin.refused"] * 4]


def test_a_certificate_in_place_acts_without_a_pin(house: House, terminal: TestClient) -> None:
    alarm = house.smoke()
    extra(house, "duty", certificate="CN=duty-0001")
    behind = TestClient(
        site.build(replace(house.services, settings=replace(house.settings, trusted_proxies=("10.9.0.0/24",)))), client=("10.9.0.7", 1)
    )
    behind.cookies.set("aw_terminal", terminal.cookies["aw_terminal"])
    header = {"X-Client-Verify": "SUCCESS", "X-Client-Subject": "CN=duty-0001"}
    address = f"/alarms/{alarm}/acknowledge"
    assert behind.post(address, headers={**header, "X-Client-Verify": "NONE"}).status_code == 403
    assert behind.post(address, headers=header, follow_redirects=False).status_code == 303
    assert house.alarm(ROOM, "smoke").acked_by == "陈值班"


def test_a_proxy_on_this_machine_is_believed_if_it_is_named_and_only_then(house: House, free_port: int) -> None:
    extra(house, "duty", certificate="CN=duty-0001")
    handed = {"X-Forwarded-For": "10.1.2.3", "X-Forwarded-Proto": "https", "X-Client-Verify": "SUCCESS", "X-Client-Subject": "CN=duty-0001"}
    unnamed = house.app
    house.app = site.build(replace(house.services, settings=replace(house.settings, trusted_proxies=("127.0.0.1",))))
    with serving(house, free_port) as url:
        answer = httpx.get(f"{url}/login/certificate", headers=handed, trust_env=False)
    assert (answer.status_code, "; secure" in answer.headers["set-cookie"].lower()) == (303, True)
    assert "strict-transport-security" in answer.headers
    with house.db.read() as session:
        assert session.query(AuditEntry).filter_by(action="session.open").one().address == "10.1.2.3"
    client = TestClient(unnamed, client=("127.0.0.1", 1), headers={"Sec-Fetch-Site": "same-origin"})
    cookie = client.post("/api/v1/session", json={"login": "duty", "password": PASSWORD}, headers=handed).headers["set-cookie"]
    assert "secure" not in cookie.lower()


def test_a_certificate_is_bound_on_the_own_page(house: House) -> None:
    app = site.build(replace(house.services, settings=replace(house.settings, trusted_proxies=("10.9.0.0/24",))))
    behind = TestClient(app, client=("10.9.0.7", 1), follow_redirects=False)
    behind.headers.update({"X-Client-Verify": "SUCCESS", "X-Client-Subject": "CN=duty-0002", "Sec-Fetch-Site": "same-origin"})
    behind.post("/api/v1/session", json={"login": "duty", "password": PASSWORD})
    assert "CN=duty-0002" in behind.get("/me/security", headers=HTML).text
    assert behind.post("/me/security/certificate", data={"old": "wrong"}, headers=HTML).status_code == 422
    assert behind.post("/me/security/certificate", data={"old": PASSWORD}).status_code == 303
    behind.cookies.clear()
    assert behind.get("/login/certificate").status_code == 303
    behind.cookies.clear()
    behind.post("/api/v1/session", json={"login": "in_charge", "password": PASSWORD})
    taken = behind.post("/me/security/certificate", data={"old": PASSWORD}, headers=HTML)
    assert (taken.status_code, "另一个账号" in taken.text) == (422, True)


# -- visitors -----------------------------------------------------------------------------------------------------------------------------


def test_a_visitor_reads_his_unit_for_his_days_with_his_name_across(house: House) -> None:
    admin = house.client("province-security")
    form = {"name": "省档案局李处", "login": "visitor-li", "unit": COUNTY, "days": "2", "reason": "年度检查"}
    assert "期限须为" in admin.post("/visitors", data=form | {"days": "31"}, headers=HTML).text
    page = admin.post("/visitors", data=form, headers=HTML).text
    password = re.search(r"visitor-li\u3000([\w-]+)", page)[1]
    assert password not in admin.get("/visitors", headers=HTML).text
    assert admin.post("/visitors", data=form, headers=HTML).status_code == 422, "a login is taken once"
    guest = house.client()
    assert guest.post("/api/v1/session", json={"login": "visitor-li", "password": password}).status_code == 200
    shown = guest.get("/", headers=HTML).text
    assert '<body class="visitor"' in shown
    assert "省档案局李处" in guest.get("/me/watermark.svg").text
    assert shown.count(f"省档案局李处 {COUNTY} 2026-09-21") >= 6, "what is printed carries name and time"
    assert guest.get(f"/api/v1/rooms/{ROOM}").status_code == 200
    assert guest.get(f"/api/v1/units/{SISTER}").status_code == 403
    alarm = house.smoke()
    assert guest.post(f"/api/v1/alarms/{alarm}/acknowledge", json={}).status_code == 403
    house.now += 2 * DAY
    assert guest.get("/api/v1/rooms").status_code == 401


def test_a_visit_is_ended_at_once_and_only_from_above(house: House) -> None:
    security = house.client("province-security")
    body = {"login": "v1", "name": "来访", "unit": COUNTY, "since": "2026-09-21T00:00:00Z", "until": "2026-09-23T00:00:00Z", "reason": "检查"}
    made = security.post("/api/v1/visitors", json=body)
    assert made.status_code == 201, made.text
    assert security.post("/api/v1/visitors", json=body | {"login": "v2", "until": "2026-11-23T00:00:00Z"}).status_code == 422
    ident, guest = made.json()["id"], house.client()
    assert guest.post("/api/v1/session", json={"login": "v1", "password": made.json()["password"]}).status_code == 200
    assert house.client("sister-security").delete(f"/api/v1/visitors/{ident}").status_code == 404
    assert house.client("sister-security").get("/api/v1/visitors").json() == []
    assert house.client("in_charge").get("/api/v1/visitors").status_code == 403
    assert security.delete(f"/api/v1/visitors/{ident}").status_code == 204
    assert guest.get("/api/v1/rooms").status_code == 401
    assert [row["open"] for row in security.get("/api/v1/visitors").json()] == [False]
    assert security.delete("/api/v1/visitors/1").status_code == 404, "an account that is no visitor's"


def test_commands_make_visitors_and_bind_certificates(house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "server.yaml").write_text(f"data_dir: {house.folder}\ndatabase: sqlite:///{house.folder / 'aw.db'}\n")
    config = ["--config", str(tmp_path / "server.yaml"), "--json"]
    assert cli.main(["account", "visitor", "v9", "--unit", COUNTY, "--days", "3", "--reason", "检查", *config]) == 0
    made = json.loads(capsys.readouterr().out)
    with house.db.read() as session:
        ident = session.query(Account).filter_by(login="v9").one().id
        assert credentials.security(session, ident).visitor
    assert len(made["password"]) >= 16
    assert cli.main(["account", "visitor", "v8", "--unit", COUNTY, "--days", "40", "--reason", "检查", *config]) == 4
    assert cli.main(["account", "visitor", "v8", "--unit", "350199000000", "--reason", "检查", *config]) == 3
    assert cli.main(["account", "certificate", "duty", "CN=x", *config]) == 0
    assert cli.main(["account", "certificate", "in_charge", "CN=x", *config]) == 4
    assert cli.main(["account", "certificate", "nobody", "CN=x", *config]) == 3
    assert sessions.holder(house.db, "CN=x", T0).login == "duty"


# -- a form that outlives its session --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ended", ["signed out", "idle"])
def test_what_was_filled_in_waits_until_the_person_has_signed_in_again(tmp_path: Path, ended: str) -> None:
    with contextlib.closing(House(tmp_path, limits=SignInLimits())) as house:
        house.birth()
        house.calm()
        _late_form(house, ended)


def _late_form(house: House, ended: str) -> None:
    alarm = house.smoke()
    client = house.client("duty")
    if ended == "signed out":
        client.post("/logout")
    else:
        house.now += 29 * 60_000
        assert client.get(f"/alarms/{alarm}", headers=HTML).status_code == 200, "using it keeps it"
        house.now += 30 * 60_000
    late = client.post(f"/alarms/{alarm}/comment", data={"note": '门外"无<烟>味', "password": "secret"}, headers=HTML)
    assert (late.status_code, "刚才填写的内容会保留" in late.text) == (401, True)
    assert "secret" not in late.text
    kept = {name: late.text.split(f'name="{name}" value="')[1].split('"')[0] for name in ("kept_to", "kept")}
    kept = {name: unescape(value) for name, value in kept.items()}
    wrong = client.post("/login", data={"login": "duty", "password": "wrong wrong", **kept}, headers=HTML)
    assert (wrong.status_code, 'name="kept"' in wrong.text) == (401, True)
    page = client.post("/login", data={"login": "duty", "password": PASSWORD, **kept}, headers=HTML)
    assert (page.status_code, "继续提交" in page.text, f'action="/alarms/{alarm}/comment"' in page.text) == (200, True, True)
    assert "门外&#34;无&lt;烟&gt;味" in page.text
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))
    assert client.post(f"/alarms/{alarm}/comment", data={name: unescape(value) for name, value in fields.items()}).status_code == 303
    assert "门外&#34;无&lt;烟&gt;味" in client.get(f"/alarms/{alarm}", headers=HTML).text


def test_an_edit_of_the_books_that_comes_too_late_is_offered_again_whole(house: House) -> None:
    client = house.client("system")
    client.post("/logout")
    filled = {"kind": "rooms", "key.code": ROOM, "cell.location": "三楼东侧", "reason": "搬迁", "back": f"/rooms/{ROOM}/sheet"}
    late = client.post("/edit", data=filled, headers=HTML).text
    kept = {name: unescape(late.split(f'name="{name}" value="')[1].split('"')[0]) for name in ("kept_to", "kept")}
    page = client.post("/login", data={"login": "system", "password": PASSWORD, **kept}, headers=HTML).text
    assert re.search(r"<small>位置</small> <bdi>三楼东侧</bdi>", page), "said by its name"
    fields = {name: unescape(value) for name, value in re.findall(r'type="hidden" name="([\w.]+)" value="([^"]*)"', page)}
    assert fields.items() >= filled.items()
    assert client.post("/edit", data=fields, headers=HTML).headers["location"] == f"/rooms/{ROOM}/sheet?said=done"


def test_a_dialog_asks_for_the_sign_in_in_place(house: House) -> None:
    alarm = house.smoke()
    answer = house.client().post(f"/alarms/{alarm}/acknowledge", data={"from": "dialog", "note": "x"}, headers={**HTML, "hx-request": "true"})
    assert (answer.status_code, answer.headers["hx-retarget"]) == (401, "#dialog-message")
    assert 'name="kept_to" value="/alarms/' in answer.text
    assert "<html" not in answer.text
    foreign = house.client().post("/login", data={"login": "duty", "password": PASSWORD, "kept_to": "//evil.example/x", "kept": "[]"})
    assert (foreign.status_code, foreign.headers["location"]) == (303, "/")
