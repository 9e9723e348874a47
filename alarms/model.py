"""Rule sets, and how the layers of province, city, county, station and room combine.

Durations are ms, limits are in the quantity's canonical unit. A lower layer can only tighten: for each level the limit nearest the band and
the shortest delay win, whoever wrote them, so a county cannot loosen what the province asks.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

from alarms.canonical import rule_dict
from alarms.ladder import CHANGE, EPSILON, AppliesTo, LayerError, Level, RuleError, Rung, Side, duration_text
from alarms.rule import ANY, SHELVE_MAX_MS, Rule

__all__ = [
    "ANY", "CHANGE", "EPSILON", "SHELVE_MAX_MS", "AppliesTo", "LayerError", "Level", "Rule", "RuleError", "RuleSet", "Rung", "Side", "cumulative",
    "duration_text", "tighten",
]  # fmt: skip


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
        return json.dumps({"rules": [rule_dict(rule) for rule in self.rules]}, ensure_ascii=False, separators=(",", ":"))

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


def same_shape(first: Rule, second: Rule) -> bool:
    """Whether two rules of a name can be layers of one another."""
    return (first.kind, first.quantity, first.ladder[0].side, first.options) == (second.kind, second.quantity, second.ladder[0].side, second.options)


def _check_layers(first: Rule, second: Rule, index: int) -> None:
    if first.applies_to == second.applies_to and first.changed == second.changed:
        raise LayerError(index, f"rule {second.name} stands twice with the same applies_to")
    if not same_shape(first, second):
        raise LayerError(index, f"rule {second.name} stands twice with different kind, quantity, side or options")
