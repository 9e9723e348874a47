"""The command `archivewatch`: the table of its command modules. A new noun = a module in server/commands and its name below.

Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 invalid or conflict, 5 a dependency is unreachable.
"""

import argparse

from server.commands import (
    INVALID,
    CommandError,
    account,
    alarms,
    auditing,
    backup,
    bench,
    climate,
    drill,
    gateway,
    importing,
    maintenance,
    report,
    rules,
    say,
    service,
    trace,
)
from server.secret_files import SecretFileError
from server.settings import SettingsError
from server.store.lock import StoreTakenError

MODULES = (service, importing, account, alarms, rules, climate, auditing, drill, bench, report, backup, trace, gateway, maintenance)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="archivewatch", description="档案用房智能值守：服务与运维")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for module in MODULES:
        module.register(commands)
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one command; every failure is one sentence."""
    args = parser().parse_args(argv)
    try:
        code: int = args.call(args)
    except CommandError as error:
        say(str(error))
        return error.code
    except (StoreTakenError, SettingsError, SecretFileError) as error:
        say(str(error))
        return INVALID
    return code
