"""接手 of several alarms at once: each on its own record, smoke never among them."""

import re

from server.store.tables import AuditEntry, Transition
from tests.web.house import OTHER, ROOM, House


def leaks(house: House) -> list[int]:
    """Water in two rooms."""
    for _ in range(2):
        for room in (ROOM, OTHER):
            house.send(room, leak=1)
        house.now += 5_000
    return [house.alarm(room, "leak").id for room in (ROOM, OTHER)]


def test_each_is_taken_over_by_itself_and_smoke_is_left(house: House) -> None:
    first, second = leaks(house)
    smoke, client = house.smoke(), house.client("duty")
    answer = client.post("/api/v1/alarms/acknowledge", json={"alarms": [first, second, smoke, first], "note": "同一根水管"})
    assert answer.status_code == 200
    assert [(one["alarm"], one["ok"]) for one in answer.json()] == [(first, True), (second, True), (smoke, False)]
    assert "逐条接手" in answer.json()[2]["sentence"]
    states = [client.get(f"/api/v1/alarms/{ident}").json()["state"] for ident in (first, second, smoke)]
    assert states == ["active_acked", "active_acked", "active_unacked"]
    with house.db.read() as session:
        taken = session.query(Transition).filter_by(name="acknowledged").all()
        logged = session.query(AuditEntry).filter_by(action="acknowledge").all()
    assert [(one.alarm, one.by, one.note) for one in taken] == [(first, "陈值班", "同一根水管"), (second, "陈值班", "同一根水管")]
    assert len(logged) == 2


def test_none_is_touched_when_one_is_not_his_to_see_or_there_are_none(house: House) -> None:
    first, _ = leaks(house)
    client = house.client("duty")
    assert client.post("/api/v1/alarms/acknowledge", json={"alarms": [first, 10**9]}).status_code == 404
    assert client.post("/api/v1/alarms/acknowledge", json={"alarms": []}).status_code == 422
    assert client.post("/take-over", data={"alarm": "x"}).status_code == 422
    assert house.client("inspector").post("/api/v1/alarms/acknowledge", json={"alarms": [first]}).status_code == 403
    assert client.get(f"/api/v1/alarms/{first}").json()["state"] == "active_unacked"


def test_the_page_names_how_many_and_which_and_says_what_became_of_each(house: House) -> None:
    first, second = leaks(house)
    smoke, client = house.smoke(), house.client("duty")
    boxes = re.findall(r'name="alarm" value="(\d+)" form="together"', client.get("/alarms").text)
    assert sorted(map(int, boxes)) == sorted([first, second]), "smoke has no box to tick"
    asked = client.get("/take-over", params={"alarm": [first, second, smoke]}, headers={"accept": "text/html"}).text
    assert "接手 2 条告警" in asked
    assert re.findall(r'type="hidden" name="alarm" value="(\d+)"', asked) == [*boxes]
    assert "不在其中" in asked
    house.client("in_charge").post(f"/api/v1/alarms/{second}/acknowledge", json={})
    assert "没有选中告警" in client.get("/take-over", headers={"accept": "text/html"}).text
    late = client.get("/take-over", params={"alarm": [first, second]}, headers={"accept": "text/html"}).text
    assert "接手 1 条告警" in late, "what somebody else has taken over meanwhile is not among them"
    told = client.post("/take-over", data={"alarm": [str(first), str(smoke)], "canned": "已到场查看"}).text
    assert "已接手 1 条，共 2 条" in told
    assert told.index("只能逐条接手") < told.index("已接手。"), "what failed comes first"
