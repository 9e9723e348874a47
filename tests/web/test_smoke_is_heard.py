"""Every way in which a smoke alarm could be kept from people, each tried: refused, only by two people, or of no effect on smoke.

The list is that of docs/explanation/smoke.md: a way that is missing there, or here, fails.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from alarms.builtin import ALWAYS_HEARD, builtin, with_smoke
from alarms.grouping import FLOOD_STARTS_ABOVE, Flood, cause_of, flood_step, stands_alone
from alarms.lifecycle import INITIAL, NotAllowedError, OutOfService, Shelve, step
from alarms.model import Level
from alarms.rules import RuleError, default_rules
from contract.batch import Outbox, PointDeclaration
from contract.drill import drill_sample
from contract.sample import PointKey
from edge.guard import Guard, Rules
from edge.settings import GuardSettings
from server import from_settings
from server.duty.escalation import EscalationError, default_escalation, parse_escalation, smoke_facts
from server.notify.throttle import Cap
from server.org.vocabulary import MEDIA
from server.settings import Settings
from server.store.tables import Alarm, EscalationStep, Notification, Point, Transition
from server.watch.chronic import is_climate
from server.watch.inputs import GatewayBirth, GatewayData, GatewayDeath
from tests.web.house import COUNTY, GATEWAY, OTHER, PASSWORD, QUIET, ROOM, SISTER, House
from tests.web.test_web_organisation import change, upload

PAGE = Path(__file__).parents[2] / "docs/explanation/smoke.md"
REFUSED, TWO, HEARD = "拒绝", "须两人", "不影响"
Way = Callable[[House], None]
WAYS: dict[str, tuple[str, Way]] = {}
NOT_ALONE = "该告警不允许由一人暂停提醒，须两人共同停用。"
SECOND = {"second": "duty", "second_password": PASSWORD}
DEVICES = "gateway,device,quantity,channel,gateway_name,unit,group,room,interval_s,klass\n"


def way(name: str, outcome: str) -> Callable[[Way], Way]:
    def note(function: Way) -> Way:
        WAYS[name] = (outcome, function)
        return function

    return note


def iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


@cache
def client(house: House, login: str) -> TestClient:
    return house.client(login)


def post(house: House, path: str, **body: Any) -> tuple[int, str]:
    answer = client(house, "in_charge").post(f"/api/v1{path}", json=body)
    return answer.status_code, answer.json().get("detail", "")


def smoke(house: House, rule: str = "smoke", room: str = ROOM) -> Alarm:
    return house.alarm(room, rule)


@pytest.fixture(scope="module")
def burning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house in which the first room burns."""
    made = House(tmp_path_factory.mktemp("smoke"))
    made.birth()
    for room in (ROOM, OTHER):
        made.calm(room)
    made.smoke()
    yield made
    made.close()


# -- what somebody may ask of an alarm or a room -------------------------------------------------------------------------------------------


@way("暂停提醒（搁置）", REFUSED)
def shelve(house: House) -> None:
    assert post(house, f"/alarms/{smoke(house).id}/shelve", until=iso(house.now + 60_000), reason="施工") == (403, NOT_ALONE)


@way("告警停用", TWO)
def out_of_service(house: House) -> None:
    address = f"/alarms/{smoke(house).id}"
    assert post(house, f"{address}/out-of-service", reason="换探头")[0] == 403
    assert smoke(house).state == "active_unacked"
    assert post(house, f"{address}/out-of-service", reason="换探头", **SECOND)[0] == 200
    assert smoke(house).state == "out_of_service"
    assert post(house, f"{address}/return-to-service")[0] == 200


@way("“烟感后失联”的停用与暂停", TWO)
def silence_after_smoke(house: House) -> None:
    lost = builtin(0, 0)["smoke_lost"]
    for event in (OutOfService("li", "检修"), Shelve(house.now + 1, "li", "检修")):
        with pytest.raises(NotAllowedError):
            step(lost, INITIAL, event, house.now)
    assert step(lost, INITIAL, OutOfService("li", "检修", "wang"), house.now).state.inhibited


@way("库房维护（立即）", TWO)
def maintenance(house: House) -> None:
    order = {"until": iso(house.now + 3_600_000), "reason": "消杀", "person": "王工"}
    assert post(house, f"/rooms/{ROOM}/maintenance", **order)[0] == 200
    assert smoke(house).state == "active_unacked", "one person pauses the rest, not smoke"
    assert post(house, f"/rooms/{ROOM}/maintenance", **order, second="duty", second_password="wrong horse 9")[0] == 403
    assert post(house, f"/rooms/{ROOM}/maintenance", **order, **SECOND)[0] == 200
    assert smoke(house).state == "suppressed"
    assert post(house, f"/rooms/{ROOM}/maintenance", **order | {"until": iso(house.now - 1)})[0] == 200


@way("库房维护（预先安排）", TWO)
def maintenance_ahead(house: House) -> None:
    def begins(**second: str) -> str:
        order = {"since": iso(house.now + 1_000), "until": iso(house.now + 60_000), "reason": "消杀", "person": "王工"}
        assert post(house, f"/rooms/{ROOM}/maintenance", **order, **second)[0] == 200
        house.now += 2_000
        house.send(humidity=52)
        return smoke(house).state

    assert begins() == "active_unacked"
    house.now += 60_000
    house.send(humidity=52)
    assert begins(**SECOND) == "suppressed"
    house.now += 60_000
    house.send(humidity=52, smoke=1)


@way("改变库房阶段", TWO)
def stage(house: House) -> None:
    for quieter in ("trial", "commissioning", "not_connected", "retired"):
        assert post(house, f"/rooms/{ROOM}/stage", stage=quieter, reason="改造")[0] == 403, quieter
    assert post(house, f"/rooms/{ROOM}/stage", stage="trial", reason="改造", **SECOND)[0] == 200
    assert post(house, f"/rooms/{ROOM}/stage", stage="retired", reason="改造")[0] == 403, "on from there likewise"
    assert post(house, f"/rooms/{ROOM}/stage", stage="in_use", reason="改造完成")[0] == 200


@way("烟感探测器失联的暂停与停用", TWO)
def silence_of_a_detector(house: House) -> None:
    """The other room's detector falls silent while the rest of its gateway goes on; who fits it alone may neither shelve nor retire that."""
    for _ in range(4):
        house.now += 30_000
        house.send(OTHER, temperature=21.4, humidity=52, leak=0, door=0)
        house.send(temperature=21.4, humidity=52, smoke=1, leak=0, door=0)
    with house.db.read() as session:
        silent = session.scalars(select(Alarm).where(Alarm.room == OTHER, Alarm.rule == "sensor_stale", Alarm.quantity == "smoke")).one().id
    address = f"/alarms/{silent}"
    assert post(house, f"{address}/shelve", until=iso(house.now + 60_000), reason="施工") == (403, NOT_ALONE)
    assert post(house, f"{address}/out-of-service", reason="换探头")[0] == 403
    assert post(house, f"{address}/out-of-service", reason="换探头", **SECOND)[0] == 200
    with house.db.read() as session:
        assert session.get_one(Alarm, silent).state == "out_of_service"
    assert post(house, f"{address}/return-to-service")[0] == 200
    house.calm(OTHER)


# -- what a data administrator may change ---------------------------------------------------------------------------------------------------


@way("编辑库房：阶段", REFUSED)
def edit_stage(house: House) -> None:
    for quieter in ("trial", "retired"):
        answer = change(client(house, "province-system"), "rooms", {"code": ROOM}, {"stage": quieter})
        assert (answer.status_code, "两人" in answer.json()["detail"]) == (422, True)


@way("编辑、导入库房：应测的量里去掉烟感", TWO)
def edit_demanded(house: House) -> None:
    """A room that need not report smoke would be green with its detector dead."""
    system = client(house, "province-system")
    for fewer in ("temperature;humidity", ""):
        answer = change(system, "rooms", {"code": OTHER}, {"demanded": fewer})
        assert (answer.status_code, "两人" in answer.json()["detail"]) == (422, True)
    assert post(house, f"/rooms/{OTHER}/stage", stage="not_connected", reason="改造")[0] == 403
    assert post(house, f"/rooms/{OTHER}/stage", stage="not_connected", reason="改造", **SECOND)[0] == 200
    assert change(system, "rooms", {"code": OTHER}, {"demanded": "temperature;humidity"}).json()["state"] == "done"
    assert change(system, "rooms", {"code": OTHER}, {"demanded": "temperature;humidity;smoke"}).json()["state"] == "done"
    assert post(house, f"/rooms/{OTHER}/stage", stage="in_use", reason="改造完成")[0] == 200


@way("编辑库房：用房种类、载体", HEARD)
def edit_medium(_house: House) -> None:
    for medium in MEDIA:
        assert {rule.name for rule in default_rules().for_point("smoke", medium, "350100000000", ROOM)} >= {"smoke"}, medium


@way("导入、编辑设备：烟感移出库房或移到不值守的库房", REFUSED)
def move_point(house: House) -> None:
    for room in ("", QUIET):
        row = f"{GATEWAY},smoke1-01,smoke,,网关,{COUNTY},350100,{room},30,measure\n"
        [error] = upload(client(house, "province-system"), "devices", DEVICES + row)["errors"]
        assert "烟感不能移出库房" in error["sentence"]


@way("撤销导入", REFUSED)
def undo(house: House) -> None:
    system = client(house, "province-system")
    run = upload(system, "devices", f"{DEVICES}{GATEWAY},smoke7,smoke,,网关,{COUNTY},350100,{OTHER},30,measure\n")
    assert run["state"] == "done", run
    with house.db.write() as session:
        session.scalars(select(Point).where(Point.device == "smoke7")).one().last_at = house.now
    answer = system.post(f"/api/v1/imports/{run['id']}/undo", json={"reason": "错了"}).json()
    assert any("两人" in sentence for sentence in answer["kept"]), answer
    with house.db.read() as session:
        assert session.scalars(select(Point).where(Point.device == "smoke7")).one().room == OTHER


@way("测点命名为室外（outdoor）", HEARD)
def outdoor(house: House) -> None:
    world = house.watch._world
    point = next(point for point in world.points.values() if point.key.quantity == "smoke" and point.room == OTHER)
    named = type(point)(point.id, point.key._replace(channel="outdoor"), OTHER, 30_000, 90_000)
    assert "smoke" in {rule.name for rule in world.point_rules(named, world.rooms[OTHER])}


@way("网关重新声明测点的库房", HEARD)
def birth(house: House) -> None:
    declared = (PointDeclaration("smoke1-01/smoke", 1, QUIET, "", 30, "measure"),)
    birth = GatewayBirth(
        gateway=GATEWAY, group="350100", received_at=house.now, bd_seq=1, outbox=Outbox(7, 1, 0), points=declared, rules_version="", offers=None
    )
    house.watch.offer(birth).result(20)
    with house.db.read() as session:
        assert session.scalars(select(Point).where(Point.device == "smoke1-01")).one().room == ROOM
    house.birth()


# -- rules ----------------------------------------------------------------------------------------------------------------------------------


@way("调整限值", REFUSED)
def limits(house: House) -> None:
    body = {"rule": "smoke", "room": ROOM, "level": "critical", "why": "误报多"}
    assert post(house, "/limits", **body, limit=2)[0] == 422
    assert post(house, "/limits", **body, on_delay_s=600)[0] == 422
    for rule in ("smoke_density", "smoke_confirmed"):
        assert post(house, "/limits", **body | {"rule": rule}, limit=0.5 if rule == "smoke_density" else 5)[0] == 422


LAX = """rules:
  - {name: smoke, kind: state, quantity: smoke, ladder: {critical: {equals: 1, on_delay: 1h}}, two_persons: false, shelve_max: 8h}
  - {name: damp, kind: threshold, quantity: humidity, ladder: {warn: {above: 60}}}
"""


@way("自定规则文件", HEARD)
def rule_file(house: House) -> None:
    file = house.folder / "ours.yaml"
    file.write_text(LAX, "utf-8")
    rules = {rule.name: rule for rule in from_settings.rules(Settings(rules=file)).rules}
    product = {rule.name: rule for rule in default_rules().rules if rule.two_persons}
    assert {rule.quantity for rule in product.values()} == {"smoke", "smoke_density"}
    assert product.keys() | {"damp"} == rules.keys(), "what the file leaves out is there"
    assert (rules["smoke"].ladder[0].on_delay_ms, rules["smoke"].two_persons, rules["smoke"].shelve_max_ms) == (0, True, 0)
    file.write_text(LAX.replace("quantity: smoke, ladder: {critical: {equals: 1", "quantity: leak, ladder: {critical: {equals: 1"), "utf-8")
    with pytest.raises(RuleError, match=r"ours\.yaml:1: rule smoke is one of the product's"):
        from_settings.rules(Settings(rules=file))


@way("下发给网关的规则（本地值守）", HEARD)
def pushed_rules(house: House) -> None:
    rules = Rules(house.folder / "rules.json")
    assert rules.take(LAX)
    assert not rules.take(LAX.replace("kind: state, quantity: smoke", "kind: state, quantity: leak"))
    guard = Guard(GuardSettings(), rules, [])
    guard.run_once(house.now, house.now, centre_watches=True)
    assert with_smoke(rules.current).effective("smoke", "paper", (), "R").ladder[0].on_delay_ms == 0


@way("规则试运行（试行一套规则）", HEARD)
def trial(house: House) -> None:
    before = [rule.name for rule in house.watch._world.points[smoke_point(house)].rules]
    lax = LAX.replace("{name: smoke,", "{name: smoke_later,")
    assert post(house, "/rule-trials", name="无烟感", unit=COUNTY, rules=lax)[0] == 200
    assert [rule.name for rule in house.watch._world.points[smoke_point(house)].rules] == before


def smoke_point(house: House) -> int:
    return next(point.id for point in house.watch._world.points.values() if point.key.device == "smoke1-01")


# -- the way of a message ------------------------------------------------------------------------------------------------------------------


TABLE = """levels: {{critical: {critical}, urgent: [], alarm: [], warn: []}}
{more}"""
NOW = "[{after: 0s, to: [unit_duty]}]"
QUIET_HOURS = 'quiet_hours: {{from: "22:00", until: "07:00", deliver_at: "07:30", hold: [{hold}]}}'


@way("升级流程文件：特急不通知或晚通知", REFUSED)
def escalation_file(_house: House) -> None:
    for critical, more in (
        ("[]", ""),
        ("[{after: 10m, to: [unit_duty]}]", ""),
        (f"{{day: {NOW}, night: []}}", ""),
        (NOW, "special: [{when: {quantity: smoke}, steps: []}]"),
        (NOW, "special: [{when: {rule: smoke_lost}, steps: [{after: 1h, to: [unit_duty]}]}]"),
        (NOW, "before_acceptance: {stages: [in_use], to: []}"),
    ):
        with pytest.raises(EscalationError, match=r"at once|in_use"):
            parse_escalation(TABLE.format(critical=critical, more=more), "ours.yaml")
    parse_escalation(TABLE.format(critical=NOW, more=""), "ours.yaml")


@way("安静时段", REFUSED)
def quiet_hours(_house: House) -> None:
    assert not any(default_escalation().quiet_hours.holds(facts) for facts in smoke_facts())
    assert {facts["level"] for facts in smoke_facts()} == {"alarm", "urgent", "critical"}
    for hold in ("{quantity: smoke}", '{rule: "smoke*"}', "{level: [alarm]}", "{kind: lost}"):
        with pytest.raises(EscalationError, match="quiet_hours would hold smoke"):
            parse_escalation(TABLE.format(critical=NOW, more=QUIET_HOURS.format(hold=hold)), "ours.yaml")


@way("单机短信上限（限频、配额）", HEARD)
def caps(house: House) -> None:
    with house.db.write() as session:
        alarm = smoke(house)
        ladder = session.query(EscalationStep).filter_by(alarm=alarm.id).first()
        values = {
            "alarm": alarm.id, "escalation_step": ladder.id, "reason": "raised", "step": 0, "person": 1, "person_name": "林一", "number": "1",
            "phone": "+8613900001234", "channel": "x", "text": "t", "created_at": house.now, "due": house.now, "attempts": 1,
        }  # fmt: skip
        session.add(Notification(**values, state="sent", claimed_at=house.now))
        row = Notification(**values | {"channel": "y"}, state="queued")
        session.add(row)
        session.flush()
        for level in ("critical", "urgent", "alarm"):
            session.get_one(Alarm, alarm.id).level = level
            assert Cap(1, 600_000).until(session, row, house.now) is None, level
        session.rollback()


@way("合并告警", HEARD)
def grouping(_house: House) -> None:
    for facts in smoke_facts():
        assert cause_of(facts["rule"], facts["kind"], facts["quantity"], Level.of(facts["level"])) == "", facts
    assert {cause_of("sensor_stale", "stale", quantity, Level.WARN) for quantity in ALWAYS_HEARD} == {""}


@way("告警高峰", HEARD)
def flood(_house: House) -> None:
    assert flood_step(Flood(), 1, FLOOD_STARTS_ABOVE + 1)[0].since is not None
    assert all(
        stands_alone(facts["rule"], facts["kind"], facts["quantity"], Level.of(facts["level"])) for facts in smoke_facts() if facts["kind"] != "lost"
    )


@way("频繁跳变、一闪而过的标记", HEARD)
def behaviour(house: House) -> None:
    def told() -> int:
        with house.db.read() as session:
            return session.query(Transition).filter(Transition.alarm == smoke(house).id, Transition.name.in_(("raised", "re_raised"))).count()

    before = told()
    for value in (0, 1, 0, 1, 0, 1):
        house.now += 1_000
        house.send(smoke=value)
    assert (smoke(house).behaviour, told()) == ("chattering", before + 3)


@way("长期不达标（长期状态）", HEARD)
def chronic(house: House) -> None:
    assert not is_climate(smoke(house))


@way("演练", HEARD)
def drill(house: House) -> None:
    house.now += 1_000
    key = PointKey(GATEWAY, "smoke1-02", "smoke")
    tagged = GatewayData(gateway=GATEWAY, received_at=house.now, samples=(drill_sample(key, house.now, 1.0, 7),), outbox=None, urgent=True)
    house.watch.offer(tagged).result(20)
    assert house.alarm(OTHER, "smoke~drill").state == "active_unacked"
    house.send(OTHER, smoke=1)
    assert (smoke(house, room=OTHER).drill, smoke(house, room=OTHER).state) == (False, "active_unacked")


@way("网关退网、撤销接入或断线", HEARD)
def gateway_gone(house: House) -> None:
    house.watch.offer(GatewayDeath(gateway=GATEWAY, at=house.now)).result(20)
    assert smoke(house).state == "active_unacked"
    lost = smoke(house, "smoke_lost")
    assert (lost.level, lost.state) == ("critical", "active_unacked")
    house.birth()


@way("单位合并、撤并", HEARD)
def merge(house: House) -> None:
    ident = smoke(house).id
    assert change(client(house, "province-system"), "merge", {"code": COUNTY}, {"into": SISTER}, "撤并").json()["state"] == "done"
    assert "smoke" in {rule.name for rule in house.watch._world.points[smoke_point(house)].rules}
    found = house.client("sister-duty").get(f"/api/v1/alarms/{ident}").json()
    assert (found["unit"], found["state"]) == (SISTER, "active_unacked")


def test_every_way_to_keep_smoke_from_people(burning: House) -> None:
    """Behind each way the alarm of the burning room still asks for people."""
    for name, (_, attempt) in WAYS.items():
        attempt(burning)
        assert smoke(burning).state == "active_unacked", name


def test_the_page_lists_them_all() -> None:
    rows = re.findall(r"^\| ([^|]+?) \| (拒绝|须两人|不影响)", PAGE.read_text("utf-8"), re.MULTILINE)
    assert dict(rows) == {name: outcome for name, (outcome, _) in WAYS.items()}
