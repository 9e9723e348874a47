"""PDF/A-2 by typst with the packaged CJK fonts only, so that a paper looks the same wherever it was made."""

import json
import shutil
import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import pylopdf_fonts_zh_cn
import typst

from server.reports.paper import Paper, tables
from server.reports.render.parts import FormError, spelled

STANDARD: Final = "a-2u"
_TAGGED_CELLS = 10_000
"""Tags for readers of the blind make a paper of long tables some ten times as large."""


def render(paper: Paper, forms: Path | None) -> bytes:
    """The paper as PDF/A-2u. Raises FormError naming what typst says about an operator's form."""
    folder = _workspace(forms, _stamp(forms))
    main = next(folder / name for name in (f"{paper.kind}.typ", "paper.typ") if (folder / name).exists())
    try:
        content = typst.compile(
            main, root=folder, font_paths=_fonts(), sys_inputs={"paper": json.dumps(spelled(paper), ensure_ascii=False)}, format="pdf",
            pdf_standards=STANDARD, timestamp=paper.generated_at // 1000, pdf_tags=_cells(paper) <= _TAGGED_CELLS,
        )  # fmt: skip
    except typst.TypstError as error:
        raise FormError(f"报表模板 {main.name} 不能使用：{error.message}") from error
    return content


def _cells(paper: Paper) -> int:
    return sum(len(table.rows) * len(table.columns) for _, table in tables(paper))


@cache
def _fonts() -> typst.Fonts:
    folder = Path(pylopdf_fonts_zh_cn.serif_path()).parent
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=True, font_paths=[folder])


def _stamp(forms: Path | None) -> tuple[tuple[str, int], ...]:
    """Names and times of an operator's files: a changed form is read anew."""
    if forms is None or not forms.is_dir():
        return ()
    return tuple(sorted((path.name, path.stat().st_mtime_ns) for path in forms.iterdir() if path.is_file()))


@cache
def _workspace(forms: Path | None, stamp: tuple[tuple[str, int], ...]) -> Path:
    """A folder with the packaged forms and, over them, the operator's; it lives as long as this process."""
    folder = Path(_scratch().name) / str(len(list(Path(_scratch().name).iterdir())))
    shutil.copytree(str(files("server.reports").joinpath("forms")), folder)
    for name, _ in stamp:
        if forms is not None:
            shutil.copy(forms / name, folder / name)
    return folder


@cache
def _scratch() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="aw-forms-")
