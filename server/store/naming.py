"""What the codes in entries of the audit log and in proposals are called: units, rooms, people, gateways, accounts and alarms, looked up together."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from server.store.tables import Account, Alarm, AuditEntry, Gateway, Person, Room, Unit

_AT_ONCE = 500
_UNIT, _ROOM = 12, 15
"""Lengths of the codes of a unit and of a room; what a subject names beside them (a fonds, a point) comes after."""
_DIGITS = 18
"""What a key can hold."""


def of_entries(session: Session, entries: Collection[AuditEntry]) -> dict[str, str]:
    """What entries of the audit log speak of, see `names`."""
    documents = [document for entry in entries for document in (entry.detail, entry.before, entry.after)]
    return names(session, [entry.subject for entry in entries], documents)


def names(session: Session, subjects: Iterable[str], documents: Iterable[object]) -> dict[str, str]:
    """Names by whole subject and by code, of whatever subjects and documents speak of; what is called nothing (a file, something that is gone) is
    missing.
    """
    tails = {subject: subject.partition(":")[2] or subject for subject in subjects}
    found = _looked_up(session, {*_texts(list(documents)), *tails.values()})
    numbered = _accounts(session, tails) | _alarms(session, tails)
    for subject, tail in tails.items():
        name = numbered.get(subject) or _first(found, (tail, tail[:_ROOM], tail[:_UNIT], tail.partition("/")[0]))
        if name:
            found[subject] = name
    return found


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for one in value.values():
                yield from _texts(one)
        case list():
            for one in value:
                yield from _texts(one)


def _first(found: Mapping[str, str], codes: Iterable[str]) -> str:
    return next((found[code] for code in codes if code in found), "")


def _looked_up(session: Session, texts: Iterable[str]) -> dict[str, str]:
    """Names by code; a code is asked for as what it looks like, everything that looks like none as a person and as a gateway."""
    rooms, units, others = set[str](), set[str](), set[str]()
    for text in texts:
        if text[:_UNIT].isdigit() and len(text) >= _UNIT and text.isascii():
            units.add(text[:_UNIT])
            rooms.add(text[:_ROOM])
        elif 0 < len(text.partition("/")[0]) <= 40:
            others.add(text.partition("/")[0])
    asked = ((Room.code, Room.name, rooms), (Unit.code, Unit.name, units), (Person.code, Person.name, others), (Gateway.code, Gateway.name, others))
    return {code: name for key, named, codes in asked for code, name in _pairs(session, key, named, codes) if name}


def _pairs(session: Session, key: InstrumentedAttribute[Any], named: InstrumentedAttribute[Any], codes: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    for part in _parts(sorted(codes)):
        yield from ((code, name) for code, name in session.execute(select(key, named).where(key.in_(part))))


def _parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))


def _numbers(subjects: Iterable[str], kind: str) -> list[int]:
    pairs = (subject.partition(":")[::2] for subject in subjects)
    return sorted(int(tail) for head, tail in pairs if head == kind and tail.isascii() and tail.isdigit() and len(tail) <= _DIGITS)


def _accounts(session: Session, subjects: Iterable[str]) -> dict[str, str]:
    found = _pairs(session, Account.id, Account.display_name, _numbers(subjects, "account"))
    return {f"account:{ident}": name for ident, name in found}


def _alarms(session: Session, subjects: Iterable[str]) -> dict[str, str]:
    """Of an alarm the name of its room, or of its unit where it has none."""
    places: dict[int, str] = {}
    for part in _parts(_numbers(subjects, "alarm")):
        query = select(Alarm.id, Room.name, Unit.name).join(Unit, Unit.code == Alarm.unit).outerjoin(Room, Room.code == Alarm.room)
        places |= {ident: room or unit for ident, room, unit in session.execute(query.where(Alarm.id.in_(part)))}
    return {f"alarm:{ident}": name for ident, name in places.items()}
