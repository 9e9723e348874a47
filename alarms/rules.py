"""Rule files: YAML 1.2 in, frozen rules out; every refusal names file, line and reason.

    rules:
      - name: humidity_high
        kind: threshold
        quantity: humidity
        ladder: {warn: {above: 60, on_delay: 30m}, alarm: {above: 65, on_delay: 20m}}
        deadband: 2
        off_delay: 20m
        by_medium:                      # other limits for other media, under the same rule name
          special: {ladder: {warn: {above: 55, on_delay: 30m}}}
          photo: off                    # no such alarm in rooms of this medium

`by_medium` replaces ladder, deadband, off_delay, source and the options of the kind (such as `hours`) for rooms of that medium.
`applies_to` at the top of a file is the scope of every rule in it that has none of its own. Rules of one name with different scopes are layers: see
model.tighten.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path

from alarms.conditions import Option
from alarms.document import Block, duration_ms, number, read, text, texts, truth
from alarms.kinds import KINDS, Kind
from alarms.model import ANY, SHELVE_MAX_MS, AppliesTo, LayerError, Level, Rule, RuleError, RuleSet, Rung, Side, cumulative, duration_text, tighten
from contract.quantities import Kind as Behaviour
from contract.quantities import UnknownQuantityError
from contract.quantities import quantity as lookup

__all__ = ["AppliesTo", "Level", "Rule", "RuleError", "RuleSet", "Rung", "default_rules", "duration_text", "load_rules", "parse_rules", "tighten"]

_MAX_NAME = 60
_SCOPE_KEYS = ("unit", "medium", "rooms")
_VARIANT_KEYS = ("ladder", "deadband", "off_delay", "source")
_KEYS = ("name", "kind", "quantity", "subject", "latch", "re_alarm", "shelve_max", "two_persons", "applies_to", "by_medium", *_VARIANT_KEYS)


def parse_rules(content: str, source: str, *, tried: bool = False) -> RuleSet:
    """Parse the text of a rule file (or of a rule-test file: its `tests` are left alone). Raises RuleError naming `source`.

    `tried`: its formulas have proved themselves elsewhere, and are not compiled; that spares a gateway the compiler.
    """
    return rules_of(read(content, source), tried=tried)


def load_rules(path: Path) -> RuleSet:
    """Parse a rule file. Raises RuleError, OSError."""
    return parse_rules(path.read_text(encoding="utf-8"), str(path))


@cache
def default_rules() -> RuleSet:
    """The rules the product ships with."""
    return parse_rules(files("alarms").joinpath("default-rules.yaml").read_text(encoding="utf-8"), "default-rules.yaml", tried=True)


def rules_of(top: Block, *, tried: bool = False) -> RuleSet:
    """The rule set of a parsed file; `tried` as in `parse_rules`. Raises RuleError."""
    top.only(("rules", "tests", "applies_to"))
    scope = _scope(top.block("applies_to"))
    blocks = top.blocks("rules")
    rules = tuple(_rule(block, scope, tried) for block in blocks)
    try:
        return RuleSet(rules)
    except LayerError as error:
        raise blocks[error.index].error(str(error), "name") from error


def _rule(block: Block, scope: AppliesTo, tried: bool) -> Rule:
    kind_name = block.need("kind", _kind_name)
    kind = KINDS[kind_name]
    block.only((*_KEYS, *kind.options))
    quantity = _quantity(block, kind_name, kind)
    own = _scope(block.block("applies_to")) if "applies_to" in block else scope
    rule = Rule(
        name=block.need("name", _name),
        kind=kind_name,
        quantity=quantity,
        ladder=_ladder(block.block("ladder"), kind, quantity, own.text),
        deadband=block.get("deadband", _not_negative, 0.0),
        off_delay_ms=block.get("off_delay", duration_ms, 0),
        latch=block.get("latch", truth, False),
        re_alarm_ms=block.get("re_alarm", duration_ms, 0) or None,
        shelve_max_ms=block.get("shelve_max", duration_ms, SHELVE_MAX_MS),
        two_persons=block.get("two_persons", truth, False),
        applies_to=own,
        subject="gateway" if block.get("subject", text, str(kind.subject)) == "gateway" else kind.subject,
        inputs=(quantity,) if kind.over_sensors else _inputs(block, kind, tried),
        options=_options(block, kind, kind.options),
        source=block.get("source", text, ""),
    )
    return replace(rule, by_medium=_variants(block.block("by_medium"), rule, kind))


def _name(value: object) -> str:
    name = text(value)
    if not name.replace("_", "").isalnum() or not name.isascii() or len(name) > _MAX_NAME:
        raise ValueError(f"{name!r} must be letters, digits and _ (at most {_MAX_NAME})")
    return name


def _kind_name(value: object) -> str:
    name = text(value)
    if name not in KINDS:
        raise ValueError(f"{name!r} is not a rule kind ({', '.join(KINDS)})")
    return name


def _not_negative(value: object) -> float:
    result = number(value)
    if result < 0:
        raise ValueError("must not be negative")
    return result


def _quantity(block: Block, kind_name: str, kind: Kind) -> str:
    subject = block.get("subject", text, str(kind.subject))
    if subject != kind.subject and not (kind.silent and subject == "gateway"):
        raise block.error(f"a {kind_name} rule belongs to a {kind.subject}, not to a {subject}", "subject")
    if (kind.subject == "room" and not kind.over_sensors) or subject == "gateway":
        if block.get("quantity", text, ""):
            raise block.error("this rule takes no quantity of its own", "quantity")
        return ""
    name = block.get("quantity", text, "camera") if kind_name == "camera" else block.need("quantity", text)
    if name == ANY and kind.silent:
        return name
    try:
        lookup(name)
    except UnknownQuantityError as error:
        raise block.error(str(error), "quantity") from error
    return name


def _inputs(block: Block, kind: Kind, tried: bool) -> tuple[str, ...]:
    find = kind.names_of if tried else kind.inputs_of
    return block.need("expression", lambda value: find(text(value))) if find else kind.inputs


def _ladder(block: Block, kind: Kind, quantity: str, origin: str) -> tuple[Rung, ...]:
    if not list(block):
        raise block.error("ladder is missing or empty")
    rungs: list[Rung] = []
    for word in block:
        try:
            level = Level.of(word)
        except ValueError as error:
            raise block.error(str(error), word) from error
        rung = _rung(block.block(word), level, kind, quantity)
        rung = replace(rung, origin=block.block(word).get("origin", text, origin))
        if rungs:
            _check_order(rungs[-1], rung, block, word)
        rungs.append(rung)
    return cumulative(rungs)


def _rung(block: Block, level: Level, kind: Kind, quantity: str) -> Rung:
    block.only(("on_delay", "origin") if kind.bare else ("on_delay", "origin", *kind.sides))
    delay = block.get("on_delay", duration_ms, 0)
    if kind.bare:
        return Rung(level, "equals", 1.0, delay, (1.0,))
    sides: list[Side] = [side for side in ("above", "below", "equals") if side in block]
    if len(sides) != 1:
        raise block.error(f"{level.word} needs exactly one of {', '.join(kind.sides)}")
    side = sides[0]
    values = block.need(side, _numbers if side == "equals" else _duration if kind.limit_is_duration else _single)
    if quantity and not kind.derived:
        _check_reachable(block, side, values, quantity)
    return Rung(level, side, values[0], delay, values if side == "equals" else ())


def _single(value: object) -> tuple[float, ...]:
    return (number(value),)


def _duration(value: object) -> tuple[float, ...]:
    return (float(duration_ms(value)),)


def _numbers(value: object) -> tuple[float, ...]:
    values = tuple(number(item) for item in value) if isinstance(value, list) else (number(value),)
    if not values:
        raise ValueError("names no value")
    return values


def _check_reachable(block: Block, side: str, values: tuple[float, ...], quantity: str) -> None:
    """A limit outside the plausible range can never be breached by a good value: the alarm would be dead."""
    known = lookup(quantity)
    for value in values:
        if not known.low <= value <= known.high or (side == "above" and value == known.high) or (side == "below" and value == known.low):
            raise block.error(f"{side} {value:g} can never happen: {quantity} lies within {known.low:g} … {known.high:g} {known.unit}".rstrip(), side)
        if known.kind is Behaviour.STATE and value != int(value):
            raise block.error(f"{quantity} is a state, {value:g} is not one of its numbers", side)


def _check_order(milder: Rung, worse: Rung, block: Block, word: str) -> None:
    if worse.level <= milder.level:
        raise block.error("ladder must go from the least severe level to the worst", word)
    if worse.side != milder.side:
        raise block.error(f"one side per ladder: {milder.side} and {worse.side} do not mix", word)
    outward = {"above": worse.limit - milder.limit, "below": milder.limit - worse.limit}.get(worse.side)
    same = outward == 0 or (worse.side == "equals" and set(milder.values) <= set(worse.values))
    if outward is not None and outward < 0:
        raise block.error(f"{worse.level.word} {worse.side} {worse.limit:g} lies inside {milder.level.word} {milder.limit:g}", word)
    if same and worse.on_delay_ms <= milder.on_delay_ms:
        raise block.error(f"{worse.level.word} has the limit of {milder.level.word}, so it needs a longer on_delay", word)


def _scope(block: Block) -> AppliesTo:
    block.only(_SCOPE_KEYS)
    return AppliesTo(block.get("unit", text, ""), block.get("medium", texts, ()), block.get("rooms", texts, ()))


def _options(block: Block, kind: Kind, defaults: Mapping[str, Option]) -> tuple[tuple[str, Option], ...]:
    return tuple(sorted((key, _option(block, key, default, kind)) for key, default in defaults.items()))


def _option(block: Block, key: str, default: Option, kind: Kind) -> Option:
    if key in kind.durations:
        return float(block.get(key, duration_ms, int(default)))
    if isinstance(default, str):
        check = kind.checks.get(key, text)
        return block.get(key, lambda value: (check(text(value)), text(value))[1], default)
    return block.get(key, number, default)


def _variants(block: Block, rule: Rule, kind: Kind) -> tuple[tuple[str, Rule | None], ...]:
    return tuple((medium, _variant(block, medium, rule, kind)) for medium in block)


def _variant(block: Block, medium: str, rule: Rule, kind: Kind) -> Rule | None:
    if block.body[medium] == "off":
        return None
    body = block.block(medium)
    body.only((*_VARIANT_KEYS, *kind.options))
    variant = replace(
        rule,
        ladder=_ladder(body.block("ladder"), kind, rule.quantity, rule.applies_to.text) if "ladder" in body else rule.ladder,
        deadband=body.get("deadband", _not_negative, rule.deadband),
        off_delay_ms=body.get("off_delay", duration_ms, rule.off_delay_ms),
        options=_options(body, kind, rule.settings),
        source=body.get("source", text, rule.source),
    )
    if variant.ladder[0].side != rule.ladder[0].side:
        raise body.error(f"{medium} must stay on the side of the rule ({rule.ladder[0].side})")
    return variant
