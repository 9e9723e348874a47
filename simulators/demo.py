"""`make demo`: a miniature province on this machine, every part a process of its own, from sensor bytes to a page and an SMS.

First start: make the province, load it and 30 days of history through the product's own import commands, create an account per role. Every start:
broker, SMS gateway, simulated rooms, server, three edge agents, fleet; then the three scenes. Ctrl-C ends every child. `--check` needs no browser.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from simulators import demo_check, province_books, wiring
from simulators.demo_site import BANNER, KEEPER_UNIT, PORTS, ROLES, Site, choose_ports
from simulators.processes import Child, StartError, answers, command, run
from simulators.province import small
from simulators.province_rows import Province, write
from simulators.signals import stop_event

SCENE_AFTER_S = 12
PROVINCE_UNIT = "350000000000"


class Demo:
    """The processes of one demo folder. Also what the fault tests run and kill."""

    def __init__(self, site: Site, *, fleet: bool = True, environment: Mapping[str, str] | None = None) -> None:
        self.site = site
        logs = site.folder / "logs"
        self.broker = Child(
            "broker",
            [*command("archivewatch-sim"), "broker", "--port", str(site.ports["broker"]), "--data", str(site.folder / "broker")],
            logs,
            line=True,
        )
        self.sms = Child(
            "sms",
            [*command("archivewatch-sim"), "sms", "--port", str(site.ports["sms"]), "--data", str(site.folder / "sms.db"),
             "--auth-token", site.secrets["sms"]],
            logs,
            line=True,
        )  # fmt: skip
        self.world = Child("world", [*command("archivewatch-sim"), "world", "--config", str(site.folder / "world.yaml")], logs, line=True)
        self.server = Child(
            "server",
            [*command("archivewatch"), "serve", "--config", str(site.folder / "server" / "server.yaml")],
            logs,
            ready=lambda: answers(f"{site.url}/readyz"),
        )
        self.edges = {
            gateway: Child(gateway, [*command("archivewatch-edge"), "run", "--config", str(site.folder / gateway / "edge.yaml")], logs,
                           environment=environment)
            for gateway in site.gateways
        }  # fmt: skip
        self.fleet = Child(
            "fleet",
            [*command("archivewatch-sim"), "fleet", "--broker", f"127.0.0.1:{site.ports['broker']}",
             "--devices", str(site.folder / "province" / "devices.csv")],
            logs,
        )  # fmt: skip
        self._with_fleet = fleet

    @property
    def children(self) -> tuple[Child, ...]:
        """All of them, in the order in which they start."""
        return (self.broker, self.sms, self.world, self.server, *self.edges.values(), *((self.fleet,) if self._with_fleet else ()))

    def start(self, say: Callable[[str], None] = lambda _text: None) -> None:
        """Start everything. Raises StartError; whatever has started is stopped then."""
        try:
            say("启动消息服务器、短信网关 / broker, SMS gateway")
            for child in (self.broker, self.sms):
                child.launch()
            for child in (self.broker, self.sms):
                child.wait_ready()
            say("启动仿真库房、中心服务 / simulated rooms, server")
            for child in (self.world, self.server):
                child.launch()
            for child in (self.world, self.server):
                child.wait_ready()
            say("启动三个网关和其余单位的供数 / three edge agents, fleet")
            for child in self.children[4:]:
                child.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything, the sources first, so that the server can take what is on its way."""
        for child in reversed(self.children):
            child.stop()


def prepare(folder: Path, ports: Mapping[str, int], say: Callable[[str], None], *, days: int = 30) -> Site:
    """Make the folder's province, history and accounts if they are not there yet, and write all configuration files."""
    province = small(1)
    site = Site(folder, province, ports)
    site.write()
    done = folder / "loaded"
    if done.is_file():
        return site
    say("生成小型的省：4 级单位、39 间库房 / a small province")
    write(province, folder / "province")
    province_books.write(province_books.make(province, 1, datetime.now(ZoneInfo("Asia/Shanghai")).date()), folder / "province")
    config = ["--config", str(folder / "server" / "server.yaml")]
    run([*command("archivewatch"), "import", "all", str(folder / "province"), *config])
    if days:
        say(f"生成并导入 {days} 天历史（10 分钟一条，含室外天气）/ {days} days of history")
        source = ["--province", str(folder / "province"), "--days", str(days)]
        run([*command("archivewatch-sim"), "history", "-o", str(folder / "history"), *source])
        run([*command("archivewatch"), "import", "history", str(folder / "history" / "history.parquet"), *config])
    say("建立演示账号 / accounts")
    rows = [
        {"login": login, "role": role, "name": name, "password": site.secrets[login], "unit": KEEPER_UNIT if role == "in_charge" else PROVINCE_UNIT}
        for login, (role, name) in ROLES.items()
    ]
    run([*command("archivewatch"), "account", "load", *config], text="\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    done.write_text("", "utf-8")
    return site


def stage(site: Site, say: Callable[[str], None] = lambda _text: None) -> None:
    """Start the three scenes."""
    for scenario, room, _rule, words in site.scenes():
        run([*command("archivewatch-sim"), "scenario", scenario, "--control", site.control_url, "--room", room, "--variant", "demo"])
        say(f"{words}：{_name(site.province, room)}（{room}）")


def _name(province: Province, room: str) -> str:
    return next(row.name for row in province.rooms if row.code == room)


def banner(site: Site) -> str:
    """What the person needs to know."""
    accounts = "\n".join(f"    {login:<10}{site.secrets[login]:<16}{name}" for login, (_role, name) in ROLES.items())
    return (
        f"\n{'─' * 78}\n  ArchiveWatch 档案用房智能值守\n  {BANNER}\n\n  值守台  {site.url}\n  短信    {site.sms_url}\n\n"
        f"  账号      密码            角色\n{accounts}\n\n  Ctrl-C 结束 / Ctrl-C to stop\n{'─' * 78}\n"
    )


def main(argv: list[str] | None = None) -> int:
    """Entry point of `make demo`."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--check", action="store_true", help="run without a browser, print a JSON summary, exit 0 or 1")
    parser.add_argument("--folder", type=Path, default=Path("var/demo"), help="where its data lie")
    parser.add_argument("--days", type=int, default=30, help="days of history on the first start")
    args = parser.parse_args(argv)
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.1f} s] {text}", file=sys.stderr, flush=True)

    try:
        ports, said = choose_ports(args.folder)
        for sentence in said:
            say(sentence)
        return _run(prepare(args.folder, ports, say, days=args.days), args, say)
    except StartError as error:
        print(f"\n演示没有启动：{error}", file=sys.stderr)
        return 1


def _run(site: Site, args: argparse.Namespace, say: Callable[[str], None]) -> int:
    stop = stop_event()
    demo = Demo(site)
    demo.start(say)
    try:
        say("就绪 / ready")
        if args.check:
            return _check(site, say)
        print(banner(site), flush=True)
        if not stop.wait(SCENE_AFTER_S):
            stage(site, say)
        while not stop.wait(1):
            for child in demo.children:
                if not child.alive:
                    say(f"{child.name} 意外退出了：\n{child.tail()}")
                    return 1
        return 0
    finally:
        say("正在结束所有子进程 / stopping")
        demo.server.stop()  # before its sources: the end of a demo is no outage of 39 gateways that the next start would show
        demo.stop()


def _check(site: Site, say: Callable[[str], None]) -> int:
    summary: dict[str, Any]
    try:
        summary = demo_check.check(site, lambda: stage(site, say), say)
    except demo_check.CheckError as error:
        summary = {"ok": False, "reason": str(error)}
    print(json.dumps(summary, ensure_ascii=False), flush=True)
    return 0 if summary["ok"] else 1


__all__ = ["PORTS", "Demo", "Site", "prepare", "stage", "wiring"]

if __name__ == "__main__":
    sys.exit(main())
