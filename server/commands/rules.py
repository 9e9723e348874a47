"""rules test, explain, backtest: the operator's limits."""

import argparse
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx

from alarms import timeline
from alarms.rules import RuleError, RuleSet, parse_rules
from server import from_settings
from server.backtest import backtest, here, summary
from server.commands import (
    FAILED,
    INVALID,
    NOT_FOUND,
    OK,
    USAGE,
    CommandError,
    add,
    database,
    emit,
    now_ms,
    say,
    series_store,
    settings_of,
    trials,
)
from server.commands.remote import ask, running_server, server_or_store
from server.commands.words import asked, origin
from server.duty.words import LEVELS
from server.instants import instant
from server.notify import compose
from server.settings import Settings
from server.store import holidays, limits, units
from server.store.places import places

BEIJING = timezone(timedelta(hours=8))
_AT_A_TIME = 10


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
    """Which limits hold for a quantity in a room, level by level, and where they come from."""
    settings = settings_of(args)
    with server_or_store(settings) as client:
        if client is not None:
            found = ask(client, "GET", f"/rooms/{args.room}/limits", params={"quantity": args.quantity}).json()
        else:
            found = _explain(settings, args.room, args.quantity)
    emit(found, args, "" if args.json else explained(found))
    return OK


def _explain(settings: Settings, room: str, quantity: str) -> dict[str, Any]:
    db = database(settings)
    with db.read() as session:
        rules = limits.effective_rules(session, from_settings.rules(settings), now_ms(), compose.workdays(settings).given)
        found = limits.explain_room(session, rules, room, quantity)
    if found is None:
        raise CommandError(f"没有这间库房：{room}", NOT_FOUND)
    if not found["rules"]:
        raise CommandError(f"库房 {room} 的 {quantity} 没有规则。", NOT_FOUND)
    return found


def explained(found: dict[str, Any]) -> str:
    """The same as text: a line per level, and one per layer below it."""
    lines = [f"{found['room']}（{found['medium']}）{found['quantity']}"]
    for rule in found["rules"]:
        lines.append(f"{rule['rule']}（{rule['kind']}）：{rule['source']}")
        for level in rule["levels"]:
            lines.append(f"  {_limit(level, rule)}  {level['because']}")
            lines += [
                f"    {'→' if layer['wins'] else ' '} {origin(layer['origin'])}：{_limit(layer, rule)} {_told(layer)}".rstrip()
                for layer in level["layers"]
            ]
    return "\n".join(lines)


def _limit(level: dict[str, Any], rule: dict[str, Any]) -> str:
    return f"{LEVELS[level['level']]} {asked(level, rule['kind'])}，持续 {level['on_delay_s']:g} 秒"


def _told(layer: dict[str, Any]) -> str:
    if "by" not in layer:
        return str(layer["source"])
    until = "至撤销为止" if layer["until"] is None else f"到 {instant(layer['until'])}"
    return f"{layer['by']}：{layer['why']}（{until}）"


def rules_preview(args: argparse.Namespace) -> int:
    """What a tighter limit would have meant in the last 30 days; nothing is changed."""
    place = {"room": args.place} if "-" in args.place else {"unit": args.place}
    body = place | {"rule": args.rule, "level": args.level, "limit": args.limit, "on_delay_s": args.on_delay, "why": "试算"}
    with running_server(settings_of(args)) as client:
        found = ask(client, "POST", "/limits/preview", json=body).json()
    emit(found, args, found["sentence"])
    return OK


def rules_backtest(args: argparse.Namespace) -> int:
    """Alarms per room and day that a rule file would have raised on stored history."""
    settings, since, until = settings_of(args), _instant(args.start), _instant(args.end)
    if until <= since:
        raise CommandError("结束时间须晚于开始时间。", USAGE)
    try:
        body = args.file.read_text("utf-8")
        rules = parse_rules(body, str(args.file))
    except OSError as error:
        raise CommandError(f"{args.file}: {error.strerror}", NOT_FOUND) from error
    except RuleError as error:
        raise CommandError(str(error), INVALID) from error
    with server_or_store(settings) as client:
        if client is not None:
            result = _asked(client, {"from": instant(since), "to": instant(until)}, {"rules": body, "unit": args.unit, "most": _AT_A_TIME})
        else:
            result = _backtest(settings, rules, args.unit, since, until)
    emit(result, args, "" if args.json else _counted(result))
    return OK


def _asked(client: httpx.Client, span: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
    """Some rooms at a time, so that no request takes minutes and whoever waits sees how far it is."""
    result = part = ask(client, "POST", "/rules/backtest", params=span, json=body).json()
    while part["next"]:
        say(f"已试算 {len(result['rooms'])}/{part['rooms_in_all']} 间")
        part = ask(client, "POST", "/rules/backtest", params=span, json=body | {"after": part["next"]}).json()
        result["alarms"] += part["alarms"]
        result["rooms"] += part["rooms"]
    del result["next"], result["rooms_in_all"]
    return result  # type: ignore[no-any-return]


def _backtest(settings: Settings, rules: RuleSet, unit: str, since: int, until: int) -> dict[str, Any]:
    db = database(settings)
    with db.read() as session:
        if units.get(session, unit) is None:
            raise CommandError(f"没有这个单位：{unit}", NOT_FOUND)
        rooms = places(session, unit, settings.watch)
    store = series_store(settings)
    try:
        dated = holidays.filled(rules, until, compose.workdays(settings).given)
        [raised] = backtest(store, [dated], rooms, since, until, here, lambda done: _progress(done, len(rooms)))
        return summary(raised, rules, unit, since, until, rooms)
    finally:
        store.close()


def _progress(done: int, rooms: int) -> None:
    if done % _AT_A_TIME == 0 and done < rooms:
        say(f"已试算 {done}/{rooms} 间")


def _counted(result: dict[str, Any]) -> str:
    since, until = (datetime.fromisoformat(result[name]).astimezone(BEIJING) for name in ("from", "to"))
    lines = [f"{result['unit']} {since:%Y-%m-%d %H:%M} 至 {until:%Y-%m-%d %H:%M}：告警 {result['alarms']} 次"]
    for room in result["rooms"]:
        lines.append(f"{room['room']}：{room['alarms']} 次")
        lines += [f"  {day['day']}：{day['alarms']} 次 " + "，".join(f"{name} {n}" for name, n in day["by_rule"].items()) for day in room["days"]]
    return "\n".join(lines)


def _instant(text: str) -> int:
    """A day or an instant, without an offset in Beijing time. Raises CommandError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"{text} 不是日期或时间，例如 2026-10-01 或 2026-10-01T08:00。", USAGE) from error
    return int((moment if moment.tzinfo is not None else moment.replace(tzinfo=BEIJING)).timestamp() * 1000)


def register(commands: Any) -> None:
    """Add the commands of this module."""
    group = commands.add_parser("rules", help="规则").add_subparsers(required=True)
    add(group, "test", rules_test, "运行规则测试", config=False).add_argument("files", nargs="+", type=Path)
    explain = add(group, "explain", rules_explain, "某库房某量的限值及来源")
    explain.add_argument("room")
    explain.add_argument("quantity")
    preview = add(group, "preview", rules_preview, "收紧一项限值会怎样：用过去 30 天的历史试算，不改变任何东西")
    preview.add_argument("place", help="库房编号或单位编号")
    preview.add_argument("rule", help="规则名，如 humidity_high")
    preview.add_argument("level", choices=("warn", "alarm", "urgent", "critical"))
    preview.add_argument("--limit", type=float, help="新限值")
    preview.add_argument("--on-delay", type=float, help="新的持续时间，秒")
    back = add(group, "backtest", rules_backtest, "用历史数据试算一份规则")
    back.add_argument("file", type=Path)
    back.add_argument("--from", dest="start", required=True, help="起始日期或时间（北京时间）")
    back.add_argument("--to", dest="end", required=True, help="结束日期或时间（不含）")
    back.add_argument("--unit", required=True, help="单位代码，含下级")
    trials.add_to(group)
