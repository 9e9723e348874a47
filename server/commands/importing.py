"""import: units, people, rooms, devices and history."""

import argparse
from pathlib import Path
from typing import Any

from server.commands import INVALID, OK, CommandError, add, database, emit, now_ms, say, settings_of
from server.org import imports
from server.org.import_history import import_history
from server.series.choose import open_store
from server.settings import Settings
from server.store.lock import StoreLock
from server.store.session import Database


def import_command(args: argparse.Namespace) -> int:
    """Load units, people, rooms, devices or history."""
    settings = settings_of(args)
    with StoreLock(settings.data_dir):
        db = database(settings)
        try:
            if args.kind == "history":
                return _import_history(db, settings, args)
            summary = imports.import_csv(db, args.kind, args.file, now=now_ms(), dry_run=args.dry_run)
        except (OSError, ValueError) as error:
            raise CommandError(str(error), INVALID) from error
    for sentence in summary.errors[:20]:
        say(sentence)
    text = f"{summary.rows} 行：新增 {summary.created}，更新 {summary.updated}，不变 {summary.unchanged}，有误 {len(summary.errors)}"
    result = {name: getattr(summary, name) for name in ("kind", "rows", "created", "updated", "unchanged", "errors")}
    emit(result | {"dry_run": args.dry_run}, args, text + ("（试运行，未写入）" if args.dry_run else ""))
    return INVALID if summary.errors else OK


def _import_history(db: Database, settings: Settings, args: argparse.Namespace) -> int:
    series = settings.series
    token = series.token_file.read_text("utf-8").strip() if series.token_file is not None else ""
    store = open_store(series.kind, settings.data_dir / "series", url=series.url, bucket=series.bucket, org=series.org, token=token)
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
