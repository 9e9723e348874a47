"""Accounts of people: opened by the security administrator for a role that the person holds, ended with it, one to a person."""

import re

from sqlalchemy import select, update

from server.org import people
from server.store.tables import Account, AuditEntry, Person
from server.store.tables_org import PersonRole
from tests.web.house import COUNTY, PROVINCE, ROOM, SISTER, House

HTML = {"Accept": "text/html"}


def hired(house: House, roles: dict[str, list[str]], code: str = "P-77", unit: str = COUNTY) -> int:
    with house.db.write() as session:
        person = Person(code=code, name="新来人", phone="+8613900007777", unit=unit)
        session.add(person)
        session.flush()
        people.set_roles(session, person, roles, by="test", now=house.now)
        return person.id


def opened(house: House, ident: int, role: str = "duty", unit: str = COUNTY, by: str = "security"):
    body = {"role": role, "unit": unit, "reason": "新任值班员"}
    return house.client(by).post(f"/api/v1/people/{ident}/account", json=body)


def sign_in(house: House, login: str, password: str) -> int:
    return house.client().post("/api/v1/session", json={"login": login, "password": password}).status_code


def account(house: House, ident: int) -> Account:
    with house.db.read() as session:
        return session.scalars(select(Account).where(Account.person == ident)).one()


def edited(house: House, code: str, after: dict[str, str], by: str = "system") -> int:
    body = {"kind": "people", "key": {"code": code}, "after": after, "reason": "调整"}
    return house.client(by).post("/api/v1/changes", json=body).status_code


def test_an_account_is_opened_for_a_role_that_the_person_holds_and_ends_with_it(house: House) -> None:
    ident = hired(house, {COUNTY: ["duty_officer"]})
    assert opened(house, ident, by="system").status_code == 403, "appointing is the security administrator's"
    assert opened(house, ident, role="in_charge").status_code == 422, "he is no person in charge"
    assert opened(house, ident, unit=SISTER).status_code == 403
    made = opened(house, ident).json()
    assert (made["login"], made["role"], made["unit"], made["open"]) == ("P-77", "duty", COUNTY, True)
    client = house.client()
    assert client.post("/api/v1/session", json={"login": "P-77", "password": made["password"]}).status_code == 200
    assert client.get("/api/v1/rooms").json()["code"] == "first_password", "a password that somebody else has seen is changed first"
    again = opened(house, ident)
    assert (again.status_code, "一人一个账号" in again.text) == (422, True)
    assert edited(house, "P-77", {"roles": "archivist"}) == 200
    assert (account(house, ident).disabled, client.get("/api/v1/session").status_code) == (True, 401)
    assert sign_in(house, "P-77", made["password"]) == 401
    assert opened(house, ident, role="in_charge").status_code == 201, "the same account, for the new role"
    assert (account(house, ident).role, account(house, ident).disabled) == ("in_charge", False)
    with house.db.read() as session:
        told = session.scalars(select(AuditEntry).where(AuditEntry.subject == f"account:{account(house, ident).id}").order_by(AuditEntry.id)).all()
    assert [entry.action for entry in told if entry.action.startswith("account")] == ["account_open", "account_end", "account_open"]
    assert all(entry.reason and made["password"] not in str(entry.after) for entry in told if entry.action.startswith("account"))


def test_whoever_moves_loses_the_account_of_the_old_place(house: House) -> None:
    ident = hired(house, {COUNTY: ["duty_officer"]})
    made = opened(house, ident).json()
    assert edited(house, "P-77", {"unit": SISTER}, by="province-system") == 200
    assert account(house, ident).disabled
    assert sign_in(house, "P-77", made["password"]) == 401


def test_an_imported_list_that_relieves_somebody_ends_his_account(house: House) -> None:
    ident = hired(house, {COUNTY: ["duty_officer"]})
    opened(house, ident)
    table = f"code,name,phone,unit,roles\nP-77,新来人,+8613900007777,{COUNTY},archivist\n"
    files = {"file": ("people.csv", table.encode(), "text/csv")}
    run = house.client("system").post("/api/v1/imports", data={"kind": "people", "dry_run": "false"}, files=files).json()
    house.services.imports.close()  # waits for it
    assert house.client("system").get(f"/api/v1/imports/{run['id']}").json()["state"] == "done"
    assert account(house, ident).disabled


def test_account_and_open_alarm_follow_their_unit_into_another(house: House) -> None:
    ident = hired(house, {COUNTY: ["duty_officer"]})
    opened(house, ident)
    alarm, heir = house.smoke(ROOM), house.client("sister-duty")
    assert heir.get(f"/api/v1/alarms/{alarm}").status_code == 403
    body = {"kind": "merge", "key": {"code": COUNTY}, "after": {"into": SISTER}, "reason": "机构改革"}
    assert house.client("province-system").post("/api/v1/changes", json=body).status_code == 200
    found = account(house, ident)
    assert (found.unit, found.disabled) == (SISTER, False)
    assert heir.get(f"/api/v1/alarms/{alarm}").json()["unit"] == SISTER, "an open alarm must not stay where nobody sees it"
    assert heir.post(f"/api/v1/alarms/{alarm}/acknowledge", json={"note": "到场"}).status_code == 200


def test_an_administrator_is_one_person_at_province_or_city_with_a_second_factor(house: House) -> None:
    low, high = hired(house, {COUNTY: []}, "P-78"), hired(house, {PROVINCE: ["security"]}, "P-79", PROVINCE)
    for by in ("province-security", "security"):
        asked = {"kind": "people", "key": {"code": "P-78"}, "after": {"roles": "security"}, "reason": "调整"}
        refused = house.client(by).post("/api/v1/changes", json=asked)
        assert (refused.status_code, "省厅和市局" in refused.text) == (422, True)
    with house.db.write() as session:  # as an older version let it be
        session.add(PersonRole(person=low, unit=COUNTY, role="security", since=house.now))
    refused = opened(house, low, "security", by="province-security")
    assert (refused.status_code, "省厅和市局" in refused.text) == (422, True)
    made = opened(house, high, "security", PROVINCE, by="province-security").json()
    client = house.client()
    assert client.post("/api/v1/session", json={"login": "P-79", "password": made["password"]}).status_code == 200
    changed = client.post("/me/security/password", data={"old": made["password"], "new": "another Horse 9 staple", "again": "another Horse 9 staple"})
    assert changed.status_code == 303, changed.text[:200]
    assert client.post("/api/v1/session", json={"login": "P-79", "password": "another Horse 9 staple"}).status_code == 200
    assert client.get("/api/v1/rooms").json()["code"] == "first_totp"


def test_a_lost_password_is_renewed_and_an_ended_account_is_over(house: House) -> None:
    ident = hired(house, {COUNTY: ["duty_officer"]})
    old = opened(house, ident).json()["password"]
    security = house.client("security")
    new = security.post(f"/api/v1/people/{ident}/account/password", json={"reason": "忘记密码", "second_factor": True}).json()["password"]
    assert (sign_in(house, "P-77", old), sign_in(house, "P-77", new)) == (401, 200)
    assert security.post(f"/api/v1/people/{ident}/account/revoke", json={"reason": "长期借调"}).status_code == 204
    assert security.post(f"/api/v1/people/{ident}/account/revoke", json={"reason": "长期借调"}).status_code == 422
    assert security.post(f"/api/v1/people/{ident}/account/password", json={"reason": "x"}).status_code == 422
    assert sign_in(house, "P-77", new) == 401


def test_the_last_account_of_an_administrators_role_stays(house: House) -> None:
    ident = hired(house, {PROVINCE: ["audit"]}, "P-80", PROVINCE)
    assert opened(house, ident, "audit", PROVINCE, by="province-security").status_code == 201
    with house.db.write() as session:
        session.execute(update(Account).where(Account.role == "audit", Account.person.is_(None)).values(disabled=True))
    refused = house.client("province-security").post(f"/api/v1/people/{ident}/account/revoke", json={"reason": "调离"})
    assert (refused.status_code, "最后一个账号" in refused.text) == (422, True)


def test_the_page_shows_the_password_once(house: House) -> None:
    ident = hired(house, {COUNTY: ["duty_officer"]})
    security = house.client("security")
    before = security.get(f"/people/{ident}").text
    assert "没有账号" in before
    assert "开通账号" not in house.client("system").get(f"/people/{ident}").text
    made = security.post(f"/people/{ident}/account", data={"role": f"{COUNTY}/duty", "reason": "上岗"}, headers=HTML)
    shown = re.search(r'<p class="code">(\S+)　(\S+)</p>', made.text)
    assert shown is not None
    assert sign_in(house, shown[1], shown[2]) == 200
    assert shown[2] not in security.get(f"/people/{ident}").text
    refused = security.post(f"/people/{ident}/account", data={"role": f"{COUNTY}/duty", "reason": "上岗"}, headers=HTML)
    assert (refused.status_code, "一人一个账号" in refused.text) == (422, True)
    renewed = security.post(f"/people/{ident}/account/password", data={"reason": "忘记"}, headers=HTML)
    assert shown[2] not in renewed.text
    ended = security.post(f"/people/{ident}/account/revoke", data={"reason": "调离"}, headers=HTML)
    assert ended.headers["location"] == f"/people/{ident}?said=account_ended"
    assert "账号 P-77 已停用" in security.get(f"/people/{ident}?said=account_ended").text
