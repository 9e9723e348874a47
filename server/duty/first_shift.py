"""开通清单: what is still missing before the first shift, step by step, out of the tables alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from server.duty import vacancy
from server.duty.roster import turns_of
from server.store import units
from server.store.tables import Account, Notification, Person, Point, Room, Unit
from server.store.tables_drill import Drill
from server.store.tables_duty import Roster

EXAMPLES = 5
ADMINISTRATORS = ("system", "security", "audit")


@dataclass(frozen=True, slots=True)
class Lacking:
    """One thing that is missing: its name, '' where `code` is a word to be said, and where to see to it."""

    code: str
    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Step:
    """`total` things are asked about, `missing` of them are not there, of which `examples` are the first."""

    key: str
    total: int
    missing: int
    examples: tuple[Lacking, ...] = ()

    @property
    def done(self) -> bool:
        """Whether there is something, and nothing of it is missing."""
        return self.total > 0 and not self.missing


def steps(session: Session, scope: str | None, channels: Sequence[str], now: int) -> Iterator[Step]:
    """The steps of a subtree in the order in which they are done, each worked out when it is asked for. `channels` are those of the settings."""
    return (_STEPS[key](session, scope, channels, now) for key in _STEPS)


def complete(session: Session, scope: str | None, channels: Sequence[str], now: int) -> bool:
    """Whether nothing is missing any more; ends at the first step that is not done."""
    return all(step.done for step in steps(session, scope, channels, now))


def _of_units(session: Session, scope: str | None, _channels: Sequence[str], _now: int) -> Step:
    child = aliased(Unit)
    empty = ~exists().where(Room.unit == Unit.code) & ~exists().where(child.parent == Unit.code)
    mine = units.inside(session, Unit.code, scope)
    total, missing = _counts(session, Unit.code, mine, empty)
    found = session.execute(select(Unit.code, Unit.name).where(mine, empty).order_by(Unit.code).limit(EXAMPLES)).all() if missing else []
    return Step("units", total, missing, tuple(Lacking(code, name, f"/units/{code}") for code, name in found))


def _of_rooms(key: str, lacks: Callable[[], ColumnElement[bool]], address: str, *, in_use: bool = False) -> Callable[..., Step]:
    """A step over the rooms that are not retired, or that are in use."""

    def step(session: Session, scope: str | None, _channels: Sequence[str], _now: int) -> Step:
        stage = Room.stage == "in_use" if in_use else Room.stage != "retired"
        mine = units.inside(session, Room.unit, scope) & stage
        query = select(Room.code, Room.name, Unit.short_name).join(Unit, Unit.code == Room.unit).where(mine, lacks()).order_by(Room.code)
        total, missing = _counts(session, Room.code, mine, lacks())
        found = session.execute(query.limit(EXAMPLES)).all() if missing else []
        return Step(key, total, missing, tuple(Lacking(code, f"{unit} {name}", address.format(code)) for code, name, unit in found))

    return step


def _of_duty(session: Session, scope: str | None, _channels: Sequence[str], now: int) -> Step:
    mine = units.inside(session, Room.unit, scope) & (Room.stage == "in_use")
    total = session.scalar(select(func.count(Room.unit.distinct())).where(mine)) or 0
    lacking = vacancy.unwatched(session, vacancy.rostered(session), now, among=mine)
    names = units.names(session, lacking[:EXAMPLES])
    found = tuple(Lacking(code, names.get(code, code), f"/duty?unit={code}") for code in lacking[:EXAMPLES])
    return Step("duty", total, len(lacking), found)


def _of_phones(session: Session, scope: str | None, _channels: Sequence[str], _now: int) -> Step:
    """Who is called by name: the persons of rooms, and whoever takes turns."""
    rosters = session.scalars(select(Roster.people).where(units.inside(session, Roster.unit, scope), Roster.ended_at.is_(None)))
    turns = {ident for people in rosters for turn in turns_of(people) for ident in turn}
    rooms = select(Room.person).where(units.inside(session, Room.unit, scope), Room.stage != "retired", Room.person.is_not(None))
    called = or_(Person.id.in_(rooms), Person.id.in_(sorted(turns))) & Person.disabled_at.is_(None)
    silent = Person.phone_verified_at.is_(None) & Person.landline.is_(False)
    found = session.execute(select(Person.id, Person.name).where(called, silent).order_by(Person.id).limit(EXAMPLES)).all()
    total, missing = _counts(session, Person.id, called, silent)
    return Step("phones", total, missing, tuple(Lacking(str(ident), name, f"/people/{ident}") for ident, name in found))


def _of_channels(session: Session, _scope: str | None, channels: Sequence[str], _now: int) -> Step:
    tried = {name for name in channels if session.scalar(select(_sent(name)))}
    silent = [name for name in channels if name not in tried]
    return Step("channels", len(channels), len(silent), tuple(Lacking(name, "", "/people") for name in silent[:EXAMPLES]))


def _of_accounts(session: Session, scope: str | None, _channels: Sequence[str], _now: int) -> Step:
    """The three administrators, wherever they sit, and somebody on duty in the subtree."""
    there = set(session.scalars(select(Account.role).where(Account.role.in_(ADMINISTRATORS), Account.disabled.is_(False)).distinct()))
    mine = select(Account.role).where(Account.role == "duty", Account.disabled.is_(False), units.inside(session, Account.unit, scope))
    there |= set(session.scalars(mine.limit(1)))
    lacking = [role for role in (*ADMINISTRATORS, "duty") if role not in there]
    return Step("accounts", len(ADMINISTRATORS) + 1, len(lacking), tuple(Lacking(role, "", "/people") for role in lacking))


def _sent(channel: str) -> ColumnElement[bool]:
    return exists().where(Notification.channel == channel, Notification.sent_at.is_not(None))


def _counts(session: Session, column: Any, mine: ColumnElement[bool], lacks: ColumnElement[bool]) -> tuple[int, int]:
    """How many there are, and how many of them lack something, in one walk."""
    total, missing = session.execute(select(func.count(column), func.count(column).filter(lacks)).where(mine)).one()
    return total, missing


_STEPS: Mapping[str, Callable[[Session, str | None, Sequence[str], int], Step]] = {
    "units": _of_units,
    "people": _of_rooms("people", lambda: ~exists().where(Person.id == Room.person, Person.disabled_at.is_(None)), "/rooms/{}/sheet"),
    "gateways": _of_rooms("gateways", lambda: ~exists().where(Point.room == Room.code), "/rooms/{}"),
    "accounts": _of_accounts,
    "channels": _of_channels,
    "phones": _of_phones,
    "stages": _of_rooms("stages", lambda: Room.stage != "in_use", "/rooms/{}"),
    "duty": _of_duty,
    "drills": _of_rooms("drills", lambda: ~exists().where(Drill.room == Room.code, Drill.state == "ended"), "/rooms/{}", in_use=True),
}
