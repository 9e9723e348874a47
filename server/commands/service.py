"""serve, migrate, doctor, config: the service itself."""

import argparse
from typing import Any

from server.commands import INVALID, OK, UNREACHABLE, CommandError, add, emit, settings_of
from server.store.migrate import migrate
from server.store.session import Database


def serve(args: argparse.Namespace) -> int:
    """Run the server until a signal."""
    from server.app import run  # noqa: PLC0415 - the web stack is not needed by the other commands

    if args.role != "all":
        raise CommandError("内置历史库只能由一个进程使用：请用 --role all。分进程部署需要 PostgreSQL 和 InfluxDB，尚未支持。", INVALID)
    return run(settings_of(args))


def migrate_command(args: argparse.Namespace) -> int:
    """Bring the schema to the newest version."""
    settings = settings_of(args)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    before, after = migrate(Database(settings.database_url))
    emit({"before": before, "after": after}, args, f"数据库版本：{before or '空'} → {after}")
    return OK


def config_show(args: argparse.Namespace) -> int:
    """Effective settings; with --origin each says whether the file or the default gave it."""
    settings = settings_of(args)
    values = settings.model_dump(mode="json")
    if args.origin:
        values = {key: {"value": value, "origin": "file" if key in settings.model_fields_set else "default"} for key, value in values.items()}
    emit(values, args)
    return OK


def doctor(args: argparse.Namespace) -> int:
    """Health of everything, with a fix per line."""
    from server.doctor import examine  # noqa: PLC0415 - probes libraries that other commands need not load

    findings = examine(settings_of(args), args.config)
    text = "\n".join(f"{'好' if finding['ok'] else '坏'}  {finding['name']}：{finding['sentence']}" for finding in findings)
    emit(findings, args, text)
    return OK if all(finding["ok"] for finding in findings) else UNREACHABLE


def register(commands: Any) -> None:
    """Add the commands of this module."""
    add(commands, "serve", serve, "运行服务").add_argument("--role", choices=("all", "ingest", "web", "notify", "jobs"), default="all")
    add(commands, "migrate", migrate_command, "升级数据库结构")
    add(commands, "doctor", doctor, "检查各部分是否正常")
    config = commands.add_parser("config", help="设置").add_subparsers(required=True)
    add(config, "show", config_show, "显示生效的设置").add_argument("--origin", action="store_true")
