"""A field case in one file: the rules, samples and orders around an alarm and what was recorded then, so that it can be judged again anywhere.

A bundle is JSON: `alarm` (what it was about), `rule_sets` (those of its day), `schedule` (from when which one held), `points`, `samples`
(point, instant on the alarm's axis, value or null, quality), `orders` (what people and the system did) and `transitions` (what was recorded).
A point of a case of silence has `absences` ([since, until) in which it counted as absent); a group's one "point" is the worst level of its members;
`builtin` holds the limits of the program's own rules where one of them judged.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from alarms import lifecycle as life
from alarms.builtin import builtin
from alarms.lifecycle import Change
from alarms.model import Rule
from alarms.replay import Order, Reading, Track, Walk
from alarms.rules import RuleError, parse_rules

FORMAT, VERSION = "archivewatch-case", 1
NEAR_MS = 2_000
"""Instants this close are the same: the clock of a gateway is known to about a second."""


class CaseError(ValueError):
    """A bundle that cannot be read; `str` is one Chinese sentence."""


@dataclass(frozen=True, slots=True)
class Case:
    """A bundle, read. `schedule` holds the rule from each instant on; `recorded` what was stored then."""

    start: int
    end: int
    schedule: tuple[tuple[int, Rule], ...]
    tracks: tuple[Track, ...]
    orders: tuple[Order, ...]
    recorded: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came out again, beside what was recorded: `lines` pairs them; `same` when every pair agrees."""

    changes: tuple[Change, ...]
    lines: tuple[tuple[Mapping[str, Any] | None, Change | None, bool], ...]
    refused: tuple[tuple[int, str], ...]

    @property
    def same(self) -> bool:
        """Whether the case was reproduced."""
        return all(agrees for *_, agrees in self.lines)


def read(body: Any) -> Case:
    """Check and read a bundle. Raises CaseError."""
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise CaseError("这不是复演包。")
    if body.get("version") != VERSION:
        raise CaseError(f"复演包的版本是 {body.get('version')}，这里只认识 {VERSION}。")
    try:
        return _read(body)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise CaseError(f"复演包不完整：{error}") from error


def replay(case: Case) -> Verdict:
    """Judge the case again by its own rules; what came before the first recorded change is not compared."""
    state, changes, refused = life.INITIAL, list[Change](), list[tuple[int, str]]()
    last = dict.fromkeys((track.number for track in case.tracks), case.start)
    ends = [*(at for at, _ in case.schedule[1:]), case.end + 1]
    for (begin, rule), end in zip(case.schedule, ends, strict=True):
        tracks = [replace(t, readings=[r for r in t.readings if begin <= r.at < end], last=last[t.number]) for t in case.tracks]
        way = Walk(rule, tracks, state)
        way.run(end - 1, [order for order in case.orders if begin <= order.at < end])
        state, last = way.state, {track.number: track.last for track in tracks}
        changes += way.changes
        refused += way.refused
    since = case.recorded[0]["at"] - NEAR_MS if case.recorded else case.start
    lines = tuple(_paired(case.recorded, [change for change in changes if change.at >= since]))
    return Verdict(tuple(changes), lines, tuple(refused))


def _paired(recorded: Sequence[Mapping[str, Any]], found: Sequence[Change]) -> Iterator[tuple[Mapping[str, Any] | None, Change | None, bool]]:
    for was, now in zip_longest(recorded, found):
        agrees = was is not None and now is not None and _told(now) == (was["name"], was["level"]) and abs(was["at"] - now.at) <= NEAR_MS
        yield was, now, agrees


def _told(change: Change) -> tuple[str, str | None]:
    return change.name, None if change.level is None else change.level.word


def _read(body: Mapping[str, Any]) -> Case:
    alarm = body["alarm"]
    limits = body.get("builtin")
    own = None if limits is None else builtin(int(limits["room_blind_ms"]), int(limits["room_blind_urgent_ms"]))[alarm["rule"]]
    rules = {version: own or _rule(alarm, text, version) for version, text in body["rule_sets"].items()}
    schedule = tuple((int(at), own or rules[version]) for at, version in body["schedule"])
    if not schedule:
        raise CaseError("复演包里没有规则。")
    readings: dict[int, list[Reading]] = {int(point["number"]): [] for point in body["points"]}
    for number, at, value, quality in body["samples"]:
        readings[number].append(Reading(int(at), float(value) if value is not None and quality in ("good", "uncertain") else None))
    tracks = tuple(_track(point, readings[int(point["number"])]) for point in body["points"])
    if not tracks:
        raise CaseError("复演包里没有测点。")
    orders = tuple(Order(int(order["at"]), _event(order)) for order in body["orders"])
    return Case(int(body["from"]), int(body["to"]), schedule, tracks, orders, tuple(body["transitions"]))


def _track(point: Mapping[str, Any], readings: Sequence[Reading]) -> Track:
    absences = point.get("absences")
    known = None if absences is None else [(int(since), int(until)) for since, until in absences]
    return Track(int(point["number"]), str(point["quantity"]), int(point["allowed_ms"]), readings, absences=known)


def _rule(alarm: Mapping[str, Any], text: str, version: str) -> Rule:
    try:
        rule = parse_rules(text, f"rule set {version[:12]}").effective(alarm["rule"], alarm["medium"], alarm["path"], alarm["room"] or "")
    except RuleError as error:
        raise CaseError(f"复演包里的规则有误：{error}") from error
    if rule is None:
        raise CaseError(f"规则版本 {version[:12]} 里没有适用于该库房的 {alarm['rule']}。")
    return rule


def _event(order: Mapping[str, Any]) -> life.Event:
    by, note = str(order.get("by", "")), str(order.get("note", ""))
    first, _, second = by.partition("、")
    made: Mapping[str, life.Event] = {
        "acknowledged": life.Acknowledge(by, note),
        "unacknowledged": life.Unacknowledge(by),
        "take_over_expired": life.Expire(),
        "re_alarmed": life.AskAgain(),
        "shelved": life.Shelve(int(order.get("until", 0)), by, note or "—", bool(order.get("one_shot", False))),
        "unshelved": life.Unshelve(by),
        "reset": life.Reset(by, note),
        "suppressed": life.Suppress(note, first, second),
        "unsuppressed": life.Unsuppress(note),
        "out_of_service": life.OutOfService(first, note or "—", second),
        "returned": life.ReturnToService(by),
        "withdrawn": life.Withdraw(),
    }
    if order["do"] not in made:
        raise CaseError(f"复演包里有不认识的操作 {order['do']}。")
    return made[order["do"]]


ORDERS = (
    "acknowledged", "unacknowledged", "take_over_expired", "shelved", "unshelved", "reset", "suppressed", "unsuppressed", "out_of_service",
    "returned", "re_alarmed", "withdrawn",
)  # fmt: skip
"""Transitions that somebody or the system asked for; all others follow from samples and time."""
REMARKS = ("comment", "progress", "assist", "decline", "seen", "no_danger", "reopen", "also_acknowledged")
"""What people said, which changes nothing."""
