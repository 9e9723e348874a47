"""Drills and watch checks through the real watch and HTTP: order, tagged reading, drill alarm, answer, signed result; nothing real is touched."""

import hashlib
import json
import random
import re
from collections.abc import Iterator

import pytest

from contract.batch import Outbox
from contract.drill import drill_sample
from contract.sample import PointKey
from server.duty.calendar import Workdays
from server.duty.cards import default_cards
from server.duty.drills import ANSWER_MS, SEEN_MS, SETTLE_MS, Drills, plan
from server.duty.handover import draft
from server.duty.incidents import Incidents
from server.duty.watch_checks import ANSWER_MS as CHECK_MS
from server.duty.watch_checks import Settings, WatchChecks
from server.reports.kinds import make
from server.reports.period import parse_period
from server.reports.sources import Sources
from server.reports.wiring import board_bands
from server.store.tables import Alarm, AuditEntry, EscalationStep, Gateway, GatewayCommand, Journal
from server.store.tables_drill import Drill
from server.watch.commands import EndDrill
from server.watch.inputs import GatewayData
from tests.web.house import COUNTY, GATEWAY, OTHER, QUIET, ROOM, House

DAY = 86_400_000
COUNTING = ("register", "performance", "inspection", "scorecard")
"""Papers that count alarms, coverage or compliance."""
SMOKE = PointKey.of(GATEWAY, "smoke1-01/smoke")


class Range:
    """The house with its follower of drills."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.chief, self.desk = house.client("in_charge"), house.client("duty")
        self.drills = Drills(house.db, lambda alarm: house.watch.submit(EndDrill(alarm=alarm, by="系统")).result(20) and None)
        with house.db.write() as session:
            session.get_one(Gateway, GATEWAY).acknowledges = True

    def run(self, ms: int = 0) -> int:
        self.house.now += ms
        return self.drills.run_once(self.house.now)

    def order(self, **body: str) -> int:
        answer = self.chief.post("/api/v1/drills", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def all(self) -> list[dict]:
        """As the person in charge sees them, signed in anew: days may have passed."""
        return self.house.client("in_charge").get("/api/v1/drills").json()["items"]

    def tagged(self, drill: int, key: PointKey = SMOKE) -> None:
        """What the gateway sends back."""
        sequence = self.house._sequence.get(GATEWAY, 0) + 1
        self.house._sequence[GATEWAY] = sequence
        sample = drill_sample(key, self.house.now, 1.0, drill)
        data = GatewayData(gateway=GATEWAY, received_at=self.house.now, samples=(sample,), outbox=Outbox(7, sequence, sequence), urgent=True)
        assert self.house.watch.offer(data).result(20).upto == sequence, "a tagged reading is acknowledged like any other"


@pytest.fixture
def field(house: House) -> Iterator[Range]:
    return Range(house)


def test_a_drill_from_order_to_signed_result(field: Range) -> None:
    house = field.house
    field.order(room=ROOM, note="季度演练")
    assert field.run() == 1
    with house.db.read() as session:
        command = session.query(GatewayCommand).filter_by(kind="drill").one()
        assert (command.gateway, command.body["metric"], command.body["value"]) == (GATEWAY, "smoke1-01/smoke", 1.0)
        rows = session.query(Journal).count()
    drill = command.body["id"]
    house.now += 2_000
    field.tagged(drill)
    field.tagged(drill)
    with house.db.read() as session:
        alarm = session.query(Alarm).filter_by(drill=True).one()
        assert (alarm.rule, alarm.level, alarm.state) == ("smoke~drill", "critical", "active_unacked")
        assert session.query(EscalationStep).filter_by(alarm=alarm.id, state="pending").count() == 1, "people are told as in earnest"
        assert session.query(Journal).count() == rows, "history knows nothing of it"
    tile = field.desk.get(f"/api/v1/rooms/{ROOM}").json()
    assert tile["state"] == "normal"
    assert next(point["value"] for point in tile["points"] if point["quantity"] == "smoke") == 0
    house.now += 20_000
    assert field.desk.post(f"/api/v1/alarms/{alarm.id}/acknowledge", json={"note": "演练收到"}).status_code == 200
    assert field.run() == 0
    assert field.run(SETTLE_MS) == 1
    done = field.all()[0]
    assert (done["state"], done["result"]["detected_s"], done["result"]["answered_s"]) == ("ended", 2.0, 22.0)
    assert done["result"]["answered_by"] == "陈值班"
    text = json.dumps(done["result"], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert done["signature"] == hashlib.sha256(text.encode()).hexdigest()
    with house.db.read() as session:
        assert session.get_one(Alarm, alarm.id).closed_at is not None
        logged = session.query(AuditEntry).filter_by(action="drill.result").one()
        assert logged.detail["sha256"] == done["signature"]
    Incidents(house.db, house.store, default_cards(), lambda *_: None).run_once(house.now)
    assert field.desk.get("/api/v1/incidents").json()["items"] == [], "a drill opens no incident"


def figures(house: House) -> dict[str, object]:
    """Everything in which something is counted, as it stands now."""
    desk, month = house.client("duty"), parse_period("2026-09")
    sources = Sources(db=house.db, store=house.store, bands=board_bands(house.board), generator="test")
    with house.db.read() as session:
        sheet = draft(session, COUNTY, house.now, Workdays())[2]
        journal = session.query(Journal).count()
    day = {"from": "2026-09-21T00:00:00Z", "to": "2026-09-22T00:00:00Z"}
    asked = {
        f"/api/v1/units/{COUNTY}/duty/load": {}, "/api/v1/kpi": {"unit": COUNTY}, "/api/v1/chronic": {}, "/api/v1/incidents": {},
        "/api/v1/coverage": {"room": ROOM} | day, "/api/v1/coverage/sums": {"unit": COUNTY} | day, f"/api/v1/rooms/{ROOM}": {},
        f"/api/v1/rooms/{ROOM}/history": {"quantity": "smoke", "step": "raw"} | day,
    }  # fmt: skip
    answers = {path: desk.get(path, params=params) for path, params in asked.items()}
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(asked, 200)
    papers = {kind: make(sources, kind, COUNTY, month, house.now)[0].sheets for kind in COUNTING}
    return {path: answer.json() for path, answer in answers.items()} | papers | {"hand-over": sheet, "journal": journal}


def test_a_drill_is_in_no_statistic_at_all(field: Range, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two houses live through the same minutes, one of them with a drill that is answered: every figure of both is the same."""
    quiet = House(tmp_path_factory.mktemp("quiet"))
    try:
        quiet.birth()
        quiet.calm()
        quiet.calm(OTHER)
        field.order(room=ROOM)
        field.run()
        field.tagged(field.all()[0]["id"])
        with field.house.db.read() as session:
            alarm = session.query(Alarm.id).filter_by(drill=True).scalar()
        field.desk.post(f"/api/v1/alarms/{alarm}/acknowledge", json={})
        assert field.run(SETTLE_MS) == 1
        for house in (field.house, quiet):
            house.now = field.house.now
            house.calm()
            house.calm(OTHER)
            house.history.run_once(house.now)
        drilled, never = figures(field.house), figures(quiet)
    finally:
        quiet.close()
    assert [name for name in drilled if drilled[name] != never[name]] == []


def test_a_real_fire_during_a_drill_is_a_real_alarm(field: Range) -> None:
    field.order(room=ROOM)
    field.run()
    field.tagged(field.all()[0]["id"])
    field.house.now += 1_000
    ident = field.house.smoke()
    alarm = field.desk.get(f"/api/v1/alarms/{ident}").json()
    assert (alarm["drill"], alarm["level"]) == (False, "critical")
    assert field.desk.get(f"/api/v1/rooms/{ROOM}").json()["state"] == "critical"


def test_nobody_answers(field: Range) -> None:
    field.order(room=ROOM)
    field.run()
    field.tagged(field.all()[0]["id"])
    field.run(ANSWER_MS - 1)
    assert field.all()[0]["state"] == "detected"
    field.run(1)
    done = field.all()[0]
    assert (done["state"], done["result"]["answered_s"], done["result"]["answered_by"]) == ("ended", None, "")
    with field.house.db.read() as session:
        assert session.query(Alarm).filter_by(drill=True).one().closed_at is not None


def test_the_next_drill_of_a_room_is_detected_like_the_first(field: Range) -> None:
    for _ in range(2):
        ident = field.order(room=ROOM)
        field.run()
        field.tagged(ident)
        assert {row["id"]: row["state"] for row in field.all()}[ident] == "detected"
        field.run(ANSWER_MS)
        field.tagged(ident)
        assert {row["id"]: row["state"] for row in field.all()}[ident] == "ended"
    with field.house.db.read() as session:
        assert session.query(Alarm).filter_by(drill=True).count() == 2, "a reading that comes after the end calls nobody"


def test_a_second_drill_of_a_room_waits_for_the_first(field: Range) -> None:
    first = field.order(room=ROOM)
    field.run()
    field.tagged(first)
    second = field.order(room=ROOM)
    field.run(1_000)
    field.run(SEEN_MS + 1_000)
    rows = {row["id"]: row for row in field.all()}
    assert (rows[first]["state"], rows[second]["state"]) == ("detected", "waiting"), "not a sensor that does not answer"
    with field.house.db.write() as session:
        session.get_one(Drill, first).detected_at = field.house.now - ANSWER_MS
    field.run(1_000)
    field.run(1_000)
    rows = {row["id"]: row for row in field.all()}
    assert rows[first]["state"] == "ended"
    assert rows[second]["state"] != "waiting", "its turn came"
    assert "两分钟" not in rows[second]["reason"]


def test_what_cannot_be_drilled_fails_with_the_reason(field: Range) -> None:
    field.order(unit=COUNTY)
    field.run()
    assert {row["room"] for row in field.all()} == {ROOM, OTHER}, "only rooms in service"
    field.run(SEEN_MS)
    assert all((row["state"], "两分钟" in row["reason"]) == ("failed", True) for row in field.all())
    with field.house.db.write() as session:
        session.get_one(Gateway, GATEWAY).online = False
    field.order(room=OTHER)
    field.run()
    assert field.all()[0]["reason"] == "网关离线，演练无法开始。"
    english = field.house.client("in_charge").get("/drills?lang=en").text
    for sentence in ("No drill signal within two minutes", "The gateway is offline: the drill cannot begin."):
        assert sentence in english
    assert re.search(r'<th scope="row">[^<]+ › [^<]+</th>', english), "on a phone the card of a drill is headed by its room"
    assert field.chief.post("/api/v1/drills", json={"room": QUIET}).status_code == 409
    assert field.chief.post("/api/v1/drills", json={}).status_code == 422
    assert field.desk.post("/api/v1/drills", json={"room": ROOM}).status_code == 403


def test_a_standing_order_takes_each_room_in_its_turn_on_working_days(field: Range) -> None:
    house = field.house
    saturday = house.now + 19 * DAY  # 2026-10-10, worked to make up for the National Day holiday
    with house.db.write() as session:
        plan(session, COUNTY, 30, "林一", house.now)
    assert field.run() == 0, "22:13 in the evening"
    house.now = saturday - saturday % DAY + 2 * 3_600_000  # ten in the morning
    assert field.run() == 2
    house.now += DAY
    assert field.run() == 2, "what was begun goes on, on a Sunday too: sent and not seen"
    field.run(10 * DAY)
    assert len(field.all()) == 2
    field.run(20 * DAY)
    with house.db.read() as session:
        assert session.query(Drill).count() == 4


def test_a_watch_check_compares_the_answer_with_the_sensor(field: Range) -> None:
    house = field.house
    asked = field.chief.post("/api/v1/watch-checks", json={"unit": COUNTY}).json()
    shown = {"temperature": 21.4, "humidity": 52.0}[asked["quantity"]]
    assert field.desk.get(f"/watch-checks/{asked['id']}", headers={"accept": "text/html"}).status_code == 200
    assert "查岗" in field.desk.get("/", headers={"accept": "text/html"}).text
    answer = field.desk.post(f"/api/v1/watch-checks/{asked['id']}/answer", json={"value": shown + 0.4})
    assert answer.json()["state"] == "right"
    assert field.desk.post(f"/api/v1/watch-checks/{asked['id']}/answer", json={"value": 1}).status_code == 409
    again = field.chief.post("/api/v1/watch-checks", json={"unit": COUNTY}).json()
    assert field.desk.post(f"/api/v1/watch-checks/{again['id']}/answer", json={"value": 99}).json()["state"] == "wrong"
    third = field.chief.post("/api/v1/watch-checks", json={"unit": COUNTY}).json()
    checks = WatchChecks(house.db, lambda room, quantity: house.board.present(room, quantity, house.now), Settings(24), random.Random(1))
    house.now += CHECK_MS
    checks.run_once(house.now)
    states = {row["id"]: row["state"] for row in field.chief.get("/api/v1/watch-checks").json()}
    assert states == {asked["id"]: "right", again["id"]: "wrong", third["id"]: "missed"}
    page = field.desk.get(f"/watch-checks/{third['id']}", headers={"accept": "text/html"}).text
    assert re.search(r"未答复</strong> · \S+ (温度|湿度)", page)
    assert "发起，应在" in page
    assert field.chief.post("/api/v1/watch-checks", json={"unit": COUNTY}).status_code == 409, "old readings are no basis for a question"


def test_a_desk_is_asked_by_those_above_it_and_by_inspectors_and_never_by_itself(field: Range) -> None:
    house, body = field.house, {"unit": COUNTY}
    assert [house.client(role).post("/api/v1/watch-checks", json=body).status_code for role in ("duty", "keeper", "sister-duty")] == [403, 403, 403]
    for role in ("inspector", "in_charge", "province-duty", "province-inspector"):
        asked = house.client(role).post("/api/v1/watch-checks", json=body)
        assert asked.status_code == 201, role
        assert house.client(role).post("/api/v1/watch-checks", json=body).status_code == 409, "one question at a time"
        assert 'action="/watch-checks"' in house.client(role).get("/drills", headers={"accept": "text/html"}).text
        assert field.desk.post(f"/api/v1/watch-checks/{asked.json()['id']}/answer", json={"value": 21}).status_code == 200
    assert house.client("inspector").post("/api/v1/drills", json={"unit": COUNTY}).status_code == 403


def test_staffed_desks_are_asked_about_as_often_as_set(field: Range) -> None:
    house = field.house
    checks = WatchChecks(house.db, lambda *_: 21.0, Settings(per_day=24), random.Random(7))
    for _ in range(23 * 12):
        house.now += 300_000
        field.desk.get("/api/v1/session")
        checks.run_once(house.now)
    asked = house.client("in_charge").get("/api/v1/watch-checks").json()
    assert 10 <= len(asked) <= 40
    assert {row["asked_by"] for row in asked} == {"定时"}


def test_a_standing_order_is_made_and_ended_on_the_page(field: Range) -> None:
    html = {"accept": "text/html"}

    def order(days: str) -> int:
        return field.chief.post("/drills/plan", data={"unit": COUNTY, "every_days": days}, headers=html).status_code

    assert order("30") == 303
    page = field.chief.get("/drills", headers=html).text
    assert "每间库房每 30 天一次" in page
    assert field.desk.post("/drills/plan", data={"unit": COUNTY, "every_days": "1"}, headers=html).status_code == 403
    assert 'action="/drills/plan"' not in field.desk.get("/drills", headers=html).text
    for wrong in ("", "-1", "367", "00000099", "九", "²"):
        assert order(wrong) == 422
    assert order("0") == 303
    assert "每间库房每" not in field.chief.get("/drills", headers=html).text


def test_the_page_of_drills(field: Range) -> None:
    html = {"accept": "text/html"}
    for wrong in ("", "35010200000000", "350102000000-0123456789"):
        assert field.chief.post("/drills", data={"place": wrong}, headers=html).status_code == 422
    assert field.chief.post("/drills", data={"place": ROOM}, headers=html).status_code == 303
    assert field.chief.post("/watch-checks", data={"unit": COUNTY}, headers=html).status_code == 303
    field.run()
    page = field.chief.get("/drills", headers=html).text
    assert "已下发" in page
    assert "待答复" in page
    assert 'action="/drills"' not in field.desk.get("/drills", headers=html).text
