"""rules test, rules explain: the operator's limits."""

import argparse
from pathlib import Path
from typing import Any

from alarms import timeline
from alarms.rules import RuleError, default_rules, load_rules
from server.commands import FAILED, INVALID, NOT_FOUND, OK, CommandError, add, database, emit, say, settings_of
from server.store.tables import Room, Unit


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
    """Which limits hold for a quantity in a room, and where they come from."""
    settings = settings_of(args)
    db = database(settings)
    with db.read() as session:
        room = session.get(Room, args.room)
        if room is None:
            raise CommandError(f"没有这间库房：{args.room}", NOT_FOUND)
        path, code = [room.unit], session.get_one(Unit, room.unit).parent
        while code is not None:
            path.insert(0, code)
            code = session.get_one(Unit, code).parent
    rules = load_rules(settings.rules) if settings.rules else default_rules()
    found = [
        {
            "rule": rule.name,
            "kind": rule.kind,
            "ladder": [{"level": r.level.word, r.side: r.limit, "on_delay_s": r.on_delay_ms / 1000} for r in rule.ladder],
            "deadband": rule.deadband,
            "off_delay_s": rule.off_delay_ms / 1000,
            "source": rule.source,
        }
        for rule in rules.for_point(args.quantity, room.medium, path, room.code)
    ]
    emit({"room": room.code, "medium": room.medium, "quantity": args.quantity, "rules": found}, args)
    return OK if found else NOT_FOUND


def register(commands: Any) -> None:
    """Add the commands of this module."""
    group = commands.add_parser("rules", help="规则").add_subparsers(required=True)
    add(group, "test", rules_test, "运行规则测试", config=False).add_argument("files", nargs="+", type=Path)
    explain = add(group, "explain", rules_explain, "某库房某量的限值及来源")
    explain.add_argument("room")
    explain.add_argument("quantity")
