"""Limits at the wire: tightened with a preview, explained level by level, judged on stored history, taken back by hand or by the clock."""

import json
from pathlib import Path
from typing import Any

import pytest

from server.cli import main
from server.series import Row
from server.store.tables import Alarm, AuditEntry, Point, Transition
from server.store.tables_alarms import RuleSetVersion
from tests.web.house import COUNTY, FOREIGN, QUIET, ROOM, SISTER, T0, House

DAY = 86_400_000
BODY = {"rule": "humidity_high", "room": ROOM, "level": "warn", "limit": 57, "why": "汛期加严"}


@pytest.fixture
def filled(house: House) -> House:
    """Ten days of humidity every five minutes: 54 %RH, and on the first three days an hour at 62, on the next four one at 58."""
    house.birth()
    with house.db.read() as session:
        point = session.query(Point).filter_by(room=ROOM, quantity="humidity").one().id
    rows = []
    for day in range(10):
        for n in range(0, 24 * 60, 5):
            value = 54.0 if not 600 <= n < 660 else 62.0 if day < 3 else 58.0 if day < 7 else 54.0
            at = T0 - (11 - day) * DAY + n * 60_000
            rows.append(Row(point, at, value, 2, at))
    house.store.write(rows)
    return house


def in_charge(house: House) -> Any:
    return house.client("in_charge")


def test_a_preview_says_what_the_change_would_have_meant(filled: House) -> None:
    answer = in_charge(filled).post("/api/v1/limits/preview", json=BODY)
    assert answer.status_code == 200, answer.text
    preview = answer.json()
    assert (preview["before"], preview["after"], sum(preview["per_day"].values())) == (3, 7, 7)
    assert "过去 30 天按现行限值告警 3 次，按新限值会告警 7 次" in preview["sentence"]
    assert 0 < preview["before_h"] < preview["after_h"]
    assert f"告警状态共 {preview['before_h']:g} 小时，改后 {preview['after_h']:g} 小时" in preview["sentence"]
    english = in_charge(filled).post("/api/v1/limits/preview?lang=en", json=BODY).json()["sentence"]
    assert "30 days" in english
    assert not any(ord(sign) > 0x2FFF for sign in english), english
    assert in_charge(filled).get("/api/v1/limits").json()["items"] == []


def test_a_tightened_limit_holds_at_once_is_explained_audited_and_taken_back(filled: House) -> None:
    client = in_charge(filled)
    made = client.post("/api/v1/limits", json=BODY | {"on_delay_s": 0}).json()
    assert (made["in_force"], made["by"], made["limit"]) == (True, "in_charge", 57)
    filled.send(humidity=58)
    alarm = filled.alarm(ROOM, "humidity_high")
    assert (alarm.state, alarm.level, alarm.limit) == ("active_unacked", "warn", 57)
    with filled.db.read() as session:
        raised = session.query(Transition).filter_by(alarm=alarm.id, name="raised").one()
        assert (raised.limit, raised.limit_origin) == (57, f"limit:{made['id']}")
        assert session.get(RuleSetVersion, raised.rule_set) is not None
        assert session.query(AuditEntry).filter_by(action="limit.tighten").one().detail["why"] == "汛期加严"
    explained = client.get(f"/api/v1/rooms/{ROOM}/limits?quantity=humidity").json()
    rule = next(rule for rule in explained["rules"] if rule["rule"] == "humidity_high")
    assert [(layer["origin"], layer["above"], layer["wins"]) for layer in rule["levels"][0]["layers"]] == [
        ("everywhere", 60, False), (f"limit:{made['id']}", 57, True),
    ]  # fmt: skip
    assert (rule["levels"][0]["layers"][1]["by"], rule["levels"][0]["layers"][1]["why"]) == ("in_charge", "汛期加严")
    assert client.post(f"/api/v1/limits/{made['id']}/revoke").json()["in_force"] is False
    assert client.post(f"/api/v1/limits/{made['id']}/revoke").status_code == 409
    rule = next(rule for rule in client.get(f"/api/v1/rooms/{ROOM}/limits?quantity=humidity").json()["rules"] if rule["rule"] == "humidity_high")
    assert rule["levels"][0]["above"] == 60
    [listed] = client.get(f"/api/v1/limits?room={ROOM}").json()["items"]
    assert listed["revoked_by"] == "in_charge"


def test_new_rules_reach_points_that_were_quiet_and_no_room_that_is_not_connected(filled: House) -> None:
    for _ in range(5):
        filled.now += 30_000
        filled.send(humidity=58)
    assert filled.alarm(ROOM, "humidity_high") is None
    client = in_charge(filled)
    assert client.post("/api/v1/limits", json=BODY | {"room": "", "unit": COUNTY, "on_delay_s": 0}).status_code == 200
    filled.now += 30_000
    filled.send(humidity=58, outdoor=20)
    assert filled.alarm(ROOM, "humidity_high").limit == 57
    world = filled.watch._world
    assert world.rooms[QUIET].rules == ()
    outdoor = next(point for point in world.points.values() if point.key.channel == "outdoor" and point.room == ROOM)
    assert {rule.kind for rule in outdoor.rules} == {"stale"}


def test_a_change_ends_by_the_clock(filled: House) -> None:
    client = in_charge(filled)
    until = "2026-09-22T00:00:00Z"
    assert client.post("/api/v1/limits", json=BODY | {"until": until}).status_code == 200
    first = filled.rulebook.current.version
    filled.now += 2 * DAY
    assert filled.rulebook.run_once(filled.now)
    assert filled.rulebook.current.version != first
    assert not filled.rulebook.run_once(filled.now)


@pytest.mark.parametrize(
    ("change", "status", "word"),
    [
        ({"limit": 61}, 422, "只能收紧"),
        ({"limit": 60, "on_delay_s": 3600}, 422, "只能收紧"),
        ({"rule": "no_such_rule"}, 422, "没有这条规则"),
        ({"rule": "smoke", "level": "critical"}, 422, "没有可调的限值"),
        ({"limit": None}, 422, "限值或持续时间"),
        ({"limit": 500}, 422, ""),
        ({"until": "2020-01-01T00:00:00Z"}, 422, "晚于现在"),
        ({"why": " "}, 422, ""),
        ({"room": FOREIGN}, 403, ""),
        ({"room": "", "unit": SISTER}, 403, ""),
        ({"room": "", "unit": ""}, 404, ""),
    ],
)
def test_what_is_refused(house: House, change: dict[str, Any], status: int, word: str) -> None:
    answer = in_charge(house).post("/api/v1/limits", json=BODY | change)
    assert answer.status_code == status, answer.text
    assert word in answer.json()["detail"]


def test_only_who_may_set_limits_sets_them(house: House) -> None:
    for login in ("duty", "inspector", "system"):
        assert house.client(login).post("/api/v1/limits", json=BODY).status_code == 403
    assert house.client("inspector").get("/api/v1/limits").status_code == 200


RULES = "rules:\n  - {name: damp, kind: threshold, quantity: humidity, ladder: {warn: {above: 57, on_delay: 10m}}}\n"


def test_a_backtest_counts_alarms_per_room_and_day(filled: House) -> None:
    client = in_charge(filled)
    answer = client.post("/api/v1/rules/backtest", json={"rules": RULES, "unit": COUNTY}, params={"from": "2026-09-01T00:00:00Z"})
    assert answer.status_code == 200, answer.text
    result = answer.json()
    assert result["alarms"] == 7
    room = next(room for room in result["rooms"] if room["room"] == ROOM)
    assert [(day["alarms"], day["by_level"], day["by_rule"]) for day in room["days"]] == [(1, {"warn": 1}, {"damp": 1})] * 7
    parts, after = [], ""
    while not parts or after:
        body = {"rules": RULES, "unit": COUNTY, "most": 1, "after": after}
        part = client.post("/api/v1/rules/backtest", json=body, params={"from": "2026-09-01T00:00:00Z"}).json()
        parts, after = [*parts, *part["rooms"]], part["next"]
    assert (parts, part["rooms_in_all"]) == (result["rooms"], len(result["rooms"])), "room by room it comes to the same"
    assert client.post("/api/v1/rules/backtest", json={"rules": "rules: [{name: x}]", "unit": COUNTY}).status_code == 422
    assert client.post("/api/v1/rules/backtest", json={"rules": RULES, "unit": SISTER}).status_code == 403


def test_the_commands_say_the_same_without_a_server(filled: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    in_charge(filled).post("/api/v1/limits", json=BODY)
    filled.store.flush(filled.now)
    filled.close()
    config, rules = tmp_path / "server.yaml", tmp_path / "rules.yaml"
    config.write_text(f"data_dir: {filled.folder}\ndatabase: sqlite:///{filled.folder / 'aw.db'}\n", "utf-8")
    rules.write_text(RULES, "utf-8")
    asked = ["rules", "backtest", str(rules), "--from", "2026-09-01", "--to", "2026-09-21", "--unit", COUNTY, "--config", str(config)]
    assert main([*asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["alarms"] == 7
    assert main(asked) == 0
    assert "告警 7 次" in capsys.readouterr().out
    assert main(["rules", "explain", ROOM, "humidity", "--json", "--config", str(config)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {layer["origin"] for rule in found["rules"] for level in rule["levels"] for layer in level["layers"]} >= {"everywhere", "limit:1"}
    assert main(["rules", "explain", ROOM, "humidity", "--config", str(config)]) == 0
    assert "汛期加严" in capsys.readouterr().out
    assert main(["rules", "explain", "350102000000-99", "humidity", "--config", str(config)]) == 3


def test_alarms_of_the_old_rules_do_not_get_lost(filled: House) -> None:
    """A level that a change had added ends with it: the alarm falls and clears by the rules that are left."""
    client = in_charge(filled)
    made = client.post("/api/v1/limits", json=BODY | {"level": "critical", "limit": 57, "on_delay_s": 0}).json()
    filled.send(humidity=58)
    assert filled.alarm(ROOM, "humidity_high").level == "critical"
    client.post(f"/api/v1/limits/{made['id']}/revoke")
    for _ in range(30):
        filled.now += 60_000
        filled.send(humidity=50)
    with filled.db.read() as session:
        alarm = session.query(Alarm).filter_by(room=ROOM, rule="humidity_high").one()
        assert alarm.cleared_at is not None
