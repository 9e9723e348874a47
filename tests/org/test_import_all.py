"""`archivewatch import all DIR`: every table of a folder, sheets, holdings and calibrations too, in the order in which they refer to each other."""

import json
from datetime import date
from pathlib import Path

import pytest

from server.cli import main
from server.commands import INVALID, NOT_FOUND, USAGE
from server.store import organisation
from server.store.session import Database
from server.store.tables import Room
from server.store.tables_org import Calibration, RoomSheet
from simulators import province, province_books


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "server.yaml").write_text("data_dir: var\n", "utf-8")
    return tmp_path


def load(folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, object]]:
    code = main(["import", "all", str(folder / "p"), "--json", "--config", str(folder / "server.yaml"), *more])
    out = capsys.readouterr().out
    return code, json.loads(out) if out else {}


def test_a_province_is_loaded_as_a_whole_and_again_without_change(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = province.small(1)
    books = province_books.make(made, 1, date(2026, 11, 26))
    province.write(made, folder / "p")
    province_books.write(books, folder / "p")
    code, told = load(folder, capsys)
    assert code == 0
    assert [(table["kind"], table["created"]) for table in told["tables"]] == [
        ("units", len(made.units)), ("people", len(made.people)), ("rooms", len(made.rooms)), ("devices", len(made.points)),
        ("sheets", len(books.sheets)), ("holdings", len(books.holdings)), ("calibrations", len(books.calibrations)),
    ]  # fmt: skip
    db = Database(f"sqlite:///{folder / 'var' / 'archivewatch.db'}")
    with db.read() as session:
        room = next(room for room in made.rooms if room.kind == "store")
        assert organisation.at_stake(session, room.code)[1] == sum(held.volumes for held in books.holdings if held.room == room.code) > 0
        sheet = session.get_one(RoomSheet, room.code)
        assert sheet.body["power_switch"] == books.sheets[0].power_switch
        assert session.query(Calibration).count() == len(books.calibrations)
        assert session.get_one(Room, room.code).location == room.location
    db.close()
    code, told = load(folder, capsys)
    assert (code, {table["unchanged"] == table["rows"] for table in told["tables"]}) == (0, {True})


def test_the_first_wrong_table_ends_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = province.small(1)
    province.write(made, folder / "p")
    people = folder / "p" / "people.csv"
    people.write_text(people.read_text("utf-8-sig").replace("duty_officer", "king"), "utf-8")
    code, told = load(folder, capsys)
    assert (code, [table["kind"] for table in told["tables"]]) == (INVALID, ["units", "people"])
    assert load(folder, capsys, "--dry-run")[0] == USAGE
    for path in (folder / "p").iterdir():
        path.unlink()
    assert load(folder, capsys)[0] == NOT_FOUND
