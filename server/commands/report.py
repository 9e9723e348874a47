"""report: papers as files. A running server makes them; without one the command opens the store itself."""

import argparse
import time
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from server import from_settings
from server.commands import FAILED, INVALID, NOT_FOUND, OK, CommandError, add, database, emit, now_ms, say, series_store, settings_of
from server.commands.remote import ask, server_or_store
from server.reports.desk import ENDINGS, Here, TooLargeError, Wanted
from server.reports.kinds import KINDS, UnknownSubjectError
from server.reports.period import PeriodError, parse_period
from server.reports.sources import Bands
from server.reports.wiring import open_desk
from server.settings import Settings
from server.store import units
from server.store.session import Database
from server.store.tables import Room, Unit
from server.store.tables_papers import ExportJob
from server.watch.facts import band

_POLL_S = 0.5
_OUTPUT = "格式由结尾决定：.pdf .xlsx .docx .html .csv .json，.zip 为每个单位（或县区）一份 PDF"


def report_command(args: argparse.Namespace) -> int:
    """Make one paper."""
    settings = settings_of(args)
    ending = args.output.suffix.removeprefix(".").lower()
    if ending not in ENDINGS:
        raise CommandError(f"文件应以 {'、'.join('.' + name for name in ENDINGS)} 结尾。", INVALID)
    try:
        period = parse_period(args.period).text
    except PeriodError as error:
        raise CommandError(str(error), INVALID) from error
    with server_or_store(settings) as client:
        made = _here(settings, args, period, ending) if client is None else _there(client, args, period, ending)
    result = {"file": str(args.output), "kind": args.kind, "code": args.code, "period": period} | made
    emit(result, args, f"{args.output}　{made['bytes']} 字节　SHA-256 {made['sha256'][:16]}　内容校验值 {made['digest'][:16]}")
    return OK


def _there(client: httpx.Client, args: argparse.Namespace, period: str, ending: str) -> dict[str, Any]:
    body = {"kind": args.kind, "code": args.code, "period": period, "format": ending}
    job = ask(client, "POST", "/exports", json=body).json()
    while job["state"] in ("queued", "running"):
        time.sleep(_POLL_S)
        job = ask(client, "GET", f"/exports/{job['id']}").json()
        if job["total"] > 1 and not args.json:
            say(f"{job['done']}/{job['total']} 页")
    if job["state"] != "done":
        raise CommandError(job["error"] or "没有做成。", FAILED)
    args.output.write_bytes(ask(client, "GET", f"/exports/{job['id']}/file").content)
    return {key: job[key] for key in ("bytes", "sha256", "digest")}


def _here(settings: Settings, args: argparse.Namespace, period: str, ending: str) -> dict[str, Any]:
    db = database(settings)
    store = series_store(settings)
    try:
        desk = open_desk(settings, db, store, _bands(settings, db), Here())
        job = desk.make_now(Wanted(kind=args.kind, code=args.code, period=period, ending=ending, by="cli", options={}), now_ms())
        if job.state != "done":
            raise CommandError(job.error, FAILED)
        _copy(desk.path(job), args.output)
        return _told(job)
    except UnknownSubjectError as error:
        raise CommandError(str(error), NOT_FOUND) from error
    except TooLargeError as error:
        raise CommandError(str(error), INVALID) from error
    finally:
        store.close()
        db.close()


def _bands(settings: Settings, db: Database) -> Any:
    rules = from_settings.rules(settings)
    with db.read() as session:
        paths = {code: units.path(session, code) for code in session.scalars(select(Unit.code))}

    def bands(room: Room) -> Bands:
        return band(rules, room.medium, paths[room.unit], room.code)

    return bands


def _copy(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())


def _told(job: ExportJob) -> dict[str, Any]:
    return {"bytes": job.bytes, "sha256": job.sha256, "digest": job.digest}


def register(commands: Any) -> None:
    """Add the commands of this module."""
    group = commands.add_parser("report", help="报表：登记表、检查报告、考评等").add_subparsers(required=True, metavar="KIND")
    for name, kind in KINDS.items():
        command = add(group, name, report_command, kind.title)
        command.set_defaults(kind=name)
        command.add_argument("code", metavar="ROOM" if name == "register" else "ROOM|UNIT" if kind.of_room else "UNIT", help="库房或单位编号")
        command.add_argument("period", metavar="PERIOD", help="2026-10、2026-Q3、2026 或 2026-10-01..2026-10-15")
        command.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=_OUTPUT)
