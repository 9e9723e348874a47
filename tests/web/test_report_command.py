"""`archivewatch report`: through the running server, and with the store opened by itself."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pypdf import PdfReader

from server.cli import main
from server.store.lock import StoreLock
from tests.web.house import COUNTY, ROOM, SERVICE_KEY, House, serving

PERIOD = "2026-09-20..2026-09-22"


def settings(folder: Path, port: int) -> Path:
    path = folder / "server.yaml"
    path.write_text(f"listen: 127.0.0.1:{port}\ndata_dir: {folder}\ndatabase: sqlite:///{folder / 'aw.db'}\nsms: {{kind: none}}\n", "utf-8")
    return path


def test_without_a_server_the_command_opens_the_store(house: House, tmp_path: Path, free_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    house.history.run_once(house.now)
    house.close()
    config = ["--config", str(settings(tmp_path, free_port))]
    target = tmp_path / "登记表.pdf"
    assert main(["report", "register", ROOM, PERIOD, "-o", str(target), "--json", *config]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["digest"][:16] in PdfReader(target).pages[0].extract_text()
    assert main(["report", "inspection", COUNTY, PERIOD, "-o", str(tmp_path / "a.docx"), *config]) == 0
    assert main(["report", "inspection", "350999000000", PERIOD, "-o", str(tmp_path / "a.pdf"), *config]) == 3
    assert main(["report", "inspection", COUNTY, "2026-13", "-o", str(tmp_path / "a.pdf"), *config]) == 4
    assert main(["report", "inspection", COUNTY, PERIOD, "-o", str(tmp_path / "a.odt"), *config]) == 4


def test_with_a_server_it_asks_the_server(house: House, tmp_path: Path, free_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cli.token").write_text(SERVICE_KEY)
    config = ["--config", str(settings(tmp_path, free_port))]
    stop = threading.Event()
    worker = threading.Thread(target=house.desk.run, args=(stop, lambda: house.now))
    with StoreLock(tmp_path), serving(house, free_port):
        worker.start()
        try:
            target = tmp_path / "考评.json"
            assert main(["report", "scorecard", COUNTY, PERIOD, "-o", str(target), "--json", *config]) == 0
            assert json.loads(capsys.readouterr().out)["digest"] == json.loads(target.read_text("utf-8"))["digest"]
            assert main(["report", "scorecard", "350999000000", PERIOD, "-o", str(target), *config]) == 3
        finally:
            stop.set()
            house.desk.nudge()
            worker.join(20)


def test_forms_are_found_in_the_data_folder(house: House, tmp_path: Path, free_port: int, port_factory: Callable[[], int]) -> None:
    house.close()
    (tmp_path / "forms").mkdir()
    (tmp_path / "forms" / "changes.typ").write_text('#import "base.typ": *\n#show: form\n自用格式', "utf-8")
    config = ["--config", str(settings(tmp_path, port_factory()))]
    assert main(["report", "changes", COUNTY, PERIOD, "-o", str(tmp_path / "c.pdf"), *config]) == 0
    assert "自用格式" in PdfReader(tmp_path / "c.pdf").pages[0].extract_text()
