"""Commands about rules and alarms through a running server: previews and trials change nothing, explanations and cases come back whole."""

import io
import json
from pathlib import Path
from typing import Any

from server.cli import main
from server.commands import INVALID, NOT_FOUND, UNREACHABLE
from server.store.lock import StoreLock
from server.store.tables import Alarm
from tests.web.house import COUNTY, OTHER, PASSWORD, ROOM, SERVICE_KEY, House, serving
from tests.web.test_web_trials import TIGHT, follow


def test_previews_trials_and_cases_through_the_running_server(house: House, tmp_path: Path, free_port: int, capsys: Any) -> None:
    rules, config = tmp_path / "tight.yaml", tmp_path / "server.yaml"
    rules.write_text(TIGHT, "utf-8")
    config.write_text(
        f"listen: 127.0.0.1:{free_port}\ndata_dir: {tmp_path}\ndatabase: sqlite:///{tmp_path / 'aw.db'}\nsms: {{kind: none}}\n", "utf-8"
    )
    where = ["--config", str(config)]

    def call(*words: str) -> tuple[int, Any]:
        code = main([*words, "--json", *where])
        said = capsys.readouterr().out
        return code, json.loads(said) if said else None

    assert call("rules", "trial", "list")[0] == UNREACHABLE, "a trial is judged by the server alone"
    assert call("rules", "preview", ROOM, "humidity_high", "warn", "--limit", "57")[0] == UNREACHABLE
    (tmp_path / "cli.token").write_text(SERVICE_KEY)
    with StoreLock(tmp_path), serving(house, free_port):
        code, preview = call("rules", "preview", ROOM, "humidity_high", "warn", "--limit", "57")
        assert (code, preview["before"], preview["after"]) == (0, 0, 0)
        assert call("rules", "preview", ROOM, "humidity_high", "warn", "--limit", "70")[0] == INVALID, "a limit is never loosened"
        code, made = call("rules", "trial", "start", str(rules), "--unit", COUNTY)
        assert (code, made["name"], made["active"]) == (0, "tight", True)
        house.now += 1000
        house.send(humidity=57)
        follow(house).run_once(house.now)
        code, shown = call("rules", "trial", "show", str(made["id"]))
        assert (code, shown["now"], shown["trial"]) == (0, 0, 1)
        assert main(["rules", "trial", "show", str(made["id"]), *where]) == 0
        assert "现行 无；试行 提示" in capsys.readouterr().out
        assert call("rules", "trial", "end", str(made["id"]))[1]["active"] is False
        assert [one["active"] for one in call("rules", "trial", "list")[1]] == [False]
        assert call("rules", "trial", "show", "99")[0] == NOT_FOUND
        assert call("rules", "trial", "start", str(tmp_path / "none.yaml"), "--unit", COUNTY)[0] == NOT_FOUND
        assert count(house) == 0
        smoke = house.smoke()
        assert call("alarms", "explain", str(smoke))[1]["transitions"][0]["limit_origin"] == "everywhere"
        house.history.run_once(house.now)
        assert call("alarms", "case", str(smoke), "-o", str(tmp_path / "case.json"))[0] == 0
        assert call("alarms", "case", "99", "-o", str(tmp_path / "x.json"))[0] == NOT_FOUND
    assert main(["replay", str(tmp_path / "case.json")]) == 0


def test_maintenance_is_planned_listed_and_taken_back_by_command(house: House, tmp_path: Path, free_port: int, capsys: Any, monkeypatch: Any) -> None:
    config = tmp_path / "server.yaml"
    config.write_text(
        f"listen: 127.0.0.1:{free_port}\ndata_dir: {tmp_path}\ndatabase: sqlite:///{tmp_path / 'aw.db'}\nsms: {{kind: none}}\n", "utf-8"
    )
    when = ["--from", "2026-10-01T08:00:00+08:00", "--until", "2026-10-01T12:00:00+08:00"]
    why = ["--reason", "消杀", "--person", "王工"]

    def call(*words: str) -> tuple[int, str]:
        code = main(["maintenance", *words, "--config", str(config)])
        return code, capsys.readouterr().out

    assert call("list")[0] == UNREACHABLE
    (tmp_path / "cli.token").write_text(SERVICE_KEY)
    with StoreLock(tmp_path), serving(house, free_port):
        assert call("plan", ROOM, *when, *why)[0] == 0
        assert call("plan", ROOM, *when, *why)[0] == INVALID, "two plans of a room do not overlap"
        assert call("plan", "350102000000-77", *when, *why)[0] == NOT_FOUND
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
        assert call("plan", OTHER, *when, *why, "--second", "duty")[0] == 0
        listed = call("list", "--unit", COUNTY)[1]
        assert f"{ROOM}  2026-10-01T00:00:00Z 至 2026-10-01T04:00:00Z  已安排  王工  消杀\n" in listed
        assert "烟感也暂停，第二人 陈值班" in listed
        [work] = json.loads(call("list", "--room", ROOM, "--json")[1])
        assert call("cancel", ROOM, str(work["id"]))[0] == 0
        assert call("cancel", ROOM, str(work["id"]))[0] == INVALID
        assert call("list", "--room", ROOM)[1] == "没有维护安排。\n"
        assert "已取消" in call("list", "--room", ROOM, "--all")[1]


def count(house: House) -> int:
    with house.db.read() as session:
        return session.query(Alarm).count()
