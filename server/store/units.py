"""Questions about the tree of units. Codes are those of design "Identity"; a scope reaches a unit and everything below it."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from server.store.tables import Room, Unit
from server.store.tree import UnitTree

_FEW = 60
"""So many units are named in a query, those of a county; of more, a whole city, it asks for the subtree: two hundred names in each of a page's dozen
queries cost PostgreSQL and its driver more to take in than to answer."""


def below(scope: str | None) -> Select[str]:
    """Query for the codes of `scope` and all units under it; None means every unit."""
    if scope is None:
        return select(Unit.code)
    tree = select(Unit.code).where(Unit.code == scope).cte("subtree", recursive=True)
    tree = tree.union_all(select(Unit.code).join(tree, Unit.parent == tree.c.code))
    return select(tree.c.code)


def within(session: Session, code: str, scope: str | None) -> bool:
    """Whether `code` is `scope` or lies below it."""
    return scope is None or scope in path(session, code)


def inside(session: Session, column: InstrumentedAttribute[Any], scope: str | None) -> ColumnElement[bool]:
    """That a column names `scope` or a unit below it. Of whoever sees the whole tree nothing is asked, if the column must name a unit: to look up
    each row's unit costs a province more than all the rest of a list. The few units of a county are named one by one: a database that cannot see
    how few they are walks the whole table instead of its index.
    """
    if scope is None:
        return true()
    tree = _remembered(session)
    if tree is not None and _must_name(column) and tree.is_whole(scope):
        return true()
    few = None if tree is None else tree.below(scope, _FEW)
    return column.in_(below(scope) if few is None else few)


def _must_name(column: InstrumentedAttribute[Any]) -> bool:
    [stored] = column.property.columns
    return stored is Unit.__table__.c.code or (bool(stored.foreign_keys) and not stored.nullable)


def _remembered(session: Session) -> UnitTree | None:
    """The tree in memory, unless the asker's own transaction may have changed it."""
    tree: UnitTree | None = session.info.get("tree")
    return None if tree is None or tree.in_flux or session.new or session.dirty else tree


def path(session: Session, code: str) -> tuple[str, ...]:
    """Codes from the province down to and including `code`; empty when there is no such unit."""
    tree = _remembered(session)
    return _path_in(session, code) if tree is None else tree.path(code)


def _path_in(session: Session, code: str) -> tuple[str, ...]:
    """As the asker's own transaction sees it."""
    up = select(Unit.code, Unit.parent).where(Unit.code == code).cte("up", recursive=True)
    up = up.union(select(Unit.code, Unit.parent).join(up, Unit.code == up.c.parent))
    parents = {row.code: row.parent for row in session.execute(select(up.c.code, up.c.parent))}
    line: list[str] = []
    current: str | None = code
    while current is not None and current in parents:
        line.insert(0, current)
        current = parents.pop(current)
    return tuple(line)


def named(session: Session, scope: str | None, name: str) -> list[str]:
    """Codes of the units of a subtree with exactly this name."""
    return list(session.scalars(select(Unit.code).where(Unit.name == name, Unit.code.in_(below(scope))).order_by(Unit.code)))


def names(session: Session, codes: Sequence[str]) -> dict[str, str]:
    """Full name per unit code, for those that exist."""
    return {row.code: row.name for row in session.execute(select(Unit.code, Unit.name).where(Unit.code.in_(codes)))}


def get(session: Session, code: str) -> Unit | None:
    """One unit."""
    return session.get(Unit, code)


def children(session: Session, code: str) -> Sequence[Unit]:
    """Units directly under `code`, by code."""
    return session.scalars(select(Unit).where(Unit.parent == code, Unit.closed_at.is_(None)).order_by(Unit.code)).all()


def page(session: Session, scope: str | None, *, after: str, limit: int) -> Sequence[Unit]:
    """Units of a subtree by code, those after the code `after`."""
    return session.scalars(select(Unit).where(inside(session, Unit.code, scope), Unit.code > after).order_by(Unit.code).limit(limit)).all()


def rooms_per_unit(session: Session, codes: Sequence[str]) -> dict[str, int]:
    """How many rooms lie in each of these units or below them."""
    top = aliased(Unit)
    tree = select(top.code.label("top"), top.code.label("code")).where(top.code.in_(codes)).cte("trees", recursive=True)
    tree = tree.union_all(select(tree.c.top, Unit.code).join(Unit, Unit.parent == tree.c.code))
    counts = select(tree.c.top, func.count(Room.code)).join(Room, Room.unit == tree.c.code).group_by(tree.c.top)
    return {code: int(count) for code, count in session.execute(counts)}


def children_per_unit(session: Session, codes: Sequence[str]) -> dict[str, int]:
    """How many units lie directly under each of these."""
    query = select(Unit.parent, func.count()).where(Unit.parent.in_(codes), Unit.closed_at.is_(None)).group_by(Unit.parent)
    return {code: int(count) for code, count in session.execute(query) if code is not None}


def tops(session: Session) -> Sequence[Unit]:
    """The units above which there is none."""
    return session.scalars(select(Unit).where(Unit.parent.is_(None)).order_by(Unit.code)).all()
