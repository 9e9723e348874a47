"""Every route of the interface, for every role, in its own subtree, in a sister's and for a stranger. The table here is written by hand."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.web.house import COUNTY, FOREIGN, GATEWAY_KEY, PROVINCE, ROLES, ROOM, SERVICE_KEY, SISTER, SISTER_GATEWAY, House

PUBLIC = {"health", "readiness", "metrics", "signIn"}
ANYBODY = {"currentSession", "signOut"}
READERS = {"duty", "in_charge", "inspector", "system", "security", "service"}
HANDLERS = {"duty", "in_charge", "service"}
ALLOWED: dict[str, set[str]] = {
    **dict.fromkeys(("listUnits", "getUnit", "listRooms", "getRoom", "getHistory", "listAlarms", "getAlarm", "getCoverage", "stream"), READERS),
    **dict.fromkeys(("acknowledge", "unacknowledge", "decline", "progress", "assist", "comment"), HANDLERS),
    **dict.fromkeys(("shelve", "unshelve", "reset", "setMaintenance"), HANDLERS),
    "outOfService": {"in_charge", "service"},
    "returnToService": {"in_charge", "service"},
    "listNotifications": {"duty", "in_charge", "inspector", "service"},
    "getSnapshot": {"duty", "in_charge", "inspector", "service"},
    "listGateways": {"duty", "in_charge", "inspector", "system", "service"},
    "listAudit": {"service"},  # of the accounts of a county nobody: the log spans all units
    "deliverSnapshot": {"gateway"},
}
QUERY = {"getHistory": {"quantity": "temperature"}}
BODIES: dict[str, Any] = {
    "acknowledge": {"note": "已到场查看"},
    "comment": {"note": "x"},
    "shelve": {"until": "2026-09-22T00:00:00Z", "reason": "x"},
    "outOfService": {"reason": "x"},
    "setMaintenance": {"until": "2026-09-22T00:00:00Z", "reason": "x", "person": "王工"},
}


@pytest.fixture(scope="module")
def scene(shared_house: House) -> tuple[House, dict[str, TestClient], dict[str, int]]:
    house = shared_house
    house.birth(SISTER_GATEWAY, (FOREIGN,))
    house.calm(FOREIGN, SISTER_GATEWAY)
    alarms = {"own": house.smoke(ROOM), "sister": house.smoke(FOREIGN, SISTER_GATEWAY)}
    clients = {role: house.client(role) for role in ROLES}
    for role, key in (("service", SERVICE_KEY), ("gateway", GATEWAY_KEY)):
        clients[role] = house.client()
        clients[role].headers["Authorization"] = f"Bearer {key}"
    return house, clients, alarms


def operations(house: House) -> Iterator[tuple[str, str, str]]:
    for path, methods in house.app.openapi()["paths"].items():
        for method, operation in methods.items():
            yield operation["operationId"], method.upper(), path


def ask(client: TestClient, operation: str, method: str, path: str, alarm: int, room: str) -> Any:
    code = room[:12] if "/units/" in path else room
    address = path.replace("{code}", code).replace("{ident}", str(alarm))
    if operation == "deliverSnapshot":
        form = {"sha256": "0" * 64, "device": "cam", "taken_at": "2026-09-21T00:00:00Z"}
        return client.request(method, address, data=form, files={"file": ("a.jpg", b"\xff\xd8\xff", "image/jpeg")})
    return client.request(method, address, params=QUERY.get(operation), json=BODIES.get(operation))


def refused(answer: Any) -> bool:
    """Refused for want of a right, which is not what the watch says about an alarm's state."""
    return answer.status_code == 401 or (answer.status_code == 403 and answer.json()["code"] not in ("not_allowed", "unclaimed"))


def test_the_table_names_every_route(scene: Any) -> None:
    assert {operation for operation, _, _ in operations(scene[0])} == PUBLIC | ANYBODY | set(ALLOWED)


def test_a_stranger_gets_nothing(scene: Any) -> None:
    house, _, alarms = scene
    stranger = house.client()
    for operation, method, path in operations(house):
        if operation not in PUBLIC:
            answer = ask(stranger, operation, method, path, alarms["own"], ROOM)
            assert answer.status_code == 401, (operation, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
    stranger.headers["Authorization"] = "Bearer not-a-key"
    assert stranger.get("/api/v1/rooms").status_code == 401


@pytest.mark.parametrize("role", [*ROLES, "service", "gateway"])
def test_each_role_in_its_own_subtree(scene: Any, role: str) -> None:
    house, clients, alarms = scene
    for operation, method, path in operations(house):
        if operation in PUBLIC | ANYBODY or (operation == "stream" and role in READERS):
            continue
        answer = ask(clients[role], operation, method, path, alarms["own"], ROOM)
        assert refused(answer) == (role not in ALLOWED[operation]), (role, operation, answer.status_code, answer.text)
        assert answer.status_code < 500, (role, operation, answer.text)


@pytest.mark.parametrize("role", ROLES)
def test_no_role_reaches_a_sister_unit(scene: Any, role: str) -> None:
    house, clients, alarms = scene
    client = clients[role]
    for operation, method, path in operations(house):
        if "{code}" in path or "{ident}" in path:
            answer = ask(client, operation, method, path, alarms["sister"], FOREIGN)
            assert answer.status_code == 403, (role, operation, answer.status_code, answer.text)
    for address in (
        f"/api/v1/rooms?unit={SISTER}",
        f"/api/v1/alarms?unit={SISTER}",
        f"/api/v1/coverage?room={FOREIGN}",
        f"/api/v1/stream?room={FOREIGN}",
    ):
        assert client.get(address).status_code == 403, address
    for address in ("/api/v1/units", "/api/v1/rooms", "/api/v1/alarms", "/api/v1/notifications", "/api/v1/gateways", "/api/v1/coverage"):
        answer = client.get(address)
        assert answer.status_code == 403 or SISTER[:6] not in answer.text, (role, address)


def test_nobody_reaches_up(scene: Any) -> None:
    _, clients, _ = scene
    assert clients["duty"].get(f"/api/v1/units/{PROVINCE}").status_code == 403
    assert clients["duty"].get(f"/api/v1/rooms?unit={PROVINCE}").status_code == 403


def test_the_province_reads_all_and_its_auditor_the_log(scene: Any) -> None:
    house, _, _ = scene
    province = house.client("province-duty")
    assert {room["code"][:12] for room in province.get("/api/v1/rooms").json()["items"]} == {COUNTY, SISTER}
    auditor = house.client("province-audit")
    assert auditor.get("/api/v1/audit").status_code == 200
    assert auditor.get("/api/v1/rooms").status_code == 403


def test_pages_follow_the_same_rights(scene: Any) -> None:
    house, clients, alarms = scene
    html = {"accept": "text/html"}
    for role in ROLES:
        client = clients[role]
        for address in (f"/rooms/{FOREIGN}", f"/alarms/{alarms['sister']}", f"/alarms/{alarms['sister']}/dialog/acknowledge"):
            assert client.get(address, headers=html).status_code == 403, (role, address)
        assert client.get(f"/?unit={SISTER}", headers=html).status_code == (303 if role == "audit" else 403)
        answer = client.post(f"/alarms/{alarms['sister']}/acknowledge", headers=html)
        assert answer.status_code == 403
        own = client.get(f"/alarms/{alarms['own']}", headers=html)
        assert ('action="/alarms/' in own.text) == (role in HANDLERS), role
        assert (client.get("/sms", headers=html).status_code == 200) == (role in ALLOWED["listNotifications"])
    stranger = house.client()
    for address in ("/", "/alarms", "/sms", "/audit", f"/rooms/{ROOM}", f"/alarms/{alarms['own']}"):
        answer = stranger.get(address, headers=html)
        assert (answer.status_code, answer.headers["location"][:6]) == (303, "/login")


def test_an_inspector_sees_masked_numbers(scene: Any) -> None:
    house, clients, alarms = scene
    house.tell(alarms["own"])
    assert "+8613900001234" in clients["duty"].get("/api/v1/notifications").text
    for address in ("/api/v1/notifications", "/sms", f"/api/v1/alarms/{alarms['own']}", f"/alarms/{alarms['own']}"):
        text = clients["inspector"].get(address, headers={"accept": "text/html"}).text
        assert "+8613900001234" not in text
        assert "****1234" in text
    assert clients["system"].get(f"/api/v1/alarms/{alarms['own']}").json()["notifications"] == []


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
def test_a_forged_request_is_refused(scene: Any, headers: dict[str, str], status: int) -> None:
    _, clients, alarms = scene
    answer = clients["in_charge"].post(f"/api/v1/alarms/{alarms['own']}/comment", json={"note": "x"}, headers=headers)
    assert answer.status_code == status, answer.text
