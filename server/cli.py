"""The command `archivewatch`. Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 invalid or conflict, 5 a dependency is unreachable.

With `--json` one JSON value goes to stdout; sentences for people go to stderr.
"""

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from alarms import timeline
from alarms.rules import RuleError, default_rules, load_rules
from server.org import accounts, imports
from server.org.import_history import import_history
from server.series.choose import open_store
from server.settings import Settings, SettingsError, load_settings
from server.store import audit
from server.store.lock import StoreLock, StoreTakenError
from server.store.migrate import SchemaTooNewError, migrate
from server.store.session import Database
from server.store.tables import Room, Unit

SHANGHAI = ZoneInfo("Asia/Shanghai")
OK, FAILED, USAGE, NOT_FOUND, INVALID, UNREACHABLE = range(6)


class CommandError(Exception):
    """A command that cannot be carried out, with its exit code."""

    def __init__(self, sentence: str, code: int = FAILED) -> None:
        super().__init__(sentence)
        self.code = code


def now_ms() -> int:
    """UTC milliseconds."""
    return time.time_ns() // 1_000_000


def say(text: str) -> None:
    """A sentence for the person."""
    print(text, file=sys.stderr)


def emit(value: Any, args: argparse.Namespace, text: str = "") -> None:
    """The result: JSON on request, else text."""
    print(json.dumps(value, ensure_ascii=False) if args.json else text or json.dumps(value, ensure_ascii=False, indent=2))


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings file named on the command line."""
    try:
        return load_settings(args.config)
    except SettingsError as error:
        raise CommandError(str(error), INVALID) from error


def database(settings: Settings) -> Database:
    """The database, brought to the newest schema."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    db = Database(settings.database_url)
    try:
        migrate(db)
    except SchemaTooNewError as error:
        raise CommandError(str(error), INVALID) from error
    return db


# -- commands ---------------------------------------------------------------------------------------------------------------------------


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


def account_add(args: argparse.Namespace) -> int:
    """Create an account; the password comes from standard input, never from the command line."""
    password = sys.stdin.readline().rstrip("\n")
    db = database(settings_of(args))
    try:
        with db.write() as session:
            if session.get(Unit, args.unit) is None:
                raise CommandError(f"没有这个单位：{args.unit}", NOT_FOUND)
            accounts.add_account(session, login=args.login, password=password, role=args.role, unit=args.unit, name=args.name or args.login)
            audit.append(session, "cli", "account_add", args.login, {"role": args.role, "unit": args.unit}, now_ms())
    except ValueError as error:
        raise CommandError(f"账号未建立：{error}", INVALID) from error
    emit({"login": args.login}, args, f"已建立账号 {args.login}")
    return OK


def account_load(args: argparse.Namespace) -> int:
    """Create accounts from JSON lines on standard input: {"login", "role", "unit", "name", "password"}; all of them or none."""
    db = database(settings_of(args))
    made = 0
    try:
        with db.write() as session:
            for line in filter(str.strip, sys.stdin):
                row = json.loads(line)
                if session.get(Unit, row["unit"]) is None:
                    raise CommandError(f"没有这个单位：{row['unit']}", NOT_FOUND)
                accounts.add_account(session, **{key: row[key] for key in ("login", "role", "unit", "name", "password")})
                audit.append(session, "cli", "account_add", row["login"], {"role": row["role"], "unit": row["unit"]}, now_ms())
                made += 1
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(f"账号未建立，第 {made + 1} 行：{error}", INVALID) from error
    emit({"created": made}, args, f"已建立 {made} 个账号")
    return OK


def climate_series(args: argparse.Namespace) -> int:
    """What a recorded climate means: columns time (ISO 8601), temperature, humidity."""
    from alarms import climate  # noqa: PLC0415

    series = []
    try:
        with args.file.open(encoding="utf-8-sig", newline="") as file:
            for line, row in enumerate(csv.DictReader(file), 2):
                try:
                    at = datetime.fromisoformat(row["time"])
                    moment = at if at.tzinfo is not None else at.replace(tzinfo=SHANGHAI)
                    series.append(climate.Air(int(moment.timestamp() * 1000), float(row["temperature"]), float(row["humidity"])))
                except (KeyError, TypeError, ValueError) as error:
                    raise CommandError(f"{args.file}:{line}: {error}", INVALID) from error
        emit(climate.describe_series(series), args)
    except OSError as error:
        raise CommandError(f"{args.file}: {error.strerror}", NOT_FOUND) from error
    except ValueError as error:
        raise CommandError(f"{args.file}: {error}", INVALID) from error
    return OK


def rules_test(args: argparse.Namespace) -> int:
    """Run operator rule tests."""
    failures: list[str] = []
    for path in args.files:
        try:
            failures += [str(failure) for failure in timeline.run(path.read_text("utf-8"), str(path))]
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}", NOT_FOUND) from error
        except RuleError as error:
            raise CommandError(str(error), INVALID) from error
    for failure in failures:
        print(failure)
    say(f"{len(args.files)} 个文件，{len(failures)} 处不符")
    return FAILED if failures else OK


def rules_explain(args: argparse.Namespace) -> int:
    """Which limits hold for a quantity in a room, and where they come from."""
    settings = settings_of(args)
    db = database(settings)
    with db.read() as session:
        room = session.get(Room, args.room)
        if room is None:
            raise CommandError(f"没有这间库房：{args.room}", NOT_FOUND)
        path, code = [room.unit], session.get_one(Unit, room.unit).parent
        while code is not None:
            path.insert(0, code)
            code = session.get_one(Unit, code).parent
    rules = load_rules(settings.rules) if settings.rules else default_rules()
    found = [
        {
            "rule": rule.name,
            "kind": rule.kind,
            "ladder": [{"level": r.level.word, r.side: r.limit, "on_delay_s": r.on_delay_ms / 1000} for r in rule.ladder],
            "deadband": rule.deadband,
            "off_delay_s": rule.off_delay_ms / 1000,
            "source": rule.source,
        }
        for rule in rules.for_point(args.quantity, room.medium, path, room.code)
    ]
    emit({"room": room.code, "medium": room.medium, "quantity": args.quantity, "rules": found}, args)
    return OK if found else NOT_FOUND


def climate_point(args: argparse.Namespace) -> int:
    """Dew point, absolute humidity, EMC, preservation index and mould of one climate."""
    if args.temperature is None or args.humidity is None:
        raise CommandError("需要 --temperature 和 --humidity。", USAGE)
    from alarms import climate  # noqa: PLC0415

    emit(climate.describe(args.temperature, args.humidity), args)
    return OK


def audit_verify(args: argparse.Namespace) -> int:
    """Walk the audit chain."""
    with database(settings_of(args)).read() as session:
        broken = audit.verify(session)
    emit({"ok": broken is None, "first_broken": broken}, args, "审计日志完整。" if broken is None else f"审计日志从第 {broken} 条起对不上。")
    return OK if broken is None else FAILED


def doctor(args: argparse.Namespace) -> int:
    """Health of everything, with a fix per line."""
    from server.doctor import examine  # noqa: PLC0415 - probes libraries that other commands need not load

    findings = examine(settings_of(args))
    text = "\n".join(f"{'好' if finding['ok'] else '坏'}  {finding['name']}：{finding['sentence']}" for finding in findings)
    emit(findings, args, text)
    return OK if all(finding["ok"] for finding in findings) else UNREACHABLE


# -- the table of commands ----------------------------------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="archivewatch", description="档案用房智能值守：服务与运维")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(group: Any, name: str, call: Callable[[argparse.Namespace], int], text: str, *, config: bool = True) -> argparse.ArgumentParser:
        command: argparse.ArgumentParser = group.add_parser(name, help=text, description=text)
        command.set_defaults(call=call)
        command.add_argument("--json", action="store_true", help="结果以 JSON 输出")
        if config:
            command.add_argument("--config", type=Path, default=Path("server.yaml"), help="server.yaml")
        return command

    add(commands, "serve", serve, "运行服务").add_argument("--role", choices=("all", "ingest", "web", "notify", "jobs"), default="all")
    add(commands, "migrate", migrate_command, "升级数据库结构")
    add(commands, "doctor", doctor, "检查各部分是否正常")
    config = commands.add_parser("config", help="设置").add_subparsers(required=True)
    add(config, "show", config_show, "显示生效的设置").add_argument("--origin", action="store_true")
    importing = add(commands, "import", import_command, "导入单位、人员、库房、设备或历史")
    importing.add_argument("kind", choices=(*imports.KINDS, "history"))
    importing.add_argument("file", type=Path)
    importing.add_argument("--dry-run", action="store_true", help="只检查，不写入")
    account = commands.add_parser("account", help="账号").add_subparsers(required=True)
    adding = add(account, "add", account_add, "新建账号（密码从标准输入读取）")
    adding.add_argument("login")
    adding.add_argument("--role", required=True, choices=accounts.ROLES)
    adding.add_argument("--unit", required=True)
    adding.add_argument("--name", default="")
    add(account, "load", account_load, "新建一批账号（标准输入，每行一个 JSON）")
    rules = commands.add_parser("rules", help="规则").add_subparsers(required=True)
    add(rules, "test", rules_test, "运行规则测试", config=False).add_argument("files", nargs="+", type=Path)
    explain = add(rules, "explain", rules_explain, "某库房某量的限值及来源")
    explain.add_argument("room")
    explain.add_argument("quantity")
    point = add(commands, "climate", climate_point, "一个温湿度条件的含义", config=False)
    point.add_argument("--temperature", type=float)
    point.add_argument("--humidity", type=float)
    point.set_defaults(call=lambda args: climate_series(args) if args.series else climate_point(args))
    point.add_argument("series", nargs="?", choices=("series",), help="分析一段记录")
    point.add_argument("file", nargs="?", type=Path, help="CSV：time,temperature,humidity")
    verify = commands.add_parser("audit", help="审计日志").add_subparsers(required=True)
    add(verify, "verify", audit_verify, "校验审计日志的链")
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one command; every failure is one sentence."""
    args = parser().parse_args(argv)
    try:
        code: int = args.call(args)
    except CommandError as error:
        say(str(error))
        return error.code
    except StoreTakenError as error:
        say(str(error))
        return INVALID
    return code
