"""Every Chinese text that the screens may show, found by reading templates and sources."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from jinja2.ext import babel_extract

ROOT = Path(__file__).parents[2]
_CJK = re.compile(r"[\u4e00-\u9fff]")
_SOURCES = ("server/web/**/*.py", "server/org/level3.py", "server/org/notice_words.py", "server/org/accounts.py", "server/org/sessions.py")


def of_templates() -> Iterator[tuple[str, str]]:
    """(message, template) for each `_()` of the templates."""
    for template in sorted((ROOT / "dashboards/templates").glob("*.html")):
        with template.open("rb") as stream:
            for _, _, message, _ in babel_extract(stream, ("_",), (), {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}):
                first = message[0] if isinstance(message, tuple) else message
                if first is not None:
                    yield first, template.name


def of_sources() -> Iterator[tuple[str, str]]:
    """(text, file) for each Chinese string literal of the web part that is neither a docstring nor part of an f-string."""
    for pattern in _SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            tree = ast.parse(path.read_text("utf-8"))
            skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            skipped |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped and _CJK.search(node.value):
                    yield node.value, path.name


@cache
def messages() -> dict[str, str]:
    """All of them, with where each was found first."""
    found: dict[str, str] = {}
    for text, where in (*of_templates(), *of_sources()):
        found.setdefault(text, where)
    return found
