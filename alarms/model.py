"""Rules as frozen values: levels, ladders, scopes, rule sets, and how the layers of province, city, county, station and room combine.

Durations are ms, limits are in the quantity's canonical unit. A lower layer can only tighten: for each level the limit nearest the band and
the shortest delay win, whoever wrote them, so a county cannot loosen what the province asks.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import reduce
from typing import Any, Literal

from alarms.conditions import Option
from alarms.kinds import KINDS, Subject

Side = Literal["above", "below", "equals"]
SHELVE_MAX_MS = 8 * 3_600_000
ANY = "any"
CHANGE = "limit:"
"""Prefix of the origin of a limit that a person changed: `limit:ID`."""
# Readings are integers times a decimal step, so 60 %RH may arrive as 60.00000000000001; this much is not "beyond" a limit.
EPSILON = 1e-9
_UNIT_CODE_DIGITS = 12


class RuleError(ValueError):
    """A rule file was refused. `str` is "file:line: reason"."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(f"{file}:{line}: {reason}")
        self.file = file
        self.line = line
        self.reason = reason


class LayerError(ValueError):
    """Two rules of one name do not fit together; `index` is the place of the second one in its set."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index


class Level(IntEnum):
    """How bad; the Chinese words are in language.md 2.1 (提示 一般 紧急 特急)."""

    WARN = 1
    ALARM = 2
    URGENT = 3
    CRITICAL = 4

    @property
    def word(self) -> str:
        """The word used in files, tables and the API."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> "Level":
        """From its word. Raises ValueError."""
        try:
            return cls[word.upper()]
        except KeyError:
            raise ValueError(f"{word!r} is not a level (warn, alarm, urgent, critical)") from None


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of a ladder: beyond `limit` for `on_delay_ms` means `level`.

    For side "equals" `values` are all values that reach this level, those of the worse levels included; `limit` is the first. `origin` says who
    set the limit: the scope of the rule file's layer (everywhere, unit:CODE, room:CODE), or limit:ID for a change kept in the database.
    """

    level: Level
    side: Side
    limit: float
    on_delay_ms: int = 0
    values: tuple[float, ...] = ()
    origin: str = field(default="", compare=False)

    def breached(self, value: float) -> bool:
        """Strictly beyond the limit."""
        if self.side == "above":
            return value > self.limit + EPSILON
        if self.side == "below":
            return value < self.limit - EPSILON
        return value in self.values

    def cleared(self, value: float, deadband: float) -> bool:
        """At or inside limit - deadband (limit + deadband for "below")."""
        if self.side == "above":
            return value <= self.limit - deadband + EPSILON
        if self.side == "below":
            return value >= self.limit + deadband - EPSILON
        return value not in self.values


@dataclass(frozen=True, slots=True)
class AppliesTo:
    """Scope of a rule; empty means everywhere. `unit` is a unit code (its whole subtree) or the leading digits of codes."""

    unit: str = ""
    medium: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The scope as an origin of limits; at most 80 characters."""
        place = f"room:{','.join(self.rooms)}" if self.rooms else f"unit:{self.unit}" if self.unit else "everywhere"
        return place[:80]

    def covers(self, medium: str, unit_path: Sequence[str], room: str) -> bool:
        """Whether a room of that medium in that unit (path from the top, own code last) is meant."""
        return (not self.rooms or room in self.rooms) and (not self.medium or medium in self.medium) and self.depth(unit_path) is not None

    def depth(self, unit_path: Sequence[str]) -> int | None:
        """How far down the unit path the scope sits (0 = everywhere), None when the path does not pass through it."""
        if not self.unit:
            return 0
        for index, code in enumerate(unit_path, start=1):
            if code == self.unit or (len(self.unit) < _UNIT_CODE_DIGITS and code.startswith(self.unit)):
                return index
        return None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `ladder` is least severe first, one side, monotonic. `quantity` "any" means every quantity (stale only).

    `subject` says what carries the alarm; a room rule names its `inputs`. `by_medium` holds ready variants, None = not for that medium.
    `re_alarm_ms`: an acknowledged alarm still active after it asks again. `shelve_max_ms` 0 = may not be shelved. `source`: whose numbers.
    `two_persons`: it may be suppressed or taken out of service only by two different people together.
    """

    name: str
    kind: str
    quantity: str
    ladder: tuple[Rung, ...]
    deadband: float = 0.0
    off_delay_ms: int = 0
    latch: bool = False
    re_alarm_ms: int | None = None
    shelve_max_ms: int = SHELVE_MAX_MS
    applies_to: AppliesTo = AppliesTo()
    subject: Subject = "point"
    inputs: tuple[str, ...] = ()
    options: tuple[tuple[str, Option], ...] = ()
    by_medium: "tuple[tuple[str, Rule | None], ...]" = ()
    source: str = ""
    two_persons: bool = False

    @property
    def changed(self) -> bool:
        """Whether this layer is a change kept in the database, and not of a file."""
        return self.ladder[0].origin.startswith(CHANGE)

    def variant(self, medium: str) -> "Rule | None":
        """This rule as it holds for a medium; None when it does not."""
        for name, rule in self.by_medium:
            if name == medium:
                return rule
        return self

    def rung(self, level: Level) -> Rung | None:
        """The rung of a level, if the ladder has it."""
        return next((rung for rung in self.ladder if rung.level == level), None)

    def wants(self, quantity: str) -> bool:
        """Whether samples of this quantity feed the rule."""
        return quantity in self.inputs if self.inputs else self.quantity in (quantity, ANY)


def duration_text(ms: int) -> str:
    """Write a duration the way rule files do, exactly: 90000 -> "90s"."""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if ms and ms % size == 0:
            return f"{ms // size}{unit}"
    return f"{ms}ms" if ms else "0s"


def _tighter(a: Rung, b: Rung) -> Rung:
    limit = {"above": min, "below": max}.get(a.side, lambda x, _y: x)(a.limit, b.limit)
    delay, values = min(a.on_delay_ms, b.on_delay_ms), tuple(dict.fromkeys((*a.values, *b.values)))
    changed = limit != a.limit or len(values) > len(a.values) or (b.limit == a.limit and delay < a.on_delay_ms)
    return replace(a, limit=limit, on_delay_ms=delay, values=values, origin=b.origin if changed else a.origin)


def cumulative(ladder: Sequence[Rung]) -> tuple[Rung, ...]:
    """Make each rung at least as wide as the worse ones above it: whatever reaches a level has reached the lower ones too."""
    done: list[Rung] = []
    for rung in reversed(ladder):
        wide = replace(_tighter(rung, done[-1]), on_delay_ms=rung.on_delay_ms) if done else rung
        done.append(wide)
    return tuple(reversed(done))


def tighten(wide: Rule, narrow: Rule) -> Rule:
    """Combine a rule of an upper layer with one of the same name of a lower layer: every part from the stricter of the two."""
    rungs = {rung.level: rung for rung in wide.ladder}
    for rung in narrow.ladder:
        known = rungs.get(rung.level)
        rungs[rung.level] = _tighter(known, rung) if known else rung
    re_alarms = [ms for ms in (wide.re_alarm_ms, narrow.re_alarm_ms) if ms is not None]
    return replace(
        wide,
        ladder=cumulative([rungs[level] for level in sorted(rungs)]),
        deadband=max(wide.deadband, narrow.deadband),
        off_delay_ms=max(wide.off_delay_ms, narrow.off_delay_ms),
        latch=wide.latch or narrow.latch,
        re_alarm_ms=min(re_alarms, default=None),
        shelve_max_ms=min(wide.shelve_max_ms, narrow.shelve_max_ms),
        applies_to=narrow.applies_to,
        by_medium=(),
        source=narrow.source or wide.source,
        two_persons=wide.two_persons or narrow.two_persons,
    )


@dataclass(frozen=True)
class RuleSet:
    """Rules in file order; `version` is the sha256 of their canonical JSON. Raises LayerError when two rules of a name do not fit together."""

    rules: tuple[Rule, ...] = ()
    version: str = field(init=False, compare=False)
    _known: dict[tuple[object, ...], tuple[Rule, ...]] = field(init=False, compare=False, repr=False, default_factory=dict)
    """Effective rules by what of a place can matter to them: nearly all rooms of one medium share an entry."""

    def __post_init__(self) -> None:
        named: dict[str, list[Rule]] = {}
        for index, rule in enumerate(self.rules):
            for other in named.setdefault(rule.name, []):
                _check_layers(other, rule, index)
            named[rule.name].append(rule)
        object.__setattr__(self, "version", hashlib.sha256(self.canonical().encode()).hexdigest())

    def canonical(self) -> str:
        """The set as JSON in the format of rule files (JSON is YAML): what is hashed and what goes down to gateways."""
        return json.dumps({"rules": [_rule_dict(rule) for rule in self.rules]}, ensure_ascii=False, separators=(",", ":"))

    def only(self, kinds: Iterable[str]) -> "RuleSet":
        """The rules of these kinds (the guard on a gateway runs threshold, state, rate and stale only)."""
        wanted = frozenset(kinds)
        return RuleSet(tuple(rule for rule in self.rules if rule.kind in wanted))

    def named(self, name: str) -> "RuleSet":
        """The layers of one rule."""
        return RuleSet(tuple(rule for rule in self.rules if rule.name == name))

    def plus(self, lower: "RuleSet") -> "RuleSet":
        """This set with the layers of another one added below."""
        return RuleSet(self.rules + lower.rules)

    def layers(self, medium: str, unit: str | Sequence[str], room: str) -> Mapping[str, tuple[Rule, ...]]:
        """Per rule name the layers that hold for a room, widest first; folding them with tighten() gives the effective rule.

        `unit` is the path of unit codes from the province down to the room's own (a single code is a path of one).
        """
        path = (unit,) if isinstance(unit, str) else tuple(unit)
        found: dict[str, list[tuple[bool, int, Rule]]] = {}
        for rule in self.rules:
            variant = rule.variant(medium)
            if variant is not None and rule.applies_to.covers(medium, path, room):
                found.setdefault(rule.name, []).append((bool(rule.applies_to.rooms), rule.applies_to.depth(path) or 0, variant))
        return {name: tuple(rule for *_, rule in sorted(chain, key=lambda entry: entry[:2])) for name, chain in found.items()}

    def for_point(self, quantity: str, medium: str, unit: str | Sequence[str], room: str) -> tuple[Rule, ...]:
        """The effective rules of a point of that quantity in that room."""
        return tuple(rule for rule in self._effective(medium, unit, room) if rule.subject == "point" and rule.wants(quantity))

    def for_room(self, medium: str, unit: str | Sequence[str], room: str) -> tuple[Rule, ...]:
        """The effective rules whose subject is the room itself; each says in `inputs` which quantities feed it."""
        return tuple(rule for rule in self._effective(medium, unit, room) if rule.subject == "room")

    def for_gateway(self, unit: str | Sequence[str]) -> tuple[Rule, ...]:
        """The effective rules whose subject is a gateway of that unit."""
        return tuple(rule for rule in self._effective("", unit, "") if rule.subject == "gateway")

    def effective(self, name: str, medium: str, unit: str | Sequence[str], room: str) -> Rule | None:
        """One rule as it holds in a room."""
        chain = self.layers(medium, unit, room).get(name)
        return reduce(tighten, chain) if chain else None

    def _effective(self, medium: str, unit: str | Sequence[str], room: str) -> tuple[Rule, ...]:
        path = (unit,) if isinstance(unit, str) else tuple(unit)
        scopes = [rule.applies_to for rule in self.rules if rule.applies_to.unit or rule.applies_to.rooms]
        key = (medium, *((scope.depth(path), room in scope.rooms) for scope in scopes))
        if key not in self._known:
            self._known[key] = tuple(reduce(tighten, chain) for chain in self.layers(medium, path, room).values())
        return self._known[key]


def _check_layers(first: Rule, second: Rule, index: int) -> None:
    if first.applies_to == second.applies_to and first.changed == second.changed:
        raise LayerError(index, f"rule {second.name} stands twice with the same applies_to")
    shape = (first.kind, first.quantity, first.ladder[0].side, first.options)
    if shape != (second.kind, second.quantity, second.ladder[0].side, second.options):
        raise LayerError(index, f"rule {second.name} stands twice with different kind, quantity, side or options")


def _rung_dict(rung: Rung, rule: Rule) -> dict[str, Any]:
    body: dict[str, Any] = {"on_delay": duration_text(rung.on_delay_ms)}
    if rung.origin.startswith(CHANGE):
        body["origin"] = rung.origin
    if KINDS[rule.kind].bare:
        return body
    limit = duration_text(int(rung.limit)) if KINDS[rule.kind].limit_is_duration else rung.limit
    return body | {rung.side: list(rung.values) if rung.side == "equals" else limit}


def _rule_dict(rule: Rule) -> dict[str, Any]:
    scope = {"unit": rule.applies_to.unit, "medium": list(rule.applies_to.medium), "rooms": list(rule.applies_to.rooms)}
    return {
        "name": rule.name,
        "kind": rule.kind,
        "quantity": rule.quantity,
        "subject": rule.subject,
        "ladder": {rung.level.word: _rung_dict(rung, rule) for rung in rule.ladder},
        "deadband": rule.deadband,
        "off_delay": duration_text(rule.off_delay_ms),
        "latch": rule.latch,
        "re_alarm": None if rule.re_alarm_ms is None else duration_text(rule.re_alarm_ms),
        "shelve_max": duration_text(rule.shelve_max_ms),
        "two_persons": rule.two_persons,
        "applies_to": {key: value for key, value in scope.items() if value},
        "by_medium": {name: "off" if variant is None else _variant_dict(variant) for name, variant in rule.by_medium},
        "source": rule.source,
    } | {key: duration_text(int(value)) if key in KINDS[rule.kind].durations else value for key, value in rule.options}


def _variant_dict(rule: Rule) -> dict[str, Any]:
    whole = _rule_dict(rule)
    return {key: whole[key] for key in ("ladder", "deadband", "off_delay", "source")}
