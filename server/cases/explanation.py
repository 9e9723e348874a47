"""Why an alarm did what it did, by the rules of its own day."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from alarms.explain import explain_rule
from server.duty.events import event_of
from server.duty.words import EVENTS
from server.instants import instant
from server.store import alarms, limits, rooms, rule_sets, units
from server.store.tables import Alarm, Room, Transition
from server.store.tables_alarms import RuleSetVersion

Place = tuple[str, tuple[str, ...], str]
"""(medium, unit path, room): a gateway and a group have neither medium nor room."""


def _called(session: Session, alarm: Alarm) -> str:
    """The room with its unit, else the unit."""
    if alarm.room is not None and (found := rooms.names(session, [alarm.room])):
        name, unit = found[alarm.room]
        return name if name.startswith(unit) else f"{unit} {name}"
    return units.names(session, [alarm.unit]).get(alarm.unit, alarm.unit)


def explain_alarm(session: Session, ident: int) -> dict[str, Any] | None:
    """Every transition with value, limit, whose limit it was and the rule as it stood in that rule set; None for an unknown alarm. JSON-ready."""
    alarm = session.get(Alarm, ident)
    if alarm is None:
        return None
    place, told = place_of(session, alarm), limits.told(session)
    changes = alarms.transitions(session, ident)
    versions = dict.fromkeys(row.rule_set for row in changes)
    books = {version: _book(session, version, alarm, place, told) for version in versions}
    return {
        "alarm": alarm.id, "number": alarm.number, "rule": alarm.rule, "kind": alarm.kind, "quantity": alarm.quantity, "subject": alarm.subject,
        "room": alarm.room, "unit": alarm.unit, "event": EVENTS[event_of(alarm.rule, alarm.kind, alarm.quantity)], "place": _called(session, alarm),
        "medium": place[0], "unit_path": list(place[1]),
        "transitions": [_transition(row, books[row.rule_set], told) for row in changes],
        "rule_sets": [book for book in books.values() if book is not None],
    }  # fmt: skip


def place_of(session: Session, alarm: Alarm) -> Place:
    """Where an alarm is judged."""
    room = session.get(Room, alarm.room) if alarm.room else None
    return (room.medium if room is not None else "", units.path(session, alarm.unit), alarm.room or "")


def _book(session: Session, version: str, alarm: Alarm, place: Place, told: limits.Told) -> dict[str, Any] | None:
    row = session.get(RuleSetVersion, version)
    if row is None:
        return None
    chain = rule_sets.parsed(version, row.body).layers(*place).get(alarm.rule.partition("~")[0], ())
    return {"version": version, "since": instant(row.since), "rule": explain_rule(chain, told) if chain else None}


def _transition(row: Transition, book: Mapping[str, Any] | None, told: limits.Told) -> dict[str, Any]:
    rule = book["rule"] if book is not None else None
    level = next((level for level in rule["levels"] if level["level"] == row.level), None) if rule is not None else None
    stated = row.limit is not None and level is not None
    return {
        "at": instant(row.at), "name": row.name, "before": row.before, "after": row.after, "level": row.level, "by": row.by, "via": row.via,
        "note": row.note, "value": row.value, "limit": row.limit, "limit_origin": row.limit_origin,
        "limit_change": told.get(row.limit_origin), "on_delay_s": level["on_delay_s"] if stated and level is not None else None,
        "side": next((side for side in ("above", "below", "equals") if side in level), None) if level is not None else None,
        "source": rule["source"] if rule is not None else "", "rule_set": row.rule_set,
        # A room that has changed its medium or its unit since is judged by other limits today; what was stored then stands.
        "place_has_changed": stated and level is not None and row.limit not in _limits_of(level),
    }  # fmt: skip


def _limits_of(level: Mapping[str, Any]) -> Sequence[float]:
    return level["equals"] if "equals" in level else [level.get("above", level.get("below"))]
