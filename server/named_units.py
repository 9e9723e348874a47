"""Units that the operator's files name. A merger moves what stands in the tables, never a file that somebody wrote: who looks after it is told which
lines name a unit that has ended, or that there never was; a rule or channel for it would be silent without a word.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.settings import Settings
from server.store.tables import Unit

_CODE = re.compile(r"(?<![\d+])(\d{12})(?![\d-])")
_AS_UNIT = re.compile(r"""\bunit["']?:\s*["']?(\d{12})\b""")
_AT_ONCE = 500


class Line(NamedTuple):
    """A line of a file that names a unit; `meant`: it can be nothing else than a unit."""

    file: Path
    number: int
    code: str
    meant: bool


def lines(files: Iterable[Path]) -> Iterator[Line]:
    """Where these files name units, outside of comments. A room's code is none: it stays when its unit ends. Raises OSError."""
    for file in files:
        for number, text in enumerate(file.read_text("utf-8").splitlines(), start=1):
            said = text.partition(" #")[0] if not text.lstrip().startswith("#") else ""
            meant = set(_AS_UNIT.findall(said))
            yield from (Line(file, number, code, code in meant) for code in dict.fromkeys(_CODE.findall(said)))


def of_operator(settings: Settings, config: Path) -> list[Path]:
    """The files in which an operator may name units."""
    return [file for file in (config, settings.rules, settings.escalation, settings.cards) if file is not None and file.is_file()]


def silent(session: Session, named: Iterable[Line]) -> list[str]:
    """A sentence for each line whose unit has ended or is not in the tree."""
    wanted = list(named)
    codes = sorted({line.code for line in wanted})
    known = {
        unit.code: unit
        for start in range(0, len(codes), _AT_ONCE)
        for unit in session.scalars(select(Unit).where(Unit.code.in_(codes[start : start + _AT_ONCE])))
    }
    return [f"{line.file.name} 第 {line.number} 行：{what}" for line in wanted if (what := _what(known.get(line.code), line))]


def _what(unit: Unit | None, line: Line) -> str:
    if unit is None:
        return f"没有单位 {line.code}" if line.meant else ""
    if unit.closed_at is None:
        return ""
    return f"{unit.name}（{unit.code}）已并入 {unit.merged_into}" if unit.merged_into else f"{unit.name}（{unit.code}）已撤销"
