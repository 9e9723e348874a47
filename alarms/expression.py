"""The `expression` kind: a CEL formula over quantities of a room, e.g. `temperature > 36 && humidity < 30`, or `temperature - dew_point`.

Numbers (all of them doubles), quantity names, + - * /, comparisons, && || !, ? :, min, max, abs: nothing else gets past the door, so a rule
file can name nothing but quantities. A truth counts as 1 or 0. What has no finite value (a division by zero) is nothing to judge.
"""

import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from alarms.conditions import Judged, Memory, Options, gather
from contract.quantities import QUANTITIES

if TYPE_CHECKING:
    import cel  # 10 MB of memory and 30 MB of packages: loaded with the first formula, and not installed on a gateway, which judges none

_TOKEN = re.compile(r"(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*)|&&|\|\||[<>=!]=|/(?!/)|[-+*<>!?:(),]|\s+")
_FUNCTIONS: Mapping[str, Callable[..., float]] = MappingProxyType({"min": min, "max": max, "abs": abs})
_TRUTHS = frozenset({"true", "false"})
Values = Mapping[str, float]
Formula = Callable[[Values], float | None]


@cache
def inputs_of(text: str) -> tuple[str, ...]:
    """The quantities a formula names, in alphabetical order, after trying it. Raises ValueError for what is not a formula over known quantities."""
    names = names_of(text)
    try:  # CEL knows types only when it runs: what cannot be computed from plain numbers never could
        _program(text).execute(_context(dict.fromkeys(names, 1.5)))
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"{text!r} cannot be computed: {str(error).split('.')[0]}") from error
    return names


@cache
def names_of(text: str) -> tuple[str, ...]:
    """The quantities a formula names, without trying it: for rules that were tried where they were made. Raises ValueError."""
    found = _tokens(text)
    names = {match["name"] for match in found if match["name"]} - _FUNCTIONS.keys() - _TRUTHS
    if words := names & {"and", "or", "not"}:
        raise ValueError(f"{min(words)!r}: CEL writes && || !")
    if unknown := names - QUANTITIES.keys():
        raise ValueError(f"unknown quantity {min(unknown)!r}")
    if not names:
        raise ValueError(f"{text!r} names no quantity")
    return tuple(sorted(names))


def evaluate(options: Options, memory: Memory, at: int, quantity: str, value: float, _source: int = 0) -> Judged:
    """Judge the formula once all its quantities are known."""
    text = str(options["expression"])
    memory, values = gather(names_of(text), options, memory, at, quantity, value)
    return memory, None if values is None else compiled(text)(values)


@cache
def compiled(text: str) -> Formula:
    """A formula as a function of its values, None where it has no finite value. Raises ValueError."""
    program = _program(text)

    def formula(values: Values) -> float | None:
        try:
            result = float(program.execute(_context(values)))
        except (TypeError, RuntimeError, ValueError):
            return None
        return result if math.isfinite(result) else None

    return formula


@cache
def _program(text: str) -> "cel.Program":
    """Compiled with every number as a double: CEL does not add integers to doubles."""
    import cel  # noqa: PLC0415 - see above

    written = "".join(f"double({match[0]})" if match["number"] else match[0] for match in _tokens(text))
    try:
        return cel.compile(written)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a formula") from error


def _context(values: Values) -> "cel.Context":
    import cel  # noqa: PLC0415 - see above

    return cel.Context(variables={name: float(value) for name, value in values.items()}, functions=dict(_FUNCTIONS))


def _tokens(text: str) -> list[re.Match[str]]:
    found, place = [], 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"{text[place]!r} is not allowed in a formula")
        found.append(match)
        place = match.end()
    return found
