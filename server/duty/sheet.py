"""一室一卡: what fills the marks of an action card, from the room's sheet, the unit and the duty roster. An absent value is absent, never a guess."""

from sqlalchemy.orm import Session

from server.store import rooms, units
from server.store.tables import Person


def filling(session: Session, room: str | None, unit: str) -> dict[str, str]:
    """Values by mark (cards.MARKS). Names and telephone numbers are for the intranet page and paper, never for SMS."""
    values: dict[str, str] = {}
    if phone := rooms.duty_phone(session, unit):
        values["值班室电话"] = phone
    if room is not None and (person := rooms.person(session, room)) is not None:
        values["库房责任人"] = _who(person)
    path = units.path(session, unit)
    if len(path) > 1 and (above := rooms.duty_phone(session, path[-2])):
        values["下一级联系人"] = f"{units.names(session, [path[-2]]).get(path[-2], '')} 值班室 {above}"
    return values


def _who(person: Person) -> str:
    return f"{person.name} {person.phone}" if person.phone else person.name
