"""audit verify: the chain of the audit log."""

import argparse
from typing import Any

from server.commands import FAILED, OK, add, database, emit, settings_of
from server.store import audit


def audit_verify(args: argparse.Namespace) -> int:
    """Walk the audit chain."""
    with database(settings_of(args)).read() as session:
        broken = audit.verify(session)
    emit({"ok": broken is None, "first_broken": broken}, args, "审计日志完整。" if broken is None else f"审计日志从第 {broken} 条起对不上。")
    return OK if broken is None else FAILED


def register(commands: Any) -> None:
    """Add the commands of this module."""
    verify = commands.add_parser("audit", help="审计日志").add_subparsers(required=True)
    add(verify, "verify", audit_verify, "校验审计日志的链")
