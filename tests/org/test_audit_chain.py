"""The audit log: what is changed, removed, moved, rewritten or cut is found, by us and by the stand-alone script; the database refuses it."""

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from server.store import anchors, audit
from server.store.session import Database
from server.store.tables import Alarm, AuditEntry, Transition, Unit
from tests.fresh import fresh
from tests.web.house import CITY, COUNTY, PROVINCE, SISTER

SCRIPT = Path(__file__).parents[2] / "tools" / "verify_audit.py"
DAY = 86_400_000
T0 = 1_790_000_000_000
UNITS = ("", PROVINCE, COUNTY, SISTER)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    made = Database(fresh(tmp_path / "aw.db"))
    with made.write() as session:
        for code, parent in ((PROVINCE, None), (CITY, PROVINCE), (COUNTY, CITY), (SISTER, CITY)):
            session.add(Unit(code=code, parent=parent, level=1, name=code, short_name="x"))
            session.flush()
    yield made
    made.close()


def fill(db: Database, count: int, start: int = 0, at: int = T0) -> None:
    with db.write() as session, audit.acting(audit.Origin("10.1.2.3", "abcdef012345", COUNTY)):
        for number in range(start, start + count):
            before = {"limit": number} if number % 3 else None
            audit.append(
                session, f"某人{number % 5}", "rules_change", f"room:{number}", {"via": "page", "说明": "“引号”\n"}, at + number,
                unit=UNITS[number % 4], before=before, after={"limit": number + 1}, reason="校准" if number % 2 else "",
            )  # fmt: skip


def without_triggers(db: Database, *statements: str) -> None:
    """What somebody does who owns the database file."""
    with db.write() as session:
        for (name,) in session.execute(text("SELECT name FROM sqlite_master WHERE type='trigger'")).all():
            session.execute(text(f"DROP TRIGGER {name}"))
        for statement in statements:
            session.execute(text(statement))


def export(db: Database, path: Path) -> Path:
    with db.read() as session:
        path.write_text("".join(audit.as_line(row) + "\n" for row in session.execute(audit.stored())), "utf-8")
    return path


def script(*files: Path) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-I", SCRIPT, *files], capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


def test_an_entry_says_who_when_from_where_what_and_why(db: Database) -> None:
    fill(db, 4)
    with db.read() as session:
        entry = session.get_one(AuditEntry, 2)
        assert (entry.actor, entry.at, entry.address, entry.session, entry.unit) == ("某人1", T0 + 1, "10.1.2.3", "abcdef012345", PROVINCE)
        assert (entry.before, entry.after, entry.reason) == ({"limit": 1}, {"limit": 2}, "校准")
        assert session.get_one(AuditEntry, 1).unit == COUNTY, "where nothing else is said, the unit of whoever acts"
        assert audit.walk(session) == audit.Walk(4, None, 4, session.get_one(AuditEntry, 4).chain)


CHANGES = [f"UPDATE audit SET {column} = {value} WHERE id = 8" for column, value in (
    ("actor", "'别人'"), ("at", "at + 1"), ("action", "'x'"), ("subject", "'x'"), ("detail", "'{}'"), ("unit", "''"), ("address", "'1'"),
    ("session", "''"), ("before", "NULL"), ("after", "'{}'"), ("reason", "'x'"), ("version", "1"), ("chain", "'" + "0" * 64 + "'"), ("id", "70"),
)] + ["DELETE FROM audit WHERE id = 8", "DELETE FROM audit WHERE id = 1",
      "UPDATE audit SET id = CASE id WHEN 8 THEN -9 WHEN 9 THEN -8 END WHERE id IN (8, 9)"]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_each_column_counts_and_so_does_each_place(db: Database, tmp_path: Path, change: str) -> None:
    fill(db, 12)
    assert script(export(db, tmp_path / "log"))[0] == 0
    without_triggers(db, change, "UPDATE audit SET id = -id WHERE id < 0")
    with db.read() as session:
        assert audit.verify(session) is not None
    assert script(export(db, tmp_path / "log"))[0] == 1


def test_hundreds_of_random_changes_of_an_export_are_all_found(db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(db, 60)
    with db.write() as session:
        lines = [anchors.as_line(anchor) for anchor in anchors.make(session, T0 + DAY)]
    good = [json.loads(line) for line in export(db, tmp_path / "log").read_text("utf-8").splitlines()]
    check = _script_functions()
    rng = random.Random(7)
    missed = []
    for number in range(300):
        entries = [dict(entry) for entry in good]
        what = _damage(entries, rng)
        (tmp_path / "bad").write_text("".join(json.dumps(entry) + "\n" for entry in entries), "utf-8")
        _, fault, seen = check["check_log"](str(tmp_path / "bad"))
        if not fault and not check["check_day"](lines, seen):
            missed.append((number, what))
    assert missed == []


def _script_functions() -> dict[str, Callable[..., object]]:
    names: dict[str, Callable[..., object]] = {"__name__": "verify_audit"}  # type: ignore[dict-item]
    exec(compile(SCRIPT.read_text("utf-8"), str(SCRIPT), "exec"), names)
    return names


def _damage(entries: list[dict], rng: random.Random) -> str:
    place = rng.randrange(len(entries))
    kind = rng.choice(["edit", "remove", "swap", "cut", "insert"])
    match kind:
        case "edit":
            column = rng.choice([name for name in audit.COLUMNS if name not in ("version",)])
            old = entries[place][column]
            entries[place][column] = old + 1 if isinstance(old, int) else f"{old or ''} "
        case "remove":
            del entries[place]
        case "swap":
            other = (place + 1 + rng.randrange(len(entries) - 1)) % len(entries)
            entries[place], entries[other] = entries[other], entries[place]
        case "cut":
            del entries[rng.randrange(len(entries)) :]
        case "insert":
            entries.insert(place, dict(entries[place]))
    return f"{kind} at {place}"


def test_a_rewritten_chain_and_a_cut_end_contradict_the_anchor(db: Database, tmp_path: Path) -> None:
    fill(db, 40)
    with db.write() as session:
        made = anchors.make(session, T0 + DAY)
        path = anchors.write(tmp_path / "out", made)
        assert anchors.make(session, T0 + DAY + 5) == [], "one a day"
    fill(db, 10, 40)
    with db.write() as session:
        later = anchors.write(tmp_path / "out", anchors.make(session, T0 + 2 * DAY))
    assert path is not None
    assert later is not None
    with db.read() as session:
        kept = anchors.read(tmp_path / "out")
        assert anchors.contradicted(session, kept) is None
    county = tmp_path / "county.jsonl"
    county.write_text(json.dumps(next(line for line in kept if line["unit"] == COUNTY)), "utf-8")
    whole = export(db, tmp_path / "log")
    assert script(whole, path, later) == (0, f"50 entries, {len(kept)} anchors: as written\n")
    assert script(whole, county)[0] == 0
    # One entry of the county is replaced, and the whole chain made anew: without an anchor nothing could be seen.
    rewrite(db, lambda entry: entry.update(actor="别人") if entry["id"] == 3 else None)
    with db.read() as session:
        assert audit.verify(session) is None
        assert "第 40 条" in (anchors.contradicted(session, kept) or "")
    for evidence in (path, county):
        assert script(export(db, tmp_path / "log"), evidence)[0] == 1
    without_triggers(db, "DELETE FROM audit WHERE id > 30")
    with db.read() as session:
        assert audit.verify(session) is None
        assert anchors.contradicted(session, kept) is not None
    code, said = script(export(db, tmp_path / "log"), path)
    assert code == 1
    assert "entry 40 is missing" in said
    changed = tmp_path / "changed.jsonl"
    changed.write_text(path.read_text("utf-8").replace('"count": 10', '"count": 9', 1), "utf-8")
    assert "itself changed" in script(whole, changed)[1]


def rewrite(db: Database, change: Callable[[dict], object]) -> None:
    """Change entries and compute every chain value anew."""
    with db.read() as session:
        rows = [dict(zip(audit.COLUMNS, row, strict=True)) for row in session.execute(audit.stored())]
    without_triggers(db)
    previous = audit.GENESIS
    with db.write() as session:
        for row in rows:
            change(row)
            row["chain"] = previous = audit.link(previous, *[row[name] for name in audit.COLUMNS[:-1]])
            session.execute(text("UPDATE audit SET actor = :actor, chain = :chain WHERE id = :id"), row)


def test_the_branches_of_the_tree_hash_upward(db: Database) -> None:
    fill(db, 8)
    with db.write() as session:
        anchors.make(session, T0 + DAY)
    with db.read() as session:
        found = {line["unit"]: SimpleNamespace(**line) for line in anchors.in_database(session)}
    assert set(found) == {"", PROVINCE, CITY, COUNTY, SISTER}
    assert [child for child, _ in found[CITY].children] == [COUNTY, SISTER]
    assert found[CITY].children[0][1] == found[COUNTY].node
    assert found[PROVINCE].children == [[CITY, found[CITY].node]]
    assert (found[CITY].count, found[COUNTY].count, found[""].last) == (0, 4, 8)
    with db.read() as session:
        assert {anchor.unit for anchor in anchors.of_day(session, "", CITY)} == {CITY, COUNTY, SISTER}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {0} SET id = id", "DELETE FROM {0}", "DELETE FROM {0} WHERE id = 1",
        "INSERT OR REPLACE INTO {0} SELECT * FROM {0}", "UPDATE OR IGNORE {0} SET id = 9",
    ],
)  # fmt: skip
@pytest.mark.parametrize("table", ["audit", "transition"])
def test_the_database_refuses_any_change(db: Database, statement: str, table: str) -> None:
    fill(db, 3)
    with db.write() as session:
        session.add(Alarm(id=1, subject="s", rule="r", kind="k", unit=COUNTY, state="normal", level="warn", raised_at=1, number="1"))
        session.flush()
        session.add(Transition(alarm=1, at=1, name="raised", before="normal", after="x", level="warn"))
    with pytest.raises(DBAPIError, match="append-only"), db.write() as session:
        session.execute(text(statement.format(table)))
    with db.read() as session:
        assert session.query(AuditEntry).count() == 3


def test_entries_written_before_the_upgrade_still_hold(db: Database) -> None:
    previous = audit.GENESIS
    with db.write() as session:
        for number in range(1, 4):
            values = (number, T0, "老记录", "comment", "alarm:1", json.dumps({"note": "旧"}))
            previous = audit.link(previous, 1, *values)
            session.add(
                AuditEntry(id=number, at=T0, actor="老记录", action="comment", subject="alarm:1", detail={"note": "旧"}, chain=previous, version=1)
            )
            session.flush()
    fill(db, 3, 10)
    with db.read() as session:
        assert audit.verify(session) is None
