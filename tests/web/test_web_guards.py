"""Forged requests, too many requests, headers, hostile texts."""

from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import func
from starlette.testclient import TestClient

from server.org import sessions
from server.store import audit
from server.store.tables import Account, Alarm, Gateway, Notification, Person, Point, Room, Unit
from server.watch.commands import Reload
from server.web import guard, rates, site
from server.web.services import Rates
from tests.web.house import PASSWORD, ROOM, SERVICE_KEY, House

HTML = {"accept": "text/html"}


def browser(house: House, login: str = "in_charge") -> TestClient:
    """Signed in; says nothing about where its requests come from, as over plain HTTP."""
    client = house.client(login)
    del client.headers["sec-fetch-site"]
    return client


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://testserver"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"}, 200),
        ({}, 200),
        ({"Origin": "http://evil.example", "Authorization": f"Bearer {SERVICE_KEY}"}, 200),
    ],
)
def test_a_forged_request_is_refused(shared_house: House, headers: dict[str, str], status: int) -> None:
    alarm = shared_house.smoke()
    answer = browser(shared_house).post(f"/api/v1/alarms/{alarm}/comment", json={"note": "x"}, headers=headers)
    assert answer.status_code == status, answer.text


def test_a_form_that_does_not_say_where_it_comes_from_must_carry_the_pages_token(house: House) -> None:
    alarm = house.smoke()
    client = browser(house)
    address = f"/alarms/{alarm}/comment"
    page = client.get(f"/alarms/{alarm}", headers=HTML).text
    token = guard.token(client.cookies["aw_session"])
    assert page.count('method="post"') == page.count(f'name="{guard.FIELD}" value="{token}"') > 3
    for forged in ({}, {guard.FIELD: ""}, {guard.FIELD: guard.token("another session")}):
        answer = client.post(address, data={"note": "x", **forged}, headers=HTML)
        assert (answer.status_code, "来自别的网站" in answer.text) == (403, True)
        assert client.post(address, files={"note": ("", b"x")}, data=forged).status_code == 403
    assert client.post(address, content=b"note=x", headers={"content-type": "text/plain"}).status_code == 403
    assert client.post(address, data={"note": "x", guard.FIELD: token}, headers=HTML).status_code == 303
    assert client.post(address, data={"note": "x"}, headers={**HTML, guard.HEADER: token}).status_code == 303
    assert client.cookies["aw_session"] not in page


def test_every_answer_carries_the_safe_headers(house: House) -> None:
    client = house.client("duty")
    for path, status in (("/", 200), ("/api/v1/rooms", 200), ("/nowhere", 404), ("/login", 200), ("/static/css/app.css", 200)):
        answer = client.get(path, headers=HTML)
        assert answer.status_code == status
        for name, value in guard.SECURITY.items():
            assert answer.headers[name] == value or name == "referrer-policy"
        assert ("no-store" in answer.headers["cache-control"]) == (not path.startswith("/static"))
        assert "strict-transport-security" not in answer.headers
        assert "server" not in answer.headers
    client.base_url = "https://testserver"
    assert client.get("/login").headers["strict-transport-security"].startswith("max-age=")
    assert "unsafe" not in guard.SECURITY["content-security-policy"]


def limited(house: House, **per_minute: int) -> TestClient:
    app = site.build(replace(house.services, settings=replace(house.settings, rates=Rates(**per_minute))))
    return TestClient(app, headers={"Sec-Fetch-Site": "same-origin"}, follow_redirects=False)


def signed_in(house: House, client: TestClient, login: str = "duty") -> TestClient:
    token, _ = sessions.sign_in(house.db, login, PASSWORD, house.now, house.settings.limits)
    client.cookies.set("aw_session", token)
    return client


def test_failed_sign_ins_of_an_address_are_limited_and_good_ones_are_not(house: House) -> None:
    client = limited(house, sign_in=3)
    good, bad = {"login": "duty", "password": PASSWORD}, {"login": "nobody", "password": "wrong wrong"}
    assert [client.post("/api/v1/session", json=good).status_code for _ in range(6)] == [200] * 6
    assert [client.post("/api/v1/session", json=bad).status_code for _ in range(4)] == [401, 401, 401, 429]
    refused = client.post("/api/v1/session", json=good)
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (429, "rate_limited", "20")
    assert refused.headers["content-type"] == "application/problem+json"
    page = client.post("/login", data=good, headers=HTML)
    assert (page.status_code, "登录失败的次数太多" in page.text) == (429, True)
    house.now += 20_000
    assert client.post("/api/v1/session", json=good).status_code == 200


def test_requests_and_exports_are_limited_per_asker(house: House) -> None:
    client = signed_in(house, limited(house, requests=5, exports=2))
    # The first request counts for the address, for nobody knows yet whose session that is.
    assert [client.get("/api/v1/rooms").status_code for _ in range(7)] == [200] * 6 + [429]
    other = signed_in(house, TestClient(client.app, headers={"Sec-Fetch-Site": "same-origin"}), "in_charge")
    assert other.get("/api/v1/rooms").status_code == 200, "one asker's haste is not another one's"
    assert client.get("/healthz").status_code == 200
    assert client.get("/static/css/app.css").status_code == 200
    house.now += 60_000
    paper = f"/api/v1/reports/changes?unit={ROOM[:12]}&format=csv"
    assert [client.get(paper).status_code for _ in range(3)] == [200, 200, 429]
    assert client.get("/api/v1/rooms").status_code == 200


@pytest.mark.parametrize("made_up", ["cookie", "terminal", "bearer", "basic"])
def test_a_made_up_credential_buys_no_bucket_of_its_own(house: House, made_up: str) -> None:
    client = limited(house, requests=4)
    statuses = []
    for number in range(8):
        client.cookies.clear()
        name = {"cookie": "aw_session", "terminal": "aw_terminal"}.get(made_up)
        if name is not None:
            client.cookies.set(name, f"made-up-{number}")
        statuses.append(client.get("/api/v1/rooms", headers={} if name else {"Authorization": f"{made_up} made-up-{number}"}).status_code)
    assert statuses == [401] * 4 + [429] * 4
    client.cookies.clear()
    assert signed_in(house, client).get("/api/v1/rooms").status_code == 429, "until the address has waited"


def test_a_session_that_varies_another_header_stays_one_asker(house: House) -> None:
    client = signed_in(house, limited(house, requests=4))
    statuses = [client.get("/api/v1/rooms", headers={"Authorization": f"Basic {number}"}).status_code for number in range(6)]
    assert statuses == [200] * 4 + [429] * 2


def test_buckets_forget_who_asked_longest_ago() -> None:
    buckets = rates.Buckets()
    for who in range(rates.MOST_ASKERS + 10):
        assert buckets.wait("requests", str(who), 1, 0) == 0
    assert len(buckets._held) == rates.MOST_ASKERS
    assert buckets.wait("requests", str(rates.MOST_ASKERS), 1, 0) == 60
    assert buckets.wait("requests", str(rates.MOST_ASKERS), 1, 60_000) == 0
    assert buckets.wait("requests", "x", 0, 0) == 0


HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(1)>{{7*7}}</title>"""
PAGES = (
    "/", "/alarms", "/alarms/1", f"/rooms/{ROOM}", f"/rooms/{ROOM}/sheet", f"/rooms/{ROOM}/history", f"/rooms/{ROOM}/readings", "/units",
    f"/units/{ROOM[:12]}", "/rooms", "/people", "/people/1", "/devices", "/gateways", "/sms", "/duty", "/incidents", "/drills", "/papers", "/me",
    "/me/security", "/changes", "/notices", "/imports", "/audit", f"/search?q={quote(HOSTILE[:30])}", f"/people?q={quote(HOSTILE[:30])}",
    f"/login?next={quote(HOSTILE)}",
)  # fmt: skip


def test_a_hostile_name_is_text_on_every_page_and_in_every_export(house: House) -> None:
    alarm = house.smoke()
    house.tell(alarm)
    with house.db.write() as session:
        for table, column, longest in ((Room, "name", 120), (Room, "location", 60), (Unit, "name", 120), (Person, "name", 60), (Gateway, "name", 60)):
            if hasattr(table, column):
                session.query(table).update({column: HOSTILE[:longest]})
        session.query(Notification).update({"person_name": HOSTILE[:60], "text": HOSTILE})
        session.query(Account).update({"display_name": HOSTILE[:60]})
        session.query(Alarm).update({"acked_by": HOSTILE[:60], "note": HOSTILE})
        session.query(Point).update({"device": func.substr(Point.device, 1, 20) + HOSTILE[:25]})
        audit.append(session, HOSTILE, HOSTILE[:40], HOSTILE, {"x": HOSTILE}, house.now, unit=ROOM[:12], reason=HOSTILE)
    house.watch.submit(Reload(by="x", units=(ROOM[:12],), rooms=(ROOM,))).result(20)
    clients = [house.client(login) for login in ("province-in_charge", "province-system", "province-security")]
    seen = 0
    for path in PAGES:
        answers = [client.get(path, headers=HTML) for client in clients]
        assert min(answer.status_code for answer in answers) in (200, 303), path
        for answer in answers:
            assert "<script>alert" not in answer.text, path
            assert "<img src=x" not in answer.text, path
            assert ">49<" not in answer.text, path
            seen += "&lt;script&gt;alert" in answer.text
    assert seen > 20
    export = clients[2].get("/api/v1/audit/export?format=csv")
    assert export.headers["content-type"].startswith("text/csv")
    assert "attachment" in export.headers["content-disposition"]


@pytest.mark.parametrize("content", [b"x" * (9 * 1024 * 1024)])
def test_a_body_that_is_too_large_is_refused(house: House, content: bytes) -> None:
    client = house.client("in_charge")
    answer = client.post("/api/v1/imports", data={"kind": "units"}, files={"file": ("a.csv", content)})
    assert answer.status_code in (403, 413), answer.text
    assert house.client("province-system").post("/api/v1/imports", data={"kind": "units"}, files={"file": ("a.csv", content)}).status_code == 413


@pytest.mark.parametrize(
    "path",
    [
        "/static/../pyproject.toml",
        "/static/%2e%2e/pyproject.toml",
        "/static/..%2fpyproject.toml",
        "/static/css/..%5c..%5capp.py",
        "/static//etc/passwd",
    ],
)
def test_no_path_leads_out_of_the_static_files(shared_house: House, path: str) -> None:
    assert shared_house.client().get(path).status_code in (403, 404)


@pytest.mark.parametrize("name", ["...", "../rooms", "..\\rooms", "rooms\0", "/etc/passwd", "rooms/../../x"])
def test_no_name_of_a_template_or_export_leads_elsewhere(shared_house: House, name: str) -> None:
    client: Any = shared_house.client("province-system")
    assert client.get(f"/api/v1/imports/templates/{quote(name, safe='')}").status_code in (404, 422)
    assert client.get(f"/api/v1/exports/{quote(name, safe='')}/file").status_code in (404, 422)
