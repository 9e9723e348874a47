"""Pages as HTML: complete without scripts, honest about what is not known, in two languages."""

import json
import re
import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from contract.declarations import Outbox, PointDeclaration
from server.store.tables import Alarm, Point
from server.watch.inputs import GatewayBirth
from server.web import site
from server.web.labels import FIRE_SENTENCE
from tests.web.house import GATEWAY, OTHER, PASSWORD, QUIET, ROOM, T0, House

HTML = {"accept": "text/html"}
DASHBOARDS = Path(__file__).parents[2] / "dashboards"


def page(house: House, address: str, login: str = "duty") -> str:
    answer = house.client(login).get(address, headers=HTML)
    assert answer.status_code == 200, answer.text
    return answer.text


def tile(text: str, room: str) -> str:
    return text.split(f'data-room="{room}"')[1].split("</li>", maxsplit=1)[0]


def test_the_board_shows_values_with_unit_age_and_quality(house: House) -> None:
    house.now += 7_000
    own = tile(page(house, "/"), ROOM)
    for part in ("21.4", "℃", "52", "%RH", "有效", "8 秒前", "未见烟", "无水", "关", "正常"):
        assert part in own, part


def test_the_worst_room_comes_first_and_counts_are_links(house: House) -> None:
    house.send(OTHER, smoke=1)
    text = page(house, "/")
    assert text.index(f'data-room="{OTHER}"') < text.index(f'data-room="{ROOM}"') < text.index(f'data-room="{QUIET}"')
    assert "1 条告警待接手。" in text
    assert "state=critical&amp;page=1" in text
    assert OTHER in page(house, "/?state=critical")
    assert f'data-room="{ROOM}"' not in page(house, "/?state=critical")
    assert f'data-room="{ROOM}"' in page(house, "/?q=一号")
    assert f'data-room="{OTHER}"' not in page(house, "/?q=一号")
    assert "没有符合条件的库房" in page(house, "/?state=urgent")


def test_a_stale_value_is_never_shown_as_fresh(house: House) -> None:
    house.now += 200_000
    own = tile(page(house, "/"), ROOM)
    assert "值守中断" in own
    assert "过期" in own
    assert "3 分钟前" in own
    assert "正常" not in own
    assert "有效" not in own


def test_a_room_that_is_not_connected_is_counted_apart(house: House) -> None:
    assert "未接入" in tile(page(house, "/"), QUIET)
    assert "请按规定上午、下午人工抄录" in page(house, f"/rooms/{QUIET}")


def test_nothing_missing_is_shown_as_zero(house: House) -> None:
    text = page(house, f"/rooms/{ROOM}")
    assert "缺测" in text
    assert ">0.0<" not in text


@pytest.mark.parametrize("address", ["/", "/alarms", "/sms", f"/rooms/{ROOM}", "/login"])
def test_every_page_has_the_fire_sentence_and_works_without_scripts(shared_house: House, address: str) -> None:
    text = page(shared_house, address)
    assert FIRE_SENTENCE in text
    assert "<noscript>" in text
    assert 'lang="zh-CN"' in text
    if address != "/login":
        assert 'http-equiv="refresh"' in text
        assert 'id="link"' in text


def test_an_alarm_page_holds_every_form_that_makes_sense(house: House) -> None:
    ident = house.smoke()
    text = page(house, f"/alarms/{ident}")
    for action in ("acknowledge", "decline", "assist", "comment"):
        assert f'action="/alarms/{ident}/{action}"' in text
    assert f'action="/alarms/{ident}/reset"' not in text
    assert "现场无异常，继续观察" in text
    rows = page(house, "/alarms")
    assert f'href="/alarms/{ident}#acknowledge"' in rows
    assert page(house, "/alarms?view=closed").count("data-alarm-row") == 0


def test_messages_show_state_receipt_text_and_number(house: House) -> None:
    ident = house.smoke()
    house.tell(ident)
    text = page(house, "/sms")
    number = house.alarm(ROOM, "smoke").number
    for part in ("已送达", "回执", "请马上派人到门外查看", f"{number[:3]} {number[3:]}", "林一", "一号库房"):
        assert part in text, part
    assert "没有通知" in page(house, "/sms?state=failed")


def test_the_language_is_chosen_and_remembered(house: House) -> None:
    client = house.client("duty")
    assert "值守台" in client.get("/", headers=HTML).text
    english = client.get("/?lang=en", headers=HTML)
    assert "Live board" in english.text
    assert english.headers["content-language"] == "en"
    assert "Live board" in client.get("/", headers=HTML).text
    assert "值守台" in client.get("/?lang=zh", headers=HTML).text
    assert client.get("/?lang=xx", headers=HTML).headers["content-language"] == "zh"


def test_names_from_outside_are_escaped(house: House) -> None:
    client, ident = house.client("duty"), house.smoke()
    client.post(f"/api/v1/alarms/{ident}/comment", json={"note": "<script>alert(1)</script>"})
    assert "<script>alert(1)" not in page(house, f"/alarms/{ident}")
    assert "&lt;script&gt;" in page(house, f"/alarms/{ident}")
    assert "<script>x" not in client.get("/?q=<script>x", headers=HTML).text


def test_errors_are_pages_for_people(house: House) -> None:
    client = house.client("duty")
    answer = client.get("/rooms/nowhere", headers=HTML)
    assert (answer.status_code, "没有这间库房" in answer.text, "参考号" in answer.text) == (404, True, True)
    assert client.get("/nowhere", headers=HTML).status_code == 404
    assert client.get("/alarms/7", headers=HTML).status_code == 404


def test_answers_carry_a_strict_policy(house: House) -> None:
    headers = house.client("duty").get("/", headers=HTML).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"


def without_vendor(house: House, tmp_path: Path) -> tuple[TestClient, Path]:
    folder = tmp_path / "dashboards"
    for name in ("templates", "static/js", "static/css"):
        shutil.copytree(DASHBOARDS / name, folder / name)
    shutil.copy(DASHBOARDS / "static/icon.svg", folder / "static/icon.svg")
    client = TestClient(site.build(house.services, dashboards=folder), follow_redirects=False)
    client.post("/api/v1/session", json={"login": "duty", "password": PASSWORD})
    return client, folder


def test_pages_do_without_built_files_and_say_how_to_build_them(house: House, tmp_path: Path) -> None:
    client, _ = without_vendor(house, tmp_path)
    for address in ("/", "/alarms", "/sms", f"/rooms/{ROOM}"):
        answer = client.get(address, headers=HTML)
        assert answer.status_code == 200
        assert "make assets" in answer.text
        assert "vendor" not in answer.text
    assert "<details open><summary>表格" in client.get(f"/rooms/{ROOM}", headers=HTML).text


def test_built_files_are_addressed_by_hash_and_kept_for_long(house: House, tmp_path: Path) -> None:
    _, folder = without_vendor(house, tmp_path)
    vendor = folder / "static/vendor"
    vendor.mkdir()
    files = {name: {"file": f"{stem}.abc123{suffix}", "integrity": "sha384-x"} for name, stem, suffix in
             (("htmx.js", "htmx", ".js"), ("uplot.js", "uplot", ".js"), ("uplot.css", "uplot", ".css"))}  # fmt: skip
    for entry in files.values():
        (vendor / entry["file"]).write_text("/* built */")
    (vendor / "manifest.json").write_text(json.dumps({"files": files}))
    client = TestClient(site.build(house.services, dashboards=folder), follow_redirects=False)
    client.post("/api/v1/session", json={"login": "duty", "password": PASSWORD})
    text = client.get(f"/rooms/{ROOM}", headers=HTML).text
    assert '<script src="/static/vendor/uplot.abc123.js" integrity="sha384-x" defer>' in text
    assert "make assets" not in text
    assert "immutable" in client.get("/static/vendor/uplot.abc123.js").headers["cache-control"]
    own = client.get("/static/js/app.js")
    assert own.headers["cache-control"] == "no-cache"
    assert client.get("/static/js/app.js", headers={"If-None-Match": own.headers["etag"]}).status_code == 304
    assert client.get("/static/../templates/base.html").status_code == 404


def test_a_table_stands_under_each_chart(house: House) -> None:
    house.history.run_once(T0)
    text = page(house, f"/rooms/{ROOM}")
    assert text.count('class="chartbox"') == 4
    assert text.count("<summary>表格") == 4
    assert text.count('class="gap"') > 40
    assert "data-history=" in text


def test_the_page_of_gateways_names_the_points_that_no_rule_judges(house: House) -> None:
    with house.db.write() as session:
        session.add(Point(gateway=GATEWAY, device="smoke9", quantity="smoke", room=None, interval_ms=10_000, created_at=T0))
        session.add(Point(gateway=GATEWAY, device="roof", quantity="temperature", channel="outdoor", room=None, interval_ms=10_000, created_at=T0))
    text = page(house, "/gateways")
    assert "1 个测点没有房间，不判告警" in text
    assert "smoke9/smoke" in text


def test_a_room_corrected_on_the_gateway_is_named_beside_the_one_that_alarms_go_by(house: House) -> None:
    """The centre's room stays: a file moves no detector. Whoever corrected the file sees that this is not enough, until both agree."""

    def born(room: str) -> str:
        house.now += 1_000
        points = (PointDeclaration(f"smoke1-{ROOM[-2:]}/smoke", 1, room, "", 30, "alarm"),)
        birth = GatewayBirth(gateway=GATEWAY, group="350100", received_at=house.now, bd_seq=0, outbox=Outbox(7, 1, 0), points=points)
        house.watch.offer(birth).result(20)
        return page(house, "/gateways")

    assert "自报的房间" not in born(ROOM)
    for room in (OTHER, "350102000000-77"):
        text = born(room)
        assert "1 个测点自报的房间与中心的不同" in text
        assert f"网关：{room}；中心：{ROOM}" in text
    with house.db.read() as session:
        assert session.query(Point).filter_by(gateway=GATEWAY, device=f"smoke1-{ROOM[-2:]}").one().room == ROOM
    assert "自报的房间与中心的不同" in page(house, f"/gateways/{GATEWAY}/control")
    assert "自报的房间" not in born(ROOM)


def test_no_limit_stands_beside_a_reading_that_it_is_not_a_limit_of(house: House) -> None:
    with house.db.write() as session:
        for rule, kind, limit in (("humidity_swing", "swing", 5.0), ("humidity_high", "threshold", 51.0)):
            session.add(
                Alarm(
                    open_key=rule, subject=f"room:{ROOM}", rule=rule, kind=kind, quantity="humidity", room=ROOM, unit=ROOM[:12], limit=limit,
                    state="active_unacked", level="warn", raised_at=T0, raised_value=6.0, number=rule[:6],
                )
            )  # fmt: skip
    cells = re.findall(r'<td class="number a-limit[^>]*>([^<]*)', page(house, "/alarms"))
    assert sorted(cell.strip() for cell in cells) == ["51.0 %RH", "—"]


def test_english_counts_one_as_one_and_writes_its_own_marks(house: House) -> None:
    assert "Last 1 day<" in house.client("duty").get("/performance?days=7&lang=en").text
    alarm = house.smoke()
    text = house.client("duty").get("/?q=zzzz&lang=en").text
    assert re.search(r"Alarms waiting: 1\.", text)
    assert "blind. " in re.sub(r"\s+", " ", text), "a space between two sentences"
    row = house.client("duty").get(f"/take-over?alarm={alarm}&lang=en").text
    assert "Take over 0 alarms" in row


def test_an_alarm_that_went_to_and_fro_for_weeks_shows_what_came_last_and_all_of_it_when_asked(house: House) -> None:
    ident, client = house.smoke(), house.client("duty")
    for number in range(1, 24):
        assert client.post(f"/api/v1/alarms/{ident}/comment", json={"note": f"第{number}次查看"}).status_code == 200
    page = client.get(f"/alarms/{ident}").text
    assert "第23次查看" in page
    assert "第4次查看" in page
    assert "第3次查看" not in page
    assert "更早的没有列出" in page
    whole = client.get(f"/alarms/{ident}", params={"whole": 1}).text
    assert whole.index("第1次查看") < whole.index("第23次查看")
    assert "更早的没有列出" not in whole
