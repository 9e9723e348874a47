"""Sign-in: argon2id, lock-out that is shown, sessions that end, tokens that are not kept."""

import re

import pytest

from server.org import accounts, sessions
from server.org.sessions import SignInLimits, SignInRefusedError
from server.store.tables import Account, AuditEntry, WebSession
from tests.web.house import COUNTY, PASSWORD, T0, House

LIMITS = SignInLimits(idle_ms=1_000_000, absolute_ms=3_000_000, failures=3, lock_ms=600_000)


def fail(house: House, login: str = "duty", now: int = T0) -> SignInRefusedError:
    with pytest.raises(SignInRefusedError) as refusal:
        sessions.sign_in(house.db, login, "wrong", now, LIMITS)
    return refusal.value


def test_a_password_is_stored_as_argon2id_and_a_token_as_a_hash(house: House) -> None:
    with house.db.write() as session:
        accounts.add_account(session, login="new", password=PASSWORD, role="duty", unit=COUNTY, name="陈值班")
    token, who = sessions.sign_in(house.db, "new", PASSWORD, T0, LIMITS)
    with house.db.read() as session:
        account = session.get_one(Account, who.account)
        assert account.password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert token not in {row.token_hash for row in session.query(WebSession)}
    assert (who.name, who.role, who.unit, who.last_login_at) == ("陈值班", "duty", COUNTY, None)
    assert sessions.sign_in(house.db, "new", PASSWORD, T0 + 5, LIMITS)[1].last_login_at == T0


def test_an_unknown_login_and_a_wrong_password_get_the_same_answer(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    monkeypatch.setattr(sessions, "verify", lambda stored, _password: bool(checked.append(stored.rsplit("$", 2)[0])))
    assert str(fail(house)) == str(fail(house, "nobody"))
    assert len(checked) == 2, "a hash is worked out for either, so that neither answers sooner"
    assert checked[1] == sessions.DUMMY.rsplit("$", 2)[0]


def test_an_account_locks_after_failures_and_opens_by_time(house: House) -> None:
    assert [fail(house).locked_until for _ in range(3)] == [None, None, T0 + 600_000]
    with pytest.raises(SignInRefusedError, match="锁定") as locked:
        sessions.sign_in(house.db, "duty", PASSWORD, T0 + 599_999, LIMITS)
    assert locked.value.locked_until == T0 + 600_000
    sessions.sign_in(house.db, "duty", PASSWORD, T0 + 600_000, LIMITS)
    with house.db.read() as session:
        assert session.query(Account).filter_by(login="duty").one().failures == 0
        assert [row.action for row in session.query(AuditEntry).order_by(AuditEntry.id)] == ["session.refused"] * 2 + [
            "session.locked",
            "session.open",
        ]


def test_a_success_forgets_earlier_failures(house: House) -> None:
    for _ in range(2):
        fail(house)
        fail(house)
        sessions.sign_in(house.db, "duty", PASSWORD, T0, LIMITS)


def test_a_session_ends_when_idle_and_at_its_absolute_age(house: House) -> None:
    token, _ = sessions.sign_in(house.db, "duty", PASSWORD, T0, LIMITS)
    assert sessions.identify(house.db, token, T0 + 999_999, LIMITS) is not None
    assert sessions.identify(house.db, token, T0 + 1_999_998, LIMITS) is not None
    assert sessions.identify(house.db, token, T0 + 2_999_997, LIMITS) is not None
    assert sessions.identify(house.db, token, T0 + 3_000_000, LIMITS) is None
    idle, _ = sessions.sign_in(house.db, "duty", PASSWORD, T0, LIMITS)
    assert sessions.identify(house.db, idle, T0 + 999_999, LIMITS, active=False) is not None, "an open stream is no activity"
    assert sessions.identify(house.db, idle, T0 + 1_000_000, LIMITS) is None


def test_a_session_can_be_revoked_and_a_disabled_account_has_none(house: House) -> None:
    token, who = sessions.sign_in(house.db, "duty", PASSWORD, T0, LIMITS)
    sessions.sign_out(house.db, token, T0)
    sessions.sign_out(house.db, token, T0)
    assert sessions.identify(house.db, token, T0, LIMITS) is None
    token, _ = sessions.sign_in(house.db, "duty", PASSWORD, T0, LIMITS)
    with house.db.write() as session:
        session.get_one(Account, who.account).disabled = True
    assert sessions.identify(house.db, token, T0, LIMITS) is None
    assert str(fail(house)) == "登录名或密码不对。"


def test_weak_passwords_and_unknown_roles_are_refused(house: House) -> None:
    with pytest.raises(ValueError, match="8 characters"):
        accounts.hash_password("short")
    with house.db.write() as session, pytest.raises(ValueError, match="not a role"):
        accounts.add_account(session, login="x", password=PASSWORD, role="root", unit=COUNTY, name="x")


def test_the_cookie_is_http_only_and_lax_and_the_lock_is_shown(house: House) -> None:
    client = house.client()
    answer = client.post("/api/v1/session", json={"login": "duty", "password": PASSWORD})
    cookie = answer.headers["set-cookie"].lower()
    assert "aw_session=" in cookie
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" not in cookie
    assert client.get("/api/v1/session").json()["name"] == "陈值班"
    assert client.delete("/api/v1/session").status_code == 204
    assert client.get("/api/v1/session").status_code == 401
    for _ in range(5):
        refused = client.post("/api/v1/session", json={"login": "duty", "password": "wrong wrong"})
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["retry-after"] == "900"
    page = client.post("/login", data={"login": "duty", "password": PASSWORD}, headers={"accept": "text/html"})
    assert page.status_code == 429
    assert "账号已锁定" in page.text
    assert "后可以再试" in page.text


def test_the_cookie_is_secure_on_https(house: House) -> None:
    client = house.client()
    client.base_url = "https://testserver"
    assert "secure" in client.post("/api/v1/session", json={"login": "duty", "password": PASSWORD}).headers["set-cookie"].lower()


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_sign_in_never_leads_to_another_site(house: House, target: str) -> None:
    answer = house.client().post("/login", data={"login": "duty", "password": PASSWORD, "next": target})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_a_script_may_call_the_login_a_username(house: House) -> None:
    answer = house.client().post("/api/v1/session", json={"username": "duty", "password": PASSWORD})
    assert answer.status_code == 200
    assert answer.json()["login"] == "duty"


def test_whoever_signs_in_is_told_of_the_time_before_and_of_who_tried_since_and_so_is_his_auditor(house: House) -> None:
    first = house.client("duty")
    assert "上次登录" not in first.get("/me").text, "there was none"
    house.now = T0 + 60_000
    for _ in range(2):
        assert house.client().post("/api/v1/session", json={"login": "duty", "password": "guessed"}).status_code == 401
    house.now = T0 + 120_000
    page = house.client("duty").get("/me").text
    assert re.search(r"上次登录</dt><dd>[^<]+<span class=\"code\">testclient</span>", page)
    assert re.search(r"其后没有成功的登录</dt><dd><b>2</b>", page)
    seen = house.client("audit").get("/api/v1/audit?action=session.refused").json()["items"]
    assert [entry["subject"] for entry in seen] == [f"account:{_ident(house, 'duty')}"] * 2, "who guards a unit's log sees who tries its accounts"
    house.now = T0 + 180_000
    assert "其后没有成功的登录</dt><dd>没有" in house.client("duty").get("/me").text


def _ident(house: House, login: str) -> int:
    with house.db.read() as session:
        return session.query(Account).filter_by(login=login).one().id
