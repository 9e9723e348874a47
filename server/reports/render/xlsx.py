"""XLSX with print set-up. Rows are written once, from top to bottom (constant memory); text is never taken for a formula or an address."""

import io
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import xlsxwriter

from server.reports.paper import Column, Facts, Paper, Sheet, Table, Text, head_rows, shown
from server.reports.render.parts import origin
from server.safe_cells import harmless

_OPTIONS = {"constant_memory": True, "in_memory": False, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
_FONT = "宋体"
_FORBIDDEN = re.compile(r"[\[\]:*?/\\]")


def render(paper: Paper, _forms: Path | None) -> bytes:
    """The paper as a workbook, one sheet per sheet."""
    stream = io.BytesIO()
    book = xlsxwriter.Workbook(stream, _OPTIONS)
    created = datetime.fromtimestamp(paper.generated_at // 1000, UTC).replace(tzinfo=None)
    book.set_properties(
        {
            "title": paper.title,
            "subject": paper.subject,
            "author": paper.unit,
            "comments": f"{paper.generator} SHA-256 {paper.digest}",
            "created": created,
        }
    )
    writer = _Writer(book, paper)
    names: set[str] = set()
    for sheet in paper.sheets:
        writer.sheet(sheet, _name(sheet, names))
    book.close()
    return stream.getvalue()


def _name(sheet: Sheet, taken: set[str]) -> str:
    """At most 31 characters, unique, without the characters that Excel forbids."""
    base = _FORBIDDEN.sub(" ", sheet.subject or sheet.title).strip("' ")[:26] or "报表"
    name, number = base, 1
    while name.casefold() in taken:
        number += 1
        name = f"{base} {number}"
    taken.add(name.casefold())
    return name


class _Writer:
    def __init__(self, book: xlsxwriter.Workbook, paper: Paper) -> None:
        self._book, self._paper = book, paper
        self._styles: dict[tuple[str, int], Any] = {}
        self._row = 0

    def sheet(self, sheet: Sheet, name: str) -> None:
        page = self._book.add_worksheet(name)
        self._setup(page, sheet)
        self._row = 0
        width = max((len(block.columns) for block in sheet.blocks if isinstance(block, Table)), default=6)
        page.merge_range(0, 0, 0, max(width - 1, 1), harmless(sheet.title), self._style("title"))
        page.set_row(0, 28)
        self._row = 1
        for key, value in ((("", sheet.subject),) if sheet.subject else ()) + sheet.pairs:
            self._line(page, f"{key}：{value}" if key else value)
        for block in sheet.blocks:
            if isinstance(block, Table):
                self._table(page, block)
            elif isinstance(block, Facts):
                self._facts(page, block)
            elif isinstance(block, Text):
                self._lines(page, (*((block.title,) if block.title else ()), *block.paragraphs))
        self._lines(page, tuple(f"注 {index}. {note}" for index, note in enumerate(sheet.notes, 1)))
        self._row += 1
        self._lines(page, tuple(f"{role}：＿＿＿＿＿＿　　　　年　　月　　日" for role in sheet.signatures))
        self._line(page, f"{origin(self._paper)}　内容校验值 {self._paper.digest}")

    def _setup(self, page: Any, sheet: Sheet) -> None:
        page.set_paper(9)  # A4
        if self._paper.landscape:
            page.set_landscape()
        page.fit_to_pages(1, 0)
        page.set_margins(left=0.5, right=0.5, top=0.6, bottom=0.7)
        page.center_horizontally()
        page.set_footer(f"&L&8{origin(self._paper).replace('&', '&&')}　{self._paper.digest[:16]}&R&8第 &P 页 共 &N 页")
        widest = max((block for block in sheet.blocks if isinstance(block, Table)), key=lambda table: len(table.columns), default=None)
        if widest is not None:
            whole = sum(column.width for column in widest.columns)
            for index, column in enumerate(widest.columns):
                page.set_column(index, index, max(7, 110 * column.width / whole))

    def _line(self, page: Any, text: str) -> None:
        page.write_string(self._row, 0, harmless(text), self._style("plain"))
        self._row += 1

    def _lines(self, page: Any, texts: tuple[str, ...]) -> None:
        for text in texts:
            self._line(page, text)

    def _facts(self, page: Any, facts: Facts) -> None:
        if facts.title:
            self._line(page, facts.title)
        for name, value in facts.pairs:
            page.write_string(self._row, 0, harmless(name), self._style("head"))
            page.write_string(self._row, 1, harmless(value), self._style("left"))
            self._row += 1
        self._row += 1

    def _table(self, page: Any, table: Table) -> None:
        if table.title:
            self._line(page, table.title)
        first = self._row
        for row in head_rows(table.columns):
            for cell in row:
                # Merging across several rows would go back to a row that is already written; a cell that reaches down is left unmerged.
                if cell.across > 1:
                    page.merge_range(self._row, cell.column, self._row, cell.column + cell.across - 1, harmless(cell.text), self._style("head"))
                else:
                    page.write_string(self._row, cell.column, harmless(cell.text), self._style("head" if cell.down == 1 else "reach"))
            for index in set(range(len(table.columns))) - {i for cell in row for i in range(cell.column, cell.column + cell.across)}:
                page.write_blank(self._row, index, None, self._style("below"))
            self._row += 1
        if first < 12 and len(self._paper.sheets) == 1:
            page.repeat_rows(first, self._row - 1)
        for values in table.rows:
            for index, (value, column) in enumerate(zip(values, table.columns, strict=True)):
                self._cell(page, index, value, column)
            self._row += 1
        self._lines(page, table.notes)
        self._row += 1

    def _cell(self, page: Any, index: int, value: Any, column: Column) -> None:
        if isinstance(value, int | float):
            page.write_number(self._row, index, value, self._style("number", column.decimals if isinstance(value, float) else 0))
        else:
            page.write_string(self._row, index, harmless(shown(value, column)), self._style("left" if column.align == "left" else "cell"))

    def _style(self, name: str, decimals: int = 0) -> Any:
        key = (name, decimals)
        if key not in self._styles:
            self._styles[key] = self._book.add_format(_STYLES[name] | ({"num_format": f"0.{'0' * decimals}".rstrip(".")} if name == "number" else {}))
        return self._styles[key]


_CELL = {"font_name": _FONT, "font_size": 10, "border": 1, "align": "center", "valign": "vcenter", "text_wrap": True}
_STYLES: dict[str, dict[str, Any]] = {
    "title": {"font_name": "黑体", "font_size": 16, "align": "center", "valign": "vcenter"},
    "plain": {"font_name": _FONT, "font_size": 10},
    "head": _CELL | {"bold": True, "bg_color": "#F2F2F2"},
    "reach": _CELL | {"bold": True, "bg_color": "#F2F2F2", "bottom": 0},
    "below": _CELL | {"bg_color": "#F2F2F2", "top": 0},
    "cell": _CELL,
    "left": _CELL | {"align": "left"},
    "number": _CELL,
}
