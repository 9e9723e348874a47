"""What happens to people: appointed, on leave, gone; they move with a row of the books (imports/staff.py).

Within the caller's write transaction; instants are UTC ms. Every function records history (org_change, or the row's own dates) and leaves
auditing to the caller, who knows the way in.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.org import granting, roles
from server.org.checks import CheckError
from server.store import people
from server.store.tables import Person
from server.store.tables_org import Absence, OrgChange, PersonRole


class NotPossibleError(ValueError):
    """A change that the rules do not allow; the text is the sentence for the person."""


def set_roles(session: Session, person: Person, wanted: Mapping[str, Iterable[str]], *, by: str, now: int) -> bool:
    """Make the person hold exactly these roles: unit -> roles. Returns whether anything changed.

    Raises NotPossibleError for an unknown role, for roles that one person must not hold together, for an administrator below city level.
    """
    target = {(unit, role) for unit, names in wanted.items() for role in names}
    unknown = sorted(role for _, role in target if role not in roles.ROLES)
    if unknown:
        raise NotPossibleError(f"不认识的角色：{'、'.join(unknown)}")
    if (clash := roles.conflict(role for _, role in target)) is not None:
        raise NotPossibleError(f"{clash[0]} 与 {clash[1]} 不能由同一人担任")
    for unit, role in sorted(target):
        try:
            granting.check_place(session, role, unit)
        except CheckError as error:
            raise NotPossibleError(str(error)) from error
    held = {(role.unit, role.role): role for role in people.roles_of(session, [person.id], now).get(person.id, [])}
    for key in held.keys() - target:
        held[key].until = now
    for unit, role in sorted(target - held.keys()):
        session.add(PersonRole(person=person.id, unit=unit, role=role, since=now, by=by))
    person.duty = roles.first_duty(role for _, role in target)
    session.flush()
    return held.keys() != target


def held(session: Session, person: Person, now: int) -> dict[str, list[str]]:
    """The roles a person holds now, by unit, in the form that set_roles takes."""
    found: dict[str, list[str]] = {}
    for role in people.roles_of(session, [person.id], now).get(person.id, []):
        found.setdefault(role.unit, []).append(role.role)
    return found


def leave(session: Session, person: Person, *, since: int, until: int, stand_in: Person | None, why: str, by: str, now: int) -> Absence:
    """Put a person on leave, with a stand-in. Raises NotPossibleError for an empty time, a stand-in who is away too, gone, or the person itself."""
    if until <= since or until <= now:
        raise NotPossibleError("结束时间须晚于开始时间，且在今后")
    if stand_in is not None:
        if stand_in.id == person.id:
            raise NotPossibleError("替班人不能是本人")
        if stand_in.disabled_at is not None:
            raise NotPossibleError(f"{stand_in.name} 已停用，不能替班")
        overlap = select(Absence.id).where(
            Absence.person == stand_in.id, Absence.cancelled_at.is_(None), Absence.since < until, Absence.until > since
        )
        if session.scalar(overlap.limit(1)) is not None:
            raise NotPossibleError(f"{stand_in.name} 在这段时间也请假")
    row = Absence(person=person.id, since=since, until=until, stand_in=stand_in.id if stand_in else None, why=why, by=by)
    session.add(row)
    session.flush()
    return row


def disable(session: Session, person: Person, *, why: str, by: str, now: int) -> int:
    """Take a person out: roles end, accounts are disabled and their sessions revoked at once. Returns the number of accounts."""
    if person.disabled_at is None:
        person.disabled_at, person.disabled_why = now, why[:120]
        _record(session, person, "disabled", {"roles": held(session, person, now)}, {}, by=by, why=why, now=now)
        set_roles(session, person, {}, by=by, now=now)
    ended = granting.align(session, now, by=by, persons=[person.id])
    session.flush()
    return ended


def enable(session: Session, person: Person, *, why: str, by: str, now: int) -> None:
    """Take a person back; roles and accounts have to be given anew."""
    if person.disabled_at is not None:
        _record(session, person, "enabled", {"disabled_why": person.disabled_why}, {}, by=by, why=why, now=now)
        person.disabled_at, person.disabled_why, person.last_seen_at = None, "", now
        session.flush()


def _record(session: Session, person: Person, kind: str, before: dict[str, Any], after: dict[str, Any], *, by: str, why: str, now: int) -> None:
    session.add(
        OrgChange(subject=f"person:{person.id}", kind=kind, valid_from=now, recorded_at=now, by=by, why=why[:200], before=before, after=after)
    )
