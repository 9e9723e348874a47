"""Incidents through the real watch, series store and HTTP: opened by an alarm, worked through, confirmed or contradicted by the sensor."""

from collections.abc import Iterator

import pytest

from server.duty.cards import default_cards
from server.duty.incidents import Incidents
from server.store.tables import AuditEntry, EscalationStep, Transition
from server.store.tables_incident import Incident
from server.store.tables_org import Holding, RoomSheet
from server.watch.commands import Reopen
from tests.web.house import FOREIGN, OTHER, ROOM, SISTER_GATEWAY, House

M = 60_000


class Desk:
    """The house with its follower of alarms."""

    def __init__(self, house: House) -> None:
        self.house, self.client = house, house.client("duty")
        self.incidents = Incidents(house.db, house.store, default_cards(), self.reopen)

    def reopen(self, alarm: int, sentence: str) -> None:
        self.house.watch.submit(Reopen(alarm=alarm, by="系统", note=sentence)).result(20)

    def run(self, minutes: int = 0, **values: float) -> None:
        """Time passes with a full set of readings each minute; then the follower runs once."""
        calm = {"temperature": 21.4, "humidity": 52.0, "smoke": 0, "leak": 0, "door": 0, "outdoor": 20.0}
        for _ in range(minutes):
            self.house.now += M
            self.house.send(**(calm | values))
            self.house.send(OTHER, **calm)
        self.house.history.run_once(self.house.now)
        self.incidents.run_once(self.house.now)

    def made(self) -> list[tuple[str, str]]:
        """(room, card) of every incident of a room."""
        with self.house.db.read() as session:
            return [(row.room, row.card) for row in session.query(Incident).order_by(Incident.id) if row.room]

    def get(self, ident: int) -> dict:
        answer = self.client.get(f"/api/v1/incidents/{ident}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def act(self, ident: int, what: str, **body: object) -> dict:
        answer = self.client.post(f"/api/v1/incidents/{ident}/{what}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def desk(house: House) -> Iterator[Desk]:
    return Desk(house)


def test_smoke_from_alarm_to_closure_confirmed_by_the_sensor(desk: Desk) -> None:
    house = desk.house
    alarm = house.smoke()
    desk.run()
    desk.run()
    assert desk.made() == [(ROOM, "smoke")], "an alarm opens one incident, once"
    ident = desk.client.get(f"/api/v1/alarms/{alarm}").json()["incident"]
    found = desk.get(ident)
    assert (found["event"], found["level"], found["state"], found["room"]) == ("smoke", "critical", "open", ROOM)
    assert "0591-87550110" in found["action_card"]["steps"][0]["text"]
    assert "林一" in found["action_card"]["steps"][4]["text"]
    assert desk.act(ident, "steps/1")["action_card"]["steps"][0]["done_by"] == "陈值班"
    assert desk.act(ident, "steps/1", done=False)["action_card"]["steps"][0]["done_at"] is None
    desk.act(ident, "steps/2")
    desk.act(ident, "log", text="门不烫，无烟味")
    desk.client.post(f"/api/v1/alarms/{alarm}/acknowledge", json={"note": "已到场查看"})
    house.now += 1000
    house.send(smoke=0)
    assert desk.act(ident, "report", code="false_alarm", note="杀虫喷雾")["state"] == "reported"
    desk.run(5)
    assert "复位" in "".join(desk.get(ident)["verdict"]["reasons"])
    desk.client.post(f"/api/v1/alarms/{alarm}/reset", json={"note": "两人查过"})
    assert house.alarm(ROOM, "smoke").acked_by == "陈值班", "who had it stays on the record"
    desk.run(20)
    assert desk.get(ident)["state"] == "reported", "clear air for 25 minutes is not half an hour"
    desk.run(6)
    closed = desk.get(ident)
    assert (closed["state"], closed["code"], closed["owner"]) == ("closed", "false_alarm", "陈值班")
    assert closed["keep_until"] is not None
    kinds = [line["kind"] for line in closed["timeline"]]
    assert [kind for kind in ("raised", "opened", "step", "log", "acknowledged", "report", "reset", "closed") if kind in kinds] == [
        "raised", "opened", "step", "log", "acknowledged", "report", "reset", "closed",
    ]  # fmt: skip
    assert desk.client.post(f"/api/v1/incidents/{ident}/steps/1", json={}).status_code == 409
    assert desk.client.get("/api/v1/incidents?state=open").json()["items"] == []


def test_a_report_that_the_sensor_contradicts_comes_back_one_level_up(desk: Desk) -> None:
    house = desk.house
    desk.run(31, humidity=72.0)
    alarm = house.alarm(ROOM, "humidity_high")
    desk.client.post(f"/api/v1/alarms/{alarm.id}/acknowledge", json={})
    ident = desk.client.get(f"/api/v1/alarms/{alarm.id}").json()["incident"]
    desk.act(ident, "report", code="out_of_band", note="已开除湿机")
    desk.run(119, humidity=72.4)
    assert desk.get(ident)["state"] == "reported"
    desk.run(1, humidity=72.4)
    found = desk.get(ident)
    assert (found["state"], found["reopened"], found["verdict"]) == ("open", 1, None)
    said = next(line["text"] for line in found["timeline"] if line["kind"] == "reopened")
    assert said == "陈值班 报告：环境超标。湿度报告时 72.0 %RH，现在 72.4 %RH，120 分钟内没有下降。"
    with house.db.read() as session:
        change = session.query(Transition).filter_by(alarm=alarm.id, name="reopen").one()
        assert change.note == said
        step = session.query(EscalationStep).filter_by(alarm=alarm.id, reason="reopened").one()
        assert (step.annunciation, step.state) == (change.id, "pending")
        assert session.query(AuditEntry).filter_by(action="incident.reopened").count() == 1
    desk.run(1, humidity=72.4)
    assert desk.get(ident)["reopened"] == 1


def test_smoke_that_comes_again_after_no_danger_was_reported_comes_back_at_once(desk: Desk) -> None:
    house = desk.house
    alarm = house.smoke()
    desk.run()
    ident = desk.client.get(f"/api/v1/alarms/{alarm}").json()["incident"]
    desk.client.post(f"/api/v1/alarms/{alarm}/no-danger", json={})
    desk.run(2)
    desk.act(ident, "report", code="false_alarm", note="杀虫喷雾")
    desk.run(1, smoke=1)
    found = desk.get(ident)
    assert (found["state"], found["reopened"]) == ("open", 1)
    said = next(line["text"] for line in found["timeline"] if line["kind"] == "reopened")
    assert said.startswith("陈值班 报告：误报")
    assert said.endswith("传感器再次告警。")


def test_who_takes_the_alarm_over_owns_the_incident(desk: Desk) -> None:
    alarm = desk.house.smoke()
    desk.run()
    ident = desk.client.get(f"/api/v1/alarms/{alarm}").json()["incident"]
    assert desk.get(ident)["owner"] == ""
    desk.client.post(f"/api/v1/alarms/{alarm}/acknowledge", json={})
    desk.run()
    assert desk.get(ident)["owner"] == "陈值班"


def test_a_closed_incident_opens_anew_when_its_alarm_comes_again(desk: Desk) -> None:
    house = desk.house
    house.now += 1000
    house.send(leak=1)
    house.now += 6000
    house.send(leak=1)
    desk.run()
    alarm = house.alarm(ROOM, "leak").id
    ident = desk.client.get(f"/api/v1/alarms/{alarm}").json()["incident"]
    with house.db.write() as session:
        incident = session.get_one(Incident, ident)
        incident.state, incident.closed_at = "closed", house.now
    desk.run()
    found = desk.get(ident)
    assert (found["state"], found["reopened"], found["closed_at"]) == ("open", 1, None)
    assert "再次产生" in found["timeline"][-1]["text"]


def test_alarms_of_one_hazard_join_and_others_do_not(desk: Desk) -> None:
    house = desk.house
    house.smoke()
    house.smoke(OTHER)
    house.now += 1000
    house.send(temperature=60.0, leak=1)
    house.now += 6000
    house.send(leak=1)
    desk.run()
    assert sorted(desk.made()) == [(ROOM, "leak"), (ROOM, "smoke"), (OTHER, "smoke")]
    joined = [desk.get(item["id"]) for item in desk.client.get("/api/v1/incidents").json()["items"]]
    assert {len(item["alarms"]) for item in joined if (item["room"], item["card"]) == (ROOM, "smoke")} == {2}


def test_a_slight_alarm_opens_an_incident_only_when_somebody_takes_it_over(desk: Desk) -> None:
    house = desk.house
    desk.run(40, humidity=62.0)
    assert desk.made() == []
    alarm = house.alarm(ROOM, "humidity_high")
    assert alarm.level == "warn"
    desk.client.post(f"/api/v1/alarms/{alarm.id}/acknowledge", json={})
    desk.run()
    assert desk.made() == [(ROOM, "humidity_high")]


def test_what_does_not_fit_is_refused_with_a_sentence(desk: Desk) -> None:
    desk.house.smoke()
    desk.run()
    ident = desk.client.get("/api/v1/incidents").json()["items"][0]["id"]
    answer = desk.client.post(f"/api/v1/incidents/{ident}/report", json={"code": "no such", "note": "x"})
    assert (answer.status_code, answer.json()["detail"]) == (409, "请选择处置结论。")
    assert desk.client.post(f"/api/v1/incidents/{ident}/report", json={"code": "human", "note": " "}).status_code == 422
    assert desk.client.get("/api/v1/incidents/99999").status_code == 404
    inspector = desk.house.client("inspector")
    assert inspector.get(f"/api/v1/incidents/{ident}").status_code == 200
    assert inspector.post(f"/api/v1/incidents/{ident}/log", json={"text": "x"}).status_code == 403
    assert desk.house.client("sister-duty").get(f"/api/v1/incidents/{ident}").status_code == 403
    assert desk.house.client("sister-duty").get("/api/v1/incidents").json()["items"] == []


def test_the_pages_work_without_scripts(desk: Desk) -> None:
    house = desk.house
    house.birth(SISTER_GATEWAY, (FOREIGN,))
    house.smoke()
    desk.run()
    html = {"accept": "text/html"}
    listing = desk.client.get("/incidents", headers=html)
    assert "烟感告警" in listing.text
    ident = desk.client.get("/api/v1/incidents").json()["items"][0]["id"]
    page = desk.client.get(f"/incidents/{ident}", headers=html).text
    assert '打 <a href="tel:059187550110">0591-87550110</a>' in page
    assert "未填写" in page
    answer = desk.client.post(f"/incidents/{ident}/step", data={"number": "1", "done": "1"}, headers=html)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/incidents/{ident}#step-1")
    desk.client.post(f"/incidents/{ident}/log", data={"text": "<script>alert(1)</script>"}, headers=html)
    desk.client.post(f"/incidents/{ident}/report", data={"code": "false_alarm", "text": "灰尘"}, headers=html)
    page = desk.client.get(f"/incidents/{ident}", headers=html).text
    assert "<script>alert(1)" not in page
    assert "等待传感器核实" in page
    paper = desk.client.get(f"/incidents/{ident}?paper=card", headers=html).text
    assert paper.count('<section class="card">') == 1
    cards = desk.client.get(f"/rooms/{ROOM}/cards", headers=html).text
    assert cards.count('<section class="card">') == 12
    assert desk.client.get(f"/rooms/{FOREIGN}/cards", headers=html).status_code == 403
    assert "Do not" not in cards
    assert "Feel the door" in desk.client.get(f"/rooms/{ROOM}/cards?lang=en", headers=html).text


def test_the_card_is_filled_from_the_rooms_sheet_and_says_what_is_at_stake(desk: Desk) -> None:
    with desk.house.db.write() as session:
        session.add(RoomSheet(room=ROOM, body={"power_switch": "走廊东头配电箱", "gas_extinguishing": "七氟丙烷"}, updated_at=1, by="林一"))
        session.add(Holding(room=ROOM, fonds="J001", name="1949—1966 年户籍", volumes=1200, years="1949—1966", rank=1))
    desk.house.smoke()
    desk.run()
    ident = desk.client.get("/api/v1/incidents").json()["items"][0]["id"]
    found = desk.get(ident)
    assert "走廊东头配电箱" in found["action_card"]["steps"][2]["text"]
    assert "七氟丙烷" in found["action_card"]["branches"][0]
    assert found["holdings"] == ["全宗 J001 1949—1966 年户籍 1200 卷，1949—1966"]
