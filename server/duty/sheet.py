"""一室一卡: what fills the marks of an action card, from the room's sheet, the unit and the duty roster. An absent value is absent, never a guess."""

from collections.abc import Mapping
from types import MappingProxyType

from sqlalchemy.orm import Session

from server.store import organisation, rooms, units
from server.store.tables import Person

FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "power_switch": "断电位置", "water_valve": "水阀位置", "keys": "钥匙保管人", "spare_keys": "备用钥匙", "gas_extinguishing": "灭火方式",
        "fire_phone": "消防控制室", "dehumidifier": "除湿机", "air_conditioner": "空调", "lock_without_power": "门锁断电状态",
        "compact_shelving": "密集架操作", "cover_sheets": "遮盖布位置", "salvage_order": "抢救顺序",
    }
)  # fmt: skip
"""Fields of the room's sheet (server/org/vocabulary.py SHEET) and the marks that they fill."""


def filling(session: Session, room: str | None, unit: str, translate: Mapping[str, str] | None = None) -> dict[str, str]:
    """Values by mark (cards.MARKS); `translate` is for the words between them.

    Names and telephone numbers are for the intranet page and paper, never for SMS.
    """
    written = organisation.sheet(session, room) if room is not None else None
    body = {} if written is None else written.body
    # The sheet keeps its fields under names of its own; the marks are the words that stand on the cards.
    values = {mark: text for field, mark in FIELDS.items() if (text := str(body.get(field, "")).strip())}
    if phone := rooms.duty_phone(session, unit):
        values["值班室电话"] = phone
    if room is not None and (person := rooms.person(session, room)) is not None:
        values["库房责任人"] = _who(person)
    path = units.path(session, unit)
    if len(path) > 1 and (above := rooms.duty_phone(session, path[-2])):
        values["下一级联系人"] = f"{units.names(session, [path[-2]]).get(path[-2], '')} {(translate or {}).get('值班室', '值班室')} {above}"
    return values


def photo_rule(session: Session, room: str | None) -> str:
    """What the room's sheet says about pictures, '' where it says nothing: then none may be taken."""
    written = organisation.sheet(session, room) if room is not None else None
    return "" if written is None else str(written.body.get("photos", "")).strip()


def photos_allowed(rule: str) -> bool:
    """Whether a rule of the sheet allows pictures: it begins with 允许."""
    return rule.startswith("允许")


def holdings(session: Session, room: str | None) -> list[str]:
    """What is at stake in a room, what is saved first standing first."""
    found = organisation.holdings(session, room) if room is not None else ()
    return ["，".join(filter(None, (f"全宗 {row.fonds} {row.name} {row.volumes} 卷", row.years, row.place))) for row in found]


def _who(person: Person) -> str:
    return f"{person.name} {person.phone}" if person.phone else person.name
