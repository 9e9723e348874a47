"""Data files: CSV with the byte-order mark that Excel wants, and JSON that carries everything."""

import csv as writer
import io
from pathlib import Path
from typing import Any

import msgspec

from server.reports.paper import Facts, Paper, Table, shown
from server.reports.render.parts import origin
from server.safe_cells import harmless


def csv(paper: Paper, _forms: Path | None) -> bytes:
    """Facts and tables one below the other; headings of several levels are joined by a blank."""
    stream = io.StringIO()
    out = writer.writer(stream)
    out.writerow([harmless(text) for text in (paper.title, paper.subject, paper.period_label)])
    for sheet in paper.sheets:
        out.writerow([])
        out.writerow([harmless(text) for text in (sheet.title, sheet.subject)])
        out.writerows([harmless(name), harmless(value)] for name, value in sheet.pairs)
        for block in sheet.blocks:
            if isinstance(block, Table):
                _table(out, block)
            elif isinstance(block, Facts):
                out.writerows([harmless(name), harmless(value)] for name, value in block.pairs)
        out.writerows([harmless(note)] for note in sheet.notes)
    out.writerow([])
    out.writerow([origin(paper), "SHA-256", paper.digest])
    return stream.getvalue().encode("utf-8-sig")


def json(paper: Paper, _forms: Path | None) -> bytes:
    """The content as it was hashed: with `digest` emptied, its SHA-256 is the digest."""
    return msgspec.json.encode(paper)


def _table(out: Any, table: Table) -> None:
    if table.title:
        out.writerow([harmless(table.title)])
    out.writerow([harmless(" ".join((*column.groups, column.title))) for column in table.columns])
    for row in table.rows:
        out.writerow(
            [value if isinstance(value, int | float) else harmless(shown(value, column)) for value, column in zip(row, table.columns, strict=True)]
        )
