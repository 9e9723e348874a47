"""Looking around as a role, emergency access and the quarterly review, in the browser's way."""

import re

from sqlalchemy import select

from server.store.tables import Account, AuditEntry
from server.store.tables_org import EmergencyAccess, Notice, PersonReview
from server.web.rights import SENSITIVE, Action, as_role
from tests.web import walk_routes
from tests.web.house import COUNTY, PASSWORD, PROVINCE, ROOM, SISTER, House
from tests.web.walk_examples import PUBLIC

HOUR = 3_600_000


def actions(house: House, subject: str = "") -> list[str]:
    with house.db.read() as session:
        query = select(AuditEntry.action).order_by(AuditEntry.id)
        return list(session.scalars(query.where(AuditEntry.subject.startswith(subject)) if subject else query))


def test_looking_around_shows_a_roles_pages_and_changes_nothing(house: House) -> None:
    system = house.client("province-system")
    assert system.post("/roles/view-as", data={"role": "king"}).status_code == 422
    assert house.client("duty").post("/roles/view-as", data={"role": "system"}).status_code == 403
    assert house.client("system").post("/roles/view-as", data={"role": "duty", "unit": SISTER}).status_code == 403
    assert system.post("/roles/view-as", data={"role": "duty", "unit": COUNTY}).headers["location"] == "/"
    board = system.get("/").text
    assert "正在以“值班员”查看" in board
    assert "一号库房" in board
    assert "档案库房" not in board, "the sister's room: he looks from the county"
    assert system.get("/imports").status_code == 403, "what the role has not he has not either"
    assert [system.get(path).status_code for path in ("/sms", "/audit")] == [403, 403], "and what he has not the role does not give him"
    alarm = house.smoke(ROOM) if house.birth() is None else 0
    assert 'action="/alarms/' in system.get(f"/alarms/{alarm}").text, "he sees the buttons"
    refused = system.post(f"/api/v1/alarms/{alarm}/acknowledge", json={"note": "x"})
    assert (refused.status_code, refused.json()["code"]) == (403, "viewing_as")
    assert system.post("/roles/view-as/end").headers["location"] == "/roles"
    assert system.get("/imports").status_code == 200
    assert actions(house, "account:").count("view_as") == 2
    with house.db.read() as session:
        first = session.scalar(select(AuditEntry).where(AuditEntry.action == "view_as").order_by(AuditEntry.id))
        assert first is not None
        assert (first.before, first.after) == ({"role": "", "unit": ""}, {"role": "duty", "unit": COUNTY})


def test_no_route_at_all_changes_anything_while_looking_around(house: House) -> None:
    system = house.client("province-system")
    system.post("/roles/view-as", data={"role": "in_charge", "unit": COUNTY})
    open_ = PUBLIC | {"POST /roles/view-as/end", "DELETE /api/v1/session"}
    asked = 0
    for route in walk_routes.routes(house.app):
        if route.method not in walk_routes.SAFE and route.key not in open_:
            path = re.sub(r"{\w+(:\w+)?}", "1", route.path)
            answer = system.request(route.method, path)
            assert answer.status_code == 403, (route.key, answer.status_code)
            asked += 1
    assert asked > 60


def test_what_is_private_stays_with_ones_own_rights() -> None:
    assert not as_role("system", "duty") & (SENSITIVE - {Action.PHONES})
    assert Action.PHONES not in as_role("security", "duty")
    assert Action.HANDLE in as_role("security", "duty")
    assert as_role("system", "king") == frozenset()


def test_emergency_access_by_two_administrators(house: House) -> None:
    security, system = house.client("security"), house.client("system")
    room = f"/rooms/{ROOM}"
    assert system.post("/emergency", data={"role": "duty", "reason": ""}).status_code == 422
    assert house.client("duty").post("/emergency", data={"role": "system", "reason": "x"}).status_code == 403
    assert system.post("/emergency", data={"role": "duty", "reason": "值班员失联，库房漏水"}).headers["location"].endswith("said=asked")
    with house.db.read() as session:
        ident = session.query(EmergencyAccess).one().id
    grant = f"/emergency/{ident}/grant"
    assert system.post(grant, data={"password": PASSWORD}).status_code == 409, "not one's own"
    assert security.post(grant, data={"password": "wrong"}).status_code == 422
    assert house.client("sister-security").post(grant, data={"password": PASSWORD}).status_code == 403
    assert system.post(f"{room}/maintenance", data={"minutes": "30", "reason": "x", "person": "x"}).status_code == 403
    assert security.post(grant, data={"password": PASSWORD, "hours": "2"}).headers["location"].endswith("said=granted")
    page = system.get("/").text
    assert "应急授权：现以“值班员”权限操作" in page
    assert system.post("/api/v1/changes", json={"kind": "rooms", "key": {"code": ROOM}, "after": {"location": "x"}, "reason": "x"}).status_code == 403
    assert system.get("/sms").status_code == 200
    with house.db.read() as session:
        assert session.query(Notice).filter_by(kind="emergency", closed_at=None).one().level == "urgent"
    house.now += 2 * HOUR
    assert "应急授权：现以" not in system.get("/").text
    assert system.get("/sms").status_code == 403
    assert actions(house, "emergency:") == ["emergency_ask", "emergency_grant"]
    assert "现在没有应急授权" in security.get("/emergency").text


def test_whoever_works_under_emergency_access_may_end_it_himself(house: House) -> None:
    security, system = house.client("security"), house.client("system")
    system.post("/emergency", data={"role": "in_charge", "reason": "x"})
    with house.db.read() as session:
        ident = session.query(EmergencyAccess).one().id
    security.post(f"/emergency/{ident}/grant", data={"password": PASSWORD})
    assert system.get("/emergency").status_code == 403, "his role is another one now"
    assert system.post(f"/emergency/{ident}/end").headers["location"] == "/me"
    assert system.get("/emergency").status_code == 200


def test_a_review_is_read_and_signed_with_the_password(house: House) -> None:
    security = house.client("province-security")
    assert "/reviews?sign=true" in security.get("/reviews").text
    page = security.get("/reviews?sign=true").text
    digest = re.search(r'name="sha256" value="([0-9a-f]{64})"', page)
    assert digest is not None
    form = {"sha256": digest[1], "remark": "核对无误"}
    assert security.post("/reviews", data=form | {"password": "wrong"}).status_code == 422
    assert security.post("/reviews", data=form | {"password": PASSWORD, "sha256": "0" * 64}).status_code == 409
    assert house.client("province-system").post("/reviews", data=form | {"password": PASSWORD}).status_code == 403
    assert security.post("/reviews", data=form | {"password": PASSWORD}).headers["location"] == "/reviews?said=signed"
    signed = security.get("/reviews").text
    assert "已由 province-security 签署" in signed
    assert 'name="sha256"' not in signed
    with house.db.read() as session:
        row = session.query(PersonReview).one()
        assert (row.unit, row.sha256, row.remark) == (PROVINCE, digest[1], "核对无误")
    assert "province-security" not in house.client("security").get("/reviews").text, "what the province signed is not the county's"


def test_a_sign_in_is_a_sign_of_life(house: House) -> None:
    house.client("duty")
    with house.db.read() as session:
        account = session.query(Account).filter_by(login="duty").one()
        assert account.used_at == house.now
