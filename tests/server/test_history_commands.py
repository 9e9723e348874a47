"""Commands about history, run as a person runs them, on a folder without a server."""

import json

import pytest

from server.cli import main
from server.history import seals
from server.series import Row
from server.series.embedded import EmbeddedStore
from server.series.partition import DAY_MS, day_label, day_of, day_start
from server.store.migrate import migrate
from server.store.session import Database
from server.store.tables import Point, Room, Unit

DAY = day_of(1_790_000_000_000)
START = day_start(DAY)
COUNTY = "350102000000"
ROOM = f"{COUNTY}-01"


@pytest.fixture
def folder(tmp_path):
    """A data folder with a room, two points and two days of samples, sealed."""
    (tmp_path / "server.yaml").write_text("data_dir: var\n")
    (tmp_path / "var").mkdir()
    db = Database(f"sqlite:///{tmp_path / 'var' / 'archivewatch.db'}")
    migrate(db)
    with db.write() as session:
        session.add(Unit(code=COUNTY, level=1, name="鼓楼", short_name="鼓楼"))
        session.flush()
        session.add(Room(code=ROOM, unit=COUNTY, name="一号库房", short_name="库", sms_place="库"))
        session.flush()
        session.add_all(
            Point(id=n, gateway="GW", device="th1", quantity=q, room=ROOM, created_at=0) for n, q in ((1, "temperature"), (2, "humidity"))
        )
    store = EmbeddedStore(tmp_path / "var" / "series")
    store.write([Row(point, START + k * 600_000, 20 + k % 7 / 10, 2, START + k * 600_000 + 900) for k in range(288) for point in (1, 2)], mark=0)
    seals.seal(db, store, START + 3 * DAY_MS)
    store.close()
    db.close()
    return tmp_path


def call(folder, capsys, *words):
    """Exit code, the JSON on stdout, and what was said."""
    code = main([*words, "--json", "--config", str(folder / "server.yaml")])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else None, said.err


def test_audit_verify_covers_history(folder, capsys):
    days = ("--from", day_label(DAY), "--to", day_label(DAY + 1))
    code, answer, _ = call(folder, capsys, "audit", "verify", *days)
    assert (code, answer["ok"], answer["first_broken"], answer["history"]["findings"]) == (0, True, None, [])
    store = EmbeddedStore(folder / "var" / "series")
    with store._hot.writing() as connection:
        connection.execute(f"UPDATE hot SET value = 99 WHERE point = 2 AND taken_at = {START + 600_000 * 9}")
    store.close()
    code, answer, said = call(folder, capsys, "audit", "verify", *days)
    assert (code, answer["ok"], answer["first_broken"]) == (1, False, None)
    (finding,) = answer["history"]["findings"]
    assert (finding["kind"], finding["place"], finding["day"], finding["point"], finding["hours"]) == (
        "changed",
        ROOM,
        day_label(DAY),
        "GW/th1/humidity",
        [1],
    )
    assert f"{ROOM} {day_label(DAY)} GW/th1/humidity 01:00—02:00 数值被改动" in said
    assert call(folder, capsys, "audit", "verify", "--log-only")[0] == 0
    assert call(folder, capsys, "audit", "verify", "--from", "5.10.2026")[0] == 4
