"""Who can be told above a room: the units from its own upwards with their duty people at an instant, out of the database."""

from collections.abc import Iterable, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.duty import book as books
from server.duty import words
from server.duty.calendar import Workdays
from server.duty.ladder import DUTIES
from server.duty.roster import Watcher, who
from server.duty.routing import Member, Org, OrgUnit
from server.store import people
from server.store.tables import Person, Room, Unit
from server.store.tables_duty import UnitPair


class Directory:
    """Answers for one batch of steps at one instant; what it has read of a unit it does not read again."""

    def __init__(self, session: Session, workdays: Workdays, now: int) -> None:
        self._session, self._workdays, self._now = session, workdays, now
        self._chains: dict[str, tuple[OrgUnit, ...]] = {}
        self._units: dict[str, Unit | None] = {}

    def organisation(self, unit: Unit, room: Room | None) -> Org:
        """The units from the room's own upwards with those who can be told, and the person of the room (or who stands in)."""
        self.gather((unit,))
        return Org(self._chains[unit.code], self._owner(room), roomless=room is None)

    def gather(self, units: Iterable[Unit]) -> None:
        """Read at once what is to be known of several units: one by one it takes as many queries for each of them."""
        lines = {unit.code: self._line(unit) for unit in units if unit.code not in self._chains}
        if not lines:
            return
        found = {one.code: one for line in lines.values() for one in line}
        pairs = {row.unit: row.stand_in for row in self._session.scalars(select(UnitPair).where(UnitPair.unit.in_(found)))}
        found |= {code: one for code in pairs.values() if (one := self._unit(code)) is not None}
        members = self._members(list(found.values()))
        for code, line in lines.items():
            self._chains[code] = tuple(OrgUnit(one.code, one.level, members[one.code], members.get(pairs.get(one.code, ""), ())) for one in line)

    def _owner(self, room: Room | None) -> Member | None:
        if room is None or room.person is None:
            return None
        there = people.stand_ins(self._session, [room.person], self._now)[room.person]
        owner = self._session.get(Person, there) if there is not None else None
        return None if owner is None or owner.disabled_at is not None else _member(owner, owner.duty)

    def _line(self, unit: Unit) -> list[Unit]:
        """A unit and those above it."""
        line = [unit]
        while line[-1].parent is not None and (above := self._unit(line[-1].parent)) is not None and above not in line:
            line.append(above)
        return line

    def _unit(self, code: str) -> Unit | None:
        if code not in self._units:
            self._units[code] = self._session.get(Unit, code)
        return self._units[code]

    def _members(self, line: Sequence[Unit]) -> dict[str, tuple[Member, ...]]:
        codes = [one.code for one in line]
        found: dict[str, list[Member]] = {code: [] for code in codes}
        for one in line:
            if one.duty_phone:
                found[one.code].append(Member(None, words.desk(one.short_name), one.duty_phone, "desk"))
        book = books.load(self._session, codes, self._workdays, self._now)
        for code in codes:
            found[code] += [_member(one.watcher, "shift") for one in who(book, code, "duty_officer", self._now)]
            found[code] += [_member(one.watcher, "duty_leader") for one in who(book, code, "duty_leader", self._now)]
        for code, person, duty in self._in_office(codes):
            found[code].append(_member(person, duty))
        return {code: tuple(members) for code, members in found.items()}

    def _in_office(self, codes: Sequence[str]) -> list[tuple[str, Person, str]]:
        """(unit, person, duty): roles in force, and the duty that a person's own row repeats; leave replaced by who stands in."""
        duties = tuple(DUTIES.values())
        own = self._session.scalars(
            select(Person).where(Person.unit.in_(codes), Person.duty.in_(duties), Person.disabled_at.is_(None)).order_by(Person.id)
        ).all()
        held = [(holder.unit, holder.person, holder.role) for holder in people.holders(self._session, codes, duties, self._now)]
        rows = {(code, person.id, duty): person for code, person, duty in [*((one.unit, one, one.duty) for one in own), *held]}
        present = people.stand_ins(self._session, {person.id for person in rows.values()}, self._now)
        absent = {stand for ident, stand in present.items() if stand is not None and stand != ident}
        standing = {one.id: one for one in self._session.scalars(select(Person).where(Person.id.in_(absent)))} if absent else {}
        found = []
        for (code, ident, duty), person in rows.items():
            stand = present[ident]
            there = person if stand == ident else standing.get(stand or 0)
            if there is not None and there.disabled_at is None:
                found.append((code, there, duty))
        return found


def _member(person: Person | Watcher, duty: str) -> Member:
    return Member(person.id, person.name, person.phone, duty, person.email, tuple(person.ways))
