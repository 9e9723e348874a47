"""The pages of limits and of the figures, the forms for stage and report, group alarms and floods on the board."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert

from server.store.tables import Alarm, EscalationStep, Transition
from server.watch.inputs import GatewayDeath
from tests.web.house import COUNTY, FOREIGN, OTHER, PASSWORD, ROOM, SISTER, SISTER_GATEWAY, House

HTML = {"accept": "text/html"}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    made.birth()
    made.birth(SISTER_GATEWAY, (FOREIGN,))
    for room, gateway in ((ROOM, "GW-350102-01"), (OTHER, "GW-350102-01"), (FOREIGN, SISTER_GATEWAY)):
        made.calm(room, gateway)
    yield made
    made.close()


def test_a_limit_is_looked_at_tightened_with_its_preview_and_taken_back_on_the_page(house: House) -> None:
    charge, duty = house.client("in_charge"), house.client("duty")
    page = charge.get(f"/limits?room={ROOM}&quantity=humidity", headers=HTML).text
    assert "高于 60 持续 30 分" in page
    assert "只有这一层规定了本级限值" in page
    form = {
        "rule": "humidity_high",
        "room": ROOM,
        "unit": "",
        "level": "warn",
        "limit": "57",
        "minutes": "",
        "why": "汛期加严",
        "until": "2026-10-31",
    }
    preview = charge.post("/limits", data=form | {"act": "preview"}, headers=HTML)
    assert preview.status_code == 200
    assert "过去 30 天按现行限值告警 0 次，按新限值会告警 0 次" in preview.text
    assert 'value="汛期加严"' in preview.text  # nothing has to be typed again
    assert duty.post("/limits", data=form | {"act": "save"}).status_code == 403
    for field, word in (("limit", "限值"), ("minutes", "分钟数"), ("until", "截止"), ("why", "原因")):
        refused = charge.post("/limits", data=form | {"act": "save", field: "x"}, headers=HTML)
        assert refused.status_code == 422
        assert f'<span>{word}</span><input name="{field}" value="x" aria-invalid="true"' in refused.text, "the field by its word, with what was typed"
        assert 'name="act" value="save"' in refused.text, "the rest goes with it"
    english = house.client("in_charge").post("/limits?lang=en", data=form | {"act": "save", "limit": "x"}, headers=HTML)
    assert "<span>Limit</span>" in english.text
    assert charge.post("/limits", data=form | {"act": "save"}).status_code == 303
    page = charge.get(f"/limits?room={ROOM}", headers=HTML).text
    assert "高于 57 持续 30 分" in page
    assert "汛期加严" in page
    assert "生效中" in page
    [change] = charge.get("/api/v1/limits").json()["items"]
    assert change["until"] == "2026-10-31T16:00:00Z"  # the end of that day in Beijing
    assert house.client("sister-in_charge").get(f"/limits?room={ROOM}", headers=HTML).status_code == 403
    assert charge.post(f"/limits/{change['id']}/revoke").status_code == 303
    assert "已撤销" in charge.get("/limits", headers=HTML).text


def test_stage_and_report_have_forms_on_the_page_of_the_room(house: House) -> None:
    duty, charge = house.client("duty"), house.client("in_charge")
    page = charge.get(f"/rooms/{ROOM}", headers=HTML).text
    assert 'action="/rooms/350102000000-01/stage"' in page
    assert 'action="/rooms/350102000000-01/stage"' not in duty.get(f"/rooms/{ROOM}", headers=HTML).text
    assert duty.post(f"/rooms/{ROOM}/stage", data={"stage": "trial", "reason": "x"}).status_code == 403
    assert charge.post(f"/rooms/{ROOM}/stage", data={"stage": "trial", "reason": " "}, headers=HTML).status_code == 422
    assert charge.post(f"/rooms/{ROOM}/stage", data={"stage": "nonsense", "reason": "x"}, headers=HTML).status_code == 422
    assert charge.post(f"/rooms/{ROOM}/stage", data={"stage": "trial", "reason": "换主机"}, headers=HTML).status_code == 403  # smoke: two people
    second = {"second": "duty", "second_password": PASSWORD}
    assert charge.post(f"/rooms/{ROOM}/stage", data={"stage": "trial", "reason": "换主机"} | second).status_code == 303
    assert "试运行" in charge.get(f"/rooms/{ROOM}", headers=HTML).text
    assert charge.post(f"/rooms/{OTHER}/stage", data={"stage": "retired", "reason": "搬迁"}, headers=HTML).status_code == 403
    house.now += 200_000
    assert duty.post(f"/rooms/{OTHER}/report", data={"note": "温湿度计 21 度 50%"}).status_code == 303
    page = duty.get(f"/rooms/{OTHER}", headers=HTML).text
    assert "人工值守至" in page
    assert "温湿度计 21 度 50%" in page


def grouped(house: House) -> None:
    for gateway in ("GW-350102-01", SISTER_GATEWAY):
        house.watch.offer(GatewayDeath(gateway=gateway, at=house.now)).result(20)
    house.now += 31_000
    house.birth("GW-STRANGER", ())  # any input: the writer judges time beside it


def test_a_group_stands_on_every_board_that_it_touches_and_each_desk_is_told(house: House) -> None:
    grouped(house)
    above = house.client("province-duty").get("/", headers=HTML).text
    assert "共 3 间，其中本辖区 3 间" in above
    assert "由上级处置" not in above
    own = house.client("duty").get("/", headers=HTML).text
    assert "成片离线" in own
    assert "共 3 间，其中本辖区 2 间" in own
    assert "由上级处置" in own
    with house.db.read() as session:
        told = session.query(Alarm.unit).join(EscalationStep, EscalationStep.alarm == Alarm.id).filter(EscalationStep.reason == "group").all()
    assert sorted(unit for (unit,) in told) == [COUNTY, SISTER]  # once each; the group's own alarm is the city's


def test_in_a_flood_the_board_says_so_and_smoke_stands_on_top(house: House) -> None:
    for n in range(24):
        house.now += 2_000
        house.send(OTHER, smoke=n % 2)
    page = house.client("duty").get("/", headers=HTML).text
    assert "告警高峰" in page
    assert house.client("sister-duty").get("/", headers=HTML).text.count("告警高峰") == 0


def test_the_figures_name_their_denominators_and_what_misbehaves(house: House) -> None:
    for n in range(6):
        house.now += 8_000
        house.send(ROOM, smoke=(n + 1) % 2)
    duty = house.client("duty")
    page = duty.get("/performance?days=1", headers=HTML).text
    assert "分母：1.0 天" in page
    assert "分母：在用库房" in page
    assert "标准要求至少 30 天，这里不足。" in page
    chattering = page[page.index("频繁跳变</h2>") : page.index("一闪而过</h2>")]
    assert "烟感告警" in chattering
    assert "一号库房" in chattering
    assert duty.get(f"/performance?unit={SISTER}", headers=HTML).status_code == 403
    assert duty.get("/performance?lang=en", headers=HTML).text.count("Denominator") == 3


def test_climate_found_late_is_counted_and_listed_and_waits_for_nobody(house: House) -> None:
    house.now += 3 * 3_600_000
    house.calm()
    for ago in range(170, 100, -1):
        house.send(ROOM, at=house.now - ago * 60_000, humidity=70 if ago > 110 else 52)
    house.now += 61_000
    house.calm()
    duty = house.client("duty")
    assert "期间补记 1 条" in duty.get("/performance?days=1", headers=HTML).text
    assert duty.get("/api/v1/kpi").json()["known_late"] == 1
    late = duty.get("/alarms?view=late", headers=HTML).text
    assert "湿度" in late[late.index("<main") :]
    assert "补记告警" in late
    [record] = duty.get("/api/v1/alarms?known_late=true").json()["items"]
    assert record["state"] == "normal"
    waiting = duty.get("/alarms?view=waiting", headers=HTML).text
    assert f'/alarms/{record["id"]}"' not in waiting
    explained = duty.get(f"/alarms/{record['id']}", headers=HTML).text
    assert "补记" in explained
    assert "接手</button>" not in explained


def test_the_shares_of_the_levels_are_the_same_in_the_table_and_the_line(house: House) -> None:
    house.send(ROOM, smoke=1)
    house.send(ROOM, leak=1)
    house.now += 6_000
    house.send(ROOM, leak=1)
    duty = house.client("duty")
    page = duty.get("/performance?days=1", headers=HTML).text
    figures = {one["name"]: one["value"] for one in duty.get("/api/v1/kpi").json()["figures"]}
    shares = [figures[f"{level}_share"] for level in ("warn", "alarm", "urgent", "critical")]
    assert sum(shares) == pytest.approx(100)
    for share in shares:
        assert f"（{share:.1f} %）" in page
        assert f">{share:.1f} %<" in page


def unauthorised(house: House) -> float:
    figures = house.client("duty").get("/api/v1/kpi").json()["figures"]
    return next(one["value"] for one in figures if one["name"] == "unauthorised")


def test_an_alarm_silenced_past_every_door_is_counted(house: House) -> None:
    duty = house.client("duty")
    house.send(OTHER, leak=1)
    house.now += 6_000
    house.send(OTHER, leak=1)
    alarm = house.alarm(OTHER, "leak")
    body = {"until": "2026-09-21T15:00:00Z", "reason": "等维修"}
    assert duty.post(f"/api/v1/alarms/{alarm.id}/shelve", json=body).status_code == 200
    house.now += 1_000
    assert unauthorised(house) == 0
    with house.db.write() as session:  # somebody with the password of the database
        values = {"alarm": alarm.id, "at": house.now - 500, "name": "shelved", "before": "active_unacked", "after": "shelved", "level": "urgent"}
        session.execute(insert(Transition).values(**values, by="某人"))
    assert unauthorised(house) == 1
