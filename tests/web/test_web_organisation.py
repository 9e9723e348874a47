"""Edits, proposals, imports and search through the API, with the watch going on behind."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from server.cli import main
from server.commands.remote import TOKEN_FILE
from server.org import search as search_text
from server.store import audit
from server.store.lock import StoreLock
from server.store.tables import AuditEntry, Person, Room, Unit
from server.store.tables_org import OrgChange
from tests.web.house import CITY, COUNTY, OTHER, PROVINCE, ROOM, SERVICE_KEY, SISTER, T0, House, serving

HEAD = "code,unit,name,short_name,sms_place,kind,medium,stage,city,demanded,person\n"
NEW = f"{COUNTY}-07,{COUNTY},七号库房,七号库,鼓楼07库,store,paper,not_connected,fuzhou,temperature,P-0001\n"


def upload(client, kind: str, text: str, **form: str):
    answer = client.post("/api/v1/imports", files={"file": (f"{kind}.csv", text.encode())}, data={"kind": kind, **form})
    assert answer.status_code == 202, answer.text
    run = answer.json()
    for _ in range(500):
        run = client.get(f"/api/v1/imports/{run['id']}").json()
        if run["state"] != "running":
            return run
        time.sleep(0.01)
    raise AssertionError(run)


def change(client, kind: str, key: dict[str, str], after: dict[str, str], reason: str = "更正"):
    return client.post("/api/v1/changes", json={"kind": kind, "key": key, "after": after, "reason": reason})


def test_an_import_reaches_the_board_without_a_restart_and_is_taken_back(house: House) -> None:
    system = house.client("province-system")
    assert upload(system, "rooms", HEAD + NEW, dry_run="true")["state"] == "checked"
    assert house.board.room(f"{COUNTY}-07", house.now) is None
    run = upload(system, "rooms", HEAD + NEW)
    assert (run["state"], run["rows"], run["done"], run["created"]) == ("done", 1, 1, 1)
    house.services.imports.close()
    assert house.board.room(f"{COUNTY}-07", house.now).fact.name == "七号库房"
    wrong = upload(system, "rooms", HEAD + NEW.replace("七号库,", "名字实在太长了,"))
    assert (wrong["state"], wrong["errors"][0]["line"], wrong["errors"][0]["column"]) == ("refused", 2, "short_name")
    answer = system.post(f"/api/v1/imports/{run['id']}/undo", json={"reason": "错了"})
    assert answer.json() == {"undone": 1, "kept": []}
    assert house.board.room(f"{COUNTY}-07", house.now) is None
    assert system.post(f"/api/v1/imports/{run['id']}/undo", json={"reason": "错了"}).status_code == 409
    assert next(row["id"] for row in system.get("/api/v1/imports").json()["items"]) == wrong["id"]
    again = upload(system, "rooms", HEAD + NEW)
    house.services.imports.close()
    assert change(system, "rooms", {"code": f"{COUNTY}-07"}, {"name": "七号旧库"}).json()["state"] == "done"
    form = system.post(f"/imports/{again['id']}/undo", data={"reason": "错了"})
    page = system.get(form.headers["location"]).text
    assert "撤销 0 处，保留 1 处" in page
    assert f"用房 七号旧库（{COUNTY}-07）：导入后又有改动，保持现状" in page, "what stays is named where the page says so"
    assert house.client("system").get("/api/v1/imports").json()["items"] == [], "the province's imports are not the county's"
    assert system.get("/api/v1/imports/templates/rooms").content.startswith(b"PK")


def test_an_administrator_edits_at_once_and_the_log_knows_before_and_after(house: House) -> None:
    system = house.client("system")
    assert change(system, "rooms", {"code": ROOM}, {"location": "三楼东侧", "demanded": "temperature;smoke"}).json()["state"] == "done"
    assert house.board.room(ROOM, house.now).fact.demanded == ("temperature", "smoke")
    with house.db.read() as session:
        entry = session.query(AuditEntry).filter_by(action="change_rooms").one()
        assert entry.before == {"location": "", "demanded": "temperature;humidity;smoke"}
        assert entry.after == {"location": "三楼东侧", "demanded": "temperature;smoke"}
    auditor = house.client("audit")
    said = {language: re.findall(r"<small>([^<]* → [^<]*)</small>", auditor.get(f"/audit?lang={language}").text) for language in ("zh", "en")}
    assert said == {
        "zh": ["应测的量 温度、湿度、烟感 → 温度、烟感", "位置 — → 三楼东侧"],
        "en": ["Quantities demanded Temperature, Relative humidity, Smoke → Temperature, Smoke", "Location — → 三楼东侧"],
    }
    for after, word in (({"short_name": "名字实在太长了"}, "最多 6 个字"), ({"nonsense": "x"}, "没有这一项"), ({"location": "三楼东侧"}, "没有改动")):
        answer = change(system, "rooms", {"code": ROOM}, after)
        assert (answer.status_code, word in answer.json()["detail"]) == (422, True), answer.text
    assert change(house.client("duty"), "rooms", {"code": ROOM}, {"location": "x"}).status_code == 403


def test_a_keeper_proposes_and_only_the_level_above_decides(house: House) -> None:
    keeper, own, above = house.client("keeper"), house.client("system"), house.client("province-system")
    proposed = change(keeper, "people", {"code": "P-0001"}, {"phone": "13900005555"}, "换号").json()
    assert proposed["state"] == "proposed"
    with house.db.read() as session:
        assert session.get_one(Person, 1).phone == "+8613900001234"
    ident = proposed["request"]
    assert own.post(f"/api/v1/changes/{ident}/decision", json={"approve": True}).status_code == 403
    [row] = above.get("/api/v1/changes?state=open").json()["items"]
    assert (row["before"], row["after"]) == ({"phone": "+8613900001234"}, {"phone": "13900005555"})
    page = above.get("/changes").text
    assert "手机号码 +8613900001234 → 13900005555" in page, "what is approved is said by its name"
    assert '人员 林一<small class="code">P-0001</small>' in page
    assert above.post(f"/api/v1/changes/{ident}/decision", json={"approve": True}).json()["state"] == "approved"
    assert above.post(f"/api/v1/changes/{ident}/decision", json={"approve": True}).status_code == 409
    with house.db.read() as session:
        assert session.get_one(Person, 1).phone == "13900005555"
    first = change(keeper, "people", {"code": "P-0001"}, {"phone": "13900006666"}, "换号").json()["request"]
    change(own, "people", {"code": "P-0001"}, {"phone": "13900007777"}, "另改")
    stale = above.post(f"/api/v1/changes/{first}/decision", json={"approve": True})
    assert (stale.status_code, "又有改动" in stale.json()["detail"]) == (409, True)
    with house.db.read() as session:
        assert session.get_one(Person, 1).phone == "13900007777"
    assert above.post(f"/api/v1/changes/{first}/decision", json={"approve": False, "remark": "已改"}).json()["state"] == "refused"


def test_only_the_security_administrator_appoints_administrators(house: House) -> None:
    system, security = house.client("province-system"), house.client("province-security")
    refused = change(system, "people", {"code": "P-0001"}, {"roles": "security"})
    assert (refused.status_code, "安全管理员任免" in refused.json()["detail"]) == (422, True)
    below = change(security, "people", {"code": "P-0001"}, {"roles": "security"})
    assert (below.status_code, "省厅和市局" in below.json()["detail"]) == (422, True)
    assert change(system, "people", {"code": "P-0001"}, {"unit": CITY}).json()["state"] == "done"
    assert change(security, "people", {"code": "P-0001"}, {"roles": "security"}).json()["state"] == "done"
    clash = change(security, "people", {"code": "P-0001"}, {"roles": "security;duty_officer"})
    assert "不能由同一人担任" in clash.json()["detail"]
    assert change(security, "people", {"code": "P-0001"}, {"name": "改名"}).status_code == 403
    assert change(system, "people", {"code": "P-0001"}, {"roles": "duty_officer"}).status_code == 422, "nor takes the role away"


def test_a_unit_is_merged_and_its_code_forwarded(house: House) -> None:
    system = house.client("province-system")
    assert change(system, "merge", {"code": SISTER}, {"into": COUNTY}, "撤并").json()["state"] == "done"
    assert house.board.room_path(f"{SISTER}-01") == (PROVINCE, CITY, COUNTY)
    assert house.client("duty").get(f"/api/v1/rooms/{SISTER}-01").status_code == 200
    with house.db.read() as session:
        assert {(row.subject, row.kind) for row in session.query(OrgChange)} == {(f"unit:{SISTER}", "merge"), (f"unit:{COUNTY}", "absorb")}
        assert session.get_one(Room, f"{SISTER}-01").unit == COUNTY
    page = system.get(f"/units/{COUNTY}?said=merged").text
    assert "所找的单位已并入本单位" in page
    assert re.search(r"接收 单位 350103000000 全称 台江分局 转入 用房 1[^<{]*<small>", page), "counted in words"
    assert change(system, "merge", {"code": SISTER}, {"into": COUNTY}).status_code == 422
    assert change(system, "merge", {"code": CITY}, {"into": COUNTY}).status_code == 422


def test_a_units_history_says_names_and_a_refused_form_leads_back(house: House) -> None:
    system = house.client("province-system")
    assert change(system, "units", {"code": SISTER}, {"parent": COUNTY, "level": "4"}, "改隶").json()["state"] == "done"
    assert "福州市局 → 鼓楼分局" in re.sub(r"<[^>]*>", "", system.get(f"/units/{SISTER}").text)
    form = {"kind": "units", "back": f"/units/{SISTER}", "key.code": SISTER, "cell.short_name": "名字实在太长了", "reason": "x"}
    here = f"http://testserver/units/{SISTER}?a=1"
    for referer, back in ((here, True), ("https://elsewhere.example/units/1", False), ("http://testserver//evil", False)):
        refused = system.post("/edit", data=form, headers={"accept": "text/html", "referer": referer})
        assert (refused.status_code, "返回上一页" in refused.text) == (422, back), referer
        assert (f'href="/units/{SISTER}?a=1"' in refused.text) == back
    again = dict(re.findall(r'<input[^>]*name="([^"]+)" value="([^"]*)"', refused.text))
    assert {name: again[name] for name in form} == form, "nothing typed is lost without a script"
    assert "简称</span><input" in refused.text, "by its word, to be mended"
    sent = system.post("/edit", data=again | {"cell.short_name": "台江局"})
    assert sent.headers.get("location") == f"/units/{SISTER}?said=done", sent.text


KINDS_OF_ROOM = (
    ("sorting", "work", (18, 28, 40, 60), "mon-fri 07:00-22:00", False),
    ("reading", "reading", (18, 28, 30, 65), "mon-fri 07:30-18:30", True),
    ("store", "paper", (14, 24, 45, 60), "mon-fri 07:00-20:00", True),
)


def test_the_kind_of_a_room_decides_its_band_its_hours_and_its_rules(house: House) -> None:
    """It is a Monday, 21:13 in Shanghai: late, but not for those who sort."""
    house.now -= 3_600_000
    house.birth()
    for kind, medium, band, hours, late in KINDS_OF_ROOM:
        assert change(house.client("system"), "rooms", {"code": OTHER}, {"kind": kind, "medium": medium}).json()["state"] == "done"
        rules = _rules_of(house.client("duty"), OTHER)
        names = ("temperature_low", "temperature_high", "humidity_low", "humidity_high")
        firsts = [rules[name]["ladder"][0] for name in names]
        assert tuple(first["below" if name.endswith("_low") else "above"] for name, first in zip(names, firsts, strict=True)) == band
        assert rules["door_off_hours"]["options"]["hours"] == hours
        _door(house, 1)
        found = house.alarm(OTHER, "door_off_hours")
        assert (found is not None and found.cleared_at is None) == late, kind
        _door(house, 0)


def _door(house: House, stands: int) -> None:
    for _ in range(2):
        house.now += 12_000
        house.send(OTHER, door=stands)


def _rules_of(client: TestClient, room: str) -> dict[str, Any]:
    asked = [client.get(f"/api/v1/rooms/{room}/limits?quantity={quantity}").json()["rules"] for quantity in ("temperature", "humidity", "door")]
    return {rule["rule"]: rule for rules in asked for rule in rules}


def test_the_room_sheet_says_what_is_at_stake(house: House) -> None:
    system = house.client("system")
    for rank, (fonds, name, volumes) in enumerate((("J012", "户籍档案", "3200"), ("J013", "案件档案", "800")), 1):
        key = {"room": ROOM, "fonds": fonds, "name": name}
        assert change(system, "holdings", key, {"volumes": volumes, "rank": str(rank)}).json()["state"] == "done"
    assert change(system, "sheet", {"code": ROOM}, {"power_switch": "门外配电箱 3 号", "keys": "值班室钥匙柜"}).json()["state"] == "done"
    sheet = house.client("duty").get(f"/api/v1/rooms/{ROOM}/sheet").json()
    assert (sheet["fonds"], sheet["volumes"], sheet["body"]["power_switch"]) == (2, 4000, "门外配电箱 3 号")
    assert [held["name"] for held in sheet["holdings"]] == ["户籍档案", "案件档案"]
    assert change(system, "holdings", {"room": ROOM, "fonds": "J014", "name": "账册"}, {"volumes": "5", "rank": ""}).json()["state"] == "done"
    assert house.client("duty").get(f"/api/v1/rooms/{ROOM}/sheet").json()["holdings"][-1]["rank"] == 9, "who says nothing comes last"
    assert change(system, "strike", {"room": ROOM, "fonds": "J014", "name": "账册"}, {}).json()["state"] == "done"
    wrong = change(system, "rooms", {"code": ROOM}, {"kind": "reading"}).json()["detail"]
    assert "阅览用房的载体类型只能是 阅览用房（reading），现为 纸质（paper）" in wrong
    assert change(system, "strike", {"room": ROOM, "fonds": "J012", "name": "户籍档案"}, {}).json()["state"] == "done"
    assert house.client("duty").get(f"/api/v1/rooms/{ROOM}/sheet").json()["volumes"] == 800


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\xff\xd8\xff broken"])
def test_what_is_no_picture_is_no_floor_plan(house: House, content: bytes) -> None:
    assert house.client("system").put(f"/api/v1/rooms/{ROOM}/plan", files={"file": ("a.png", content)}).status_code == 422


def test_a_floor_plan_is_kept_and_shown(house: House) -> None:
    picture, digest = house.picture("PLAN")
    answer = house.client("system").put(f"/api/v1/rooms/{ROOM}/plan", files={"file": ("a.jpg", picture)})
    assert answer.json()["plan"] == digest
    assert house.client("duty").get(f"/api/v1/rooms/{ROOM}/plan").headers["X-Sha256"] == digest
    assert f"平面图 — → {digest}" in house.client("audit").get("/audit").text


def test_an_entry_of_the_audit_log_is_told_whatever_it_holds(house: House) -> None:
    detail = {"before": {"plan": "a", "ways": ["sms", "voice"]}, "after": [], "via": ["x"], "role": {"unit": None}, "until": T0}
    with house.db.write() as session:
        audit.append(session, "旧版本", "change_plan", f"rooms:{ROOM}", detail, house.now, unit=COUNTY, before={"moved": {"room": 2, "other": 1}})
    page = house.client("audit").get("/audit")
    assert page.status_code == 200
    for told in ("之前 平面图 a、通知方式 短信、语音", "之后 —", "角色 单位 —", "转入 用房 2 → —"):
        assert told in page.text, told


def test_the_history_of_a_unit_keeps_the_reason_that_was_given(house: House) -> None:
    system = house.client("province-system")
    assert change(system, "units", {"code": SISTER}, {"name": "台江新局"}, "机构改革").status_code == 200
    with house.db.read() as session:
        assert session.query(OrgChange).filter_by(subject=f"unit:{SISTER}").one().why == "机构改革"
    assert "机构改革" in system.get(f"/units/{SISTER}").text


def test_the_audit_log_calls_units_rooms_people_and_accounts_by_their_names(house: House) -> None:
    with house.db.write() as session:
        session.add(Person(code="P-0002", name="陈二", unit=COUNTY))
    change(house.client("system"), "rooms", {"code": ROOM}, {"person": "P-0002"}).raise_for_status()
    with house.db.write() as session:
        audit.append(session, "cli", "account_add", "x", {"unit": COUNTY}, house.now, unit=COUNTY)
        audit.append(session, "某", "person.ways", "person:P-0001", {}, house.now, unit=COUNTY)
        room, unit = session.get_one(Room, ROOM).name, session.get_one(Unit, COUNTY).name
        first, second = (session.query(Person).filter_by(code=code).one().name for code in ("P-0001", "P-0002"))
    page = house.client("audit").get("/audit").text
    for told in (f"{unit}（{COUNTY}）", f'{room}<small class="code">rooms:{ROOM}</small>', f"{second}（P-0002）", f"{first}<small"):
        assert told in page, told
    assert f"{unit} ({COUNTY})" in house.client("audit").get("/audit?lang=en").text


def test_people_are_found_by_name_pinyin_and_code(house: House) -> None:
    with house.db.write() as session:
        assert search_text.fill(session) > 0
        assert not search_text.missing(session)
    duty = house.client("duty")
    for text in ("林一", "ly", "LinYi", "p-0001"):
        assert [hit["name"] for hit in duty.get("/api/v1/search", params={"q": text}).json() if hit["kind"] == "person"] == ["林一"], text
    assert duty.get("/api/v1/search?q=1234").json() == [], "a number cannot be found out digit by digit"
    assert [hit["id"] for hit in duty.get("/api/v1/search?q=glfj").json()] == [COUNTY]
    assert duty.get("/api/v1/search?q=tjfj").json() == [], "the sister unit is not found"
    assert {hit["id"] for hit in house.client("province-duty").get("/api/v1/search?q=tjfj").json()} == {SISTER}
    assert duty.get("/api/v1/search?q=%25").json() == []


def test_leave_and_people_list(house: House) -> None:
    system = house.client("system")
    change(system, "people", {"code": "P-2"}, {"name": "曾二", "unit": COUNTY, "phone": "", "roles": "duty_officer;archivist"})
    assert (
        change(system, "leave", {"code": "P-2"}, {"since": "2026-09-01", "until": "2026-12-31", "stand_in": "P-0001", "why": "培训"}).status_code
        == 200
    )
    rows = {row["code"]: row for row in house.client("duty").get("/api/v1/people").json()["items"]}
    assert rows["P-2"]["away_until"] == "2026-12-31T16:00:00Z"
    assert {role["role"] for role in rows["P-2"]["roles"]} == {"duty_officer", "archivist"}
    masked = {row["code"]: row for row in house.client("inspector").get("/api/v1/people").json()["items"]}
    assert masked["P-0001"]["phone"].startswith("+86****")
    above = house.client("province-system")
    assert change(above, "people", {"code": "P-2"}, {"unit": SISTER}, "轮岗").json()["state"] == "done"
    page = above.get(f"/people/{rows['P-2']['id']}").text
    assert re.search(r"调动 \S+分局 → \S+分局", page), "where from and where to"
    assert change(above, "people", {"code": "P-2"}, {"unit": COUNTY, "roles": "archivist"}, "回原单位").json()["state"] == "done"
    assert change(system, "disable", {"code": "P-2"}, {"why": "离职"}).status_code == 200
    assert house.client("duty").get("/api/v1/people?role=archivist").json()["items"] == []


def test_the_command_line_imports_through_the_running_server(tmp_path: Path, free_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    house = House(tmp_path)
    (tmp_path / TOKEN_FILE).write_text(SERVICE_KEY)
    (tmp_path / "rooms.csv").write_text(HEAD + NEW, "utf-8-sig")
    config = tmp_path / "server.yaml"
    config.write_text(f"data_dir: {tmp_path}\nlisten: 127.0.0.1:{free_port}\n")
    with StoreLock(tmp_path), serving(house, free_port):
        assert main(["import", "rooms", str(tmp_path / "rooms.csv"), "--config", str(config), "--json"]) == 0
        assert '"created": 1' in capsys.readouterr().out
        house.services.imports.close()
        assert house.board.room(f"{COUNTY}-07", house.now) is not None
        (tmp_path / "rooms.csv").write_text(HEAD + NEW.replace("paper", "sand"), "utf-8-sig")
        assert main(["import", "rooms", str(tmp_path / "rooms.csv"), "--config", str(config)]) == 4
        assert "第 2 行：“载体类型”" in capsys.readouterr().err
    house.close()


def test_a_point_is_marked_on_the_floor_plan_and_taken_off(house: House) -> None:
    house.birth()
    system = house.client("system")
    point = next(row["id"] for row in system.get(f"/api/v1/points?room={ROOM}").json()["items"])
    mark = {"point": str(point), "x": "25", "y": "60.5"}
    assert "还没有平面图" in change(system, "mark", {"code": ROOM}, mark).json()["detail"]
    picture, _ = house.picture()
    assert system.put(f"/api/v1/rooms/{ROOM}/plan", files={"file": ("plan.jpg", picture, "image/jpeg")}).status_code == 200
    for wrong, word in (({"x": "101"}, "0 到 100"), ({"y": ""}, "一起填写"), ({"point": "999"}, "没有这个测点")):
        answer = change(system, "mark", {"code": ROOM}, mark | wrong)
        assert (answer.status_code, word in answer.json()["detail"]) == (422, True), answer.text
    assert change(system, "mark", {"code": ROOM}, mark).json()["state"] == "done"
    page = system.get(f"/rooms/{ROOM}/sheet").text
    assert 'cx="160.0" cy="217.8"' in page, "shares of 640 by 360"
    assert change(house.client("keeper"), "mark", {"code": ROOM}, mark | {"x": "30"}).json()["state"] == "proposed"
    assert change(system, "mark", {"code": ROOM}, {"point": str(point), "x": "", "y": ""}).json()["state"] == "done"
    assert "<circle" not in system.get(f"/rooms/{ROOM}/sheet").text
