"""A paper as plain data: what every form prints and every export carries. Renderers know nothing of rooms; queries know nothing of pages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

Cell = str | int | float | None
Progress = Callable[[int, int], None]
"""Called with how much is done and how much there is."""
MISSING = "缺测"
DASH = "—"


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column of a table. `groups` are the headings above its title, outermost first; `width` is a share; `missing` stands for None."""

    title: str
    groups: tuple[str, ...] = ()
    decimals: int = 1
    width: float = 1.0
    align: str = "center"
    missing: str = DASH


class Table(msgspec.Struct, frozen=True, kw_only=True, tag="table"):
    """Rows under columns. `small` is the type size of crowded forms; `tall` adds room for handwriting."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""
    notes: tuple[str, ...] = ()
    small: bool = False
    tall: bool = False


class Text(msgspec.Struct, frozen=True, kw_only=True, tag="text"):
    """Paragraphs. `blank_lines` leaves room to write by hand; `numbered` counts the paragraphs."""

    paragraphs: tuple[str, ...]
    title: str = ""
    blank_lines: int = 0
    numbered: bool = False


class Facts(msgspec.Struct, frozen=True, kw_only=True, tag="facts"):
    """Names and values in a grid of `columns` pairs."""

    pairs: tuple[tuple[str, str], ...]
    title: str = ""
    columns: int = 2


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a curve; None is a gap."""

    name: str
    values: tuple[float | None, ...]
    dashed: bool = False


class Curve(msgspec.Struct, frozen=True, kw_only=True, tag="curve"):
    """Values at equal steps over the period; `low` and `high` bound the band of the room."""

    title: str
    unit: str
    since: int
    step_ms: int
    lines: tuple[Line, ...]
    low: float | None = None
    high: float | None = None


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """One picture as JPEG, with the words under it."""

    image: bytes
    words: str


class Pictures(msgspec.Struct, frozen=True, kw_only=True, tag="pictures"):
    """Pictures two abreast. They belong to the PDF, as curves do."""

    title: str
    pictures: tuple[Picture, ...]


Block = Table | Text | Facts | Curve | Pictures


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """What begins on a page of its own: one room's register, one unit's report."""

    title: str
    subject: str
    pairs: tuple[tuple[str, str], ...] = ()
    blocks: tuple[Block, ...] = ()
    notes: tuple[str, ...] = ()
    signatures: tuple[str, ...] = ()


class Paper(msgspec.Struct, frozen=True, kw_only=True):
    """The whole paper. `generated_at`, `since`, `until` are UTC ms; `made_for` is who ordered it; `digest` is the SHA-256 over everything else (see
    sealed).
    """

    kind: str
    title: str
    subject: str
    subject_code: str
    unit: str
    period: str
    period_label: str
    since: int
    until: int
    generated_at: int
    generator: str
    sheets: tuple[Sheet, ...]
    landscape: bool = False
    made_for: str = ""
    digest: str = ""


def sealed(paper: Paper) -> Paper:
    """The paper with its digest."""
    return msgspec.structs.replace(paper, digest=digest_of(paper))


def digest_of(paper: Paper) -> str:
    """SHA-256 of the content as JSON without the digest: the JSON export carries enough to compute it again."""
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(paper, digest=""))).hexdigest()


def shown(value: Cell, column: Column) -> str:
    """A cell as text. Whole numbers stay whole."""
    if value is None:
        return column.missing
    return f"{value:.{column.decimals}f}" if isinstance(value, float) else str(value)


class Head(NamedTuple):
    """One heading cell of a table."""

    text: str
    column: int
    across: int
    down: int


def head_rows(columns: Sequence[Column]) -> list[list[Head]]:
    """Headings row by row: equal neighbouring groups are one cell, a title reaches down to the last row."""
    depth = max(len(column.groups) for column in columns) + 1
    rows: list[list[Head]] = []
    for level in range(depth):
        row: list[Head] = []
        for index, column in enumerate(columns):
            if len(column.groups) > level:
                if index and columns[index - 1].groups[: level + 1] == column.groups[: level + 1]:
                    row[-1] = row[-1]._replace(across=row[-1].across + 1)
                else:
                    row.append(Head(column.groups[level], index, 1, 1))
            elif len(column.groups) == level:
                row.append(Head(column.title, index, 1, depth - level))
        rows.append(row)
    return rows


def tables(paper: Paper) -> Iterator[tuple[Sheet, Table]]:
    """Every table of the paper with its sheet."""
    for sheet in paper.sheets:
        for block in sheet.blocks:
            if isinstance(block, Table):
                yield sheet, block
