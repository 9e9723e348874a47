"""alarms explain, alarms case, replay: why an alarm did what it did, and judging its case again on any machine."""

import argparse
import json
from pathlib import Path
from typing import Any

from alarms.case import CaseError, Verdict, read, replay
from server.cases import NoCaseError, bundle, explain_alarm
from server.commands import FAILED, INVALID, NOT_FOUND, OK, CommandError, add, database, emit, now_ms, say, series_store, settings_of
from server.commands.remote import ask, server_or_store
from server.commands.words import SIDES, clock, origin
from server.duty.words import LEVELS, SUPPRESSIONS, TRANSITIONS
from server.instants import beijing
from server.settings import Settings
from server.web.labels import ALARM_STATES


def alarms_explain(args: argparse.Namespace) -> int:
    """What an alarm did and why, by the rules that held then."""
    settings = settings_of(args)
    with server_or_store(settings) as client:
        if client is not None:
            found = ask(client, "GET", f"/alarms/{args.id}/explanation").json()
        else:
            with database(settings).read() as session:
                found = explain_alarm(session, args.id)
    if found is None:
        raise CommandError(f"没有这条告警：{args.id}", NOT_FOUND)
    emit(found, args, "" if args.json else explained(found))
    return OK


def explained(found: dict[str, Any]) -> str:
    """The same as text: a line per change, the reason below it."""
    lines = [
        f"告警 {found['alarm']}（编号 {found['number']}）{found['event']} · {found['place']}（{found['rule']}，{found['room'] or found['subject']}）"
    ]
    for change in found["transitions"]:
        said = [f"{TRANSITIONS.get(change['name'], change['name'])} → {ALARM_STATES.get(change['after'], change['after'])}"]
        said += [LEVELS.get(change["level"], ""), change["by"], SUPPRESSIONS.get(change["note"], change["note"])]
        lines.append(f"{clock(change['at'])}  {' · '.join(filter(None, said))}")
        if change["limit"] is not None and change["name"] in ("raised", "re_raised", "escalated"):
            lines.append(f"    {_because(change) if found['kind'] != 'group' else '同一原因的几条告警合成一条；为什么，看其中各条'}")
    return "\n".join([*lines, *(f"规则版本 {book['version'][:12]}，{clock(book['since'])} 起" for book in found["rule_sets"])])


def _because(change: dict[str, Any]) -> str:
    value = "" if change["value"] is None else f"测值 {change['value']:g} "
    delay = f"，持续 {change['on_delay_s']:g} 秒" if change["on_delay_s"] else ""
    made = change["limit_change"]
    whose = f"{made['by']} 调整：{made['why']}" if made else origin(change["limit_origin"])
    source = f"；依据 {change['source']}" if change["source"] and not made else ""
    return f"{value}{SIDES.get(change['side'] or '', '限值')} {change['limit']:g}{delay}；限值来自 {whose}{source}"


def alarms_case(args: argparse.Namespace) -> int:
    """Write the bundle of an alarm."""
    settings = settings_of(args)
    with server_or_store(settings) as client:
        body = ask(client, "GET", f"/alarms/{args.id}/case").json() if client is not None else _bundle(settings, args.id)
    args.output.write_text(json.dumps(body, ensure_ascii=False), "utf-8")
    emit({"file": str(args.output), "samples": len(body["samples"])}, args, f"已写入 {args.output}：测值 {len(body['samples'])} 条")
    return OK


def _bundle(settings: Settings, ident: int) -> dict[str, Any]:
    store = series_store(settings)
    try:
        with database(settings).read() as session:
            body = bundle(session, store, settings.watch, ident, now_ms())
    except NoCaseError as error:
        raise CommandError(str(error), INVALID) from error
    finally:
        store.close()
    if body is None:
        raise CommandError(f"没有这条告警：{ident}", NOT_FOUND)
    return body


def case_replay(args: argparse.Namespace) -> int:
    """Judge a bundle again; exit 1 when something comes out otherwise than it was recorded."""
    try:
        verdict = replay(read(json.loads(args.bundle.read_text("utf-8"))))
    except OSError as error:
        raise CommandError(f"{args.bundle}: {error.strerror}", NOT_FOUND) from error
    except (CaseError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CommandError(f"{args.bundle}: {error}", INVALID) from error
    lines = _lines(verdict)
    emit({"same": verdict.same, "lines": lines}, args, "\n".join(_text(line) for line in lines))
    say("复演结果与当时的记录一致" if verdict.same else "复演结果与当时的记录不一致")
    return OK if verdict.same else FAILED


def _lines(verdict: Verdict) -> list[dict[str, Any]]:
    return [
        {
            "same": same,
            "recorded": None if was is None else {"at": was["at"], "name": was["name"], "level": was["level"]},
            "replayed": None if now is None else {"at": now.at, "name": now.name, "level": None if now.level is None else now.level.word},
        }
        for was, now, same in verdict.lines
    ]


def _text(line: dict[str, Any]) -> str:
    def side(entry: dict[str, Any] | None) -> str:
        return "—" if entry is None else f"{beijing(entry['at'])} {entry['name']} {entry['level'] or ''}".rstrip()

    return f"  {side(line['recorded'])}" if line["same"] else f"≠ 记录 {side(line['recorded'])}；复演 {side(line['replayed'])}"


def register(commands: Any) -> None:
    """Add the commands of this module."""
    group = commands.add_parser("alarms", help="告警").add_subparsers(required=True)
    add(group, "explain", alarms_explain, "一条告警为什么发生：按当时的规则、限值及其来历").add_argument("id", type=int)
    case = add(group, "case", alarms_case, "导出一条告警的复演包（规则、限值、前后的测值）")
    case.add_argument("id", type=int)
    case.add_argument("-o", "--output", type=Path, required=True)
    add(commands, "replay", case_replay, "在任何一台电脑上复演一个复演包", config=False).add_argument("bundle", type=Path)
