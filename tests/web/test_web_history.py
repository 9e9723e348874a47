"""History over HTTP: derived quantities, several rooms, a bucket per pixel, and what happened beside the curves."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from alarms import climate
from server.history import backup
from server.history.seals import seal
from server.series import Row
from server.store.tables import AuditEntry, Point
from server.web.api.common import at
from server.web.api.room_models import HistoryView
from tests.web.house import FOREIGN, OTHER, ROOM, SERVICE_KEY, SISTER_GATEWAY, T0, House

MINUTE = 60_000


@pytest.fixture
def filled(house: House) -> House:
    """An hour of two rooms, with one door opened and closed."""
    with house.db.read() as session:
        points = {(p.room, p.device, p.quantity): p.id for p in session.query(Point)}
    rows = []
    for room, suffix in ((ROOM, "01"), (OTHER, "02")):
        for quantity, value in (("temperature", 20.0), ("humidity", 50.0)):
            ident = points[room, f"th1-{suffix}", quantity]
            rows += [Row(ident, T0 - 60 * MINUTE + index * MINUTE, value + index % 2, 2, T0) for index in range(60)]
    door = points[ROOM, "door1-01", "door"]
    rows += [Row(door, T0 - (60 - index) * MINUTE, float(30 <= index < 33), 2, T0) for index in range(60)]
    house.store.write(rows)
    return house


@pytest.fixture
def client(filled: House) -> TestClient:
    return filled.client("duty")


def test_derived_quantities_are_computed_on_the_fly(client: TestClient) -> None:
    answer = client.get(f"/api/v1/rooms/{ROOM}/history?quantity=dew_point&step=3600").json()
    assert (answer["unit"], answer["derived"], answer["band"]) == ("°C", True, None)
    (series,) = (each for each in answer["series"] if not each["outdoor"])
    assert series["point"] == "GW-350102-01/th1-01/dew_point"
    assert [round(bucket["mean"], 1) for bucket in series["buckets"]] == [9.9, 9.9]
    raw = client.get(f"/api/v1/rooms/{ROOM}/history?quantity=dew_point&step=raw").json()["series"][0]["buckets"]
    assert [each["mean"] for each in raw[:2]] == pytest.approx([climate.dew_point(20, 50), climate.dew_point(21, 51)])
    assert raw[0]["quality"] == "good"
    assert client.get(f"/api/v1/rooms/{ROOM}/history?quantity=mould&step=60").json()["series"][0]["buckets"][-1]["max"] == 0


def test_rooms_are_compared_in_the_order_asked(client: TestClient) -> None:
    answer = client.get("/api/v1/history", params={"room": [OTHER, ROOM], "quantity": "humidity", "step": "3600"}).json()
    assert [each["room"] for each in answer] == [OTHER, ROOM]
    assert all(any(series["buckets"] for series in each["series"]) for each in answer)
    several = client.get(
        "/api/v1/history", params={"room": [OTHER, ROOM], "quantity": ["humidity", "dew_point", "temperature"], "step": "3600"}
    ).json()
    assert [(each["room"], each["quantity"]) for each in several[2:4]] == [(OTHER, "temperature"), (ROOM, "humidity")]
    assert several[0] == answer[0]
    assert several[3] == answer[1]
    assert all(each["series"][0]["buckets"] for each in several)
    assert client.get("/api/v1/history", params={"room": ROOM, "quantity": ["humidity", "love"]}).status_code == 422
    assert client.get("/api/v1/history", params={"room": [ROOM, FOREIGN], "quantity": "humidity"}).status_code == 403
    assert client.get("/api/v1/history", params={"room": ["no-such-room"], "quantity": "humidity"}).status_code == 404
    assert client.get("/api/v1/history", params={"room": [ROOM] * 21, "quantity": "humidity"}).status_code == 422


def in_words(found: Any) -> Any:
    """Instants compare as instants: their fractions may be written with more or fewer digits."""
    if isinstance(found, dict):
        return {name: in_words(each) for name, each in found.items()}
    if isinstance(found, list | tuple):
        return [in_words(each) for each in found]
    return datetime.fromisoformat(found) if isinstance(found, str) and found.endswith("Z") else found


@pytest.mark.parametrize("step", ["raw", "60"])
def test_what_is_written_in_one_go_is_what_the_models_say(client: TestClient, filled: House, step: str) -> None:
    with filled.db.read() as session:
        ident = session.query(Point).filter_by(room=ROOM, device="th1-01", quantity="temperature").one().id
    filled.store.write([Row(ident, T0 - 90_500, None, 0, T0)])
    answer = client.get("/api/v1/history", params={"room": [ROOM], "quantity": ["temperature", "dew_point"], "step": step})
    models = TypeAdapter(list[HistoryView])
    told = answer.json()
    described = models.dump_python(models.validate_python([view | {"since": view["from"], "until": view["to"]} for view in told]), by_alias=True)
    assert [in_words(view) for view in described] == [in_words(view) for view in told]
    assert [[*view] for view in described] == [[*view] for view in told], "and in the same order"
    if step == "raw":
        buckets = {bucket["time"]: bucket for bucket in answer.json()[0]["series"][0]["buckets"]}
        bad = buckets[at(T0 - 90_500).isoformat(timespec="milliseconds").replace("+00:00", "Z")]
        assert bad == {"time": bad["time"], "min": None, "mean": None, "max": None, "count": 1, "watched_s": 0, "quality": "bad"}


@pytest.mark.parametrize(
    ("hours", "pixels", "step_s"),
    [(1, 100, 36), (24, 800, 108), (24 * 30, 100, 28_800), (24 * 365, 360, 172_800), (24 * 365, 365, 86_400), (1, 10_000, 1)],
)
def test_a_bucket_per_pixel_and_whole_hours_for_long_ranges(client: TestClient, hours: int, pixels: int, step_s: int) -> None:
    query = {"quantity": "temperature", "pixels": pixels, "from": _at(T0 - hours * 3_600_000), "to": _at(T0)}
    answer = client.get(f"/api/v1/rooms/{ROOM}/history", params=query).json()
    assert answer["step_s"] == step_s
    inside = next(series for series in answer["series"] if not series["outdoor"])["buckets"]
    assert len(inside) <= pixels + 1
    if step_s >= 108:
        assert (min(bucket["min"] for bucket in inside), max(bucket["max"] for bucket in inside)) == (20, 21)


def test_events_stand_beside_the_curves(filled: House) -> None:
    filled.smoke(ROOM)
    client = filled.client("in_charge")
    made = client.post(f"/api/v1/rooms/{ROOM}/annotations", json={"since": _at(T0 - 5 * MINUTE), "text": "除湿机检修", "quantity": "humidity"})
    assert made.status_code == 201, made.text
    answer = client.get(f"/api/v1/rooms/{ROOM}/events").json()
    assert [(alarm["rule"], alarm["cleared_at"]) for alarm in answer["alarms"]] == [("smoke", None)]
    assert [(each["quantity"], each["value"]) for each in answer["changes"]] == [("door", 1), ("door", 0)]
    assert [(each["text"], each["quantity"], each["until"]) for each in answer["annotations"]] == [("除湿机检修", "humidity", None)]
    assert answer["cut"] is False
    before = client.get(f"/api/v1/rooms/{ROOM}/events", params={"from": _at(T0 - 9_000_000), "to": _at(T0 - 8_000_000)}).json()
    assert before["alarms"] == before["changes"] == before["annotations"] == []


def test_a_removed_remark_is_kept_and_audited(filled: House) -> None:
    client = filled.client("duty")
    body = {"since": _at(T0 - 10 * MINUTE), "until": _at(T0 - 5 * MINUTE), "text": "开窗通风"}
    ident = client.post(f"/api/v1/rooms/{ROOM}/annotations", json=body).json()["id"]
    assert client.delete(f"/api/v1/rooms/{OTHER}/annotations/{ident}").status_code == 404
    assert client.delete(f"/api/v1/rooms/{ROOM}/annotations/{ident}").status_code == 204
    assert client.delete(f"/api/v1/rooms/{ROOM}/annotations/{ident}").status_code == 404
    assert client.get(f"/api/v1/rooms/{ROOM}/events").json()["annotations"] == []
    with filled.db.read() as session:
        actions = [entry.action for entry in session.query(AuditEntry).order_by(AuditEntry.id)]
    assert actions[-2:] == ["annotation.add", "annotation.remove"]


def test_remarks_are_for_those_who_handle_the_room(filled: House) -> None:
    filled.birth(SISTER_GATEWAY, (FOREIGN,))
    body = {"since": _at(T0), "text": "x"}
    assert filled.client("inspector").post(f"/api/v1/rooms/{ROOM}/annotations", json=body).status_code == 403
    assert filled.client("duty").post(f"/api/v1/rooms/{FOREIGN}/annotations", json=body).status_code == 403
    assert filled.client("duty").post(f"/api/v1/rooms/{ROOM}/annotations", json=body | {"until": _at(T0 - 1)}).status_code == 422
    assert filled.client("duty").post(f"/api/v1/rooms/{ROOM}/annotations", json=body | {"quantity": "love"}).status_code == 422


def _at(instant: int) -> str:
    return at(instant).isoformat()


def test_seals_are_shown_and_verified(filled: House) -> None:
    while filled.history.run_once(T0):  # what the gateway sent; nothing is sealed before the store has it
        pass
    seal(filled.db, filled.store, T0 + 86_400_000)
    filled.now = T0 + 86_400_000
    (shown,) = filled.client("duty").get(f"/api/v1/rooms/{ROOM}/seals").json()
    assert (shown["day"], shown["revision"], shown["reason"], shown["samples"] >= 180) == ("2026-09-21", 1, "closed", True)
    assert filled.client("security").get("/api/v1/audit/history").status_code == 403, "a county sees its rooms, not the whole"
    client = filled.client("province-audit")
    assert client.get("/api/v1/audit/history").json() == {"ok": True, "days": 8, "findings": []}
    with filled.store._hot.writing() as connection:  # type: ignore[attr-defined]
        connection.execute(f"DELETE FROM hot WHERE point = {shown_point(filled)} AND taken_at = {T0 - 60_000}")
    answer = client.get("/api/v1/audit/history").json()
    assert [(each["kind"], each["place"], each["point"]) for each in answer["findings"]] == [("missing", ROOM, "GW-350102-01/th1-01/temperature")]


def shown_point(house: House) -> int:
    with house.db.read() as session:
        return session.query(Point).filter_by(room=ROOM, device="th1-01", quantity="temperature").one().id


def test_the_running_server_makes_backups_and_exports(filled: House, tmp_path: Path) -> None:
    client = filled.client()
    client.headers["Authorization"] = f"Bearer {SERVICE_KEY}"
    made = client.post("/api/v1/backups", json={"folder": str(tmp_path / "b")})
    assert made.status_code == 200, made.text
    assert backup.verify(tmp_path / "b").samples == made.json()["samples"] > 0
    assert client.post("/api/v1/backups", json={"folder": str(tmp_path / "b")}).status_code == 409
    month = client.post("/api/v1/history-exports", json={"folder": str(tmp_path / "out"), "month": "2026-09"}).json()
    assert month["samples"] > 0
    assert filled.client("in_charge").post("/api/v1/backups", json={"folder": str(tmp_path / "c")}).status_code == 403
