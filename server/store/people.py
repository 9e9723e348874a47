"""Questions about people: who holds a role where, who is away and who stands in, who may be told. Instants are UTC ms."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from server.store.tables import Person
from server.store.tables_org import Absence, PersonRole
from server.store.units import inside

_CHAIN = 4
"""How far stand-ins of stand-ins are followed."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A person in a role at a unit."""

    person: Person
    unit: str
    role: str


def valid(now: int) -> ColumnElement[bool]:
    """Roles in force at `now`."""
    return (PersonRole.since <= now) & or_(PersonRole.until.is_(None), PersonRole.until > now)


def holders(session: Session, units: Sequence[str], roles: Sequence[str], now: int) -> list[Holder]:
    """Active people with one of these roles (none named: with any) at one of these units, oldest appointment first. Leave: see `on_duty`."""
    query = select(PersonRole, Person).join(Person, Person.id == PersonRole.person).order_by(PersonRole.since, PersonRole.id)
    query = query.where(PersonRole.unit.in_(units), valid(now), Person.disabled_at.is_(None))
    if roles:
        query = query.where(PersonRole.role.in_(roles))
    return [Holder(person, role.unit, role.role) for role, person in session.execute(query)]


def on_duty(session: Session, units: Sequence[str], roles: Sequence[str], now: int) -> list[Holder]:
    """Like `holders`, with everybody on leave replaced by who stands in; those on leave without a stand-in are left out."""
    found = holders(session, units, roles, now)
    present = stand_ins(session, [holder.person.id for holder in found], now)
    people = {person.id: person for person in session.scalars(select(Person).where(Person.id.in_([p for p in present.values() if p is not None])))}
    here = [(holder, present[holder.person.id]) for holder in found]
    return [Holder(people[ident], holder.unit, holder.role) for holder, ident in here if ident is not None and people[ident].disabled_at is None]


def roles_of(session: Session, people: Iterable[int], now: int) -> dict[int, list[PersonRole]]:
    """Roles in force per person."""
    found: dict[int, list[PersonRole]] = {}
    query = select(PersonRole).where(PersonRole.person.in_(list(people)), valid(now)).order_by(PersonRole.id)
    for role in session.scalars(query):
        found.setdefault(role.person, []).append(role)
    return found


def absences(session: Session, people: Iterable[int], now: int) -> dict[int, Absence]:
    """The leave of each person that is away at `now`; the one recorded last where two overlap."""
    query = select(Absence).where(Absence.person.in_(list(people)), Absence.since <= now, Absence.until > now, Absence.cancelled_at.is_(None))
    return {row.person: row for row in session.scalars(query.order_by(Absence.id))}


def stand_ins(session: Session, people: Iterable[int], now: int) -> dict[int, int | None]:
    """Who answers for each person at `now`: the person, the stand-in (or the stand-in's), None when nobody does."""
    answer: dict[int, int | None] = {person: person for person in people}
    for _ in range(_CHAIN):
        away = absences(session, {person for person in answer.values() if person is not None}, now)
        if not away:
            return answer
        answer = {person: away[present].stand_in if present in away else present for person, present in answer.items()}
    away = absences(session, {person for person in answer.values() if person is not None}, now)
    return {person: None if present in away else present for person, present in answer.items()}


def absences_of(session: Session, person: int, limit: int = 20) -> Sequence[Absence]:
    """Leave of a person, past and to come, newest first."""
    return session.scalars(select(Absence).where(Absence.person == person).order_by(Absence.since.desc()).limit(limit)).all()


def get(session: Session, code: str) -> Person | None:
    """A person by personnel number."""
    return session.scalar(select(Person).where(Person.code == code))


def history(session: Session, person: int) -> Sequence[PersonRole]:
    """Every role a person has or had, newest first."""
    return session.scalars(select(PersonRole).where(PersonRole.person == person).order_by(PersonRole.id.desc())).all()


def page(
    session: Session,
    scope: str | None,
    *,
    now: int,
    text: str = "",
    phones: bool = False,
    role: str = "",
    disabled: bool | None = None,
    after: str = "",
    limit: int,
) -> Sequence[Person]:
    """People of a subtree by code, those after `after`. `text` is part of a name, of its pinyin, of a code, with `phones` of a number; `role` one
    they hold now.
    """
    query = select(Person).where(Person.code > after)
    if scope is not None:
        query = query.where(inside(session, Person.unit, scope))
    if text:
        found = Person.search.contains(text.lower(), autoescape=True)
        query = query.where(or_(found, Person.phone.contains(text, autoescape=True)) if phones and text.strip("+").isdigit() else found)
    if role:
        query = query.where(Person.id.in_(select(PersonRole.person).where(PersonRole.role == role, valid(now))))
    if disabled is not None:
        query = query.where(Person.disabled_at.is_not(None) if disabled else Person.disabled_at.is_(None))
    return session.scalars(query.order_by(Person.code).limit(limit)).all()
