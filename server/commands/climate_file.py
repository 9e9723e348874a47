"""A recorded climate as loggers and spreadsheets write it: what can be read is read, what would be computed wrongly is refused with a sentence."""

import csv
import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from zoneinfo import ZoneInfo

from alarms.climate_series import Air
from server.commands import INVALID, CommandError

SHANGHAI = ZoneInfo("Asia/Shanghai")
TEMPERATURES = (-40, 80)
"""Outside them neither a store room nor the formulas' fits mean anything, °C."""
_COLUMNS = ("time", "temperature", "humidity")
_HOTTEST = 45
"""No room is that warm half of the time, °C; one in Fahrenheit is."""


def read_air(file: Path) -> list[Air]:
    """The samples in order of time; a row without a reading is a gap. Raises CommandError with line and reason, OSError."""
    found: dict[int, Air] = {}
    for line, row in _rows(file, _text(file)):
        air = _air(file, line, row)
        if air is not None and found.setdefault(air.at, air) != air:
            raise _refused(file, line, f"{row[0]} 有两个不同的值。")
    if len(found) < 2:
        raise CommandError(f"{file}: 至少要有两行测值，现有 {len(found)} 行。", INVALID)
    middle = median(air.temperature for air in found.values())
    if middle > _HOTTEST:
        raise CommandError(f"{file}: 温度的中位数是 {middle:.1f}，不像摄氏度；华氏度请先换算。", INVALID)
    return [found[at] for at in sorted(found)]


def _text(file: Path) -> str:
    raw = file.read_bytes()
    utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16",) if utf16 else ("utf-8-sig", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise CommandError(f"{file}: 不是 CSV 文本（UTF-8 或 GBK）。", INVALID)


def _rows(file: Path, text: str) -> Iterator[tuple[int, Sequence[str]]]:
    """Each row that has anything in it, with its line: time, temperature, humidity. Semicolons and tabs part columns too."""
    head = text.partition("\n")[0]
    delimiter = next((mark for mark in (";", "\t") if mark in head), ",")
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    names = [name.strip().lower() for name in next(reader, [])]
    if missing := [column for column in _COLUMNS if column not in names]:
        raise CommandError(f"{file}: 第一行须有列名 time,temperature,humidity，缺 {'、'.join(missing)}。", INVALID)
    places = [names.index(column) for column in _COLUMNS]
    for row in reader:
        if len(row) > len(names):
            raise _refused(file, reader.line_num, "比表头多出一列；小数点请用“.”，或用分号分隔各列。")
        if any(cell.strip() for cell in row):
            yield reader.line_num, [row[place].strip() if place < len(row) else "" for place in places]


def _air(file: Path, line: int, row: Sequence[str]) -> Air | None:
    if not row[1] or not row[2]:
        return None
    try:
        at = datetime.fromisoformat(row[0].replace("/", "-"))
    except ValueError as error:
        raise _refused(file, line, f"时间“{row[0]}”读不懂，请写成 2026-10-01 08:00。") from error
    temperature, humidity = (_number(file, line, cell) for cell in row[1:])
    if not (TEMPERATURES[0] <= temperature <= TEMPERATURES[1] and 0 < humidity <= 100):
        low, high = TEMPERATURES
        raise _refused(file, line, f"温度 {row[1]}、湿度 {row[2]} 不是气候：温度应在 {low}–{high} ℃，相对湿度应大于 0、不超过 100 %RH。")
    moment = at if at.tzinfo is not None else at.replace(tzinfo=SHANGHAI)
    return Air(int(moment.timestamp() * 1000), temperature, humidity)


def _number(file: Path, line: int, cell: str) -> float:
    try:
        value = float(cell.replace(",", "."))  # a comma that got so far is no delimiter
    except ValueError as error:
        raise _refused(file, line, f"“{cell}”不是数字。") from error
    if not math.isfinite(value):
        raise _refused(file, line, f"“{cell}”不是数字。")
    return value


def _refused(file: Path, line: int, reason: str) -> CommandError:
    return CommandError(f"{file}: 第 {line} 行：{reason}", INVALID)
