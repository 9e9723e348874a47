"""DOCX for what offices edit before they send it. An operator's `paper.docx` brings letterhead and styles; what it contains stays above."""

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docx
from docx.enum.section import WD_ORIENT
from docx.enum.table import WD_TABLE_ALIGNMENT
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Mm, Pt

from server.reports.paper import Block, Column, Curve, Facts, Paper, Pictures, Sheet, Table, Text, head_rows, shown
from server.reports.render.parts import origin

_NAME = "paper.docx"
_SONG, _HEI = "宋体", "黑体"
_ALIGN = {"left": WD_ALIGN_PARAGRAPH.LEFT, "right": WD_ALIGN_PARAGRAPH.RIGHT, "center": WD_ALIGN_PARAGRAPH.CENTER}


def render(paper: Paper, forms: Path | None) -> bytes:
    """The paper as a Word document. Curves and pictures are left out: they belong to the PDF."""
    own = forms / _NAME if forms is not None else None
    document = docx.Document(str(own)) if own is not None and own.is_file() else _blank(paper.landscape)
    for index, sheet in enumerate(paper.sheets):
        if index:
            document.add_page_break()
        _sheet(document, sheet)
    _paragraph(document, f"{origin(paper)}　内容校验值（SHA-256）{paper.digest}", size=8)
    document.core_properties.title = f"{paper.title} {paper.subject} {paper.period_label}"
    document.core_properties.author = paper.unit
    document.core_properties.created = datetime.fromtimestamp(paper.generated_at // 1000, UTC).replace(tzinfo=None)
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def _blank(landscape: bool) -> Any:
    document = docx.Document()
    section = document.sections[0]
    section.page_width, section.page_height = (Mm(297), Mm(210)) if landscape else (Mm(210), Mm(297))
    section.orientation = WD_ORIENT.LANDSCAPE if landscape else WD_ORIENT.PORTRAIT
    section.left_margin = section.right_margin = Mm(20)
    section.top_margin = section.bottom_margin = Mm(20)
    return document


def _sheet(document: Any, sheet: Sheet) -> None:
    _paragraph(document, sheet.title, size=18, font=_HEI, align="center")
    if sheet.subject:
        _paragraph(document, sheet.subject, size=12, align="center")
    if sheet.pairs:
        _paragraph(document, "　　".join(f"{name}：{value}" for name, value in sheet.pairs), size=10.5)
    for block in sheet.blocks:
        _block(document, block)
    for index, note in enumerate(sheet.notes, 1):
        _paragraph(document, f"注 {index}. {note}", size=9)
    for role in sheet.signatures:
        _paragraph(document, f"{role}：＿＿＿＿＿＿＿＿　　　　年　　月　　日", size=10.5)


def _block(document: Any, block: Block) -> None:
    if block.title and not isinstance(block, Curve | Pictures):
        _paragraph(document, block.title, size=12, font=_HEI)
    if isinstance(block, Text):
        for index, text in enumerate(block.paragraphs, 1):
            _paragraph(document, f"{index}. {text}" if block.numbered else f"　　{text}", size=10.5)
        for _ in range(block.blank_lines):
            _paragraph(document, "", size=10.5)
    elif isinstance(block, Facts):
        grid = _grid(document, len(block.pairs), 2)
        for row, pair in enumerate(block.pairs):
            for column, text in enumerate(pair):
                _fill(grid.cell(row, column), text, "left", 9)
    elif isinstance(block, Table):
        _table(document, block)


def _table(document: Any, table: Table) -> None:
    heads = head_rows(table.columns)
    grid = _grid(document, len(heads) + len(table.rows), len(table.columns))
    for level, row in enumerate(heads):
        for head in row:
            cell = grid.cell(level, head.column)
            if head.across > 1 or head.down > 1:
                cell = cell.merge(grid.cell(level + head.down - 1, head.column + head.across - 1))
            _fill(cell, head.text, "center", 8 if table.small else 9, _HEI)
        _repeat(grid.rows[level])
    for place, values in enumerate(table.rows, len(heads)):
        cells = grid.rows[place].cells
        for cell, value, column in zip(cells, values, table.columns, strict=True):
            _fill(cell, _shown(value, column), column.align, 8 if table.small else 9)
    for note in table.notes:
        _paragraph(document, note, size=9)


def _shown(value: Any, column: Column) -> str:
    return shown(value, column)


def _grid(document: Any, rows: int, columns: int) -> Any:
    grid = document.add_table(rows=rows, cols=columns)
    grid.style = "Table Grid"
    grid.alignment = WD_TABLE_ALIGNMENT.CENTER
    return grid


def _repeat(row: Any) -> None:
    """Mark a row as a heading that is repeated on every page."""
    mark = OxmlElement("w:tblHeader")
    mark.set(qn("w:val"), "true")
    row._tr.get_or_add_trPr().append(mark)


def _fill(cell: Any, text: str, align: str, size: float, font: str = _SONG) -> None:
    paragraph = cell.paragraphs[0]
    paragraph.alignment = _ALIGN[align]
    paragraph.paragraph_format.space_after = Pt(0)
    _run(paragraph, text, size, font)


def _paragraph(document: Any, text: str, *, size: float, font: str = _SONG, align: str = "left") -> None:
    paragraph = document.add_paragraph()
    paragraph.alignment = _ALIGN[align]
    paragraph.paragraph_format.space_after = Pt(4)
    _run(paragraph, text, size, font)


def _run(paragraph: Any, text: str, size: float, font: str) -> None:
    run = paragraph.add_run(text)
    run.font.size, run.font.name = Pt(size), font
    run._element.rPr.rFonts.set(qn("w:eastAsia"), font)
