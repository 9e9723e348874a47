"""rules trial start, list, show, end: a rule set judged silently beside the one in force, by the running server."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from server.commands import NOT_FOUND, OK, CommandError, add, emit, settings_of
from server.commands.remote import ask, running_server
from server.commands.words import clock
from server.duty.words import LEVELS


def _asked(args: argparse.Namespace, call: Callable[[httpx.Client], Any]) -> Any:
    with running_server(settings_of(args)) as client:
        return call(client)


def trial_start(args: argparse.Namespace) -> int:
    """Begin a trial of a rule file."""
    try:
        rules = args.file.read_text("utf-8")
    except OSError as error:
        raise CommandError(f"{args.file}: {error.strerror}", NOT_FOUND) from error
    body = {"name": args.name or args.file.stem, "unit": args.unit, "rules": rules, "until": args.until}
    made = _asked(args, lambda client: ask(client, "POST", "/rule-trials", json=body).json())
    emit(made, args, f"试行 {made['id']} 已开始，只判定、不通知。对照见 archivewatch rules trial show {made['id']}")
    return OK


def trial_list(args: argparse.Namespace) -> int:
    """All trials, newest first."""
    found = _asked(args, lambda client: ask(client, "GET", "/rule-trials", params={"limit": 500}).json()["items"])
    emit(
        found,
        args,
        "\n".join(f"{one['id']}  {one['name']}  {one['unit']}  {one['since']} 起  {'进行中' if one['active'] else '已结束'}" for one in found),
    )
    return OK


def trial_show(args: argparse.Namespace) -> int:
    """Both counts, and the alarms that differ."""
    found = _asked(args, lambda client: ask(client, "GET", f"/rule-trials/{args.id}").json())
    emit(found, args, "" if args.json else compared(found))
    return OK


def compared(found: dict[str, Any]) -> str:
    """The comparison as text."""
    sums = f"现行规则 {found['now']} 次，试行规则 {found['trial']} 次，不同 {found['different']} 处"
    lines = [f"{found['name']}（{found['unit']}，{clock(found['since'])} 起）：{sums}"]
    lines += [f"  {rule['rule']}：现行 {rule['now']}，试行 {rule['trial']}" for rule in found["rules"]]
    lines += [f"  {one['room']} {one['rule']}：现行 {_side(one['now'])}；试行 {_side(one['trial'])}" for one in found["differences"]]
    return "\n".join(lines)


def _side(side: dict[str, Any] | None) -> str:
    if side is None:
        return "无"
    return f"{LEVELS[side['level']]} {clock(side['raised_at'])} 至 {clock(side['cleared_at']) if side['cleared_at'] else '现在'}"


def trial_end(args: argparse.Namespace) -> int:
    """End a trial."""
    made = _asked(args, lambda client: ask(client, "POST", f"/rule-trials/{args.id}/end").json())
    emit(made, args, f"试行 {made['id']} 已结束。")
    return OK


def add_to(rules: Any) -> None:
    """Add `trial` to the group `rules`."""
    group = rules.add_parser("trial", help="试行一份规则：只判定、不通知").add_subparsers(required=True)
    start = add(group, "start", trial_start, "开始试行")
    start.add_argument("file", type=Path)
    start.add_argument("--unit", required=True, help="单位代码，含下级")
    start.add_argument("--name", default="", help="名称，默认用文件名")
    start.add_argument("--until", help="结束时间（ISO 8601，带时区），默认到手动结束为止")
    add(group, "list", trial_list, "全部试行")
    for name, call, text in (("show", trial_show, "对照"), ("end", trial_end, "结束试行")):
        add(group, name, call, text).add_argument("id", type=int)
