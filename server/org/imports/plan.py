"""What an import would change, worked out before anything is written: changes in order, and for each wrong row a sentence with line and column."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.orm import Session

from server.org.checks import Check, CheckError
from server.org.imports.tables import Line
from server.store.schema import Base

_CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table: name in files, Chinese title, check of one cell, a help text and an example for the template."""

    name: str
    title: str
    check: Check
    required: bool = True
    help: str = ""
    example: str = ""
    choices: tuple[str, ...] = ()
    words: str = ""
    """Table of server/web/labels.py with the words for `choices`."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """A cell (or, without a column, a row) that cannot be taken."""

    line: int
    column: str
    sentence: str
    title: str = ""

    def __str__(self) -> str:
        return f"第 {self.line} 行：{f'“{self.title or self.column}”' if self.column else ''}{self.sentence}"


@dataclass(slots=True)
class Change:
    """One row to write: the values now and then (only columns that differ for an update). `key` is what the row is found by; `before` None = new."""

    table: Table
    key: dict[str, Any]
    before: dict[str, Any] | None
    after: dict[str, Any]


@dataclass(slots=True)
class Plan:
    """The outcome of planning."""

    rows: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    changes: list[Change] = field(default_factory=list)
    errors: list[Wrong] = field(default_factory=list)
    unit: str = ""
    """Unit of the row that was planned last: for an edit, which is an import of one row."""

    def put(self, table: Table, key: Mapping[str, Any], old: Mapping[str, Any] | None, values: Mapping[str, Any], *, new: Mapping[str, Any]) -> str:
        """Add what makes a row have `values` (and `new` when it has to be made). Returns created | updated | unchanged."""
        if old is None:
            self.changes.append(Change(table, dict(key), None, {**new, **values}))
            return "created"
        differs = [name for name, value in values.items() if old[name] != value]
        if differs:
            self.changes.append(Change(table, dict(key), {name: old[name] for name in differs}, {name: values[name] for name in differs}))
            return "updated"
        return "unchanged"

    def count(self, outcome: str) -> None:
        """One row of the file with this outcome."""
        setattr(self, outcome, getattr(self, outcome) + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a planner may ask. `scope` holds the codes of the units that the importer may change, None = all; `now` is UTC ms."""

    session: Session
    now: int
    scope: frozenset[str] | None
    by: str
    grants: bool = True
    """Whether the importer may appoint administrators."""
    why: str = "导入"
    """The reason, as the history of units and people keeps it."""

    def may(self, unit: str) -> None:
        """Raises CheckError for a unit outside the importer's rights."""
        if self.scope is not None and unit not in self.scope:
            raise CheckError("所属单位不在你的管辖范围")

    def rows(self, table: Table, column: str, keys: Iterable[Any]) -> dict[Any, dict[str, Any]]:
        """Existing rows by the value of a unique column, fetched in chunks."""
        found: dict[Any, dict[str, Any]] = {}
        for part in chunks(list(dict.fromkeys(keys))):
            for row in self.session.execute(select(table).where(table.c[column].in_(part))).mappings():
                found[row[column]] = dict(row)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of table that can be imported."""

    name: str
    title: str
    columns: tuple[Column, ...]
    plan: "Callable[[Context, Sequence[Checked], Plan], None]"

    @property
    def required(self) -> tuple[str, ...]:
        """Columns that a file must have."""
        return tuple(column.name for column in self.columns if column.required)


@dataclass(frozen=True, slots=True)
class Checked:
    """A row whose cells are right by themselves; a column that the file does not have is missing here."""

    line: int
    values: Mapping[str, Any]


def checked(kind: Kind, lines: Iterable[Line], plan: Plan) -> Iterator[Checked]:
    """Check every cell; rows with a wrong one are named in the plan and left out."""
    for line, cells in lines:
        plan.rows += 1
        values: dict[str, Any] = {}
        right = True
        for column in kind.columns:
            if column.name in cells:
                try:
                    values[column.name] = column.check(cells[column.name])
                except CheckError as error:
                    plan.errors.append(Wrong(line, column.name, str(error), column.title))
                    right = False
        if right:
            yield Checked(line, values)


def each(rows: Iterable[Checked], plan: Plan, key: Callable[[Checked], object], take: Callable[[Checked], str]) -> None:
    """Take rows one by one; a row that is there twice, or that `take` refuses with CheckError, is named in the plan."""
    seen: dict[object, int] = {}
    for row in rows:
        first = seen.setdefault(key(row), row.line)
        if first != row.line:
            plan.errors.append(Wrong(row.line, "", f"与第 {first} 行重复"))
            continue
        try:
            plan.count(take(row))
        except CheckError as error:
            plan.errors.append(Wrong(row.line, "", str(error)))


def table_of(name: str) -> Table:
    """A table by name."""
    return Base.metadata.tables[name]


def chunks(items: Sequence[Any], size: int = _CHUNK) -> Iterator[Sequence[Any]]:
    """Parts of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
