"""Taking an import back: rows it made go, rows it changed get their old values. What was changed since, or is in use by now, stays and is named."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Column, Table, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.sql.schema import CallableColumnDefault, ScalarElementColumnDefault

from server.org import smoke
from server.org.checks import CheckError
from server.org.imports.plan import table_of
from server.org.imports.write import Image

_RETIRED: Mapping[str, Mapping[str, Any]] = {"room": {"stage": "retired", "demanded": []}, "point": {"room": None}, "gateway": {"unit": None}}
"""What becomes of a row that was made by the import and cannot go, because alarms, coverage or people refer to it."""

_ITS_OWN: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "person": frozenset({"last_seen_at"}),
        "point": frozenset({"last_at"}),
        "gateway": frozenset(
            {"online", "last_seen_at", "bd_seq", "born_stamp", "acknowledges", "epoch", "clock_offset_ms", "rules_version", "offers", "birth"}
        ),
    }
)
"""Columns that the program itself keeps: that they moved on is nobody's work."""

_TITLES: Final[Mapping[str, str]] = MappingProxyType(
    {"unit": "单位", "person": "人员", "person_role": "任职", "room": "用房", "gateway": "网关", "point": "测点", "room_sheet": "一室一卡",
     "holding": "馆藏", "calibration": "校准"}
)  # fmt: skip


def undo_images(session: Session, found: Iterable[Image]) -> tuple[int, list[str]]:
    """Take changes back, newest first, inside the caller's transaction. Returns how many were, and a sentence for each that was not."""
    done, kept = 0, []
    for name, key, before, after in found:
        table = table_of(name)
        primary = next(iter(table.primary_key.columns))
        row = session.execute(select(table).where(primary == key)).mappings().one_or_none()
        if row is None:
            continue
        if _changed(table, row, before, after):
            kept.append(f"{_called(name, key, row)}：导入后又有改动，保持现状")
        elif (sentence := _take_back(session, table, primary, dict(row), before)) is None:
            done += 1
        else:
            kept.append(f"{_called(name, key, row)}：{sentence}")
    return done, kept


def _called(table: str, key: Any, row: Mapping[Any, Any]) -> str:
    """A row as people know it: by its name with the code of the books, or the place of a point; by its number where it has neither."""
    if table == "point":
        said = "/".join(filter(None, (row["gateway"], row["device"], row["quantity"], row["channel"])))
    else:
        said = f"{row['name']}（{row.get('code', key)}）" if row.get("name") else str(row.get("code", key))
    return f"{_TITLES.get(table, table)} {said}"


def _changed(table: Table, row: Mapping[Any, Any], before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> bool:
    """Whether the row is no longer as the import left it. For a row that the import made, the columns that the file did not have count as well:
    they were empty then, and what stands there now would go with the row.
    """
    if any(row[column] != value for column, value in after.items() if column in row):
        return True
    if before is not None:
        return False
    silent = [column for column in table.columns if column.name not in after and not column.primary_key]
    return any(row[column.name] != _empty(column) for column in silent if column.name not in _ITS_OWN.get(table.name, ()))


def _empty(column: Column[Any]) -> Any:
    """What a new row has in a column of which its maker says nothing."""
    default = column.default
    if isinstance(default, CallableColumnDefault):
        return default.arg(None)  # type: ignore[arg-type]  # list and dict ask for nothing
    return default.arg if isinstance(default, ScalarElementColumnDefault) else None


def _take_back(session: Session, table: Table, primary: Any, row: Mapping[str, Any], before: Mapping[str, Any] | None) -> str | None:
    try:
        smoke.keep_undone(session, table.name, row, before)
    except CheckError as error:
        return str(error)
    if before is None:
        return _remove(session, table, primary, row[primary.name])
    session.execute(update(table).where(primary == row[primary.name]).values(before))
    return None


def _remove(session: Session, table: Table, primary: Any, key: Any) -> str | None:
    try:
        with session.begin_nested():
            session.execute(delete(table).where(primary == key))
    except IntegrityError:
        retired = _RETIRED.get(table.name)
        if retired is None:
            return "已被使用，保留"
        session.execute(update(table).where(primary == key).values(retired))
        return "已有记录，不能删除，改为停用"
    return None
