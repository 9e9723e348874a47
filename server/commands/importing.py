"""import: units, people, rooms, devices, sheets, holdings, calibrations, all of a folder, and history."""

import argparse
import time
from pathlib import Path
from typing import Any

import httpx

from server.commands import INVALID, NOT_FOUND, OK, USAGE, CommandError, add, database, emit, now_ms, say, series_store, settings_of
from server.commands.remote import ask, server_or_store
from server.org import imports
from server.org.import_history import import_history
from server.org.imports.plan import Wrong
from server.settings import Settings
from server.store.lock import StoreLock
from server.store.session import Database

_ASK_S = 0.2
_SAY_ROWS = 5_000
_SAY_SAMPLES = 5_000_000


def import_command(args: argparse.Namespace) -> int:
    """Load one table, every table of a folder, or history."""
    settings = settings_of(args)
    try:
        if args.kind == "history":
            with StoreLock(settings.data_dir):
                return _import_history(database(settings), settings, args)
        with server_or_store(settings) as client:
            if args.kind == "all":
                return _folder(settings, client, args)
            result = _one(settings, client, args.kind, args.file, args.dry_run)
    except (OSError, ValueError) as error:
        raise CommandError(str(error), INVALID) from error
    for sentence in result["errors"][:20]:
        say(sentence)
    emit(result | {"dry_run": args.dry_run}, args, _sentence(result) + ("（试运行，未写入）" if args.dry_run else ""))
    return INVALID if result["errors"] else OK


def _sentence(result: dict[str, Any]) -> str:
    return f"{result['rows']} 行：新增 {result['created']}，更新 {result['updated']}，不变 {result['unchanged']}，有误 {len(result['errors'])}"


def _folder(settings: Settings, client: httpx.Client | None, args: argparse.Namespace) -> int:
    """Every table of a folder that has the name of a kind, in the order in which they refer to each other; the first wrong one ends it."""
    if args.dry_run:
        raise CommandError("整个目录不能试运行：后面的表要用前面的表写入的内容。", USAGE)
    found = [(kind, path) for kind in imports.KINDS for path in (args.file / f"{kind}.csv", args.file / f"{kind}.xlsx") if path.exists()]
    if not found:
        raise CommandError(f"{args.file} 里没有 units.csv、people.csv 等表格。", NOT_FOUND)
    began, results = time.monotonic(), []
    for kind, path in found:
        results.append(_one(settings, client, kind, path, False))
        say(f"{path.name}  {_sentence(results[-1])}")
        for sentence in results[-1]["errors"][:20]:
            say(sentence)
        if results[-1]["errors"]:
            break
    seconds = round(time.monotonic() - began, 1)
    emit({"tables": results, "seconds": seconds}, args, f"{sum(each['rows'] for each in results)} 行，用时 {seconds} 秒")
    return INVALID if results[-1]["errors"] else OK


_TOLD = ("kind", "rows", "created", "updated", "unchanged")


def _one(settings: Settings, client: httpx.Client | None, kind: str, path: Path, dry_run: bool) -> dict[str, Any]:
    return _here(settings, kind, path, dry_run) if client is None else _there(client, kind, path, dry_run)


def _here(settings: Settings, kind: str, path: Path, dry_run: bool) -> dict[str, Any]:
    """No server runs: load into the store ourselves."""
    db = database(settings)
    try:
        summary = imports.import_csv(db, kind, path, now=now_ms(), dry_run=dry_run, progress=_Told())
    finally:
        db.close()
    return {name: getattr(summary, name) for name in (*_TOLD, "errors")}


class _Told:
    """Says how far an import is, each so many rows."""

    def __init__(self, each: int = _SAY_ROWS) -> None:
        self._said, self._each = 0, each

    def __call__(self, done: int, rows: int) -> None:
        if done - self._said >= self._each:
            self._said = done
            say(f"已写入 {done} / {rows} 行")


def _there(client: httpx.Client, kind: str, path: Path, dry_run: bool) -> dict[str, Any]:
    """The running server loads it, and its watch goes on with the new rows; progress is said as it comes."""
    files = {"file": (path.name, path.read_bytes())}
    run = ask(client, "POST", "/imports", files=files, data={"kind": kind, "dry_run": str(dry_run).lower()}).json()
    told = _Told()
    while run["state"] == imports.RUNNING:
        time.sleep(_ASK_S)
        run = ask(client, "GET", f"/imports/{run['id']}").json()
        told(run["done"], run["rows"])
    if run["state"] == "failed":
        raise CommandError(run["sentence"], INVALID)
    sentences = [str(Wrong(error["line"], error["column"], error["sentence"], error["title"])) for error in run["errors"]]
    return {name: run[name] for name in _TOLD} | {"errors": sentences}


def _import_history(db: Database, settings: Settings, args: argparse.Namespace) -> int:
    store = series_store(settings)
    step_ms = None if args.step is None else round(args.step * 1000)
    try:
        summary = import_history(db, store, args.file, dry_run=args.dry_run, now=now_ms(), step_ms=step_ms, progress=_Told(_SAY_SAMPLES))
    finally:
        store.close()
    result = {name: getattr(summary, name) for name in ("rows", "points", "new", "repeats", "conflicts", "refused")}
    result["steps"] = {f"{step / 1000:g}": points for step, points in summary.steps.items()}
    if summary.unknown:
        say(f"有 {len(summary.unknown)} 个测点未登记，其数据未导入，例如 {summary.unknown[0][0]}")
    if summary.conflicts:
        say(f"有 {summary.conflicts} 条与已存的数值不同，保留先存的")
    text = f"{summary.rows} 条，{summary.points} 个测点，新增 {summary.new} 条，重复 {summary.repeats} 条"
    if summary.steps:
        text += "；采样间隔 " + "、".join(f"{step} 秒 {points} 个测点" for step, points in result["steps"].items())
    emit(result | {"unknown": dict(summary.unknown)}, args, text)
    return OK


def register(commands: Any) -> None:
    """Add the commands of this module."""
    importing = add(commands, "import", import_command, "导入单位、人员、库房、设备、一室一卡、馆藏、校准或历史")
    importing.add_argument("kind", choices=(*imports.KINDS, "all", "history"), help="all：目录里的全部表格，按先后次序")
    importing.add_argument("file", type=Path, help="表格；all 时为目录")
    importing.add_argument("--step", type=float, metavar="SECONDS", help="history：采样间隔；不写则由数据看出")
    importing.add_argument("--dry-run", action="store_true", help="只检查，不写入")
