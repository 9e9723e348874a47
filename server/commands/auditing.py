"""audit verify, export, anchor: the chain of the audit log, the seals of history, and the evidence that leaves the house."""

import argparse
from pathlib import Path
from typing import Any

from server.commands import FAILED, INVALID, OK, CommandError, add, database, emit, now_ms, say, settings_of
from server.commands.remote import ask, server_or_store
from server.commands.stores import opened
from server.history import seals
from server.org import chain_check
from server.series.partition import DAY_MS, day_label, day_number, day_of, day_start
from server.settings import Settings
from server.store import anchors, audit
from server.store import seals as sealed_rows

_AT_ONCE = 7


def audit_verify(args: argparse.Namespace) -> int:
    """Walk the audit chain, hold the anchors against it, then read the samples of the days asked for against their seals."""
    settings = settings_of(args)
    log = _log(settings, args.anchors)
    say(log["sentence"] or f"审计日志完整：{log['rows']} 条，数据库里 {log['anchors_stored']} 个、文件里 {log['anchors']} 个锚点相符。")
    first, last = _days(args)
    found = [] if args.log_only else _history(settings, first, last)
    for finding in found[:20]:
        say(finding["sentence"])
    with database(settings).read() as session:
        sealed = sealed_rows.count(session, first, last)
    days = {"from": day_label(first), "to": day_label(last), "seals": sealed, "findings": found}
    sound = log["sentence"] is None and not found
    emit(
        {"ok": sound, **log, "history": None if args.log_only else days},
        args,
        "历史数据没有核对。" if args.log_only else _outcome(sealed, len(found)),
    )
    return OK if sound else FAILED


def _outcome(sealed: int, found: int) -> str:
    if found:
        return f"历史数据有 {found} 处与封存不符。"
    return f"历史数据与 {sealed} 份封存一致。" if sealed else "这些日子还没有封存，历史数据无从核对。"


def _log(settings: Settings, path: Path | None) -> dict[str, Any]:
    """The audit log against itself and its anchors: those of the database and those of files, by default of the data folder."""
    folder = path or settings.data_dir / "anchors"
    try:
        kept = anchors.read(folder) if folder.exists() or path else []
    except (OSError, ValueError) as error:
        raise CommandError(f"锚点文件读不出：{error}", INVALID) from error
    db = database(settings)
    with db.write() as session:
        ident = chain_check.ask(session, "cli", now_ms()).id
    walk = chain_check.run(db, ident, now_ms())  # kept: the self-check page shows when the log was last walked, and what was found
    with db.read() as session:
        stored = anchors.in_database(session)
        sentence = anchors.contradicted(session, [*stored, *kept])
    if walk.broken is not None:
        sentence = f"审计日志从第 {walk.broken} 条起对不上。"
    return {"rows": walk.rows, "first_broken": walk.broken, "anchors": len(kept), "anchors_stored": len(stored), "sentence": sentence}


def _days(args: argparse.Namespace) -> tuple[int, int]:
    try:
        last = day_number(args.until) if args.until else day_of(now_ms())
        first = day_number(args.since) if args.since else last - 30
    except ValueError as error:
        raise CommandError(f"日期应写作 2026-10-05：{error}", INVALID) from error
    if first > last:
        raise CommandError("起始日期晚于结束日期。", INVALID)
    return first, last


def _history(settings: Settings, first: int, last: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    with server_or_store(settings, timeout_s=3600) as client:
        if client is None:
            with opened(settings) as (db, store):
                return [each._asdict() | {"sentence": each.sentence()} for each in seals.verify(db, store, first, last, progress=_progress)]
        for day in range(first, last + 1, _AT_ONCE):
            until = min(day + _AT_ONCE, last + 1)
            span = {"from": _iso(day_start(day)), "to": _iso(day_start(until))}
            found += ask(client, "GET", "/audit/history", params=span).json()["findings"]
            _progress(until - first, last - first + 1)
    return list({each["sentence"]: each for each in found}.values())


def _iso(instant: int) -> str:
    return f"{day_label(instant // DAY_MS)}T16:00:00Z"  # days begin at 16:00 UTC


def _progress(done: int, of: int) -> None:
    if done % 10 == 0 or done == of:
        say(f"已核对 {done} / {of} 天")


def audit_export(args: argparse.Namespace) -> int:
    """Write the whole log as JSON lines, as stored; tools/verify_audit.py checks the file without the product."""
    db, rows = database(settings_of(args)), 0
    with db.write() as session:
        audit.append(session, "cli", "audit_export", str(args.output.name), {}, now_ms())
    with db.read() as session, args.output.open("w", encoding="utf-8") as stream:
        for row in session.execute(audit.stored()):
            stream.write(audit.as_line(row) + "\n")
            rows += 1
    emit({"rows": rows, "file": str(args.output)}, args, f"已导出 {rows} 条。")
    return OK


def audit_anchor(args: argparse.Namespace) -> int:
    """Make today's anchor if it is not there yet, and write it (or the newest one) to a file for the level above."""
    settings = settings_of(args)
    db = database(settings)
    with db.write() as session:
        anchors.make(session, now_ms())
    with db.read() as session:
        found = anchors.of_day(session, "", None)
        path = anchors.write(args.output or settings.data_dir / "anchors", found)
        top = next((anchor.node for anchor in found if anchor.unit == anchors.TOP), None)
    emit(
        {"file": None if path is None else str(path), "node": top, "units": len(found)},
        args,
        f"锚点 {top}，写入 {path}" if path else "还没有审计记录。",
    )
    return OK


def register(commands: Any) -> None:
    """Add the commands of this module."""
    verify = commands.add_parser("audit", help="审计日志").add_subparsers(required=True)
    one = add(verify, "verify", audit_verify, "校验审计日志的链，以及历史数据与封存是否一致")
    one.add_argument("--from", dest="since", metavar="DAY", help="历史数据从哪一天起核对，如 2026-10-05；默认最近 31 天")
    one.add_argument("--to", dest="until", metavar="DAY", help="到哪一天止，含当天")
    one.add_argument("--log-only", action="store_true", help="只校验审计日志，不读历史数据")
    one.add_argument("--anchors", type=Path, help="锚点文件或目录（默认数据目录下 anchors）")
    export = add(verify, "export", audit_export, "导出全部审计日志（JSONL）")
    export.add_argument("-o", "--output", type=Path, required=True)
    anchor = add(verify, "anchor", audit_anchor, "生成并写出当日锚点")
    anchor.add_argument("-o", "--output", type=Path, help="目录")
