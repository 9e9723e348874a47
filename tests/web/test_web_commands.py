"""Commands through the real watch: what takes effect, what is refused with which sentence, what happens when the watch does not answer."""

import dataclasses
import re
from concurrent.futures import Future

import pytest
from starlette.testclient import TestClient

from server.store.tables import EscalationStep, Transition
from server.watch.commands import Acknowledge, Command, Outcome
from server.web import site
from tests.web.house import PASSWORD, ROOM, T0, House, wait_until


def act(client: TestClient, ident: int, action: str, **body: object) -> tuple[int, str]:
    answer = client.post(f"/api/v1/alarms/{ident}/{action}", json=body or None)
    return answer.status_code, answer.json().get("state", "") if answer.status_code == 200 else answer.json()["detail"]


def state(client: TestClient, ident: int) -> str:
    return client.get(f"/api/v1/alarms/{ident}").json()["state"]


def test_a_smoke_alarm_from_take_over_to_reset(house: House) -> None:
    client, ident = house.client("duty"), house.smoke()
    assert act(client, ident, "reset") == (403, "测值仍在越限，请先接手并到场处置，恢复后才能复位。")
    assert act(client, ident, "acknowledge", note="已到场查看") == (200, "active_acked")
    assert act(client, ident, "progress", note="门外无烟")[0] == 200
    house.now += 20_000
    house.send(smoke=0)
    house.now += 1_000
    assert state(client, ident) == "latched_acked"
    assert act(client, ident, "reset", note="灰尘")[0] == 200
    alarm = client.get(f"/api/v1/alarms/{ident}").json()
    assert (alarm["state"], alarm["closed_at"] is not None) == ("normal", True)
    assert [(change["name"], change["by"]) for change in alarm["transitions"]][1:3] == [("acknowledged", "陈值班"), ("progress", "陈值班")]
    assert act(client, ident, "acknowledge", note="x")[0] == 404


def test_a_take_over_is_undone_by_the_same_person_within_ten_seconds(house: House) -> None:
    client, ident = house.client("duty"), house.smoke()
    with house.db.read() as session:
        due = session.query(EscalationStep).filter_by(alarm=ident, reason="raised").one().due
    act(client, ident, "acknowledge", note="")
    assert act(house.client("in_charge"), ident, "unacknowledge")[0] == 403
    house.now += 10_000
    assert act(client, ident, "unacknowledge") == (200, "active_unacked")
    with house.db.read() as session:
        step = session.query(EscalationStep).filter_by(alarm=ident, reason="raised").one()
        assert (step.state, step.due) == ("pending", due)
    act(client, ident, "acknowledge", note="")
    house.now += 10_001
    assert act(client, ident, "unacknowledge")[0] == 403


def test_the_desk_records_who_answered_by_phone(house: House) -> None:
    client, ident = house.client("duty"), house.smoke()
    assert act(client, ident, "acknowledge", code="NOBODY")[0] == 422
    assert act(client, ident, "acknowledge", code="P-0001", via="voice")[0] == 200
    alarm = client.get(f"/api/v1/alarms/{ident}").json()
    assert "林一" in alarm["acked_by"]
    assert "陈值班" in alarm["acked_by"]
    assert alarm["transitions"][-1]["via"] == "voice"


def test_shelving_needs_an_end_and_a_reason_and_smoke_is_never_shelved(house: House) -> None:
    client = house.client("duty")
    house.send(door=1)
    house.now += 61_000
    house.send(door=1)
    house.now += 1_000
    wait_until(lambda: house.alarm(ROOM, "door_held") is not None)
    ident = house.alarm(ROOM, "door_held").id
    assert act(client, ident, "shelve", until="2026-09-21T15:00:00Z")[0] == 422
    assert act(client, ident, "shelve", until="2026-09-21T15:00:00Z", reason="  ")[0] == 422
    assert act(client, ident, "shelve", until="2026-09-21T10:00:00Z", reason="搬运")[0] == 403
    assert act(client, ident, "shelve", until="2026-09-21T15:00:00Z", reason="搬运") == (200, "shelved")
    assert client.get(f"/api/v1/alarms/{ident}").json()["shelved_until"] == "2026-09-21T15:00:00Z"
    assert act(client, ident, "unshelve") == (200, "active_unacked")
    page = {"Origin": "http://testserver"}
    assert client.post(f"/alarms/{ident}/shelve", data={"minutes": "30", "reason": "搬运", "one_shot": "1"}, headers=page).status_code in (200, 303)
    assert state(client, ident) == "shelved"
    house.send(door=0)
    for _ in range(2):
        house.now += 3_000
        house.send(door=0)
    wait_until(lambda: house.alarm(ROOM, "door_held").closed_at is not None)
    assert client.get(f"/api/v1/alarms/{ident}").json()["transitions"][-2]["name"] == "shelf_expired", "a shelf for once ends with the occurrence"
    smoke, limits = house.smoke(), ("shelve_max_s", "two_persons")
    shown = {number: client.get(f"/api/v1/alarms/{number}").json() for number in (ident, smoke)}
    assert [[shown[number][name] for name in limits] for number in (ident, smoke)] == [[8 * 3600, False], [0, True]], "said before anybody tries"
    assert "可由两人共同停用" in client.get(f"/alarms/{smoke}/dialog/shelve").text
    assert act(client, smoke, "shelve", until="2026-09-21T15:00:00Z", reason="施工") == (403, "该告警不允许由一人暂停提醒，须两人共同停用。")


def test_a_pause_is_offered_for_no_longer_than_the_rule_allows(house: House) -> None:
    client = house.client("duty")
    for _ in range(2):
        house.send(leak=1)
        house.now += 6_000
    wait_until(lambda: house.alarm(ROOM, "leak") is not None)
    ident = house.alarm(ROOM, "leak").id
    dialog = client.get(f"/alarms/{ident}/dialog/shelve").text
    assert re.findall(r'name="minutes" value="(\d+)"', dialog) == ["15", "30", "60"]
    assert client.get(f"/api/v1/alarms/{ident}").json()["shelve_max_s"] == 3600
    assert "第二人" not in client.get(f"/alarms/{ident}/dialog/out-of-service").text, "one person's permit is enough for it"


def test_out_of_service_takes_a_permit_and_comes_back(house: House) -> None:
    ident = house.smoke()
    assert act(house.client("duty"), ident, "out-of-service", reason="x")[0] == 403
    client = house.client("in_charge")
    assert act(client, ident, "out-of-service", reason="更换探头，批准号 12")[0] == 403, "smoke is taken out of service by two people"
    for other in (
        {"second": "林一"},
        {"second": "duty", "second_password": "wrong horse 9"},
        {"second": "in_charge", "second_password": PASSWORD},
        {"second": "sister-in_charge", "second_password": PASSWORD},
        {"second": "inspector", "second_password": PASSWORD},
    ):
        assert act(client, ident, "out-of-service", reason="更换探头，批准号 12", **other)[0] == 403, other
    form = {"reason": "更换探头", "second": "duty"}
    assert client.post(f"/alarms/{ident}/out-of-service", data=form).status_code == 403
    assert state(client, ident) == "active_unacked"
    assert client.post(f"/alarms/{ident}/out-of-service", data=form | {"second_password": PASSWORD}).status_code == 303
    assert state(client, ident) == "out_of_service"
    with house.db.read() as session:
        assert session.query(Transition).filter_by(alarm=ident, name="out_of_service").one().by == "in_charge、陈值班"
    assert act(client, ident, "return-to-service")[0] == 200
    assert state(client, ident) == "active_unacked"


def test_decline_assist_and_comment_are_recorded(house: House) -> None:
    client, ident = house.client("duty"), house.smoke()
    for action in ("decline", "assist", "comment"):
        assert act(client, ident, action, note=f"{action} 说明")[0] == 200
    with house.db.read() as session:
        notes = {row.name: row.note for row in session.query(Transition).filter_by(alarm=ident)}
    assert notes["comment"] == "comment 说明"
    assert act(client, ident, "comment", note="")[0] == 422


def test_maintenance_is_recorded_on_the_room(house: House) -> None:
    client = house.client("duty")
    body = {"until": "2026-09-21T16:00:00Z", "reason": "空调检修", "person": "王工"}
    answer = client.post(f"/api/v1/rooms/{ROOM}/maintenance", json=body)
    assert (answer.status_code, answer.json()["room"], answer.json()["sentence"]) == (200, ROOM, "已登记维护。")
    assert client.post(f"/api/v1/rooms/{ROOM}/maintenance", json=body | {"person": ""}).status_code == 422


def test_announced_maintenance_is_seen_beforehand_and_taken_back(house: House) -> None:
    client = house.client("duty")
    body = {"since": "2026-09-22T00:00:00Z", "until": "2026-09-22T04:00:00Z", "reason": "消杀", "person": "王工"}
    answer = client.post(f"/api/v1/rooms/{ROOM}/maintenance", json=body)
    assert (answer.status_code, answer.json()["state"]) == (200, "planned")
    assert client.post(f"/api/v1/rooms/{ROOM}/maintenance", json=body).status_code == 409
    form = {"begin": "2026-09-23T08:00", "end": "2026-09-23T12:00", "reason": "换空调", "second": "in_charge", "second_password": "wrong horse 9"}
    assert client.post(f"/rooms/{ROOM}/maintenance", data=form).status_code == 403, "the second person proves who he is"
    assert client.post(f"/rooms/{ROOM}/maintenance", data=form | {"second_password": PASSWORD}).status_code == 303
    found = client.get(f"/api/v1/maintenance?room={ROOM}&state=planned&limit=1").json()
    [second] = found["items"]
    assert (second["since"], second["second"], second["person"]) == ("2026-09-23T00:00:00Z", "in_charge", "陈值班")
    [first] = client.get(found["next"]).json()["items"]
    assert (first["since"], first["second"], first["planned_by"]) == ("2026-09-22T00:00:00Z", "", "陈值班")
    for address in (f"/rooms/{ROOM}", f"/duty?unit={ROOM[:12]}", f"/duty/hand-over?unit={ROOM[:12]}"):
        text = client.get(address, headers={"Accept": "text/html"}).text
        assert "消杀" in text, address
        assert "换空调" in text, address
    assert house.client("sister-duty").post(f"/api/v1/rooms/{ROOM}/maintenance/{first['id']}/cancel").status_code == 403
    assert client.post(f"/rooms/{ROOM}/maintenance/{first['id']}/cancel").status_code == 303
    assert client.post(f"/api/v1/rooms/{ROOM}/maintenance/{first['id']}/cancel").status_code == 409
    states = {row["id"]: row["state"] for row in client.get("/api/v1/maintenance").json()["items"]}
    assert states == {first["id"]: "cancelled", second["id"]: "planned"}


def test_a_taken_alarm_cannot_be_taken_again(house: House) -> None:
    ident = house.smoke()
    assert act(house.client("duty"), ident, "acknowledge", note="")[0] == 200
    assert act(house.client("in_charge"), ident, "acknowledge", note="")[0] == 409


class Door:
    """A watch that answers as told; the real one is in the tests above."""

    def __init__(self, outcome: Outcome | Exception | None) -> None:
        self.outcome, self.commands = outcome, list[Command]()
        self.future: Future[Outcome] = Future()

    def submit(self, command: Command) -> Future[Outcome]:
        self.commands.append(command)
        if isinstance(self.outcome, Exception):
            self.future.set_exception(self.outcome)
        elif self.outcome is not None:
            self.future.set_result(self.outcome)
        return self.future


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome(state="active_acked"), 200),
        (Outcome(code="not_found", sentence="没有这条告警。"), 404),
        (Outcome(code="conflict", sentence="告警已变化。"), 409),
        (Outcome(code="not_allowed", sentence="现在不能。"), 403),
        (RuntimeError("disk full"), 503),
        (None, 503),
    ],
)
def test_outcomes_become_answers(shared_house: House, outcome: Outcome | Exception | None, status: int) -> None:
    house, door = shared_house, Door(outcome)
    house.now += 1
    ident = house.smoke()
    settings = dataclasses.replace(house.settings, command_timeout_s=0.05)
    client = TestClient(site.build(dataclasses.replace(house.services, watch=door, settings=settings)), follow_redirects=False)
    client.post("/api/v1/session", json={"login": "duty", "password": PASSWORD})
    answer = client.post(f"/api/v1/alarms/{ident}/acknowledge", json={"note": "a"})
    assert answer.status_code == status
    assert door.commands == [Acknowledge(alarm=ident, by="陈值班", account=1, via="api", note="a")]
    if status in (403, 404, 409):
        assert isinstance(outcome, Outcome)
        assert answer.json()["detail"] == outcome.sentence
    if outcome is None:
        # A watch that is late must still be able to set its result: the future was never cancelled.
        assert not door.future.cancelled()
        door.future.set_result(Outcome())


def test_forms_reach_the_same_door(house: House) -> None:
    client, ident = house.client("duty"), house.smoke()
    script = {"HX-Request": "true", "Accept": "text/html"}
    form = {"canned": ["已到场查看", "已报修", "a forged note"], "note": "门外无烟味", "from": "dialog"}
    answer = client.post(f"/alarms/{ident}/acknowledge", data=form, headers=script)
    assert answer.status_code == 200
    assert "aw-done" in answer.headers["HX-Trigger"]
    assert f"/alarms/{ident}/unacknowledge" in answer.text
    alarm = client.get(f"/api/v1/alarms/{ident}").json()
    assert (alarm["state"], alarm["note"]) == ("active_acked", "已到场查看；已报修；门外无烟味")
    again = client.post(f"/alarms/{ident}/acknowledge", data=form, headers=script)
    assert (again.status_code, again.headers["HX-Retarget"]) == (409, "#dialog-message")
    assert "已由陈值班接手" in again.text
    undone = client.post(f"/alarms/{ident}/unacknowledge", headers={"Accept": "text/html"})
    assert (undone.status_code, undone.headers["location"]) == (303, f"/alarms/{ident}?done=Unacknowledge")
    assert "已撤销接手。" in client.get(undone.headers["location"], headers={"Accept": "text/html"}).text
    missing = client.post(f"/alarms/{ident}/shelve", data={"minutes": "30"}, headers=script)
    assert (missing.status_code, "请填写原因" in missing.text) == (422, True)
    assert client.post(f"/alarms/{ident}/shelve", data={"minutes": "31", "reason": "x"}, headers=script).status_code == 422
    assert client.post(f"/alarms/{ident}/explode", headers=script).status_code == 404
    stranger = house.client().post(f"/alarms/{ident}/acknowledge", headers=script)
    assert (stranger.status_code, stranger.headers["HX-Redirect"]) == (401, "/login")


def test_maintenance_from_the_room_page(house: House) -> None:
    client = house.client("duty")
    answer = client.post(f"/rooms/{ROOM}/maintenance", data={"minutes": "60", "reason": "空调检修", "person": ""})
    assert answer.status_code == 303
    assert "空调检修" in client.get("/duty", headers={"Accept": "text/html"}).text, "the duty sees where people work now"
    assert client.post(f"/rooms/{ROOM}/maintenance", data={"minutes": "60", "reason": ""}, headers={"Accept": "text/html"}).status_code == 422
    assert client.post(f"/rooms/{ROOM}/maintenance", data={"minutes": "0"}).status_code == 303
    [listed] = client.get("/api/v1/maintenance").json()["items"]
    assert (listed["state"], listed["reason"], listed["planned_by"]) == ("over", "空调检修", listed["ended_by"])
    assert "空调检修" not in client.get("/duty", headers={"Accept": "text/html"}).text
    entries = house.client("province-audit").get("/api/v1/audit").json()["items"]
    works = [entry for entry in entries if entry["action"] == "maintenance"]
    assert [entry["detail"]["until"] - T0 for entry in works] == [0, 3_600_000]
