"""`archivewatch trace`: through the running server, and with the store opened by itself; by id and by the number of the messages."""

import json
from pathlib import Path

import pytest

from server.cli import main
from server.commands import NOT_FOUND
from server.store.lock import StoreLock
from server.store.tables import Notification
from tests.web.house import ROOM, SERVICE_KEY, House, serving


def settings(folder: Path, port: int) -> list[str]:
    path = folder / "server.yaml"
    path.write_text(f"listen: 127.0.0.1:{port}\ndata_dir: {folder}\ndatabase: sqlite:///{folder / 'aw.db'}\nsms: {{kind: none}}\n", "utf-8")
    return ["--config", str(path)]


def alarm_told(house: House) -> dict[str, object]:
    """A smoke alarm of ROOM, told to one person whose provider confirmed it."""
    house.send(ROOM, smoke=1)
    [alarm] = house.client("duty").get("/api/v1/alarms", params={"room": ROOM}).json()["items"]
    told = {
        "alarm": alarm["id"],
        "reason": "raised",
        "step": 0,
        "phone": "+8613800000000",
        "channel": "twilio_sms",
        "number": alarm["number"],
        "text": "x",
    }
    with house.db.write() as session:
        session.add(
            Notification(
                **told,
                person_name="陈值班",
                created_at=house.now,
                due=house.now,
                state="delivered",
                attempts=2,
                sent_at=house.now + 700,
                receipt="delivered",
                receipt_at=house.now + 2_000,
            )
        )
    return alarm


def test_every_step_of_a_smoke_alarm_with_its_delay(house: House, tmp_path: Path, free_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    alarm = alarm_told(house)
    (tmp_path / "cli.token").write_text(SERVICE_KEY)
    config = settings(tmp_path, free_port)
    with StoreLock(tmp_path), serving(house, free_port):
        assert main(["trace", str(alarm["id"]), "--json", *config]) == 0
        by_id = json.loads(capsys.readouterr().out)
        assert main(["trace", str(alarm["number"]), "--json", *config]) == 0
        assert json.loads(capsys.readouterr().out) == by_id
        assert main(["trace", "99999", *config]) == NOT_FOUND
    stages = [step["stage"] for step in by_id["steps"]]
    assert stages[:3] == ["measured", "received", "raised"]
    assert stages[-2:] == ["sent", "receipt"]
    assert "queued" in stages
    assert by_id["steps"][-1]["after_s"] - by_id["steps"][-2]["after_s"] == pytest.approx(1.3)
    house.close()
    capsys.readouterr()
    assert main(["trace", str(alarm["number"]), "--json", *config]) == 0
    here = json.loads(capsys.readouterr().out)
    assert [(step["stage"], step["after_s"]) for step in here["steps"]] == [(step["stage"], step["after_s"]) for step in by_id["steps"]]
    assert main(["trace", str(alarm["id"]), *config]) == 0
    text = capsys.readouterr().out
    assert "陈值班" in text
    assert "产生" in text


def test_who_may_not_see_messages_sees_no_names(house: House) -> None:
    alarm = alarm_told(house)
    found = house.client("system").get(f"/api/v1/alarms/{alarm['id']}/trace").json()
    assert {step["stage"] for step in found["steps"]} == {"measured", "received", "raised"}
