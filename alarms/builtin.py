"""Rules that no rule file can leave out: smoke, a blind room, silence after smoke, and the alarms of groups."""

from collections.abc import Mapping

from alarms.model import Level, Rule, RuleSet, Rung, same_shape, tighten
from alarms.rules import default_rules

ALWAYS_HEARD = ("smoke", "smoke_density", "smoke_concentration")
"""Quantities that one person's word does not silence."""

ROOM_BLIND, SMOKE_LOST = "room_blind", "smoke_lost"
_OURS = "本系统自定"
_BACK_MS = 60_000
"""For how long a room that was lost after smoke must be heard again: a link that flaps is one silence, told once."""
GROUPS: Mapping[str, str] = {
    "offline": "group_offline",
    "restart": "restart_group_offline",
    "bus": "group_bus",
    "power": "group_power",
    "weather": "group_weather",
}
"""Cause of a group -> name of its rule."""
GROUP_QUANTITY: Mapping[str, str] = {"power": "power", "weather": "humidity"}


def needs_two(rule: Rule, quantity: str) -> bool:
    """Whether only two people may hold back what the rule says of a point of this quantity; the silence of a smoke detector is smoke too."""
    return rule.two_persons or quantity in ALWAYS_HEARD


def with_smoke(rules: RuleSet) -> RuleSet:
    """An operator's rules with the product's for smoke: his can tighten those and add to them, not replace them.

    Raises ValueError for a rule that has the name of one of them and is another kind of rule.
    """
    product = {rule.name: rule for rule in default_rules().rules if rule.two_persons}
    found: list[Rule] = []
    for rule in rules.rules:
        same = product.get(rule.name)
        if same is not None and not same_shape(same, rule):
            raise ValueError(f"rule {rule.name} is one of the product's and needs its kind, quantity, side and options")
        found.append(tighten(product.pop(rule.name), rule) if same is not None and rule.applies_to == same.applies_to else rule)
    return RuleSet((*found, *product.values()))


def builtin(blind_ms: int, urgent_ms: int) -> Mapping[str, Rule]:
    """The rules by name; a room is an alarm when it has been blind for `blind_ms`, urgent after `urgent_ms`.

    A group's "value" is the worst level of its members, so that it climbs and falls with them.
    """
    ladder = (_silent(Level.ALARM, blind_ms), _silent(Level.URGENT, max(blind_ms, urgent_ms)))
    blind = Rule(ROOM_BLIND, "stale", "any", ladder, subject="room", source=_OURS)
    lost = Rule(
        SMOKE_LOST, "stale", "any", (_silent(Level.CRITICAL, 0),), off_delay_ms=_BACK_MS, latch=True, shelve_max_ms=0, re_alarm_ms=900_000,
        subject="room", two_persons=True, source=_OURS,
    )  # fmt: skip
    levels = tuple(Rung(level, "above", level - 0.5) for level in Level)
    groups = (Rule(name, "threshold", "any", levels, source=_OURS) for name in GROUPS.values())
    return {rule.name: rule for rule in (blind, lost, *groups)}


def _silent(level: Level, delay_ms: int) -> Rung:
    return Rung(level, "equals", 1.0, delay_ms, (1.0,))
