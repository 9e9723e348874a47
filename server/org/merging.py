"""并入: what becomes of everything that bears the code of a unit when the unit goes over into another.

The unit stays in the tree, closed, below the one that took it over: what happened under its code stays true there and is seen by whoever sees the
receiver. What is still at work goes along, so that nothing is left watching for a unit that is not there any more. Each column that names a unit
stands in FOLLOWS, SETTLED or STAYS; a test walks the tables and finds one that was forgotten. Within the caller's write transaction; UTC ms.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from server.org import granting, roles, visitors
from server.org.checks import CheckError
from server.store import audit
from server.store.tables import Account, Gateway, Person, Room, Unit, WebSession
from server.store.tables_alarms import LimitChange, ShadowRun
from server.store.tables_drill import Drill, DrillPlan, WatchCheck
from server.store.tables_duty import LookItem, Roster, UnitPair
from server.store.tables_incident import Incident
from server.store.tables_org import ChangeRequest, EmergencyAccess, Notice, OrgChange, PersonRole
from server.store.tables_security import AccountSecurity, ApiKey, Kiosk

_NAME = 40
"""Characters of a roster's name."""

FOLLOWS: Final[tuple[tuple[InstrumentedAttribute[Any], ColumnElement[bool] | None], ...]] = (
    (Unit.parent, None),
    (Room.unit, None),
    (Person.unit, None),
    (Gateway.unit, None),
    (Account.unit, Account.id.not_in(select(AccountSecurity.account).where(AccountSecurity.visitor.is_(True)))),
    (ApiKey.unit, ApiKey.revoked_at.is_(None)),
    (Kiosk.unit, Kiosk.revoked_at.is_(None)),
    (PersonRole.unit, PersonRole.until.is_(None)),
    (EmergencyAccess.unit, EmergencyAccess.ended_at.is_(None)),
    (Roster.unit, Roster.ended_at.is_(None)),
    (Drill.unit, Drill.state.in_(("waiting", "sent", "detected"))),
    (WatchCheck.unit, WatchCheck.state == "open"),
    (LookItem.unit, LookItem.state.in_(("waiting", "unanswered"))),
    (LimitChange.unit, LimitChange.room.is_not(None) & LimitChange.revoked_at.is_(None)),
    (Incident.unit, Incident.closed_at.is_(None)),
    (Notice.unit, Notice.open_key.is_not(None)),
    (ChangeRequest.unit, ChangeRequest.state == "open"),
)
"""What is at work goes over with its rows: the column, and which rows (None: all)."""
_OF_ROOMS: Final = (LimitChange, Drill, WatchCheck, LookItem)
WITH_A_ROOM: Final = tuple((column.class_.__table__, wanted) for column, wanted in FOLLOWS if wanted is not None and column.class_ in _OF_ROOMS)
"""What goes along as well when a room alone is handed on to another unit."""
SETTLED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "alarm.unit": "open ones follow their room or gateway in the watch (reload.py); those about the unit itself are cleared by who raised them",
        "web_session.view_unit": "looking around ends",
        "unit_pair.unit": "goes along where the receiver has no pair of its own",
        "unit_pair.stand_in": "the receiver stands in",
        "drill_plan.unit": "goes along; of two the one with the shorter interval stays",
        "limit_change.unit": "one for the whole unit becomes one for each of its rooms and units: the receiver's own rooms keep their limits",
        "shadow_run.unit": "a trial ends: the rooms that it was to judge lie among others",
    }
)
STAYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "unit.merged_into": "the chain of forwarded codes",
        "alarm_group.scope": "a common cause of the past, or one that ends by itself",
        "notification.unit": "what was said",
        "hand_over.unit": "signed",
        "look_call.unit": "who was asked for whom",
        "drill_campaign.unit": "who ordered it for whom",
        "still_policy.unit": "no room is left to which it applies: the receiver's holds",
        "import_run.unit": "what the importer could reach",
        "export_job.unit": "what the paper is about",
        "person_review.unit": "signed",
        "audit.unit": "the record",
        "audit_anchor.unit": "the record",
        "series_anchor.unit": "the record",
    }
)
"""Records: they are true under the code at which they were made."""


def check(session: Session, gone: Unit, into: Unit, now: int) -> None:
    """Raises CheckError where the tree or the separation of administrators would not hold afterwards."""
    low = session.scalar(select(Unit.name).where(Unit.parent == gone.code, Unit.closed_at.is_(None), Unit.level <= into.level).limit(1))
    if low is not None:
        raise CheckError(f"下级单位“{low}”的级别不低于接收单位，先把它划转到别处")
    sinks = roles.administrable(gone.level, gone.parent) and not roles.administrable(into.level, into.parent)
    if sinks and granting.administered(session, gone.code, now):
        raise CheckError(f"本单位有管理员，{granting.NOT_BELOW}；先免去或调走")


def carry_out(session: Session, gone: Unit, into: Unit, *, by: str, now: int) -> dict[str, int]:
    """Everything of `gone` goes the way that stands above. Returns how many rows of which table went along."""
    _limits(session, gone, by, now)
    _rosters(session, gone, into)
    _pairs(session, gone.code, into.code)
    _drill_plan(session, gone.code, into.code)
    _visits(session, gone.code, by, now)
    session.execute(update(WebSession).where(WebSession.view_unit == gone.code).values(view_role="", view_unit=""))
    session.execute(update(ShadowRun).where(ShadowRun.unit == gone.code, or_(ShadowRun.until.is_(None), ShadowRun.until > now)).values(until=now))
    moved = {}
    for column, wanted in FOLLOWS:
        rows = column == gone.code if wanted is None else (column == gone.code) & wanted
        done = session.execute(update(column.class_).where(rows).values({column.key: into.code})).rowcount  # type: ignore[attr-defined]
        if done:
            moved[column.class_.__tablename__] = done
    gone.merged_into, gone.closed_at, gone.parent = into.code, now, into.code
    for subject, kind, told in ((gone.code, "merge", {"into": into.code}), (into.code, "absorb", {"unit": gone.code, "name": gone.name})):
        session.add(OrgChange(subject=f"unit:{subject}", kind=kind, valid_from=now, recorded_at=now, by=by, after=told | {"moved": moved}))
    session.flush()
    return moved


def _limits(session: Session, gone: Unit, by: str, now: int) -> None:
    """A tightened limit of the whole unit goes on for what lies in it now, and for nothing else."""
    held = session.scalars(select(LimitChange).where(LimitChange.unit == gone.code, LimitChange.room.is_(None), LimitChange.revoked_at.is_(None)))
    children = session.scalars(select(Unit.code).where(Unit.parent == gone.code, Unit.closed_at.is_(None)))
    places: list[tuple[str, str | None]] = [(code, None) for code in children]
    places += [(gone.code, code) for code in session.scalars(select(Room.code).where(Room.unit == gone.code))]
    for change in held.all():
        change.revoked_at, change.revoked_by = now, by
        if change.until is not None and change.until <= now:
            continue
        kept = {name: getattr(change, name) for name in ("rule", "level", "limit", "on_delay_ms", "by", "why", "since", "until")}
        rows = [LimitChange(**kept, unit=unit, room=room, created_at=now) for unit, room in places]
        session.add_all(rows)
        session.flush()
        for row in rows:  # a limit that the audit log does not know counts as changed past every door
            where, detail = row.room or row.unit, {"rule": row.rule, "level": row.level, "from": change.id}
            audit.append(session, by, "limit.tighten", where, detail, now, unit=row.unit, reason=f"{gone.name}并入，原为全单位的限值")


def _rosters(session: Session, gone: Unit, into: Unit) -> None:
    """Two shifts of the same name at one unit could not be told apart."""
    taken = set(session.scalars(select(Roster.name).where(Roster.unit == into.code, Roster.ended_at.is_(None))))
    for roster in session.scalars(select(Roster).where(Roster.unit == gone.code, Roster.ended_at.is_(None))):
        told = f"{gone.short_name} {roster.name}"
        if roster.name in taken and len(told) <= _NAME:
            roster.name = told


def _pairs(session: Session, gone: str, into: str) -> None:
    own, theirs = session.get(UnitPair, gone), session.get(UnitPair, into)
    if own is not None:
        session.delete(own)
        if theirs is None and own.stand_in != into:
            session.add(UnitPair(unit=into, stand_in=own.stand_in))
    session.flush()
    session.execute(update(UnitPair).where(UnitPair.stand_in == gone).values(stand_in=into))
    session.execute(delete(UnitPair).where(UnitPair.unit == UnitPair.stand_in))


def _drill_plan(session: Session, gone: str, into: str) -> None:
    own, theirs = session.get(DrillPlan, gone), session.get(DrillPlan, into)
    if own is None:
        return
    session.delete(own)
    if theirs is None:
        session.add(DrillPlan(unit=into, every_days=own.every_days, by=own.by, at=own.at))
    else:
        theirs.every_days = min(theirs.every_days, own.every_days)


def _visits(session: Session, gone: str, by: str, now: int) -> None:
    """A visit was granted for one unit: it does not grow with it."""
    query = select(Account.id).join(AccountSecurity, AccountSecurity.account == Account.id)
    query = query.where(Account.unit == gone, AccountSecurity.visitor.is_(True), Account.disabled.is_(False))
    for ident in session.scalars(query).all():
        visitors.end(session, by, ident, None, now)
