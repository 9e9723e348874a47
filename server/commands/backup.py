"""backup, restore: everything at one journal cursor. history: months out as Parquet, the whole into another series store."""

import argparse
from importlib.metadata import version
from pathlib import Path
from typing import Any

from server.commands import FAILED, INVALID, OK, CommandError, add, emit, now_ms, say, series_store, settings_of
from server.commands.remote import ask, server_or_store
from server.commands.stores import opened
from server.history import backup, carry
from server.series import SeriesError
from server.settings import SeriesSettings
from server.store.lock import StoreLock


def make(args: argparse.Namespace) -> int:
    """Back up into a new folder, or check a backup that is there."""
    target: Path = args.folder.absolute()
    try:
        if args.check:
            found = backup.describe(backup.verify(target))
            emit(found, args, f"备份完好：{found['made_at']}，日志 {found['cursor']}，{found['samples']} 条采样。")
            return OK
        settings = settings_of(args)
        with server_or_store(settings, timeout_s=3600) as client:
            if client is not None:
                found = ask(client, "POST", "/backups", json={"folder": str(target)}).json()
            else:
                with opened(settings) as (db, store):
                    found = backup.describe(backup.save(db, store, settings.data_dir, target, now_ms(), version("archivewatch")))
    except (backup.BackupError, SeriesError, OSError) as error:
        raise CommandError(str(error), INVALID) from error
    emit(found, args, f"已备份到 {target}：日志 {found['cursor']}，{found['samples']} 条采样。")
    return OK


def restore(args: argparse.Namespace) -> int:
    """Put a backup back; the server must be stopped."""
    settings = settings_of(args)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    now = now_ms()
    with StoreLock(settings.data_dir):
        try:
            backup.verify(args.folder)
            if args.replace:
                say(f"原有数据移到 {backup.set_aside(settings.data_dir, now)}")
            done = backup.restore(args.folder, settings.database_url, settings.data_dir, now)
        except (backup.BackupError, SeriesError, OSError) as error:
            raise CommandError(str(error), INVALID) from error
    text = f"已恢复到日志 {done.cursor}：{done.samples} 条采样，其中 {done.replayed} 条由日志补上。服务启动后，网关会重发其后的数据。"
    emit(done._asdict(), args, text)
    return OK


def export(args: argparse.Namespace) -> int:
    """Write one month as Parquet with its checksum."""
    settings, target = settings_of(args), args.output.absolute()
    try:
        with server_or_store(settings, timeout_s=3600) as client:
            if client is not None:
                made = ask(client, "POST", "/history-exports", json={"folder": str(target), "month": args.month}).json()
            else:
                with opened(settings) as (db, store):
                    made = carry.export_month(db, store, args.month, target, _progress)._asdict()
    except (ValueError, SeriesError, OSError) as error:
        raise CommandError(str(error), INVALID) from error
    emit(made, args, f"{target / made['file']}：{made['samples']} 条，SHA-256 {made['sha256']}")
    return OK


def migrate(args: argparse.Namespace) -> int:
    """Carry all samples into another series store; the server must be stopped. The settings are not changed."""
    settings = settings_of(args)
    given = {"kind": args.to, "url": args.url, "org": args.org, "bucket": args.bucket, "token_file": args.token_file}
    wanted = SeriesSettings(**given)
    if wanted.kind == settings.series.kind and wanted.url == settings.series.url:
        raise CommandError("目标就是现在的存储。", INVALID)
    with StoreLock(settings.data_dir), opened(settings) as (db, store):
        try:
            other = series_store(settings, wanted)
            try:
                moved = carry.migrate(db, store, other, _progress)
            finally:
                other.close()
        except (SeriesError, OSError) as error:
            raise CommandError(str(error), FAILED) from error
    for day in moved.differing[:20]:
        say(f"{day} 两边不一致")
    text = f"{moved.samples} 条采样已搬到 {args.to}，新写 {moved.new} 条。现在把 server.yaml 的 series 改过来。"
    emit(moved._asdict(), args, text)
    return FAILED if moved.differing else OK


def _progress(done: int, of: int) -> None:
    if done * 20 // of != (done - 1) * 20 // of:
        say(f"{done} / {of} 天")


def register(commands: Any) -> None:
    """Add the commands of this module."""
    one = add(commands, "backup", make, "备份数据库、历史与图片到一个新文件夹；服务可以照常运行")
    one.add_argument("folder", type=Path)
    one.add_argument("--check", action="store_true", help="只检查该文件夹里的备份是否完整")
    two = add(commands, "restore", restore, "从备份恢复；先停服务")
    two.add_argument("folder", type=Path)
    two.add_argument("--replace", action="store_true", help="把现有数据移到一边，而不是拒绝")
    history = commands.add_parser("history", help="历史数据").add_subparsers(required=True)
    three = add(history, "export", export, "把一个月的采样导出为 Parquet，附校验和")
    three.add_argument("month", help="如 2026-10")
    three.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    four = add(history, "migrate", migrate, "把全部采样搬到另一种存储；先停服务，可重复运行")
    four.add_argument("--to", choices=("embedded", "influx"), required=True)
    four.add_argument("--url", default="")
    four.add_argument("--org", default="archivewatch")
    four.add_argument("--bucket", default="archivewatch")
    four.add_argument("--token-file", type=Path)
