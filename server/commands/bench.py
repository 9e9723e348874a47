"""bench: measure this machine. The programs lie in the folder benchmarks/ of the source tree; here is only the door to them."""

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

from server.commands import NOT_FOUND, CommandError, add

NAMES = ("path", "ingest", "alarm", "history", "live", "edge", "org", "audit", "duty", "reports")


def source_tree() -> Path:
    """The folder that holds benchmarks/. Raises CommandError (3) where only the wheel is installed."""
    found = importlib.util.find_spec("benchmarks")
    if found is None or not found.submodule_search_locations:
        raise CommandError("这里没有基准程序：它们只在源码目录里，请在那里运行。", NOT_FOUND)
    return Path(next(iter(found.submodule_search_locations))).parent


def bench(args: argparse.Namespace) -> int:
    """One benchmark in a process of its own, so that nothing of this command is measured; its JSON is the result."""
    tree = source_tree()
    if not (tree / "benchmarks" / f"bench_{args.name}.py").exists():
        raise CommandError(f"没有基准程序 {args.name}。", NOT_FOUND)
    where = ["--folder", str(args.folder)] if args.folder else []
    command = [sys.executable, "-m", "benchmarks", *(["--quick"] if args.quick else []), *where, args.name]
    return subprocess.run(command, cwd=tree, stdout=None if args.json else subprocess.DEVNULL, check=False).returncode


def register(commands: Any) -> None:
    """Add the commands of this module."""
    command = add(commands, "bench", bench, "在本机测量：每个数字旁边有同一次运行里的对照", config=False)
    command.add_argument("name", choices=NAMES)
    command.add_argument("--quick", action="store_true", help="只测一会儿")
    command.add_argument("--folder", type=lambda text: Path(text).resolve(), help="在哪里工作；内存盘测不出 fsync")
