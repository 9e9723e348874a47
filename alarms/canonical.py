"""Rules written back in the format of rule files: what is hashed as a version, stored, and sent down to gateways."""

from typing import Any

from alarms.kinds import KINDS
from alarms.ladder import CHANGE, Rung, duration_text
from alarms.rule import Rule


def _rung_dict(rung: Rung, rule: Rule) -> dict[str, Any]:
    body: dict[str, Any] = {"on_delay": duration_text(rung.on_delay_ms)}
    if rung.origin.startswith(CHANGE):
        body["origin"] = rung.origin
    if KINDS[rule.kind].bare:
        return body
    limit = duration_text(int(rung.limit)) if KINDS[rule.kind].limit_is_duration else rung.limit
    return body | {rung.side: list(rung.values) if rung.side == "equals" else limit}


def rule_dict(rule: Rule) -> dict[str, Any]:
    """A rule in the format of rule files, complete and in a fixed order."""
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
        "by_medium": {name: "off" if variant is None else _variant_dict(variant, rule) for name, variant in rule.by_medium},
        "source": rule.source,
    } | {key: duration_text(int(value)) if key in KINDS[rule.kind].durations else value for key, value in rule.options}


def _variant_dict(variant: Rule, rule: Rule) -> dict[str, Any]:
    whole, usual = rule_dict(variant), rule.settings
    own = [key for key, value in variant.options if value != usual[key]]
    return {key: whole[key] for key in ("ladder", "deadband", "off_delay", "source", *own)}
