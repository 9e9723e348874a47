"""The commands of `archivewatch`, one module per noun; each has `register(commands)` and is listed in server/cli.py.

With `--json` one JSON value goes to stdout; sentences for people go to stderr.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from server.secret_files import secret
from server.series import SeriesStore
from server.series.choose import open_store
from server.settings import SeriesSettings, Settings, SettingsError, load_settings
from server.store.migrate import SchemaTooNewError, migrate
from server.store.session import Database

OK, FAILED, USAGE, NOT_FOUND, INVALID, UNREACHABLE = range(6)


class CommandError(Exception):
    """A command that cannot be carried out, with its exit code."""

    def __init__(self, sentence: str, code: int = FAILED) -> None:
        super().__init__(sentence)
        self.code = code


def now_ms() -> int:
    """UTC milliseconds."""
    return time.time_ns() // 1_000_000


def say(text: str) -> None:
    """A sentence for the person."""
    print(text, file=sys.stderr)


def emit(value: Any, args: argparse.Namespace, text: str = "") -> None:
    """The result: JSON on request, else text."""
    print(json.dumps(value, ensure_ascii=False) if args.json else text or json.dumps(value, ensure_ascii=False, indent=2))


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings file named on the command line."""
    try:
        return load_settings(args.config)
    except SettingsError as error:
        raise CommandError(str(error), INVALID) from error


def database(settings: Settings) -> Database:
    """The database, brought to the newest schema."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    db = Database(settings.database_url)
    try:
        migrate(db)
    except SchemaTooNewError as error:
        raise CommandError(str(error), INVALID) from error
    return db


def series_store(settings: Settings, series: SeriesSettings | None = None) -> SeriesStore:
    """The series store of these settings, or another as `series` describes it; the caller closes it. An embedded one lies in the data folder."""
    series = series or settings.series
    return open_store(
        series.kind, settings.data_dir / "series", url=series.url, bucket=series.bucket, org=series.org, token=secret(series.token_file)
    )


def add(group: Any, name: str, call: Callable[[argparse.Namespace], int], text: str, *, config: bool = True) -> argparse.ArgumentParser:
    """One command of a group of subparsers, with the options that all commands share."""
    command: argparse.ArgumentParser = group.add_parser(name, help=text, description=text)
    command.set_defaults(call=call)
    command.add_argument("--json", action="store_true", help="结果以 JSON 输出")
    if config:
        command.add_argument("--config", type=Path, default=Path("server.yaml"), help="server.yaml")
    return command
