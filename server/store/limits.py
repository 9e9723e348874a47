"""Changed limits: who tightened what, why and until when; and the rule set that follows from the files and these changes together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from alarms.explain import explain
from alarms.model import CHANGE, AppliesTo, Level, Rule, RuleSet, Rung, cumulative
from server.store import holidays, units
from server.store.tables import Room
from server.store.tables_alarms import LimitChange
from server.store.units import below


def in_force(session: Session, now: int) -> Sequence[LimitChange]:
    """Changes that hold at an instant, oldest first."""
    query = select(LimitChange).where(LimitChange.revoked_at.is_(None), LimitChange.since <= now)
    return session.scalars(query.where(or_(LimitChange.until.is_(None), LimitChange.until > now)).order_by(LimitChange.id)).all()


def page(session: Session, scope: str | None, *, room: str = "", before: int | None = None, limit: int = 50) -> Sequence[LimitChange]:
    """All changes of a subtree, or of one room, newest first: also those that are over."""
    query = select(LimitChange).where(LimitChange.unit.in_(below(scope)))
    if room:
        query = query.where(LimitChange.room == room)
    if before is not None:
        query = query.where(LimitChange.id < before)
    return session.scalars(query.order_by(LimitChange.id.desc()).limit(limit)).all()


def effective_rules(session: Session, base: RuleSet, now: int, given: holidays.Given, more: Iterable[LimitChange] = ()) -> RuleSet:
    """The rules of the files with the holidays filled in and the changes in force (and `more`, for a preview) as their lowest layers.

    `given`: the days of the operator's file of holidays.
    """
    shapes: dict[str, Rule] = {}
    for rule in base.rules:
        shapes.setdefault(rule.name, rule)
    grouped: dict[tuple[str, str, str | None], list[LimitChange]] = {}
    for change in (*in_force(session, now), *more):
        if change.rule in shapes:  # a rule that the files no longer have cannot be tightened
            grouped.setdefault((change.rule, change.unit, change.room), []).append(change)
    layers = [_layer(shapes[name], AppliesTo(unit, (), (room,) if room else ()), some) for (name, unit, room), some in grouped.items()]
    return holidays.filled(base.plus(RuleSet(tuple(layer for layer in layers if layer is not None))), now, given)


def _layer(shape: Rule, scope: AppliesTo, changes: Sequence[LimitChange]) -> Rule | None:
    """The changes of one rule in one place as a layer that says nothing but them."""
    ladder = _ladder(shape, changes)
    if not ladder:
        return None
    bare = replace(shape, ladder=ladder, applies_to=scope, by_medium=(), source="", deadband=0.0, off_delay_ms=0)
    bare = replace(bare, latch=False, re_alarm_ms=None, two_persons=False)
    variants: list[tuple[str, Rule | None]] = []
    for medium, variant in shape.by_medium:
        own = _ladder(variant, changes) if variant is not None else ()
        variants.append((medium, replace(bare, ladder=own) if own else None))
    return replace(bare, by_medium=tuple(variants))


def _ladder(rule: Rule, changes: Sequence[LimitChange]) -> tuple[Rung, ...]:
    rungs: dict[Level, Rung] = {}
    for change in changes:
        level = Level.of(change.level)
        held = rungs.get(level) or rule.rung(level)
        if held is None and change.limit is None:
            continue
        side, limit, values = rule.ladder[0].side, held.limit if held else 0.0, held.values if held else ()
        delay = change.on_delay_ms if change.on_delay_ms is not None else held.on_delay_ms if held else 0
        rungs[level] = Rung(level, side, limit if change.limit is None else change.limit, delay, values, f"{CHANGE}{change.id}")
    return cumulative([rungs[level] for level in sorted(rungs)])


Told = Mapping[str, Mapping[str, Any]]


def told(session: Session) -> dict[str, dict[str, Any]]:
    """Who, why and until when, by the origin that rungs carry."""
    return {
        f"{CHANGE}{row.id}": {"by": row.by, "why": row.why, "since": row.since, "until": row.until, "unit": row.unit, "room": row.room}
        for row in session.scalars(select(LimitChange))
    }


def explain_room(session: Session, rules: RuleSet, code: str, quantity: str) -> dict[str, Any] | None:
    """Which limits hold for a quantity in a room, level by level; None when there is no such room."""
    room = session.get(Room, code)
    if room is None:
        return None
    path = units.path(session, room.unit)
    found = explain(rules, quantity, room.medium, path, room.code, told(session))
    return {"room": room.code, "medium": room.medium, "unit_path": list(path), "quantity": quantity, "rule_set": rules.version, "rules": found}
