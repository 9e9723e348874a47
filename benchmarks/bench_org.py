"""The whole province in the books: loading it, every list page as its reader waits for it, the subtree check, and 5,000 rooms with progress.

Real: `archivewatch import all` on the files of `archivewatch-sim province --full`, then `archivewatch serve` in a process of its own on that store
(org_pages.py). On SQLite, and unless `--quick` on a PostgreSQL with fsync, where one can be started.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from benchmarks import org_books, org_pages
from benchmarks.figures import per_second, row, spread, took_ms
from benchmarks.org_pages import CITY, COUNTY, PROVINCE
from server.org import imports
from server.store import audit, units
from server.store.session import Database
from server.store.tables_org import Notice
from simulators.postgres import Postgres, PostgresError

T0 = 1_790_000_000_000
GOALS = {"province_s": 120, "page_p95_ms": 100, "check_us": 50, "rooms_5000_s": 30}


def run(quick: bool, folder: Path) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    pages: dict[str, Any] = {}
    missing = "PostgreSQL: only without --quick" if quick else ""
    province = folder / "province"
    subprocess.run([sys.executable, "-m", "simulators", "province", "--full", "-o", str(province)], check=True, stdout=subprocess.DEVNULL)
    for kind in ("sqlite",) if quick else ("sqlite", "postgresql"):
        try:
            with _url(kind) as url:
                rows += _measure(kind, url, folder / kind, province, pages)
        except PostgresError as reason:
            missing = f"PostgreSQL: {reason}"
    return {"rows": rows, "pages": pages, "unmeasured": org_pages.unmeasured(), "goals": GOALS, "missing": missing}


@contextmanager
def _url(kind: str) -> Iterator[str | None]:
    """Address of a new database; None is the server's own SQLite file. Raises PostgresError."""
    if kind == "sqlite":
        yield None
        return
    with Postgres(durable=True) as server:
        yield server.url()


def _measure(kind: str, url: str | None, folder: Path, province: Path, pages: dict[str, Any]) -> list[dict[str, Any]]:
    folder.mkdir()
    config = folder / "server.yaml"
    config.write_text(org_pages.config_text(url), "utf-8")
    loaded = json.loads(_command("import", "all", str(province), "--json", "--config", str(config)))
    count = sum(table["rows"] for table in loaded["tables"])
    db = Database(url or f"sqlite:///{folder / 'var' / 'archivewatch.db'}")
    try:
        bare = _bare(db)
        org_books.fill(db)
        check = _check(db)
        lookup = took_ms(lambda: [_lookup(db) for _ in range(50)]) / 50
        rooms_s, told = _rooms(db, folder)
        audited = _audited(db)
    finally:
        db.close()
    found = sorted(org_pages.measure(config), key=lambda page: -page.p95)
    pages[kind] = [page.row() for page in found]
    later, first = spread([value for page in found for value in page.later]), spread([page.first for page in found])
    dear = max(found, key=lambda page: page.cpu)
    return [
        row(f"{kind}: load the province, {count:,} rows", loaded["seconds"], "s", "5,000 bare inserts", bare / 1000),
        row(f"{kind}: 5,000 rooms, {told} reports of progress", rooms_s, "s", "5,000 bare inserts", bare / 1000),
        row(f"{kind}: {len(found)} pages: p95 of all views", later["p95"], "ms", "one row by its key", lookup, spread=later),
        row(f"{kind}: the slowest page: p95", found[0].p95, "ms", "one row by its key", lookup, page=found[0].address),
        row(f"{kind}: the dearest page: CPU of the server", dear.cpu, "ms", "one row by its key", lookup, page=dear.address),
        row(f"{kind}: first views: p95", first["p95"], "ms", "one row by its key", lookup, spread=first),
        row(f"{kind}: subtree check", check, "µs", "one row by its key", lookup * 1000),
        row(f"{kind}: audit verify: entries by CPU time", audited, "per s", "one row by its key", 1000 / lookup),
    ]


def _command(*arguments: str) -> str:
    return subprocess.run([sys.executable, "-m", "server", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def _bare(db: Database) -> float:
    """ms of 5,000 plain inserts in one transaction."""
    rows = [
        {"kind": "bare", "level": "info", "unit": PROVINCE, "subject": str(n), "sentence": "x", "raised_at": T0, "closed_at": T0}
        for n in range(5_000)
    ]

    def write() -> None:
        with db.write() as session:
            session.execute(insert(Notice), rows)

    return took_ms(write)


def _check(db: Database) -> float:
    """µs of one question whether a unit lies below another, as every route asks it."""
    with db.read() as session:
        codes = list(session.scalars(units.below(CITY)))

        def ask() -> int:
            for code in codes:
                units.within(session, code, CITY)
            return len(codes)

        return 1e6 / per_second(ask)


def _audited(db: Database) -> float:
    """Entries of the audit log checked in a second of this process's CPU time."""
    with db.read() as session:
        began = time.process_time()
        found = audit.walk(session)
        spent = time.process_time() - began
    if found.broken is not None:
        raise RuntimeError(f"a sound log was refused: {found}")
    return found.rows / spent


def _lookup(db: Database) -> None:
    with db.read() as session:
        units.get(session, COUNTY)


def _rooms(db: Database, folder: Path) -> tuple[float, int]:
    """Seconds of the import of 5,000 new rooms, and how often it told how far it was. They are taken back afterwards."""
    lines = ["code,unit,name,short_name,sms_place,kind,medium,stage,city,demanded,person"]
    with db.read() as session:
        stations = [code for code in session.scalars(units.below(PROVINCE)) if code[6] == "9"]
    for n in range(5_000):
        code = f"{stations[n % len(stations)]}-{20 + n // len(stations):02d}"
        lines.append(f"{code},{code[:12]},第{n}号新库房,新{n}号,新库{n:05d},store,paper,not_connected,fuzhou,temperature;humidity;smoke,")
    path = folder / "rooms.csv"
    path.write_text("\n".join(lines), "utf-8")
    told: list[int] = []
    began = time.perf_counter()
    summary = imports.import_csv(db, "rooms", path, now=T0, progress=lambda done, _rows: told.append(done))
    seconds = time.perf_counter() - began
    if summary.created != 5_000:
        raise RuntimeError(f"not all rooms were loaded: {summary.errors[:3]}")
    imports.undo(db, summary.run, by="bench", reason="measured", now=T0)
    return seconds, len(told)
