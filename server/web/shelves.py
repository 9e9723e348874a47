"""For how long one person may pause an alarm's reminders (暂停提醒), known before he tries; the watch decides in the end."""

from typing import NamedTuple

from sqlalchemy.orm import Session

from alarms.builtin import builtin, needs_two
from alarms.model import SHELVE_MAX_MS, Rule, RuleSet
from server.store import units
from server.store.tables import Alarm, Room
from server.watch.infos import DRILL_SUFFIX

_BUILTIN = builtin(0, 0)


class Shelf(NamedTuple):
    """The longest pause, ms (0: none), and whether holding the alarm back takes two people."""

    longest_ms: int
    two_persons: bool


def shelf(session: Session, rules: RuleSet, alarm: Alarm) -> Shelf:
    """What the rule of an alarm allows in its place."""
    name = alarm.rule.removesuffix(DRILL_SUFFIX)
    layers = [rule for rule in rules.rules if rule.name == name and _covers(session, rule, alarm)] or [*filter(None, [_BUILTIN.get(name)])]
    two = any(needs_two(rule, alarm.quantity) for rule in layers)
    return Shelf(0 if two else min((rule.shelve_max_ms for rule in layers), default=SHELVE_MAX_MS), two)


def _covers(session: Session, rule: Rule, alarm: Alarm) -> bool:
    room = session.get(Room, alarm.room) if alarm.room and rule.applies_to.medium else None
    return rule.applies_to.covers(room.medium if room else "", units.path(session, alarm.unit), alarm.room or "")
