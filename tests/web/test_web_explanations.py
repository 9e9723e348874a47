"""An alarm explained by the rules of its own day, and its case judged again from a file, at the wire and by command."""

import json
from pathlib import Path
from typing import Any

import pytest

from server.cli import main
from server.store.tables import Point
from tests.web.house import FOREIGN, ROOM, House, wait_until


@pytest.fixture
def explained(house: House) -> tuple[House, int, int]:
    """A limit tightened to 57 %RH with a minute's delay, an alarm by it, taken over and over again; then the limit is taken back."""
    client = house.client("in_charge")
    body = {"rule": "humidity_high", "room": ROOM, "level": "warn", "limit": 57, "on_delay_s": 60, "why": "汛期加严"}
    made = client.post("/api/v1/limits", json=body).json()["id"]
    for value in (52, 58, 58, 58, 58, 58):
        house.now += 30_000
        house.send(humidity=value)
    alarm = house.alarm(ROOM, "humidity_high").id
    assert client.post(f"/api/v1/alarms/{alarm}/acknowledge", json={"note": "开除湿机"}).status_code == 200
    assert client.post(f"/api/v1/limits/{made}/revoke").status_code == 200
    for value in [54] * 42:
        house.now += 30_000
        house.send(humidity=value)
    wait_until(lambda: house.alarm(ROOM, "humidity_high").closed_at is not None)
    house.history.run_once(house.now)
    return house, alarm, made


def config(house: House, tmp_path: Path) -> list[str]:
    file = tmp_path / "server.yaml"
    file.write_text(f"data_dir: {house.folder}\ndatabase: sqlite:///{house.folder / 'aw.db'}\n", "utf-8")
    return ["--config", str(file)]


def test_an_old_alarm_is_explained_by_the_limit_of_its_day_and_whose_it_was(explained: tuple[House, int, int]) -> None:
    house, alarm, made = explained
    client = house.client("duty")
    told = client.get(f"/api/v1/alarms/{alarm}/explanation").json()
    raised = told["transitions"][0]
    assert (raised["name"], raised["value"], raised["side"], raised["limit"], raised["on_delay_s"]) == ("raised", 58, "above", 57, 60)
    assert (raised["limit_origin"], raised["limit_change"]["by"], raised["limit_change"]["why"]) == (f"limit:{made}", "in_charge", "汛期加严")
    assert raised["place_has_changed"] is False
    assert {book["version"] for book in told["rule_sets"]} == {row["rule_set"] for row in told["transitions"]}
    today = client.get(f"/api/v1/rooms/{ROOM}/limits?quantity=humidity").json()["rules"]
    assert next(rule for rule in today if rule["rule"] == "humidity_high")["levels"][0]["above"] == 60
    page = client.get(f"/alarms/{alarm}").text
    assert "高于 57" in page
    assert "汛期加严" in page
    assert house.client("sister-duty").get(f"/api/v1/alarms/{alarm}/explanation").status_code == 403


def test_a_case_is_reproduced_from_its_file_and_a_changed_one_is_not(explained: tuple[House, int, int], tmp_path: Path, capsys: Any) -> None:
    house, alarm, _ = explained
    answer = house.client("duty").get(f"/api/v1/alarms/{alarm}/case")
    assert answer.status_code == 200, answer.text
    assert "attachment" in answer.headers["content-disposition"]
    file = tmp_path / "case.json"
    file.write_bytes(answer.content)
    assert main(["replay", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["same"]
    assert [line["replayed"]["name"] for line in told["lines"]] == ["raised", "acknowledged", "cleared"]

    body = answer.json()
    body["samples"] = [sample for sample in body["samples"] if sample[2] != 58]
    file.write_text(json.dumps(body), "utf-8")
    assert main(["replay", str(file)]) == 1
    said = capsys.readouterr()
    assert "≠ 记录" in said.out
    assert "不一致" in said.err

    for broken in ("{}", "[]", json.dumps({"format": "archivewatch-case", "version": 9}), json.dumps(body | {"points": []}), "no json"):
        file.write_text(broken, "utf-8")
        assert main(["replay", str(file)]) == 4
    assert main(["replay", str(tmp_path / "none.json")]) == 3


def test_the_commands_open_the_store_when_no_server_holds_it(explained: tuple[House, int, int], tmp_path: Path, capsys: Any) -> None:
    house, alarm, _ = explained
    house.store.close()  # the embedded store is for one process
    where = config(house, tmp_path)
    assert main(["alarms", "explain", str(alarm), "--json", *where]) == 0
    assert json.loads(capsys.readouterr().out)["alarm"] == alarm
    assert main(["alarms", "explain", str(alarm), *where]) == 0
    said = capsys.readouterr().out
    assert "）湿度过高 · " in said
    assert f"（humidity_high，{ROOM}）" in said
    assert "测值 58 高于 57，持续 60 秒；限值来自 in_charge 调整：汛期加严" in said
    assert main(["rules", "explain", ROOM, "humidity", *where]) == 0
    said = capsys.readouterr().out
    assert "→ 全省规则：提示 高于 60，持续" in said
    assert "提示 没有数据，持续 0 秒" in said
    assert main(["alarms", "explain", "999", *where]) == 3
    assert main(["alarms", "case", str(alarm), "-o", str(tmp_path / "case.json"), *where]) == 0
    assert main(["alarms", "case", "999", "-o", str(tmp_path / "x.json"), *where]) == 3
    assert main(["replay", str(tmp_path / "case.json")]) == 0


def test_smoke_and_its_reset_are_reproduced(house: House, tmp_path: Path) -> None:
    client = house.client("in_charge")
    smoke = house.smoke()
    assert client.post(f"/api/v1/alarms/{smoke}/acknowledge", json={}).status_code == 200
    assert client.post(f"/api/v1/alarms/{smoke}/reset", json={}).status_code == 403, "a fire that burns is not reset"
    house.now += 30_000
    house.send(smoke=0)
    assert client.post(f"/api/v1/alarms/{smoke}/reset", json={}).status_code == 200
    house.history.run_once(house.now)
    answer = client.get(f"/api/v1/alarms/{smoke}/case")
    assert answer.status_code == 200, answer.text
    file = tmp_path / "case.json"
    file.write_bytes(answer.content)
    assert main(["replay", str(file)]) == 0


def test_silence_has_a_case_and_an_explanation_too(house: House, tmp_path: Path) -> None:
    client = house.client("duty")
    with house.db.read() as session:
        assert session.query(Point).filter_by(room=FOREIGN).count() == 0
    for _ in range(8):
        house.now += 120_000
        wait_until(lambda: house.alarm(ROOM, "sensor_stale") is not None)
    wait_until(lambda: house.alarm(ROOM, "room_blind") is not None)
    alarm = house.alarm(ROOM, "room_blind").id
    house.history.run_once(house.now)
    for ident in (alarm, house.alarm(ROOM, "sensor_stale").id):
        file = tmp_path / f"{ident}.json"
        file.write_bytes(client.get(f"/api/v1/alarms/{ident}/case").raise_for_status().content)
        assert main(["replay", str(file)]) == 0
    told = client.get(f"/api/v1/alarms/{alarm}/explanation").json()
    assert told["transitions"][0]["name"] == "raised"
    assert told["transitions"][0]["limit_change"] is None
    assert client.get("/api/v1/alarms/9999/case").status_code == 404
