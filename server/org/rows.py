"""Rows of the organisation as the text that a person would type: what a form shows, and what an edit is laid over."""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.org import checks
from server.org.checks import ZONE
from server.store import people
from server.store.tables import Gateway, Person, Point, Room, Unit
from server.store.tables_org import Calibration, Holding

Cells = dict[str, str]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "是" if value else "否"
    return ";".join(value) if isinstance(value, list) else str(value)


def day(instant: int) -> str:
    """The calendar day of an instant, in the form that checks.day reads."""
    return datetime.fromtimestamp(instant / 1000, ZONE).date().isoformat()


def _columns(row: Any, *names: str) -> Cells:
    return {name: _text(getattr(row, name)) for name in names}


def unit(session: Session, key: Mapping[str, str], _now: int) -> Cells | None:
    """A unit by code."""
    row = session.get(Unit, key["code"])
    return None if row is None else _columns(row, "code", "parent", "level", "name", "short_name", "duty_phone", "kind")


def person(session: Session, key: Mapping[str, str], now: int) -> Cells | None:
    """A person by personnel number, with the roles at the own unit."""
    row = session.scalar(select(Person).where(Person.code == key["code"]))
    if row is None:
        return None
    held = people.roles_of(session, [row.id], now).get(row.id, [])
    names = ";".join(role.role for role in held if role.unit == row.unit)
    ways = ";".join(checks.WAY_NAMES[way] for way in row.ways)
    return _columns(row, "code", "name", "phone", "unit", "email", "landline") | {"roles": names, "ways": ways}


def room(session: Session, key: Mapping[str, str], _now: int) -> Cells | None:
    """A room by code; the person in charge as personnel number."""
    row = session.get(Room, key["code"])
    if row is None:
        return None
    keeper = session.get(Person, row.person) if row.person is not None else None
    names = ("code", "unit", "name", "short_name", "sms_place", "kind", "medium", "stage", "city", "demanded", "location")
    return _columns(row, *names) | {"person": keeper.code if keeper is not None else ""}


def point(session: Session, key: Mapping[str, str], _now: int) -> Cells | None:
    """A point by gateway, device, quantity and channel, with its gateway."""
    row = session.scalar(select(Point).filter_by(**{name: key[name] for name in POINT_KEY}))
    gateway = session.get(Gateway, key["gateway"])
    if row is None or gateway is None:
        return None
    interval = "" if row.interval_ms is None else f"{row.interval_ms / 1000:g}"
    own = {"gateway_name": gateway.name, "unit": gateway.unit or "", "group": gateway.group_id, "interval_s": interval}
    return _columns(row, *POINT_KEY, "room", "klass") | own


def holding(session: Session, key: Mapping[str, str], _now: int) -> Cells | None:
    """A holding by room, fonds and name."""
    row = session.scalar(select(Holding).filter_by(**{name: key[name] for name in ("room", "fonds", "name")}))
    return None if row is None else _columns(row, "room", "fonds", "name", "volumes", "years", "rank", "place")


def calibration(session: Session, key: Mapping[str, str], _now: int) -> Cells | None:
    """A calibration by point and date."""
    query = select(Calibration).join(Point, Point.id == Calibration.point).filter(*(getattr(Point, name) == key[name] for name in POINT_KEY))
    found = next((row for row in session.scalars(query) if day(row.calibrated_at) == key.get("calibrated_at", "")), None)
    if found is None:
        return None
    dates = {"calibrated_at": day(found.calibrated_at), "valid_until": day(found.valid_until)}
    return {name: key[name] for name in POINT_KEY} | _columns(found, "serial", "certificate", "laboratory") | dates


POINT_KEY: Final = ("gateway", "device", "quantity", "channel")
KEYS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "units": ("code",), "people": ("code",), "rooms": ("code",), "devices": POINT_KEY, "holdings": ("room", "fonds", "name"),
        "calibrations": (*POINT_KEY, "calibrated_at"),
    }
)  # fmt: skip
"""What a row of each kind is found by."""
READ: Final[Mapping[str, Callable[[Session, Mapping[str, str], int], Cells | None]]] = MappingProxyType(
    {"units": unit, "people": person, "rooms": room, "devices": point, "holdings": holding, "calibrations": calibration}
)
