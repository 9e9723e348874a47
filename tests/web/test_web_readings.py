"""Manual readings: entered once, checked against room, neighbours and weather, corrected by a new entry, in the series store as uncertain."""

from typing import Any

import pytest

from server.org import readings
from server.series import Row
from server.store.tables import AuditEntry, Point
from server.store.tables_papers import ManualReading
from server.web.api.common import at
from tests.web.house import FOREIGN, OTHER, QUIET, House

HOUR, DAY = 3_600_000, 86_400_000


def body(house: House, **more: Any) -> dict[str, Any]:
    base = {"taken_at": at(house.now - HOUR).isoformat(), "temperature": 21.0, "humidity": 55.0, "reader": "林一", "key": "k1"}
    return base | more


def test_a_reading_is_kept_once_audited_and_stored_as_uncertain(house: House) -> None:
    client = house.client("duty")
    first = client.post(f"/api/v1/rooms/{QUIET}/readings", json=body(house))
    again = client.post(f"/api/v1/rooms/{QUIET}/readings", json=body(house))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    assert readings.drain(house.db, house.store) == 1
    assert readings.drain(house.db, house.store) == 0
    with house.db.read() as session:
        points = session.query(Point).filter_by(gateway="manual", device=QUIET).all()
        assert session.query(AuditEntry).filter_by(action="reading.enter", subject=QUIET).count() == 1
    rows = house.store.raw([point.id for point in points], 0, house.now + 1)
    assert sorted((row.value, row.quality, row.reason) for row in rows) == [(21.0, 1, "manual"), (55.0, 1, "manual")]


def test_a_correction_names_the_old_entry_and_both_stay(house: House) -> None:
    client = house.client("duty")
    wrong = client.post(f"/api/v1/rooms/{QUIET}/readings", json=body(house, humidity=52.0)).json()["id"]
    fixed = client.post(f"/api/v1/rooms/{QUIET}/readings", json=body(house, humidity=58.0, key="k2", replaces=wrong))
    assert fixed.status_code == 201, fixed.text
    twice = client.post(f"/api/v1/rooms/{QUIET}/readings", json=body(house, key="k3", replaces=wrong))
    assert (twice.status_code, twice.json()["detail"]) == (422, "那条抄录已经更正过，请更正最新的一条。")
    elsewhere = client.post(f"/api/v1/rooms/{OTHER}/readings", json=body(house, key="k4", replaces=wrong))
    assert elsewhere.status_code == 422
    readings.drain(house.db, house.store)
    with house.db.read() as session:
        point = session.query(Point).filter_by(gateway="manual", device=QUIET, quantity="humidity").one()
        assert session.query(ManualReading).count() == 2
    assert [row.value for row in house.store.raw([point.id], 0, house.now)] == [52.0, 58.0]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"temperature": None, "humidity": None}, "至少填一项"),
        ({"humidity": 130.0}, "湿度应在 1 到 100 之间"),
        ({"temperature": 90.0}, "温度应在"),
        ({"taken_at": "2026-12-31T00:00:00Z"}, "不能晚于现在"),
        ({"taken_at": "2026-01-01T00:00:00Z"}, "45 天以内"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(house: House, more: dict[str, Any], sentence: str) -> None:
    answer = house.client("duty").post(f"/api/v1/rooms/{QUIET}/readings", json=body(house, **more))
    assert answer.status_code == 422
    assert sentence in answer.json()["detail"]


def test_what_looks_odd_must_be_confirmed(house: House) -> None:
    house.history.run_once(house.now)  # the neighbours read 21.4 ℃, 52 %RH
    client = house.client("duty")
    odd = body(house, taken_at=at(house.now).isoformat(), humidity=91.0, temperature=30.0)
    answer = client.post(f"/api/v1/rooms/{QUIET}/readings", json=odd)
    assert (answer.status_code, answer.json()["code"]) == (422, "doubtful")
    assert len(answer.json()["doubts"]) == 2
    assert "同单位其他库房的 52 %RH" in answer.json()["detail"]
    kept = client.post(f"/api/v1/rooms/{QUIET}/readings", json=odd | {"confirmed": True})
    assert kept.status_code == 201
    assert kept.json()["doubts"] == answer.json()["doubts"]
    jump = client.post(f"/api/v1/rooms/{QUIET}/readings", json=body(house, key="k9", taken_at=at(house.now + 1).isoformat()))
    assert "与上次抄录的 91 %RH 相差 36 %RH" in jump.json()["detail"]


def test_a_dial_that_stands_still_is_noticed(house: House) -> None:
    client = house.client("duty")
    for index in range(5):
        taken = at(house.now - (10 - index) * HOUR).isoformat()
        assert client.post(f"/api/v1/rooms/{QUIET}/readings", json=body(house, key=f"s{index}", taken_at=taken)).status_code == 201
    answer = client.post(f"/api/v1/rooms/{QUIET}/readings", json=body(house, key="s9"))
    assert "没有停走" in answer.json()["detail"]


def test_the_weather_is_the_last_check(house: House) -> None:
    house.birth()
    with house.db.write() as session:
        for name in ("temperature", "humidity"):
            session.add(Point(gateway="GW-350102-01", device="outdoor", quantity=name, room=None, unit="", interval_ms=60_000, created_at=0))
        session.flush()
        points = {p.quantity: p.id for p in session.query(Point).filter_by(device="outdoor")}
    then, now = house.now - HOUR, house.now
    house.store.write([Row(points["temperature"], then, 10.0, 2, now), Row(points["humidity"], then, 50.0, 2, now)])
    answer = house.client("duty").post(f"/api/v1/rooms/{QUIET}/readings", json=body(house, temperature=24.0, humidity=70.0))
    assert "含水比室外" in answer.json()["detail"]


def test_who_may_enter_and_who_is_missing(house: House) -> None:
    assert house.client("inspector").post(f"/api/v1/rooms/{QUIET}/readings", json=body(house)).status_code == 403
    assert house.client("duty").post(f"/api/v1/rooms/{FOREIGN}/readings", json=body(house)).status_code == 403
    client = house.client("duty")
    house.now = readings.instant("2026-09-21T16:00")  # a Monday
    due = [(row["room"], row["half"]) for row in client.get("/api/v1/readings/missing").json()]
    assert (QUIET, "morning") in due
    assert (QUIET, "afternoon") in due
    client.post(f"/api/v1/rooms/{QUIET}/readings", json=body(house, taken_at=at(readings.instant("2026-09-21T09:10")).isoformat()))
    assert (QUIET, "morning") not in [(row["room"], row["half"]) for row in client.get("/api/v1/readings/missing").json()]
    assert "三号库房" in client.get("/readings", headers={"accept": "text/html"}).text
    house.now = readings.instant("2026-10-01T16:00")  # National Day
    assert house.client("duty").get("/api/v1/readings/missing").json() == []


def test_the_form_keeps_what_was_written_and_asks_to_confirm(house: House) -> None:
    house.history.run_once(house.now)
    client = house.client("duty")
    html = {"accept": "text/html"}
    page = client.get(f"/rooms/{QUIET}/readings", headers=html)
    assert page.status_code == 200
    form = {"taken_at": "2026-09-21T21:00", "temperature": "30", "humidity": "91", "reader": "林一", "key": "f1", "measures": "开窗"}
    form["taken_at"] = f"{readings.datetime.fromtimestamp(house.now / 1000, readings.ZONE):%Y-%m-%dT%H:%M}"
    odd = client.post(f"/rooms/{QUIET}/readings", data=form, headers=html)
    assert odd.status_code == 422
    assert 'value="91"' in odd.text
    assert 'name="confirmed"' in odd.text
    kept = client.post(f"/rooms/{QUIET}/readings", data=form | {"confirmed": "1"}, headers=html)
    assert (kept.status_code, kept.headers["location"]) == (303, f"/rooms/{QUIET}/readings")
    assert "开窗" in client.get(f"/rooms/{QUIET}/readings", headers=html).text
    assert "温度和湿度请填数字" in client.post(f"/rooms/{QUIET}/readings", data=form | {"temperature": "x", "key": "f2"}, headers=html).text
