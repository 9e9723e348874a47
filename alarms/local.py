"""What of a rule set a gateway can judge alone: rules of single points that need nothing but that point's samples."""

from collections.abc import Mapping, Sequence
from typing import Final

from alarms.kinds import KINDS
from alarms.rule import Rule
from alarms.rules import RuleSet

LOCAL_KINDS: Final = tuple(name for name, kind in KINDS.items() if kind.local)


class LocalRules:
    """The parts of one rule set for gateways; nearly all of them share one."""

    def __init__(self, rules: RuleSet) -> None:
        self.version = rules.version
        self._rules = [rule for rule in rules.rules if rule.kind in LOCAL_KINDS and rule.subject == "point"]
        self._made: dict[tuple[int, ...], RuleSet] = {}

    def of(self, rooms: Mapping[str, Sequence[str]]) -> RuleSet:
        """The rules for the gateway of these `rooms` (code -> path of unit codes from the province down).

        Layers of other units and rooms are left out: what is sent stays small, and changes only when something changes for this gateway.
        """
        kept = [(place, rule) for place, rule in enumerate(self._rules) if _concerns(rule, rooms)]
        key = tuple(place for place, _ in kept)
        if key not in self._made:
            self._made[key] = RuleSet(tuple(rule for _, rule in kept))
        return self._made[key]


def _concerns(rule: Rule, rooms: Mapping[str, Sequence[str]]) -> bool:
    scope = rule.applies_to
    if not scope.unit and not scope.rooms:
        return True
    return any((not scope.rooms or room in scope.rooms) and scope.depth(path) is not None for room, path in rooms.items())
