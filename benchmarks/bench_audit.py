"""Verifying the audit log: the product's walk over the chain, and the stand-alone script over an export. Goal: 100,000 entries a second."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from benchmarks.figures import row
from server.store import anchors, audit
from server.store.migrate import migrate
from server.store.session import Database
from server.store.tables import AuditEntry, Unit

T0 = 1_790_000_000_000
PROVINCE = "350000000000"
SCRIPT = Path(__file__).parents[1] / "tools" / "verify_audit.py"
_AFTER = {"short_name": "1号库", "sms_place": "鼓楼01库", "location": "档案楼 3 层东侧"}


def fill(db: Database, rows: int) -> None:
    """Entries like those of a working day, chained like those that `append` writes."""
    with db.write() as session:
        last = session.query(AuditEntry).order_by(AuditEntry.id.desc()).first()
        first, previous = (1, audit.GENESIS) if last is None else (last.id + 1, last.chain)
        batch: list[dict[str, Any]] = []
        for ident in range(first, first + rows):
            odd = bool(ident % 2)
            entry = audit.sealed(
                previous, ident, T0 + ident, f"某人{ident % 50}", "change_rooms", f"rooms:35010200{ident % 10_000:04d}-01", {"via": "page"},
                unit=PROVINCE, before={"location": ""} if odd else None, after=_AFTER if odd else None, reason="更正" if odd else "",
            )  # fmt: skip
            previous = entry["chain"]
            batch.append(entry)
            if len(batch) == 5_000:
                session.execute(insert(AuditEntry), batch)
                batch.clear()
        if batch:
            session.execute(insert(AuditEntry), batch)


def run(quick: bool, folder: Path) -> dict[str, Any]:
    count = 60_000 if quick else 200_000
    db = Database(f"sqlite:///{folder / 'audit.db'}")
    migrate(db)
    with db.write() as session:
        session.add(Unit(code=PROVINCE, parent=None, level=1, name="省厅", short_name="省厅"))
    fill(db, count)
    with db.write() as session:
        anchors.make(session, T0 + count)
    with db.read() as session:
        began, cpu = time.perf_counter(), time.process_time()
        found = audit.walk(session)
        walked, cpu = count / (time.perf_counter() - began), count / (time.process_time() - cpu)
        began = time.perf_counter()
        hashed = sum(len(audit.link(audit.GENESIS, *values)) for *values, _ in session.execute(audit.stored().limit(20_000)))
        bare = hashed / 64 / (time.perf_counter() - began)
        export = folder / "audit.jsonl"
        with export.open("w", encoding="utf-8") as stream:
            stream.writelines(audit.as_line(entry) + "\n" for entry in session.execute(audit.stored()))
    anchors.write(folder, _anchors(db))
    began = time.perf_counter()
    done = subprocess.run([sys.executable, str(SCRIPT), str(export), *map(str, folder.glob("2*.jsonl"))], capture_output=True, text=True, check=False)
    alone = count / (time.perf_counter() - began)
    db.close()
    if found.broken is not None or done.returncode:
        raise RuntimeError(f"a sound log was refused: {found} {done.stdout}")
    return {
        "rows": [
            row("audit verify: entries", walked, "per s", "ORM rows, hashed one by one", bare),
            row("audit verify: entries by CPU time", cpu, "per s", "ORM rows, hashed one by one", bare),
            row("tools/verify_audit.py: entries", alone, "per s", "ORM rows, hashed one by one", bare),
        ],
        "entries": count,
        "goal_rows_per_s": 100_000,
    }


def _anchors(db: Database) -> list[Any]:
    with db.read() as session:
        return anchors.of_day(session, "", None)
