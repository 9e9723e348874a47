"""drill start, drill list: a drill through the running server."""

import argparse
from typing import Any

from server.commands import OK, add, emit, settings_of
from server.commands.remote import ask, running_server


def drill_start(args: argparse.Namespace) -> int:
    """Order a drill of a room, or of every room in service of a unit."""
    place = {"room": args.place} if "-" in args.place else {"unit": args.place}
    with running_server(settings_of(args)) as client:
        made = ask(client, "POST", "/drills", json=place | {"note": args.note, "quantity": args.quantity}).json()
    emit(made, args, f"已下达演练 {made['id']}：{made['rooms']} 间库房。结果见 archivewatch drill list {made['id']}")
    return OK


def drill_list(args: argparse.Namespace) -> int:
    """The drills of one order."""
    with running_server(settings_of(args)) as client:
        found = ask(client, "GET", "/drills", params={"campaign": args.campaign, "limit": 500}).json()["items"]
    lines = (f"{row['room']}  {row['state']}  {row['reason'] or row['result'].get('answered_s', '')}" for row in found)
    emit(found, args, "\n".join(lines))
    return OK


def register(commands: Any) -> None:
    """Add the commands of this module."""
    group = commands.add_parser("drill", help="演练").add_subparsers(required=True)
    start = add(group, "start", drill_start, "对一间库房或一个单位的全部在用库房下达演练")
    start.add_argument("place", help="库房编号或单位编号")
    start.add_argument("--note", default="", help="说明")
    start.add_argument("--quantity", default="", choices=("", "smoke", "leak", "door", "motion", "power"), help="演练哪种测点，默认烟感优先")
    add(group, "list", drill_list, "一次演练的逐间结果").add_argument("campaign", type=int)
