"""Reading a table that people made: CSV (UTF-8, or GB18030 as Chinese Excel saves it) or .xlsx, with English or Chinese column titles."""

import csv
import io
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Final

from python_calamine import CalamineError, CalamineWorkbook

MOST_ROWS: Final = 200_000
_MOST_UNPACKED: Final = 400 * 1024 * 1024

Line = tuple[int, dict[str, str]]


class TableError(ValueError):
    """A file that is no table of this kind; the text is the sentence for the person."""


def read(name: str, content: bytes, columns: Sequence[tuple[str, str]], required: Sequence[str]) -> list[Line]:
    """Rows as (line number, column name -> text). `columns` are (name, Chinese title). Raises TableError."""
    table = _workbook(name, content) if content.startswith(b"PK\x03\x04") else _csv(name, content, {word for pair in columns for word in pair})
    rows = iter(table)
    names = {title: column for column, title in columns} | {column: column for column, _ in columns}
    header = [names.get(cell.strip(), "") for cell in next(rows, [])]
    missing = [column for column in required if column not in header]
    if missing:
        raise TableError(f"{name}：缺少列 {'、'.join(missing)}")
    lines: list[Line] = []
    for number, cells in enumerate(rows, 2):
        if len(lines) >= MOST_ROWS:
            raise TableError(f"{name}：超过 {MOST_ROWS} 行，请分几个文件")
        if any(cell.strip() for cell in cells):
            lines.append((number, {column: cell.strip() for column, cell in zip(header, cells, strict=False) if column}))
    return lines


def _csv(name: str, content: bytes, words: set[str]) -> Iterator[list[str]]:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        # GB18030 decodes nearly anything: only a header that is ours shows that it was meant.
        if encoding == "utf-8-sig" or words & set(text.splitlines()[0].split(",") if text else ()):
            return csv.reader(io.StringIO(text, newline=""))
    raise TableError(f"{name}：不是 UTF-8 或 GB18030 编码的 CSV 文件，也不是 .xlsx 文件")


def _workbook(name: str, content: bytes) -> list[list[str]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(info.file_size for info in archive.infolist()) > _MOST_UNPACKED:
                raise TableError(f"{name}：解开后太大")
        book = CalamineWorkbook.from_filelike(io.BytesIO(content))
        return [[_cell(value) for value in row] for row in book.get_sheet_by_index(0).to_python(skip_empty_area=False)]
    except (CalamineError, zipfile.BadZipFile) as error:
        raise TableError(f"{name}：不是 .xlsx 文件（{error}）") from error


def _cell(value: object) -> str:
    """What a person sees in the cell: codes that a spreadsheet took for numbers come back without '.0', dates as days."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, datetime):
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)
