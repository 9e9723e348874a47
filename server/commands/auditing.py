"""audit verify: the chain of the audit log, and the seals of history."""

import argparse
from typing import Any

from server.commands import FAILED, INVALID, OK, CommandError, add, database, emit, now_ms, say, settings_of
from server.commands.remote import ask, server_or_store
from server.commands.stores import opened
from server.history import seals
from server.series.partition import DAY_MS, day_label, day_number, day_of, day_start
from server.settings import Settings
from server.store import audit

_AT_ONCE = 7


def audit_verify(args: argparse.Namespace) -> int:
    """Walk the audit chain, then read the samples of the days asked for against their seals."""
    settings = settings_of(args)
    with database(settings).read() as session:
        broken = audit.verify(session)
    say("审计日志完整。" if broken is None else f"审计日志从第 {broken} 条起对不上。")
    first, last = _days(args)
    found = [] if args.log_only else _history(settings, first, last)
    for finding in found[:20]:
        say(finding["sentence"])
    sentence = "历史数据与封存一致。" if not found else f"历史数据有 {len(found)} 处与封存不符。"
    days = {"from": day_label(first), "to": day_label(last), "findings": found}
    emit({"ok": broken is None and not found, "first_broken": broken, "history": None if args.log_only else days}, args, sentence)
    return OK if broken is None and not found else FAILED


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


def register(commands: Any) -> None:
    """Add the commands of this module."""
    verify = commands.add_parser("audit", help="审计日志").add_subparsers(required=True)
    one = add(verify, "verify", audit_verify, "校验审计日志的链，以及历史数据与封存是否一致")
    one.add_argument("--from", dest="since", metavar="DAY", help="历史数据从哪一天起核对，如 2026-10-05；默认最近 31 天")
    one.add_argument("--to", dest="until", metavar="DAY", help="到哪一天止，含当天")
    one.add_argument("--log-only", action="store_true", help="只校验审计日志，不读历史数据")
