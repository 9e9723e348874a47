"""import: units, people, rooms, devices and history."""

import argparse
import time
from pathlib import Path
from typing import Any

import httpx

from server.commands import INVALID, OK, CommandError, add, database, emit, now_ms, say, settings_of
from server.commands.remote import ask, server_or_store
from server.commands.stores import open_series
from server.org import imports
from server.org.import_history import import_history
from server.org.imports.plan import Wrong
from server.settings import Settings
from server.store.lock import StoreLock
from server.store.session import Database

_ASK_S = 0.2
_SAY_ROWS = 5_000


def import_command(args: argparse.Namespace) -> int:
    """Load units, people, rooms, devices or history."""
    settings = settings_of(args)
    try:
        if args.kind == "history":
            with StoreLock(settings.data_dir):
                return _import_history(database(settings), settings, args)
        with server_or_store(settings) as client:
            result = _here(settings, args) if client is None else _there(client, args)
    except (OSError, ValueError) as error:
        raise CommandError(str(error), INVALID) from error
    for sentence in result["errors"][:20]:
        say(sentence)
    text = f"{result['rows']} 行：新增 {result['created']}，更新 {result['updated']}，不变 {result['unchanged']}，有误 {len(result['errors'])}"
    emit(result | {"dry_run": args.dry_run}, args, text + ("（试运行，未写入）" if args.dry_run else ""))
    return INVALID if result["errors"] else OK


_TOLD = ("kind", "rows", "created", "updated", "unchanged")


def _here(settings: Settings, args: argparse.Namespace) -> dict[str, Any]:
    """No server runs: load into the store ourselves."""
    db = database(settings)
    try:
        summary = imports.import_csv(db, args.kind, args.file, now=now_ms(), dry_run=args.dry_run)
    finally:
        db.close()
    return {name: getattr(summary, name) for name in (*_TOLD, "errors")}


def _there(client: httpx.Client, args: argparse.Namespace) -> dict[str, Any]:
    """The running server loads it, and its watch goes on with the new rows; progress is said as it comes."""
    files = {"file": (args.file.name, args.file.read_bytes())}
    run = ask(client, "POST", "/imports", files=files, data={"kind": args.kind, "dry_run": str(args.dry_run).lower()}).json()
    said = 0
    while run["state"] == imports.RUNNING:
        time.sleep(_ASK_S)
        run = ask(client, "GET", f"/imports/{run['id']}").json()
        if run["done"] - said >= _SAY_ROWS:
            said = run["done"]
            say(f"已写入 {said} / {run['rows']} 行")
    if run["state"] == "failed":
        raise CommandError(run["sentence"], INVALID)
    sentences = [str(Wrong(error["line"], error["column"], error["sentence"], error["title"])) for error in run["errors"]]
    return {name: run[name] for name in _TOLD} | {"errors": sentences}


def _import_history(db: Database, settings: Settings, args: argparse.Namespace) -> int:
    store = open_series(settings, settings.series)
    try:
        summary = import_history(db, store, args.file, dry_run=args.dry_run, now=now_ms())
    finally:
        store.close()
    result = {name: getattr(summary, name) for name in ("rows", "points", "new", "repeats", "conflicts", "refused")}
    if summary.unknown:
        say(f"有 {len(summary.unknown)} 个测点未登记，其数据未导入，例如 {summary.unknown[0][0]}")
    if summary.conflicts:
        say(f"有 {summary.conflicts} 条与已存的数值不同，保留先存的")
    text = f"{summary.rows} 条，{summary.points} 个测点，新增 {summary.new} 条，重复 {summary.repeats} 条"
    emit(result | {"unknown": dict(summary.unknown)}, args, text)
    return OK


def register(commands: Any) -> None:
    """Add the commands of this module."""
    importing = add(commands, "import", import_command, "导入单位、人员、库房、设备或历史")
    importing.add_argument("kind", choices=(*imports.KINDS, "history"))
    importing.add_argument("file", type=Path)
    importing.add_argument("--dry-run", action="store_true", help="只检查，不写入")
