"""What nobody may silence alone, and whose limit a rung carries."""

from dataclasses import replace

import pytest

from alarms.lifecycle import INITIAL, NotAllowedError, OutOfService, Suppress, step
from alarms.model import Level, Rule, Rung
from alarms.rules import default_rules, parse_rules

NOW = 1_790_000_000_000
SMOKE = Rule("smoke", "state", "smoke", (Rung(Level.CRITICAL, "equals", 1, 0, (1,)),), two_persons=True)


@pytest.mark.parametrize(("by", "second"), [("li", ""), ("", "wang"), ("li", "li"), ("li", " li "), ("", ""), ("li", "  ")])
def test_one_person_alone_is_refused(by: str, second: str) -> None:
    for event in (Suppress("maintenance", by, second), OutOfService(by, "送检", second)):
        with pytest.raises(NotAllowedError, match="两人"):
            step(SMOKE, INITIAL, event, NOW)


def test_two_people_may_and_both_names_are_kept() -> None:
    for event in (Suppress("maintenance", "li", "wang"), OutOfService("li", "送检", "wang")):
        result = step(SMOKE, INITIAL, event, NOW)
        assert result.state.inhibited
        assert [change.by for change in result.transitions] == ["li、wang"]


def test_other_rules_need_nobody_else() -> None:
    assert step(replace(SMOKE, two_persons=False), INITIAL, Suppress("gateway_offline"), NOW).state.suppressed == ("gateway_offline",)


def test_a_lower_layer_cannot_take_the_second_person_away() -> None:
    rules = parse_rules(
        "rules:\n  - {name: s, kind: state, quantity: smoke, ladder: {critical: {equals: 1}}, two_persons: true}\n"
        "  - {name: s, kind: state, quantity: smoke, ladder: {critical: {equals: 1}}, two_persons: false, applies_to: {rooms: R}}\n",
        "x",
    )
    assert rules.for_point("smoke", "paper", "", "R")[0].two_persons


def test_the_smoke_of_the_shipped_rules_needs_two() -> None:
    alone = {rule.name for rule in default_rules().rules if rule.quantity in ("smoke", "smoke_density") and not rule.two_persons}
    assert alone == set()


LAYERS = """rules:
  - {name: h, kind: threshold, quantity: humidity, ladder: {warn: {above: 60, on_delay: 30m}, alarm: {above: 65, on_delay: 20m}}}
  - {name: h, kind: threshold, quantity: humidity, ladder: {warn: {above: 58, on_delay: 40m}}, applies_to: {unit: "3501"}}
  - {name: h, kind: threshold, quantity: humidity, ladder: {alarm: {above: 65, on_delay: 5m}}, applies_to: {rooms: R}}
  - {name: h, kind: threshold, quantity: humidity, ladder: {warn: {above: 57, origin: "limit:12"}}, applies_to: {rooms: Q}}
"""


def test_a_rung_says_whose_limit_it_is() -> None:
    rules = parse_rules(LAYERS, "x")

    def origins(room: str) -> list[tuple[str, float]]:
        [rule] = rules.for_point("humidity", "paper", ("350000000000", "350100000000"), room)
        return [(rung.origin, rung.limit) for rung in rule.ladder]

    assert origins("X") == [("unit:3501", 58), ("everywhere", 65)]
    assert origins("R") == [("unit:3501", 58), ("room:R", 65)]
    assert origins("Q") == [("limit:12", 57), ("everywhere", 65)]


def test_the_origin_of_a_changed_limit_survives_writing_and_reading() -> None:
    rules = parse_rules(parse_rules(LAYERS, "x").canonical(), "y")
    assert [rung.origin for rule in rules.rules for rung in rule.ladder] == ["everywhere", "everywhere", "unit:3501", "room:R", "limit:12"]
