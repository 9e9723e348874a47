"""Papers as files. Each renderer takes a Paper and returns bytes; it runs in the worker process (server/pool.py), so everything is passed by value.

A file of the same name in the operator's folder of forms takes the place of the packaged one: `<kind>.typ`, `paper.typ`, `base.typ`, `paper.html`,
`paper.docx` (letterhead and styles).
"""

import pkgutil
from pathlib import Path
from typing import cast

from server.reports.paper import Paper

FORMATS: dict[str, tuple[str, str]] = {
    "pdf": ("application/pdf", "pdf:render"),
    "xlsx": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx:render"),
    "docx": ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx:render"),
    "html": ("text/html; charset=utf-8", "html:render"),
    "csv": ("text/csv; charset=utf-8", "plain:csv"),
    "json": ("application/json", "plain:json"),
}
"""Media type and renderer (module:function) by ending. A new format = a module and its row. A module is loaded where a file is made: the libraries
of workbooks and documents are not for a server that starts."""


def render(paper: Paper, ending: str, forms: Path | None = None) -> bytes:
    """The file. Raises KeyError for an unknown ending, FormError when an operator's form does not work."""
    return cast(bytes, pkgutil.resolve_name(f"{__name__}.{FORMATS[ending][1]}")(paper, forms))
