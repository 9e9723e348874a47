"""Why an alarm did what it did, by the rules of its own day; and the bundle with which its case can be judged again elsewhere (alarms/case.py)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from alarms.case import FORMAT, ORDERS, REMARKS, VERSION
from alarms.explain import explain_rule
from alarms.kinds import KINDS
from alarms.model import Rule, RuleSet
from server.instants import instant
from server.series import Row, SeriesStore
from server.settings import WatchSettings
from server.store import alarms, limits, rule_sets, units
from server.store.journal import QUALITIES
from server.store.tables import Alarm, Gateway, Point, Room, Transition
from server.store.tables_alarms import RuleSetVersion

DAY_MS = 86_400_000
LEAD_MS = 3_600_000
_LATE_SLACK_MS = 2_000


class NoCaseError(Exception):
    """This alarm cannot be judged again from samples; `str` is one Chinese sentence."""


def explain_alarm(session: Session, ident: int) -> dict[str, Any] | None:
    """Every transition with value, limit, whose limit it was and the rule as it stood in that rule set; None for an unknown alarm. JSON-ready."""
    alarm = session.get(Alarm, ident)
    if alarm is None:
        return None
    place, told = _place(session, alarm), limits.told(session)
    changes = alarms.transitions(session, ident)
    versions = dict.fromkeys(row.rule_set for row in changes)
    books = {version: _book(session, version, alarm, place, told) for version in versions}
    return {
        "alarm": alarm.id, "number": alarm.number, "rule": alarm.rule, "kind": alarm.kind, "quantity": alarm.quantity, "subject": alarm.subject,
        "room": alarm.room, "unit": alarm.unit, "medium": place[0], "unit_path": list(place[1]),
        "transitions": [_transition(row, books[row.rule_set], told) for row in changes],
        "rule_sets": [book for book in books.values() if book is not None],
    }  # fmt: skip


def _place(session: Session, alarm: Alarm) -> tuple[str, tuple[str, ...], str]:
    """(medium, unit path, room): a gateway has neither medium nor room."""
    room = session.get(Room, alarm.room) if alarm.room else None
    return (room.medium if room is not None else "", units.path(session, alarm.unit), alarm.room or "")


def _book(session: Session, version: str, alarm: Alarm, place: tuple[str, tuple[str, ...], str], told: limits.Told) -> dict[str, Any] | None:
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


# --- the bundle ------------------------------------------------------------------------------------------------------------------------


def bundle(session: Session, store: SeriesStore, settings: WatchSettings, ident: int, now: int) -> dict[str, Any] | None:
    """The case of an alarm; None for an unknown one. Raises NoCaseError where no samples lead to it: silence, groups, gateways, drills."""
    alarm = session.get(Alarm, ident)
    if alarm is None:
        return None
    place, changes = _place(session, alarm), alarms.transitions(session, ident)
    schedule = _schedule(changes)
    known = {version: _known(session, version) for _, version in schedule}
    rules = [rule for body in known.values() if (rule := body.effective(alarm.rule, *place)) is not None]
    kind, _, subject = alarm.subject.partition(":")
    if kind not in ("point", "room") or len(rules) < len(known) or not rules or KINDS[rules[0].kind].silent:
        raise NoCaseError("这条告警不是由测值按规则判定的，无法复演。")
    start = alarm.raised_at - _lead(rules)
    end = min(now + 1, (alarm.closed_at or now) + LEAD_MS)
    points = _points(session, rules[0], kind, subject)
    rows = store.raw([point.id for point in points], start, end)
    mine = select(Transition).join(Alarm).where(Alarm.subject == alarm.subject, Alarm.rule == alarm.rule, Transition.at.between(start, end))
    everything = session.scalars(mine.order_by(Transition.at, Transition.id)).all()
    return {
        "format": FORMAT, "version": VERSION, "made_at": instant(now), "from": start, "to": end,
        "alarm": {
            "id": alarm.id, "number": alarm.number, "subject": alarm.subject, "rule": alarm.rule, "kind": alarm.kind, "quantity": alarm.quantity,
            "room": alarm.room, "unit": alarm.unit, "medium": place[0], "path": list(place[1]),
        },
        "rule_sets": {version: body.canonical() for version, body in known.items()},
        "schedule": [[min(at, start) if index == 0 else at, version] for index, (at, version) in enumerate(schedule)],
        "points": [
            {"number": p.id, "gateway": p.gateway, "device": p.device, "quantity": p.quantity, "channel": p.channel,
             "allowed_ms": settings.allowed_ms(p.interval_ms)}
            for p in points
        ],
        "samples": _samples(session, points, rows, late=alarm.known_late),
        "orders": _orders(everything, alarm, rules[0].shelve_max_ms),
        "transitions": [
            {"at": row.at, "name": row.name, "before": row.before, "after": row.after, "level": row.level, "value": row.value}
            for row in changes if row.name not in REMARKS
        ],
    }  # fmt: skip


def _schedule(changes: Sequence[Transition]) -> list[tuple[int, str]]:
    """From when which rule set held, as far as the alarm's transitions say."""
    found: list[tuple[int, str]] = []
    for row in changes:
        if not found or found[-1][1] != row.rule_set:
            found.append((row.at, row.rule_set))
    return found


def _known(session: Session, version: str) -> RuleSet:
    row = session.get(RuleSetVersion, version)
    if row is None:
        raise NoCaseError("当时的规则版本没有保存，无法复演。")
    return rule_sets.parsed(version, row.body)


def _lead(rules: Iterable[Rule]) -> int:
    """How far before the alarm the case begins: the delays twice, and what the kind of rule remembers."""
    longest = 0
    for rule in rules:
        durations = [int(value) for key, value in rule.options if key in KINDS[rule.kind].durations]
        delays = [rung.on_delay_ms for rung in rule.ladder]
        stuck = [int(rung.limit) for rung in rule.ladder] if KINDS[rule.kind].limit_is_duration else []
        memory = DAY_MS if rule.kind == "swing" else 30 * DAY_MS if rule.kind == "mould" else 0
        longest = max(longest, memory, 2 * max([*durations, *delays, *stuck, 0]))
    return longest + LEAD_MS


def _points(session: Session, rule: Rule, kind: str, subject: str) -> list[Point]:
    if kind == "point":
        return [session.get_one(Point, int(subject))]
    found = session.scalars(select(Point).where(Point.room == subject).order_by(Point.id))
    return [point for point in found if rule.wants(point.quantity)]


def _samples(session: Session, points: Sequence[Point], rows: Iterable[Row], *, late: bool) -> list[tuple[int, int, float | None, str]]:
    """On the alarm's axis. As the watch did: in the order of arrival, and only what was newer than anything before and not delayed."""
    codes = {point.gateway for point in points}
    offsets = {gateway.code: gateway.clock_offset_ms for gateway in session.scalars(select(Gateway).where(Gateway.code.in_(codes)))}
    about = {point.id: (offsets.get(point.gateway, 0), 2 * (point.interval_ms or 0) + _LATE_SLACK_MS) for point in points}
    newest: dict[int, int] = {}
    found = []
    for row in sorted(rows, key=lambda row: (row.received_at, row.taken_at)):
        offset, slack = about[row.point_id]
        at = min(row.taken_at + offset, row.received_at)
        if at > newest.get(row.point_id, -1) and (late or row.received_at - at <= slack):
            newest[row.point_id] = at
            found.append((row.point_id, at, row.value, str(QUALITIES[row.quality])))
    return sorted(found, key=lambda sample: sample[1])


def _orders(changes: Sequence[Transition], alarm: Alarm, longest_ms: int) -> list[dict[str, Any]]:
    found = []
    for index, row in enumerate(changes):
        if row.name not in ORDERS:
            continue
        order = {"at": row.at, "do": row.name, "by": row.by, "note": row.note}
        if row.name == "shelved":
            end = next((later for later in changes[index + 1 :] if later.name in ("shelf_expired", "unshelved")), None)
            cleared = end is not None and any(other.name in ("cleared", "latched") and other.at == end.at for other in changes)
            order["one_shot"] = end is not None and end.name == "shelf_expired" and cleared
            ran_out = end is not None and end.name == "shelf_expired" and not cleared
            order["until"] = end.at if ran_out and end is not None else alarm.shelved_until or row.at + longest_ms
        found.append(order)
    return found
