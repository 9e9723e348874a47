"""The bundle with which the case of an alarm can be judged again elsewhere (alarms/case.py): its rules, what was measured or missing, who did what.

What counts as absent is found anew from what is stored: samples, the lines of gateways, the server's own absences, the coverage ledger. What a group
was judged by are its members.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from alarms.builtin import GROUPS, SMOKE_LOST, builtin
from alarms.case import FORMAT, NEAR_MS, ORDERS, REMARKS, VERSION
from alarms.kinds import KINDS
from alarms.model import Rule, RuleSet
from server.cases import silence
from server.cases.explanation import Place, place_of
from server.instants import instant
from server.series import Row, SeriesStore
from server.settings import WatchSettings
from server.store import alarms, lines, rule_sets
from server.store.journal import QUALITIES
from server.store.tables import Alarm, Gateway, Point, Transition
from server.store.tables_alarms import RuleSetVersion

DAY_MS = 86_400_000
LEAD_MS = 3_600_000
_LATE_SLACK_MS = 2_000

Sample = tuple[int, int, float | None, str]


class NoCaseError(Exception):
    """This alarm cannot be judged again; `str` is one Chinese sentence."""


class Input(NamedTuple):
    """What an alarm was judged by: `points` and `samples` of the bundle."""

    points: list[dict[str, Any]]
    samples: Sequence[Sample]


def bundle(session: Session, store: SeriesStore, settings: WatchSettings, ident: int, now: int) -> dict[str, Any] | None:
    """The case of an alarm; None for an unknown one. Raises NoCaseError for drills, and for conditions that are found outside of the samples."""
    alarm = session.get(Alarm, ident)
    if alarm is None:
        return None
    place, changes = place_of(session, alarm), alarms.transitions(session, ident)
    schedule = _schedule(changes)
    known = {version: _known(session, version) for _, version in schedule}
    own = builtin(settings.room_blind_ms, settings.room_blind_urgent_ms).get(alarm.rule)
    rules = _rules(alarm, place, known.values()) if own is None else [own]
    start, end = alarm.raised_at - _lead(rules), min(now + 1, (alarm.closed_at or now) + NEAR_MS)
    points, samples = _input(session, store, settings, alarm, rules[0], start, end)
    limits = {"room_blind_ms": settings.room_blind_ms, "room_blind_urgent_ms": settings.room_blind_urgent_ms}
    return {
        "format": FORMAT, "version": VERSION, "made_at": instant(now), "from": start, "to": end,
        "alarm": {
            "id": alarm.id, "number": alarm.number, "subject": alarm.subject, "rule": alarm.rule, "kind": alarm.kind, "quantity": alarm.quantity,
            "room": alarm.room, "unit": alarm.unit, "medium": place[0], "path": list(place[1]),
        },
        "rule_sets": {version: body.canonical() for version, body in known.items()},
        "schedule": [[min(at, start) if index == 0 else at, version] for index, (at, version) in enumerate(schedule)],
        "points": points, "samples": samples,
        "orders": _orders(_around(session, alarm, start, end), alarm, rules[0]),
        "transitions": [
            {"at": row.at, "name": row.name, "before": row.before, "after": row.after, "level": row.level, "value": row.value}
            for row in changes if row.name not in REMARKS
        ],
    } | ({} if own is None else {"builtin": limits})  # fmt: skip


def _schedule(changes: Sequence[Transition]) -> list[tuple[int, str]]:
    """From when which rule set held, as far as the alarm's transitions say."""
    found: list[tuple[int, str]] = []
    for row in changes:
        if row.rule_set and (not found or found[-1][1] != row.rule_set):
            found.append((row.at, row.rule_set))
    return found


def _known(session: Session, version: str) -> RuleSet:
    row = session.get(RuleSetVersion, version)
    if row is None:
        raise NoCaseError("当时的规则版本没有保存，无法复演。")
    return rule_sets.parsed(version, row.body)


def _rules(alarm: Alarm, place: Place, books: Iterable[RuleSet]) -> list[Rule]:
    found = [book.effective(alarm.rule, *place) for book in books]
    rules = [rule for rule in found if rule is not None]
    if not rules or len(rules) < len(found):
        raise NoCaseError("这条告警不是按规则判定的（演练，或由系统查得的情况），无法复演。")
    return rules


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


# --- what it was judged by -----------------------------------------------------------------------------------------------------------------


def _input(session: Session, store: SeriesStore, settings: WatchSettings, alarm: Alarm, rule: Rule, start: int, end: int) -> Input:
    kind, _, subject = alarm.subject.partition(":")
    if alarm.rule in GROUPS.values():
        return Input([_point(0, "", quantity=alarm.quantity)], [(0, at, level, "good") for at, level in silence.levels(session, alarm.id, end)])
    if kind == "gateway":
        return _presence(alarm, lines.absences(session, subject, end), end, subject)
    if alarm.rule == SMOKE_LOST:
        return _presence(alarm, silence.of_alarm(session, alarm, end, rule.off_delay_ms), end)
    if rule.kind == "stale" and kind == "room":
        return _presence(alarm, silence.of_room(session, subject, start, end), end)
    found = _points(session, rule, kind, subject)
    points = [_point(p.id, p.gateway, p.device, p.quantity, p.channel, settings.allowed_ms(p.interval_ms)) for p in found]
    patience = points[0]["allowed_ms"] if KINDS[rule.kind].silent else 0
    rows = store.raw([point.id for point in found], start - patience, end)
    samples = _samples(session, found, rows, late=alarm.known_late)
    if KINDS[rule.kind].silent:
        heard = [at for _, at, value, quality in samples if value is not None and quality in ("good", "uncertain")]
        points[0]["absences"] = list(silence.of_point(session, settings, found[0], heard, start, end))
    return Input(points, samples)


def _point(number: int, gateway: str, device: str = "", quantity: str = "", channel: str = "", allowed_ms: int = 1 << 50) -> dict[str, Any]:
    return {"number": number, "gateway": gateway, "device": device, "quantity": quantity, "channel": channel, "allowed_ms": allowed_ms}


def _presence(alarm: Alarm, absences: Iterable[tuple[int, int]], end: int, gateway: str = "") -> Input:
    """A subject without samples of its own: it was there, or it was not."""
    known = list(absences)
    if not any(since <= alarm.raised_at for since, _ in known):
        raise NoCaseError("当时没有记录何时中断，无法复演。")
    return Input([_point(0, gateway, quantity=alarm.quantity) | {"absences": known}], [(0, until, 1.0, "good") for _, until in known if until < end])


def _points(session: Session, rule: Rule, kind: str, subject: str) -> list[Point]:
    if kind == "point":
        return [session.get_one(Point, int(subject))]
    found = session.scalars(select(Point).where(Point.room == subject).order_by(Point.id))
    return [point for point in found if rule.wants(point.quantity)]


def _samples(session: Session, points: Sequence[Point], rows: Iterable[Row], *, late: bool) -> list[Sample]:
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


# --- who did what --------------------------------------------------------------------------------------------------------------------------


def _around(session: Session, alarm: Alarm, start: int, end: int) -> Sequence[Transition]:
    """Everything that happened to alarms of this subject and rule; a group's subject may have been another one before it grew."""
    mine = select(Transition).join(Alarm).where(Transition.at.between(start, end))
    same = Alarm.id == alarm.id if alarm.kind == "group" else (Alarm.subject == alarm.subject) & (Alarm.rule == alarm.rule)
    return session.scalars(mine.where(same).order_by(Transition.at, Transition.id)).all()


def _orders(changes: Sequence[Transition], alarm: Alarm, rule: Rule) -> list[dict[str, Any]]:
    found = []
    for index, row in enumerate(changes):
        if row.name not in ORDERS or (row.name == "re_alarmed" and _by_itself(row, changes, rule)):
            continue
        order = {"at": row.at, "do": row.name, "by": row.by, "note": row.note}
        if row.name == "shelved":
            end = next((later for later in changes[index + 1 :] if later.name in ("shelf_expired", "unshelved")), None)
            cleared = end is not None and any(other.name in ("cleared", "latched") and other.at == end.at for other in changes)
            order["one_shot"] = end is not None and end.name == "shelf_expired" and cleared
            ran_out = end is not None and end.name == "shelf_expired" and not cleared
            order["until"] = end.at if ran_out and end is not None else alarm.shelved_until or row.at + rule.shelve_max_ms
        found.append(order)
    return found


def _by_itself(row: Transition, changes: Sequence[Transition], rule: Rule) -> bool:
    """Whether the rule's own re-alarm time asked anew, and no group did."""
    return rule.re_alarm_ms is not None and any(c.name == "acknowledged" and c.at == row.at - rule.re_alarm_ms for c in changes)
