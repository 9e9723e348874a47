"""Import of units, people, rooms and devices from CSV: checked row by row, nothing written unless every row is right, idempotent by code.

A name that does not fit (short name 6, SMS place 9 characters) is refused, never cut. Encoding is UTF-8, with or without a byte-order mark.
"""

import csv
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from contract.quantities import QUANTITIES
from server.org import people
from server.store import audit
from server.store.session import Database
from server.store.tables import Base, Gateway, Person, Point, Room, Unit

DUTIES = ("", "duty_officer", "person_in_charge", "archive_head", "inspector")
STAGES = ("in_use", "trial", "commissioning", "not_connected", "retired")
CLASSES = ("alarm", "state", "measure", "health")
_CODE = re.compile(r"\d{12}")
_ROOM = re.compile(r"\d{12}-\d{2}")
_PHONE = re.compile(r"\+?\d{5,15}")
_ID = re.compile(r"[^+#/\s]{1,40}")

Row = Mapping[str, str]
_Row = TypeVar("_Row", bound=Base)


class RowError(ValueError):
    """A row that cannot be taken; the text is the sentence shown to the person."""


@dataclass(slots=True)
class Summary:
    """What an import did, or would do. `errors` are sentences with their line number."""

    kind: str
    rows: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    errors: list[str] = field(default_factory=list)


def import_csv(db: Database, kind: str, path: Path, *, now: int, actor: str = "cli", dry_run: bool = False) -> Summary:
    """Load one file. Raises OSError for an unreadable file, ValueError for one that is no UTF-8 CSV with the columns of its kind."""
    columns, upsert = _KINDS[kind]
    summary = Summary(kind)
    with db.write() as session:
        for line, row in _read(path, columns):
            summary.rows += 1
            try:
                with session.begin_nested():
                    outcome = upsert(session, row, now)
                    session.flush()
                setattr(summary, outcome, getattr(summary, outcome) + 1)
            except RowError as error:
                summary.errors.append(f"第 {line} 行：{error}")
        if dry_run or summary.errors:
            session.rollback()
        else:
            audit.append(session, actor, f"import_{kind}", path.name, {"rows": summary.rows, "created": summary.created}, now)
    return summary


def _read(path: Path, columns: tuple[str, ...]) -> Iterable[tuple[int, Row]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(f"{path.name}：缺少列 {'、'.join(missing)}")
            for row in reader:
                yield reader.line_num, {key: (value or "").strip() for key, value in row.items() if key is not None}
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name}：不是 UTF-8 编码的 CSV 文件") from error


def _put(session: Session, existing: _Row | None, make: Callable[[], _Row], values: Mapping[str, object]) -> str:
    if existing is None:
        row = make()
        session.add(row)
    else:
        row = existing
        if all(getattr(row, key) == value for key, value in values.items()):
            return "unchanged"
    for key, value in values.items():
        setattr(row, key, value)
    return "created" if existing is None else "updated"


def _need(row: Row, name: str, longest: int) -> str:
    value = row[name]
    if not value:
        raise RowError(f"“{name}”不能为空")
    return _fits(row, name, longest) or value


def _fits(row: Row, name: str, longest: int) -> str:
    value = row[name]
    if len(value) > longest:
        raise RowError(f"“{name}”最多 {longest} 个字，现有 {len(value)} 个：{value}")
    return value


def _match(row: Row, name: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(row[name]):
        raise RowError(f"“{name}”不对：{row[name]!r}")
    return row[name]


def _one_of(row: Row, name: str, allowed: Iterable[str]) -> str:
    if row[name] not in allowed:
        raise RowError(f"“{name}”只能是 {'、'.join(word for word in allowed if word)}，现为 {row[name]!r}")
    return row[name]


def _known(session: Session, model: type[Base], code: str, word: str) -> None:
    if session.get(model, code) is None:
        raise RowError(f"没有这个{word}：{code}")


def _unit(session: Session, row: Row, _now: int) -> str:
    code = _match(row, "code", _CODE)
    parent = row["parent"] or None
    if parent is not None:
        _known(session, Unit, parent, "上级单位")
    phone = _match(row, "duty_phone", _PHONE) if row["duty_phone"] else None
    values = {
        "parent": parent,
        "level": int(_one_of(row, "level", ("1", "2", "3", "4"))),
        "name": _need(row, "name", 120),
        "short_name": _need(row, "short_name", 6),
        "duty_phone": phone,
    }
    return _put(session, session.get(Unit, code), lambda: Unit(code=code), values)


def _person(session: Session, row: Row, now: int) -> str:
    code = _need(row, "code", 32)
    unit = _match(row, "unit", _CODE)
    _known(session, Unit, unit, "单位")
    values = {
        "name": _need(row, "name", 60),
        "phone": _match(row, "phone", _PHONE) if row["phone"] else None,
        "unit": unit,
        "duty": _one_of(row, "duty", DUTIES),
    }
    existing = session.scalar(select(Person).where(Person.code == code))
    outcome = _put(session, existing, lambda: Person(code=code), values)
    if outcome != "unchanged":
        session.flush()
        person = existing or session.scalars(select(Person).where(Person.code == code)).one()
        people.set_roles(session, person, {unit: [row["duty"]] if row["duty"] else []}, by="import", now=now)
    return outcome


def _room(session: Session, row: Row, _now: int) -> str:
    code = _match(row, "code", _ROOM)
    unit = _match(row, "unit", _CODE)
    _known(session, Unit, unit, "单位")
    if not code.startswith(unit):
        raise RowError(f"库房编号 {code} 不以单位编号 {unit} 开头")
    demanded = [name for name in row["demanded"].split(";") if name]
    unknown = [name for name in demanded if name not in QUANTITIES]
    if unknown:
        raise RowError(f"不认识的测量量：{'、'.join(unknown)}")
    person = None
    if row["person"]:
        person = session.scalar(select(Person.id).where(Person.code == row["person"]))
        if person is None:
            raise RowError(f"没有这个人：{row['person']}")
    values = {
        "unit": unit,
        "name": _need(row, "name", 120),
        "short_name": _need(row, "short_name", 6),
        "sms_place": _need(row, "sms_place", 9),
        "kind": _need(row, "kind", 24),
        "medium": _need(row, "medium", 24),
        "stage": _one_of(row, "stage", STAGES),
        "city": _fits(row, "city", 24),
        "demanded": demanded,
        "person": person,
    }
    return _put(session, session.get(Room, code), lambda: Room(code=code), values)


def _device(session: Session, row: Row, now: int) -> str:
    gateway, unit = _match(row, "gateway", _ID), _match(row, "unit", _CODE)
    _known(session, Unit, unit, "单位")
    if row["quantity"] not in QUANTITIES:
        raise RowError(f"不认识的测量量：{row['quantity']}")
    room = row["room"] or None
    if room is not None:
        _known(session, Room, room, "库房")
    claim = {"unit": unit, "name": row["gateway_name"], "group_id": _match(row, "group", _ID)}
    _put(session, session.get(Gateway, gateway), lambda: Gateway(code=gateway, changed_at=now, online=False), claim)
    session.flush()
    identity = {"gateway": gateway, "device": _match(row, "device", _ID), "quantity": row["quantity"], "channel": row["channel"]}
    values = {
        "room": room,
        "unit": QUANTITIES[row["quantity"]].unit,
        "interval_ms": int(float(row["interval_s"]) * 1000) if row["interval_s"] else None,
        "klass": _one_of(row, "klass", CLASSES),
    }
    existing = session.scalar(select(Point).filter_by(**identity))
    return _put(session, existing, lambda: Point(created_at=now, **identity), values)


_KINDS: Mapping[str, tuple[tuple[str, ...], Callable[[Session, Row, int], str]]] = {
    "units": (("code", "parent", "level", "name", "short_name", "duty_phone"), _unit),
    "people": (("code", "name", "phone", "unit", "duty"), _person),
    "rooms": (("code", "unit", "name", "short_name", "sms_place", "kind", "medium", "stage", "city", "demanded", "person"), _room),
    "devices": (("gateway", "gateway_name", "unit", "group", "device", "quantity", "channel", "room", "interval_s", "klass"), _device),
}
KINDS = tuple(_KINDS)
