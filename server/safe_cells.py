"""Cells of exports: text that a spreadsheet would run as a formula is made inert; numbers stay numbers (OWASP "CSV Injection")."""

import csv
import io
import unicodedata
from collections.abc import Iterable, Sequence

_STARTS = frozenset("=+-@\t\r\n|%")


def cell(value: object) -> object:
    """One cell: text is made inert, all else is left alone."""
    return harmless(value) if isinstance(value, str) and value else value


def harmless(value: str) -> str:
    """Text whose first visible character starts a formula, in half or full width, gets a leading apostrophe."""
    if not value:
        return value
    visible = unicodedata.normalize("NFKC", value).lstrip(" \u00a0\u200b\u200e\u200f\u202a\u202b\u202d\u202e\u2060\ufeff")
    if value[0] in "\t\r\n" or (visible and visible[0] in _STARTS):
        return f"'{value}"
    return value


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV with a byte order mark, so that a spreadsheet takes it for UTF-8, and with inert cells."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    for row in rows:
        writer.writerow([cell(value) for value in row])
    return "\ufeff" + buffer.getvalue()
