"""Groups, stages, reports from rooms, coverage sums and the figures of the alarm system, through the API and on the pages."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.watch.inputs import GatewayDeath
from tests.web.house import COUNTY, FOREIGN, OTHER, PASSWORD, ROOM, SISTER_GATEWAY, House

HTML = {"accept": "text/html"}
SECOND = {"second": "duty", "second_password": PASSWORD}
SECOND_GATEWAY = "GW-350102-02"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    made.birth()
    made.birth(SISTER_GATEWAY, (FOREIGN,))
    for room, gateway in ((ROOM, "GW-350102-01"), (OTHER, "GW-350102-01"), (FOREIGN, SISTER_GATEWAY)):
        made.calm(room, gateway)
    yield made
    made.close()


def test_a_group_alarm_shows_its_rooms_and_whoever_may_not_see_it_sees_his_own_members(house: House) -> None:
    for gateway in ("GW-350102-01", SISTER_GATEWAY):
        house.watch.offer(GatewayDeath(gateway=gateway, at=house.now)).result(20)
    house.now += 31_000
    province, duty = house.client("province-duty"), house.client("duty")
    house.birth("GW-STRANGER", ())  # any input: the writer judges time beside it
    [group] = [alarm for alarm in province.get("/api/v1/alarms").json()["items"] if alarm["kind"] == "group"]
    assert (group["rooms"], group["level"], group["event"]) == (3, "urgent", "成片离线")
    detail = province.get(f"/api/v1/alarms/{group['id']}").json()
    assert {member["subject"] for member in detail["members"]} == {"gateway:GW-350102-01", f"gateway:{SISTER_GATEWAY}"}
    assert {member["group"] for member in detail["members"]} == {group["id"]}
    page = province.get("/alarms", headers=HTML).text
    assert "合并告警 · 3 间" in page
    assert "1 条告警待接手。" in province.get("/", headers=HTML).text  # the board counts as the list does: the group speaks for its members
    assert f'data-alarm-row="{detail["members"][0]["id"]}"' not in page
    assert f'data-alarm-row="{detail["members"][0]["id"]}"' in province.get(f"/alarms/{group['id']}", headers=HTML).text
    own = duty.get("/alarms", headers=HTML).text
    assert "合并告警" not in own
    assert "GW-350102-01" in own
    assert duty.get(f"/api/v1/alarms/{group['id']}").status_code == 403


def test_stage_and_report_are_commands_with_an_audit_trail(house: House) -> None:
    duty, charge = house.client("duty"), house.client("in_charge")
    assert duty.post(f"/api/v1/rooms/{ROOM}/stage", json={"stage": "retired", "reason": "搬迁"}).status_code == 403
    assert charge.post(f"/api/v1/rooms/{ROOM}/stage", json={"stage": "nonsense", "reason": "x"}).status_code == 422
    answer = charge.post(f"/api/v1/rooms/{ROOM}/stage", json={"stage": "commissioning", "reason": "换主机", **SECOND})
    assert (answer.status_code, answer.json()["state"]) == (200, "commissioning")
    assert charge.get(f"/api/v1/rooms/{ROOM}").json()["stage"] == "commissioning"
    assert charge.post(f"/api/v1/rooms/{ROOM}/stage", json={"stage": "commissioning", "reason": "x"}).status_code == 409
    house.now += 200_000
    answer = duty.post(f"/api/v1/rooms/{OTHER}/report", json={"note": "库内正常"})
    assert (answer.status_code, answer.json()["state"]) == (200, "manual")
    entries = house.client("province-audit").get("/api/v1/audit").json()["items"]
    assert {"stage", "report"} <= {entry["action"] for entry in entries}


def test_coverage_sums_name_their_denominator(house: House) -> None:
    house.now += 120_000
    duty = house.client("duty")
    house.birth("GW-STRANGER", ())
    [sums] = duty.get("/api/v1/coverage/sums").json()
    assert (sums["rooms"], sums["states_s"]["watched"], sums["counted_s"]) == (2, 178.0, 240.0)
    assert sums["watched_percent"] == pytest.approx(100 * 178 / 240)
    assert "在用库房 2 间" in sums["denominator"]
    assert len(duty.get("/api/v1/coverage/sums?daily=true&room=" + ROOM).json()) == 1
    assert duty.get(f"/api/v1/coverage/sums?room={FOREIGN}").status_code == 403
    assert duty.get("/api/v1/coverage/sums?unit=350103000000").status_code == 403


def test_the_figures_of_a_desk(house: House) -> None:
    house.smoke()
    house.now += 1000
    duty = house.client("duty")
    kpi: dict[str, Any] = duty.get(f"/api/v1/kpi?unit={COUNTY}").json()
    assert (kpi["annunciations"], kpi["levels"]["critical"], kpi["enough"]) == (1, 1, True)
    assert {one["name"]: one["grade"] for one in kpi["figures"]}["per_day"] == "good"
    assert duty.get("/api/v1/chronic").json() == []
    assert duty.get("/api/v1/kpi?unit=350103000000").status_code == 403
    for view in ("standing", "late"):
        assert duty.get(f"/alarms?view={view}", headers=HTML).status_code == 200
