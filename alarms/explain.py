"""Which limit holds and why, level by level: what each layer asks, and whose wins. Pure; the layers are those of model.RuleSet."""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

from alarms.model import CHANGE, Rule, RuleSet, Rung, tighten

Changes = Mapping[str, Mapping[str, Any]]
"""What is known of changed limits (who, why, until), by origin."""
ALONE, STRICTEST = "只有这一层规定了本级限值", "各层中最严的限值生效，下级只能收紧"


def explain(rules: RuleSet, quantity: str, medium: str, path: Sequence[str], room: str, changes: Changes | None = None) -> list[dict[str, Any]]:
    """Every rule that a quantity of a room feeds, JSON-ready. Limits are in the unit that the rule judges, durations in ms."""
    chains = rules.layers(medium, path, room).values()
    return [explain_rule(chain, changes or {}) for chain in chains if chain[0].subject != "gateway" and chain[0].wants(quantity)]


def explain_rule(chain: Sequence[Rule], changes: Changes) -> dict[str, Any]:
    """One rule from its layers, widest first."""
    rule = reduce(tighten, chain)
    return {
        "rule": rule.name,
        "kind": rule.kind,
        "ladder": [_rung(rung) for rung in rule.ladder],
        "deadband": rule.deadband,
        "off_delay_s": rule.off_delay_ms / 1000,
        "latch": rule.latch,
        "options": dict(rule.settings),
        "source": rule.source,
        "levels": [_level(rung, chain, changes) for rung in rule.ladder],
    }


def _level(rung: Rung, chain: Sequence[Rule], changes: Changes) -> dict[str, Any]:
    """A level with every layer that says something about it; exactly the layers with the winning limit win."""
    layers = [
        _layer(rule, asked, changes) | {"wins": asked.origin == rung.origin and (asked.limit == rung.limit or asked.values == rung.values)}
        for rule in chain
        for asked in [rule.rung(rung.level)]
        if asked is not None
    ]
    borrowed = not any(layer["wins"] for layer in layers)
    return _rung(rung) | {"layers": layers, "because": _because(rung, layers, borrowed)}


def _because(rung: Rung, layers: Iterable[Mapping[str, Any]], borrowed: bool) -> str:
    if borrowed:
        return f"更高级别的限值已收紧到 {rung.limit:g}（{rung.origin}），本级随之收紧"
    if len(list(layers)) == 1:
        return ALONE
    return STRICTEST


def _layer(rule: Rule, rung: Rung, changes: Changes) -> dict[str, Any]:
    body = {"origin": rung.origin, "source": rule.source} | _rung(rung)
    return body | dict(changes.get(rung.origin, {})) if rung.origin.startswith(CHANGE) else body


def _rung(rung: Rung) -> dict[str, Any]:
    limit: Any = list(rung.values) if rung.side == "equals" else rung.limit
    return {"level": rung.level.word, rung.side: limit, "on_delay_s": rung.on_delay_ms / 1000, "origin": rung.origin}
