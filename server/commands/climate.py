"""climate: what one climate, or a record of it, means for paper."""

import argparse
import csv
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from server.commands import INVALID, NOT_FOUND, OK, USAGE, CommandError, add, emit

SHANGHAI = ZoneInfo("Asia/Shanghai")
_TEMPERATURES = (-40, 80)  # outside them neither a store room nor the formulas' fits mean anything


def climate_series(args: argparse.Namespace) -> int:
    """What a recorded climate means: columns time (ISO 8601), temperature, humidity."""
    from alarms import climate  # noqa: PLC0415

    series = []
    try:
        with args.file.open(encoding="utf-8-sig", newline="") as file:
            for line, row in enumerate(csv.DictReader(file), 2):
                try:
                    at = datetime.fromisoformat(row["time"])
                    moment = at if at.tzinfo is not None else at.replace(tzinfo=SHANGHAI)
                    series.append(climate.Air(int(moment.timestamp() * 1000), float(row["temperature"]), float(row["humidity"])))
                except (KeyError, TypeError, ValueError) as error:
                    raise CommandError(f"{args.file}:{line}: {error}", INVALID) from error
        emit(climate.describe_series(series), args)
    except OSError as error:
        raise CommandError(f"{args.file}: {error.strerror}", NOT_FOUND) from error
    except ValueError as error:
        raise CommandError(f"{args.file}: {error}", INVALID) from error
    return OK


def climate_point(args: argparse.Namespace) -> int:
    """Dew point, absolute humidity, EMC, preservation index and mould of one climate."""
    if args.temperature is None or args.humidity is None:
        raise CommandError("需要 --temperature 和 --humidity。", USAGE)
    if not (_TEMPERATURES[0] <= args.temperature <= _TEMPERATURES[1] and 0 < args.humidity <= 100):
        raise CommandError(f"温度应在 {_TEMPERATURES[0]}–{_TEMPERATURES[1]} ℃，相对湿度应大于 0、不超过 100 %RH。", INVALID)
    from alarms import climate  # noqa: PLC0415

    emit(climate.describe(args.temperature, args.humidity), args)
    return OK


def register(commands: Any) -> None:
    """Add the commands of this module."""
    point = add(commands, "climate", climate_point, "一个温湿度条件的含义", config=False)
    point.add_argument("--temperature", type=float)
    point.add_argument("--humidity", type=float)
    point.set_defaults(call=lambda args: climate_series(args) if args.series else climate_point(args))
    point.add_argument("series", nargs="?", choices=("series",), help="分析一段记录")
    point.add_argument("file", nargs="?", type=Path, help="CSV：time,temperature,humidity")
