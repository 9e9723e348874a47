"""Human load: how often people are called, and how often woken, with proposals for the rules that do it most. Drills do not count.

Quotas throttle messages, never alarms: this only counts and proposes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from server.duty.clock import time_of_day
from server.store.tables import Alarm, Notification
from server.store.units import inside

HOUR_MS = 3_600_000
NIGHT = (22 * HOUR_MS, 7 * HOUR_MS)
ACCEPTABLE_PER_HOUR = 6.0
"""One alarm in ten minutes and operator: "very likely acceptable" in EEMUA 191 (domain.md 3.2). A reference, not a limit."""
SHORT_MS = 5 * 60_000
ASLEEP_MS = 10 * 60_000
"""Messages at night that follow each other within this, a text and the call to it for one, wake somebody once."""
WORST = 10
_OF_ALARM = ("id", "rule", "level", "raised_at", "cleared_at", "closed_at", "acked_by", "occurrence")
_OF_MESSAGE = ("alarm", "person", "person_name", "phone", "sent_at")


@dataclass(frozen=True, slots=True)
class PersonLoad:
    """What one person (or duty room) got: messages, how often he was woken at night, and on how many nights."""

    name: str
    person: int | None
    messages: int
    night_calls: int
    nights: int


@dataclass(frozen=True, slots=True)
class RuleLoad:
    """What one rule did, and what is proposed; `proposal` is delay, deadband, group, demote or keep."""

    rule: str
    level: str
    alarms: int
    short: int
    unanswered: int
    messages: int
    proposal: str


@dataclass(frozen=True, slots=True)
class Load:
    """Of one unit and below over a time."""

    alarms: int
    per_hour: float
    busiest_hour: int
    busiest: int
    people: tuple[PersonLoad, ...]
    rules: tuple[RuleLoad, ...]


def measure(session: Session, unit: str | None, since: int, until: int) -> Load:
    """The load of a unit and below in since ≤ t < until (UTC ms)."""
    scope = (inside(session, Alarm.unit, unit), Alarm.drill.is_(False), Alarm.raised_at >= since, Alarm.raised_at < until)
    # Columns, not objects: a province has thousands a month.
    alarms = session.execute(select(*(getattr(Alarm, name) for name in _OF_ALARM)).where(*scope)).all()
    sent = select(*(getattr(Notification, name) for name in _OF_MESSAGE)).join(Alarm, Alarm.id == Notification.alarm)
    sent = sent.where(inside(session, Alarm.unit, unit), Alarm.drill.is_(False))
    sent = sent.where(Notification.sent_at >= since, Notification.sent_at < until)
    messages = session.execute(sent).all()
    hours = Counter(alarm.raised_at // HOUR_MS for alarm in alarms)
    busiest, most = max(hours.items(), key=lambda item: item[1], default=(since // HOUR_MS, 0))
    return Load(
        len(alarms), len(alarms) / max((until - since) / HOUR_MS, 1.0), busiest * HOUR_MS, most, _people(messages), _rules(alarms, messages, hours)
    )


def night(at: int) -> bool:
    """Whether an instant lies between 22:00 and 07:00 in Beijing."""
    moment = time_of_day(at)
    return moment >= NIGHT[0] or moment < NIGHT[1]


def _people(messages: Sequence[Row[Any]]) -> tuple[PersonLoad, ...]:
    """Persons and duty rooms; a group, a screen or a siren is nobody who could be woken."""
    found: dict[tuple[int | None, str], list[int]] = {}
    for row in messages:
        if row.person is None and not row.phone.startswith("+"):
            continue
        found.setdefault((row.person, row.person_name or row.phone), []).append(row.sent_at or 0)
    loads = (
        PersonLoad(name, person, len(times), _wakings(woken), len({(at - NIGHT[1]) // (24 * HOUR_MS) for at in woken}))
        for (person, name), times in found.items()
        for woken in [sorted(at for at in times if night(at))]
    )
    return tuple(sorted(loads, key=lambda one: (-one.night_calls, -one.messages, one.name)))


def _wakings(at: Sequence[int]) -> int:
    return sum(1 for before, one in zip((None, *at), at, strict=False) if before is None or one - before > ASLEEP_MS)


def _rules(alarms: Sequence[Row[Any]], messages: Sequence[Row[Any]], hours: Counter[int]) -> tuple[RuleLoad, ...]:
    by_rule: dict[str, list[Row[Any]]] = {}
    for alarm in alarms:
        by_rule.setdefault(alarm.rule, []).append(alarm)
    sent = Counter(row.alarm for row in messages)
    loads = []
    for rule, mine in by_rule.items():
        short = sum(1 for a in mine if a.cleared_at is not None and a.cleared_at - a.raised_at < SHORT_MS)
        unanswered = sum(1 for a in mine if not a.acked_by and a.closed_at is not None)
        worst = min((a.level for a in mine), key=("critical", "urgent", "alarm", "warn").index)
        told = sum(sent[a.id] for a in mine)
        loads.append(RuleLoad(rule, worst, len(mine), short, unanswered, told, _proposal(mine, short, unanswered, hours)))
    return tuple(sorted(loads, key=lambda one: (-one.messages, -one.alarms, one.rule))[:WORST])


def _proposal(mine: Sequence[Row[Any]], short: int, unanswered: int, hours: Counter[int]) -> str:
    """Never for what protects life: the highest level stays as it is."""
    if any(alarm.level == "critical" for alarm in mine) or len(mine) < 3:
        return "keep"
    together = Counter(alarm.raised_at // (10 * 60_000) for alarm in mine)
    choices = (
        (short > len(mine) / 2, "delay"),
        (sum(alarm.occurrence for alarm in mine) > 2 * len(mine), "deadband"),
        (max(together.values()) > max(10, len(mine) / 2), "group"),
        (unanswered > len(mine) / 2 and max(hours.values()) > ACCEPTABLE_PER_HOUR, "demote"),
    )
    return next((word for holds, word in choices if holds), "keep")
