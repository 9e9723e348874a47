"""What the interface answers: shapes, units, times, pages, problems."""

import dataclasses
import json
import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from server.series import Row
from server.store.tables import CoverageSpan, Gateway, Point
from server.web import site
from tests.web.house import CITY, COUNTY, OTHER, PROVINCE, QUIET, ROOM, T0, House


def test_a_room_carries_points_with_age_quality_and_coverage(house: House) -> None:
    house.now = T0 + 10_000
    with house.db.write() as session:
        session.query(CoverageSpan).delete()
        session.add(CoverageSpan(room=ROOM, since=T0 - 30_000, until=T0, state="blind", cause="gateway"))
        session.add(CoverageSpan(room=ROOM, since=T0, until=None, state="watched"))
    room = house.client("duty").get(f"/api/v1/rooms/{ROOM}").json()
    assert (room["state"], room["stage"], room["worst_alarm"], room["band"]["temperature"]) == ("normal", "in_use", None, [14, 24])
    point = next(point for point in room["points"] if point["quantity"] == "humidity")
    assert (point["value"], point["unit"], point["quality"], point["age_s"]) == (52, "%RH", "good", 11)
    assert point["taken_at"] == "2026-09-21T14:13:19Z"
    today = room["coverage_today"]
    assert (today["watched_s"], today["blind_s"], today["watched_percent"]) == (10, 30, 25)
    assert today["from"] == "2026-09-20T16:00:00Z"
    missing = next(point for point in room["points"] if point["channel"] == "outdoor")
    assert (missing["value"], missing["quality"], missing["age_s"]) == (None, "missing", None)


def test_a_value_past_its_deadline_is_stale_and_its_room_blind(house: House) -> None:
    house.now = T0 + 88_999
    client = house.client("duty")
    assert client.get(f"/api/v1/rooms/{ROOM}").json()["state"] == "normal"
    house.now = T0 + 89_000
    room = client.get(f"/api/v1/rooms/{ROOM}").json()
    assert room["state"] == "blind"
    assert room["missing"] == ["temperature", "humidity", "smoke"]
    assert {point["quality"] for point in room["points"]} == {"stale", "missing"}


def test_rooms_are_filtered_and_paged(house: House) -> None:
    client = house.client("duty")
    house.smoke()
    assert [room["code"] for room in client.get("/api/v1/rooms?state=critical").json()["items"]] == [ROOM]
    assert [room["code"] for room in client.get("/api/v1/rooms?state=normal,blind").json()["items"]] == [OTHER, QUIET]
    first = client.get("/api/v1/rooms?limit=2").json()
    assert [room["code"] for room in first["items"]] == [ROOM, OTHER]
    assert [room["code"] for room in client.get(first["next"]).json()["items"]] == [QUIET]
    assert client.get(first["next"]).json()["next"] is None
    assert client.get("/api/v1/rooms", params={"limit": 2, "cursor": first["next_cursor"]}).json()["items"][0]["code"] == QUIET
    assert client.get("/api/v1/rooms?state=purple").status_code == 422
    assert client.get("/api/v1/rooms?cursor=%21%21").status_code == 422


def test_units_form_a_tree(house: House) -> None:
    client = house.client("province-duty")
    unit = client.get(f"/api/v1/units/{CITY}").json()
    assert (unit["path"], unit["rooms"]) == ([PROVINCE, CITY], 4)
    assert [(child["code"], child["rooms"]) for child in unit["children"]] == [(COUNTY, 3), ("350103000000", 1)]
    assert unit["states"] == {"normal": 2, "unconnected": 1, "blind": 1}
    assert client.get("/api/v1/units/999999999999").status_code == 404
    pages = client.get("/api/v1/units?limit=3").json()
    assert len(pages["items"]) == 3
    assert len(client.get(pages["next"]).json()["items"]) == 1


@pytest.fixture
def history(house: House) -> House:
    with house.db.read() as session:
        points = {(p.device, p.quantity): p.id for p in session.query(Point).filter_by(room=ROOM)}
    inside, outside = points["th1-01", "temperature"], points["th9-01", "temperature"]
    start = T0 - 3_600_000
    rows = [Row(inside, start + 60_000 * i, 20 + i % 5, 2, start + 60_000 * i) for i in range(60) if not 20 <= i < 30]
    house.store.write(rows + [Row(outside, start + 60_000 * i, 30, 2, start + 60_000 * i) for i in range(60)])
    return house


def test_history_comes_in_buckets_with_gaps(history: House) -> None:
    client = history.client("duty")
    query = {"quantity": "temperature", "from": "2026-09-21T13:13:20Z", "to": "2026-09-21T14:13:20+00:00", "step": "300"}
    answer = client.get(f"/api/v1/rooms/{ROOM}/history", params=query).json()
    assert (answer["room"], answer["quantity"], answer["unit"], answer["step_s"], answer["band"]) == (ROOM, "temperature", "°C", 300, [14, 24])
    inside = next(series for series in answer["series"] if not series["outdoor"])
    outside = next(series for series in answer["series"] if series["outdoor"])
    assert inside["point"] == "GW-350102-01/th1-01/temperature"
    assert outside["source"] == "th9-01"
    bucket = inside["buckets"][1]
    assert (bucket["min"], bucket["max"], bucket["count"]) == (20, 24, 5)
    assert bucket["watched_s"] == pytest.approx(300)
    assert len(inside["buckets"]) < len(outside["buckets"]) == 13
    assert all(bucket["time"].endswith("0:00Z") or bucket["time"].endswith("5:00Z") for bucket in inside["buckets"])


def test_a_unit_shares_the_outdoor_probe_of_the_nearest_unit_above(history: House) -> None:
    with history.db.write() as session:
        session.add(Gateway(code="GW-350100-WX", group_id="350100", unit=CITY, name="福州室外气象", changed_at=T0, online=True))
        for number, quantity in ((901, "temperature"), (902, "humidity")):
            session.add(Point(id=number, gateway="GW-350100-WX", device="outdoor", quantity=quantity, created_at=T0))
    history.store.write([Row(902, T0 - 60_000 * i, 80, 2, T0) for i in range(30)])
    client = history.client("duty")
    humidity = client.get(f"/api/v1/rooms/{ROOM}/history?quantity=humidity").json()["series"]
    assert [(series["point_id"], series["source"]) for series in humidity if series["outdoor"]] == [(902, "福州室外气象")]
    # A room with a probe of its own outside keeps that one.
    temperature = client.get(f"/api/v1/rooms/{ROOM}/history?quantity=temperature").json()["series"]
    assert [series["source"] for series in temperature if series["outdoor"]] == ["th9-01"]


def test_history_comes_raw(history: House) -> None:
    answer = history.client("duty").get(f"/api/v1/rooms/{ROOM}/history?quantity=temperature&step=raw&from=2026-09-21T14:08:20Z").json()
    inside = next(series for series in answer["series"] if not series["outdoor"])
    assert [bucket["mean"] for bucket in inside["buckets"]] == [20, 21, 22, 23, 24]
    assert {bucket["quality"] for bucket in inside["buckets"]} == {"good"}


@pytest.mark.parametrize(
    "query",
    [
        "",
        "quantity=love",
        "quantity=temperature&step=0",
        "quantity=temperature&step=-5",
        "quantity=temperature&step=1&from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z",
        "quantity=temperature&from=2026-09-21T00:00:00",
        "quantity=temperature&from=2026-09-21T00:00:00Z&to=2026-09-20T00:00:00Z",
        "quantity=temperature&from=1900-01-01T00:00:00Z",
    ],
)
def test_impossible_questions_are_problems(shared_house: House, query: str) -> None:
    answer = shared_house.client("duty").get(f"/api/v1/rooms/{ROOM}/history?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["errors"]
    assert body["trace_id"]
    assert body["instance"] == f"/api/v1/rooms/{ROOM}/history"


def test_a_plus_that_became_a_blank_is_still_an_offset(house: House) -> None:
    address = f"/api/v1/rooms/{ROOM}/history?quantity=temperature&from=2026-09-21T20:00:00+08:00&to=2026-09-21T21:00:00+08:00"
    assert house.client("duty").get(address).json()["from"] == "2026-09-21T12:00:00Z"


def test_an_alarm_carries_transitions_and_messages(house: House) -> None:
    ident = house.smoke()
    house.tell(ident)
    client = house.client("duty")
    alarm = client.get(f"/api/v1/alarms/{ident}").json()
    assert (alarm["state"], alarm["level"], alarm["event"], alarm["room_name"]) == ("active_unacked", "critical", "烟感告警", "一号库房")
    assert [change["name"] for change in alarm["transitions"]] == ["raised"]
    assert [(message["state"], message["number"]) for message in alarm["notifications"]] == [("delivered", alarm["number"])]
    assert alarm["next_escalation"]["reason"] == "raised"
    assert [found["id"] for found in client.get("/api/v1/alarms?state=open").json()["items"]] == [ident]
    assert client.get("/api/v1/alarms?state=closed").json()["items"] == []
    assert client.get("/api/v1/alarms?state=active_unacked,active_acked").json()["items"][0]["id"] == ident
    assert client.get("/api/v1/alarms?from=2026-09-21T14:13:21Z").json()["items"] == []
    assert client.get(f"/api/v1/notifications?alarm={ident}").json()["items"][0]["receipt_at"] == "2026-09-21T14:13:22.300000Z"
    assert client.get("/api/v1/alarms/99").status_code == 404
    assert client.get("/api/v1/alarms/99999999999999999999").status_code == 404
    assert client.get("/api/v1/alarms?state=cheerful").status_code == 422


def test_alarms_are_paged_newest_first(house: House) -> None:
    idents = [house.smoke(ROOM), house.smoke(OTHER)]
    client = house.client("duty")
    first = client.get("/api/v1/alarms?limit=1").json()
    assert [alarm["id"] for alarm in first["items"]] == idents[1:]
    assert [alarm["id"] for alarm in client.get(first["next"]).json()["items"]] == idents[:1]
    assert client.get("/api/v1/alarms?cursor=eHl6").status_code == 422


def test_coverage_lists_spans_of_one_room_and_sums_of_all(house: House) -> None:
    house.now = T0 + 60_000
    client = house.client("duty")
    one = client.get(f"/api/v1/coverage?room={ROOM}&from=2026-09-21T14:00:00Z").json()["items"][0]
    assert one["to"] == "2026-09-21T14:14:20Z"
    assert one["spans"][-1]["state"] == "watched"
    assert one["watched_s"] + one["degraded_s"] + one["blind_s"] + one["unknown_s"] == 860
    everything = client.get("/api/v1/coverage?from=2026-09-21T14:00:00Z").json()["items"]
    assert [item["room"] for item in everything] == [ROOM, OTHER, QUIET]
    assert all(item["spans"] == [] for item in everything)
    assert everything[2]["watched_percent"] is None


def test_gateways_show_their_spool_and_the_unclaimed_only_to_the_province(house: House) -> None:
    with house.db.write() as session:
        session.add(Gateway(code="GW-NEW", group_id="350100", changed_at=T0, online=True))
    own = house.client("duty").get("/api/v1/gateways").json()["items"]
    assert [(box["code"], box["online"], box["watermark"], box["points"]) for box in own] == [("GW-350102-01", True, 10, 12)]
    assert "GW-NEW" in house.client("province-system").get("/api/v1/gateways").text


def test_problems_are_problem_documents_everywhere(house: House) -> None:
    client = house.client("duty")
    for answer, status in (
        (client.get("/api/v1/nothing"), 404),
        (client.get(f"/api/v1/rooms/{'9' * 12}-01"), 404),
        (client.put("/api/v1/rooms"), 405),
        (client.post("/api/v1/session", content=b"{", headers={"content-type": "application/json"}), 422),
        (client.post("/api/v1/session", json={"login": "x"}), 422),
    ):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "status", "detail", "instance", "code", "trace_id"} <= set(answer.json())


def test_a_dead_history_store_takes_nothing_else_down(house: House) -> None:
    house.store.close()
    client = house.client("duty")
    answer = client.get(f"/api/v1/rooms/{ROOM}/history?quantity=temperature")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert client.get(f"/api/v1/rooms/{ROOM}").status_code == 200
    page = client.get(f"/rooms/{ROOM}", headers={"accept": "text/html"})
    assert page.status_code == 200
    assert "历史数据暂时取不到" in page.text


def test_an_unexpected_error_is_a_problem_with_a_reference(shared_house: House, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> dict[str, str]:
        raise ZeroDivisionError

    app = site.build(dataclasses.replace(shared_house.services, ready=broken))
    answer = TestClient(app, raise_server_exceptions=False).get("/readyz")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.json()["trace_id"] in caplog.text
    assert "ZeroDivision" not in answer.text


def test_life_signs(house: House) -> None:
    client = house.client()
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready", "reasons": {}}
    house.reasons["broker"] = "没有连接"
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["reasons"]) == (503, {"broker": "没有连接"})
    monitor = TestClient(house.app, client=("127.0.0.1", 1))
    metrics = monitor.get("/metrics")
    assert "archivewatch_samples_accepted_total 10.0" in metrics.text
    assert metrics.headers["content-type"].startswith("text/plain")
    assert client.get("/metrics").status_code == 403, "from elsewhere, signed in or not"
    assert monitor.get("/metrics", headers={"X-Forwarded-For": "10.9.0.7"}).status_code == 403, "a proxy that nobody named hides who asks"
    named = dataclasses.replace(house.settings, trusted_proxies=("127.0.0.1",), metrics_networks=("10.9.0.0/24",))
    behind = TestClient(site.build(dataclasses.replace(house.services, settings=named)), client=("127.0.0.1", 1))
    codes = [behind.get("/metrics", headers={"X-Forwarded-For": asker}).status_code for asker in ("10.9.0.7", "10.8.0.7")]
    assert codes == [200, 403]


def _bodies(description: dict[str, Any]) -> list[dict[str, Any]]:
    return [op["requestBody"] for ops in description["paths"].values() for op in ops.values() if "requestBody" in op]


def test_the_interface_describes_itself(house: House) -> None:
    client = house.client()
    description = client.get("/api/v1/openapi.json").json()
    assert description["openapi"].startswith("3.1")
    idents = [operation["operationId"] for methods in description["paths"].values() for operation in methods.values()]
    assert len(idents) == len(set(idents)) >= 30
    bodies = {op["operationId"]: op["responses"] for ops in description["paths"].values() for op in ops.values() if "requestBody" in op}
    assert [name for name, answers in bodies.items() if not {"400", "422"} <= answers.keys()] == [], "a body that cannot be read is an answer too"
    shapes = description["components"]["schemas"]
    of_bodies = {ref for op in _bodies(description) for ref in re.findall(r"schemas/(\w+)", json.dumps(op["content"].get("application/json", {})))}
    assert [name for name in sorted(of_bodies) if shapes[name].get("additionalProperties") is not False] == ["Enrolment"], (
        "what is mistyped is refused, but of a newer gateway"
    )
    assert client.post("/api/v1/session", content=b"{", headers={"content-type": "application/json"}).status_code in (400, 422)
    assert client.get("/docs").status_code == 404
    assert client.get("/redoc").status_code == 404


def test_a_mistyped_key_is_refused_by_its_name_and_does_nothing(house: House) -> None:
    body = {"untill": "2099-01-01T00:00:00Z", "until": "2099-01-01T00:00:00Z", "reason": "消杀", "person": "王工"}
    answer = house.client("duty").post(f"/api/v1/rooms/{ROOM}/maintenance", json=body)
    assert (answer.status_code, answer.json()["detail"]) == (422, "没有这些项，请核对名称：untill。")
