"""climate: what one climate, or a record of it, means for paper; and whether to open the windows."""

import argparse
from pathlib import Path
from typing import Any

from alarms import climate, climate_series
from server.commands import INVALID, NOT_FOUND, OK, USAGE, CommandError, add, emit
from server.commands.climate_file import TEMPERATURES, read_air

ADVICE = {"open": "可以通风", "keep": "不必通风", "close": "勿开窗通风"}
REASONS = {
    "drier": "室外空气更干", "hardly_drier": "室外只略干一点", "wetter": "室外空气更湿", "too_cold_or_hot": "室外太冷或太热",
    "bad_weather": "有雨或雾霾",
}  # fmt: skip


def series(args: argparse.Namespace) -> int:
    """What a recorded climate means: columns time (ISO 8601), temperature, humidity."""
    if args.file is None:
        raise CommandError("需要一个 CSV 文件。", USAGE)
    try:
        found = read_air(args.file)
    except OSError as error:
        raise CommandError(f"{args.file}: {error.strerror}", NOT_FOUND) from error
    emit(climate_series.describe_series(found), args)
    return OK


def point(args: argparse.Namespace) -> int:
    """Dew point, absolute humidity, EMC, preservation index and mould of one climate."""
    emit(climate.describe(*_air(args.temperature, args.humidity, "--temperature 和 --humidity")), args)
    return OK


def ventilate(args: argparse.Namespace) -> int:
    """Whether to open the windows, by the water in both airs."""
    inside = _air(args.temperature, args.humidity, "--temperature 和 --humidity")
    outside = _air(args.outdoor_temperature, args.outdoor_humidity, "--outdoor-temperature 和 --outdoor-humidity")
    found = climate.ventilation(inside, outside, bad_weather=args.bad_weather)
    body = found._asdict() | {name: round(getattr(found, name), 2) for name in ("inside_g_m3", "outside_g_m3", "becomes_rh")}
    emit(body, args, f"{ADVICE[found.advice]}：{REASONS[found.reason]}（室内 {found.inside_g_m3:.1f}，室外 {found.outside_g_m3:.1f} g/m³）")
    return OK


def _air(temperature: float | None, humidity: float | None, options: str) -> tuple[float, float]:
    if temperature is None or humidity is None:
        raise CommandError(f"需要 {options}。", USAGE)
    if not (TEMPERATURES[0] <= temperature <= TEMPERATURES[1] and 0 < humidity <= 100):
        raise CommandError(f"温度应在 {TEMPERATURES[0]}–{TEMPERATURES[1]} ℃，相对湿度应大于 0、不超过 100 %RH。", INVALID)
    return temperature, humidity


def register(commands: Any) -> None:
    """Add the commands of this module."""
    command = add(commands, "climate", point, "一个温湿度条件、一段记录的含义，能否通风", config=False)
    for name in ("temperature", "humidity", "outdoor-temperature", "outdoor-humidity"):
        command.add_argument(f"--{name}", type=float)
    command.add_argument("--bad-weather", action="store_true", help="有雨或雾霾")
    what = {None: point, "series": series, "ventilate": ventilate}
    command.set_defaults(call=lambda args: what[args.what](args))
    command.add_argument("what", nargs="?", choices=("series", "ventilate"), help="series：分析一段记录；ventilate：能否开窗通风")
    command.add_argument("file", nargs="?", type=Path, help="series 的 CSV：time,temperature,humidity")
