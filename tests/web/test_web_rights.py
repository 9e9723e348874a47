"""Rights: every route of the application is walked with everybody (walk.py, walk_examples.py), every event of a stream is read, and a table written
by hand says what the roles may do with the routes of the outside surface.
"""

import ast
import asyncio
import contextlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends
from starlette.testclient import TestClient

import server
from server.store import units
from server.watch import commands
from server.web import rights
from server.web.api.common import encode_cursor
from server.web.auth import Principal, ServicesOf, require
from server.web.labels import AUDIT_ACTIONS
from server.web.rights import Action
from tests.web import walk, walk_routes
from tests.web.house import COUNTY, FOREIGN, GATEWAY_KEY, PROVINCE, ROLES, ROOM, SERVICE_KEY, SISTER, SISTER_GATEWAY, House, serving
from tests.web.town import Town
from tests.web.walk_examples import NOTHING_TO_RECORD, RECORDED_AS
from tests.web.walk_examples import PUBLIC as WALK_PUBLIC

PUBLIC = {"health", "readiness", "metrics", "signIn", "enrolGateway"}
ANYBODY = {"currentSession", "signOut"}
READERS = {"duty", "in_charge", "inspector", "keeper", "system", "security", "service"}
KEEPERS = {"system", "service"}
HANDLERS = {"duty", "in_charge", "service"}
ALLOWED: dict[str, set[str]] = {
    **dict.fromkeys(("listUnits", "getUnit", "listRooms", "getRoom", "getHistory", "listAlarms", "getAlarm", "getCoverage", "stream"), READERS),
    **dict.fromkeys(
        ("getReport", "orderExport", "listExports", "getExport", "getExportFile", "listScorecards", "listReadings", "listMissingReadings"), READERS
    ),
    "enterReading": HANDLERS,
    **dict.fromkeys(("acknowledge", "unacknowledge", "decline", "progress", "assist", "comment"), HANDLERS),
    **dict.fromkeys(("shelve", "unshelve", "reset", "setMaintenance"), HANDLERS),
    "outOfService": {"in_charge", "service"},
    "returnToService": {"in_charge", "service"},
    "listNotifications": {"duty", "in_charge", "inspector", "service"},
    "getSnapshot": {"duty", "in_charge", "inspector", "service"},
    "listGateways": {"duty", "in_charge", "inspector", "keeper", "system", "service"},
    "listAudit": {"security", "audit", "service"},  # what concerns the auditor's unit and those below
    "deliverSnapshot": {"gateway"},
    **dict.fromkeys(("listPeople", "listProposals"), READERS),
    **dict.fromkeys(("listImports", "listWaitingGateways", "claimGateway"), KEEPERS),
    "listPoints": {"duty", "in_charge", "inspector", "keeper", "system", "service"},
    **dict.fromkeys(("getRoomSheet", "listNotices", "search"), READERS),
}
QUERY = {"getHistory": {"quantity": "temperature"}}
BODIES: dict[str, Any] = {
    "acknowledge": {"note": "已到场查看"},
    "comment": {"note": "x"},
    "enterReading": {"taken_at": "2026-09-20T00:00:00Z", "temperature": 20, "humidity": 50, "reader": "x", "key": "k", "confirmed": True},
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
    """Those of the table; the walk above takes all."""
    for path, methods in house.app.openapi()["paths"].items():
        for method, operation in methods.items():
            if operation["operationId"] in PUBLIC | ANYBODY | set(ALLOWED):
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


# -- the walk -----------------------------------------------------------------------------------------------------------------------------


def walked(town: Town, *only: str) -> walk.Walk:
    found = walk.Walk(town.app, town.entries)
    characters = [who for who in town.characters() if not only or who.name == "own-in_charge"]
    asyncio.run(found.all(characters, town.places, town.stranger(), only))
    return found


@pytest.fixture
def town(tmp_path: Any) -> Iterator[Town]:
    made = Town(tmp_path)
    yield made
    made.close()


@pytest.mark.soak
@pytest.mark.timeout(1_200)
def test_every_route_answers_on_postgresql_as_well(postgres_url: str, tmp_path: Any) -> None:
    with contextlib.closing(Town(tmp_path, url=postgres_url)) as town:
        before = town.rows_of("city")
        found = walked(town)
        assert found.faults == [], "\n".join(found.faults[:40])
        assert town.rows_of("city") == before
        assert [route for route, roles in found.reached.items() if not roles and route not in WALK_PUBLIC] == []


@pytest.mark.timeout(400)  # thousands of requests
@pytest.mark.long
def test_nobody_reads_or_changes_anything_outside_his_subtree(town: Town) -> None:
    before = town.rows_of("city")
    assert len(before) > 8
    found = walked(town)
    assert found.faults == [], "\n".join(found.faults[:40])
    untouched = sorted(route for route, roles in found.reached.items() if not roles and route not in WALK_PUBLIC)
    assert untouched == [], f"nobody got through to {untouched}: correct their parameters in tests/web/walk_examples.py (ROUTES), or who may use them"
    assert town.rows_of("city") == before
    assert found.asked > 10 * len(found.reached)
    silent = sorted(route for route, recorded in found.recorded.items() if not recorded and route not in NOTHING_TO_RECORD)
    assert silent == [], f"{silent} changed something and left no entry of the audit log"
    changing = {route.key for route in walk_routes.routes(town.app) if route.method not in walk_routes.SAFE}
    assert changing - found.recorded.keys() - RECORDED_AS.keys() == set(), (
        "give them an example that gets through, or name their entry in RECORDED_AS"
    )
    assert NOTHING_TO_RECORD | RECORDED_AS.keys() <= changing
    # The walk asks for papers as CSV, since a paper is the same data in every format; a PDF of each kind is read here.
    for kind in ("register", "climate", "inspection", "scorecard", "changes"):
        [who] = [one for one in town.characters() if one.name == "own-in_charge"]
        target = f"/api/v1/reports/{kind}?unit={who.own.unit}&period=2026-09&format=pdf"
        paper = asyncio.run(walk.ask(town.app, "GET", target, who.headers))
        assert (paper.status, paper.body[:4]) == (200, b"%PDF"), paper.text
        assert not [mark for mark in who.forbidden if mark in paper.text]


AUDITS = {"audit.append": 2, "self._audit": 1}
"""Who writes an entry, and which argument is its action."""


@cache
def appended() -> set[str]:
    """Every action that the server writes into the audit log by name."""
    nodes = (node for path in Path(server.__file__).parent.rglob("*.py") for node in ast.walk(ast.parse(path.read_text("utf-8"))))
    calls = ((ast.unparse(node.func), node.args) for node in nodes if isinstance(node, ast.Call))
    named = [arguments[AUDITS[function]] for function, arguments in calls if function in AUDITS]
    constants = {part.value for argument in named for part in ast.walk(argument) if isinstance(part, ast.Constant) and isinstance(part.value, str)}
    return {action for action in constants if not action.endswith("_") and action not in ("", "report.")}  # parts of f"change_{kind}"


def test_every_entry_of_the_audit_log_has_a_word() -> None:
    assert len(appended()) > 50
    assert appended() - AUDIT_ACTIONS.keys() == set()


def test_what_the_walk_cannot_do_is_recorded_by_name() -> None:
    of_the_watch = {name.lower() for name in vars(commands)}
    assert {action for action in RECORDED_AS.values() if action} - appended() - of_the_watch == set()


def test_the_walk_sees_what_it_is_there_for(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    router = APIRouter()

    @router.get("/open-door/{code}")
    def open_door(code: str) -> str:
        return code

    @router.get("/rooms/{code}/leak")
    def leak(code: str, who: Annotated[Principal, Depends(require(Action.VIEW))]) -> str:
        return f"{code} {who.name}"

    @router.get("/all-names")
    def names(who: Annotated[Principal, Depends(require(Action.VIEW))], services: ServicesOf) -> list[str]:
        with services.db.read() as session:
            return list(units.names(session, list(session.scalars(units.below(None)))).values())

    @router.get("/riddle/{thing}")
    def riddle(thing: str, who: Annotated[Principal, Depends(require(Action.VIEW))]) -> str:
        return f"{thing} {who.name}"

    town.app.include_router(router)
    faults = "\n".join(walked(town, "/open-door/{code}", "/rooms/{code}/leak", "/all-names", "/riddle/{thing}").faults)
    assert "GET /open-door/{code}: names no action" in faults
    assert "GET /rooms/{code}/leak as own-in_charge" in faults
    assert "GET /all-names as own-in_charge" in faults
    assert "GET /riddle/{thing}: the rights test does not know the parameter 'thing'. Add it to tests/web/walk_examples.py" in faults
    monkeypatch.setattr(units, "within", lambda *_: True)
    assert "GET /alarms/{ident} as own-in_charge" in "\n".join(walked(town, "/alarms/{ident}").faults)


def test_no_event_of_a_stream_crosses_a_subtree(town: Town, free_port: int) -> None:
    logins = {"own-duty": "own", "own-inspector": "own", "sister-station-duty": "sister", "city-duty": "city"}
    with serving(town, free_port) as url, ExitStack() as stack:
        streams = {}
        for login in logins:
            client = stack.enter_context(httpx.Client(base_url=url, timeout=20, trust_env=False, cookies={"aw_session": town.token(login)}))
            streams[login] = stack.enter_context(client.stream("GET", "/api/v1/stream"))
            assert streams[login].status_code == 200
        for make in (commands.Acknowledge, commands.Unacknowledge):
            for key in ("own", "sister", "city"):
                town.watch.submit(make(alarm=town.places[key].alarm, by="某人", account=1)).result(20)
        for login, key in logins.items():
            read = ""
            for line in streams[login].iter_lines():
                read += line
                if "active_acked" in read and line.startswith("data:") and json.loads(line[5:]).get("alarm", {}).get("state") == "active_unacked":
                    break
            assert town.places[key].room in read
            for other, place in town.places.items():
                if other != key:
                    assert not [mark for mark in place.marks if mark in read], (login, other)


def test_the_rights_are_data_with_sound_sums() -> None:
    administrators = {"system", "security", "audit"}
    duty = {"duty", "in_charge", "inspector"}
    changing = {Action.HANDLE, Action.SILENCE, Action.RESET, Action.OUT_OF_SERVICE, Action.UPLOAD}
    assert all(rights.ROLES[role] for role in administrators | duty)
    assert not any(rights.ROLES[role] >= frozenset(Action) for role in rights.ROLES), "a superuser"
    for role in administrators | {"inspector"}:
        assert not rights.ROLES[role] & changing, role
    assert {action for held in rights.ROLES.values() for action in held} == set(Action)
    assert not rights.allows("root", Action.VIEW)


# -- the table written by hand -------------------------------------------------------------------------------------------------------------


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
    entries = auditor.get("/api/v1/audit?limit=200").json()["items"]
    newest, told = entries[0]["id"], 0
    for before in range(newest + 1, 0, -50):  # what all the routes of the walks have left behind
        page = auditor.get(f"/audit?cursor={encode_cursor(before)}")
        assert page.status_code == 200
        told += page.text.count("<tr><td>")
    assert told >= len(entries)
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
