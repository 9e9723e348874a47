"""maintenance list, plan, cancel: work in rooms, at once or announced, through the running server."""

import argparse
import sys
from typing import Any

from server.commands import OK, add, emit, settings_of
from server.commands.remote import ask, running_server

_STATES = {"planned": "已安排", "running": "进行中", "over": "已结束", "cancelled": "已取消", "missed": "错过"}


def work_list(args: argparse.Namespace) -> int:
    """Announced work, the last announced first; what is over only with --all."""
    states = "" if args.all else "planned,running"
    wanted = {"unit": args.unit, "room": args.room, "state": states, "limit": 500}
    with running_server(settings_of(args)) as client:
        found = ask(client, "GET", "/maintenance", params=wanted).json()["items"]
    emit(found, args, "\n".join(_line(work) for work in found) or "没有维护安排。")
    return OK


def _line(work: dict[str, Any]) -> str:
    second = f"  烟感也暂停，第二人 {work['second']}" if work["second"] else ""
    return f"{work['id']}  {work['room']}  {work['since']} 至 {work['until']}  {_STATES[work['state']]}  {work['person']}  {work['reason']}{second}"


def work_plan(args: argparse.Namespace) -> int:
    """Announce work, or without --from begin it now. The second person's password comes from standard input, never from the command line."""
    body = {"since": args.since, "until": args.until, "reason": args.reason, "person": args.person, "second": args.second}
    if args.second:
        body["second_password"] = sys.stdin.readline().rstrip("\n")
    with running_server(settings_of(args)) as client:
        made = ask(client, "POST", f"/rooms/{args.room}/maintenance", json=body).json()
    emit(made, args, made["sentence"])
    return OK


def work_cancel(args: argparse.Namespace) -> int:
    """Take an announcement back; what is under way ends now."""
    with running_server(settings_of(args)) as client:
        made = ask(client, "POST", f"/rooms/{args.room}/maintenance/{args.id}/cancel").json()
    emit(made, args, made["sentence"])
    return OK


def register(commands: Any) -> None:
    """Add the commands of this module."""
    group = commands.add_parser("maintenance", help="库房维护：列出、安排、取消").add_subparsers(required=True)
    shown = add(group, "list", work_list, "已安排和进行中的维护")
    shown.add_argument("--unit", default="", help="单位编号，含下级；默认全部")
    shown.add_argument("--room", default="", help="只看一间库房")
    shown.add_argument("--all", action="store_true", help="也列出已结束、取消、错过的")
    plan = add(group, "plan", work_plan, "安排一次维护；不写 --from 就从现在开始")
    plan.add_argument("room", help="库房编号")
    plan.add_argument("--from", dest="since", help="开始时间（ISO 8601，带时区）")
    plan.add_argument("--until", required=True, help="结束时间（ISO 8601，带时区）")
    plan.add_argument("--reason", required=True, help="原因")
    plan.add_argument("--person", required=True, help="现场负责人")
    plan.add_argument("--second", default="", help="第二人登录名：烟感也暂停；密码从标准输入读")
    cancel = add(group, "cancel", work_cancel, "取消一次安排；进行中的立即结束")
    cancel.add_argument("room", help="库房编号")
    cancel.add_argument("id", type=int, help="编号，见 maintenance list")
