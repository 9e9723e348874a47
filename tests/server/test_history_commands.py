"""Commands about history, run as a person runs them, on a folder without a server."""

import hashlib
import json

import pytest

from server.cli import main
from server.history import History, seals
from server.org import chain_check
from server.series import Limits, Row
from server.series.embedded import EmbeddedStore
from server.series.partition import DAY_MS, day_label, day_of, day_start
from server.store import journal
from server.store.journal import JournalRow
from server.store.session import Database
from server.store.tables import Point, Room, Unit
from tests.fresh import fresh

DAY = day_of(1_790_000_000_000)
START = day_start(DAY)
COUNTY = "350102000000"
ROOM = f"{COUNTY}-01"


@pytest.fixture
def folder(tmp_path):
    """A data folder with a room, two points and two days of samples, sealed."""
    (tmp_path / "server.yaml").write_text("data_dir: var\n")
    (tmp_path / "var").mkdir()
    db = Database(fresh(tmp_path / "var" / "archivewatch.db"))
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
    assert answer["history"]["seals"] > 0, "nothing proves nothing"
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
    code, answer, _ = call(folder, capsys, "audit", "verify", "--log-only")
    db = Database(f"sqlite:///{folder / 'var' / 'archivewatch.db'}")
    with db.read() as session:
        kept = chain_check.newest(session)
    db.close()
    assert (code, kept.asked_by, kept.done, kept.broken) == (0, "cli", answer["rows"], None), "the self-check page shows it"
    assert call(folder, capsys, "audit", "verify", "--from", "5.10.2026")[0] == 4


def fed(folder, first, count):
    """Samples accepted by the server: in the journal, not yet in the series."""
    db = Database(f"sqlite:///{folder / 'var' / 'archivewatch.db'}")
    with db.write() as session:
        journal.register(session, "history")
        for index in range(first, first + count):
            taken = START + 2 * DAY_MS + index * 1000
            journal.append(session, [JournalRow(1, taken, 21.0, 2, False, taken + 500)], taken + 500)
    db.close()


def drained(folder):
    db, store = Database(f"sqlite:///{folder / 'var' / 'archivewatch.db'}"), EmbeddedStore(folder / "var" / "series")
    while History(db, store).run_once(START + 3 * DAY_MS):
        pass
    found = store.raw([1, 2], 0, 1 << 60)
    store.close()
    db.close()
    return found


def test_a_backup_brings_back_both_stores_at_one_cursor(folder, tmp_path, capsys):
    fed(folder, 0, 5)
    drained(folder)
    fed(folder, 5, 4)  # accepted and acknowledged, but not in the series when the backup is made
    code, made, _ = call(folder, capsys, "backup", str(tmp_path / "b"))
    assert (code, made["cursor"], made["mark"], made["samples"]) == (0, 5, 5, 581)
    assert call(folder, capsys, "backup", str(tmp_path / "b"), "--check")[0] == 0
    assert call(folder, capsys, "backup", str(tmp_path / "b"))[0] == 4, "a folder that is not empty is left alone"
    fed(folder, 9, 3)  # after the backup: these come from the gateways again
    everything = drained(folder)

    code, _, said = call(folder, capsys, "restore", str(tmp_path / "b"))
    assert code == 4
    assert "已经存在" in said
    code, done, _ = call(folder, capsys, "restore", str(tmp_path / "b"), "--replace")
    assert (code, done) == (0, {"cursor": 5, "samples": 585, "replayed": 4})
    assert [*(folder / "var").glob("before-restore-*/archivewatch.db")], "what was there is kept"
    assert drained(folder) == [row for row in everything if row.taken_at < START + 2 * DAY_MS + 9000]
    days = ("--from", day_label(DAY), "--to", day_label(DAY + 1))
    assert call(folder, capsys, "audit", "verify", *days)[0] == 0


@pytest.mark.parametrize("name", ["database.sqlite", "series/hot.parquet", "series/rolled.parquet", "manifest.json", "series/manifest.json"])
def test_a_damaged_backup_is_refused_before_anything_is_touched(folder, tmp_path, capsys, name):
    call(folder, capsys, "backup", str(tmp_path / "b"))
    content = bytearray((tmp_path / "b" / name).read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "b" / name).write_bytes(content)
    assert call(folder, capsys, "backup", str(tmp_path / "b"), "--check")[0] == 4
    assert call(folder, capsys, "restore", str(tmp_path / "b"), "--replace")[0] == 4
    assert (folder / "var" / "series" / "hot.duckdb").exists()


def test_roll_ups_come_back_with_the_backup(folder, tmp_path, capsys):
    limits = {1: Limits(3_600_000, 20, 20.3)}
    store = EmbeddedStore(folder / "var" / "series")
    store.set_limits(limits)
    store.compact(START + 5 * DAY_MS)
    before = store.figures(limits, START, START + 2 * DAY_MS, DAY_MS).rows()
    store.expire(START + 5 * DAY_MS)
    assert store.figures(limits, START, START + 2 * DAY_MS, DAY_MS).rows() == before, "roll-ups outlive the samples"
    store.close()
    call(folder, capsys, "backup", str(tmp_path / "b"))
    assert call(folder, capsys, "restore", str(tmp_path / "b"), "--replace")[0] == 0
    store = EmbeddedStore(folder / "var" / "series")
    assert store.count() == 0
    assert store.figures(limits, START, START + 2 * DAY_MS, DAY_MS).rows() == before
    store.close()


def test_a_month_goes_out_with_its_checksum_and_comes_in_again(folder, tmp_path, capsys):
    code, made, _ = call(folder, capsys, "history", "export", "2026-09", "-o", str(tmp_path / "out"))
    assert (code, made["samples"]) == (0, 576)
    assert (tmp_path / "out" / "SHA256SUMS").read_text() == f"{made['sha256']}  archivewatch-2026-09.parquet\n"
    assert hashlib.sha256((tmp_path / "out" / made["file"]).read_bytes()).hexdigest() == made["sha256"]
    assert call(folder, capsys, "history", "export", "2026-09", "-o", str(tmp_path / "out"))[0] == 4
    assert call(folder, capsys, "history", "export", "2026-13", "-o", str(tmp_path / "out"))[0] == 4
    before = drained(folder)
    (folder / "var" / "series").rename(tmp_path / "gone")
    assert call(folder, capsys, "import", "history", str(tmp_path / "out" / made["file"]))[0] == 0
    after = drained(folder)
    assert [row[:4] for row in after] == [row[:4] for row in before]
    days = ("--from", day_label(DAY), "--to", day_label(DAY + 1))
    assert call(folder, capsys, "audit", "verify", *days)[0] == 0, "what comes in again is what was sealed"
