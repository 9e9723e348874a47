"""The `expression` kind: a formula over quantities of a room, e.g. `temperature > 36 and humidity < 30`, or `temperature - dew_point`.

Numbers, quantity names, + - * /, comparisons, and/or/not, min, max, abs: nothing else is parsed, so a rule file cannot run code. A truth
counts as 1 or 0. A division by zero gives nothing to judge.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from functools import cache

from alarms.conditions import Judged, Memory, Options, gather
from contract.quantities import QUANTITIES

_OPERATORS: Mapping[type[ast.AST], Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
    ast.And: lambda *truths: all(truths),
    ast.Or: lambda *truths: any(truths),
}
_FUNCTIONS: Mapping[str, Callable[..., float]] = {"min": min, "max": max, "abs": abs}
Values = Mapping[str, float]
Formula = Callable[[Values], float]


@cache
def inputs_of(text: str) -> tuple[str, ...]:
    """The quantities a formula names, in alphabetical order. Raises ValueError for what is not a formula over known quantities."""
    names = {node.id for node in ast.walk(_parsed(text)) if isinstance(node, ast.Name) and node.id not in _FUNCTIONS}
    unknown = names - QUANTITIES.keys()
    if unknown:
        raise ValueError(f"unknown quantity {min(unknown)!r}")
    if not names:
        raise ValueError("names no quantity")
    compiled(text)
    return tuple(sorted(names))


def evaluate(options: Options, memory: Memory, at: int, quantity: str, value: float) -> Judged:
    """Judge the formula once all its quantities are known."""
    text = str(options["expression"])
    memory, values = gather(inputs_of(text), options, memory, at, quantity, value)
    if values is None:
        return memory, None
    try:
        return memory, float(compiled(text)(values))
    except ZeroDivisionError:
        return memory, None


@cache
def compiled(text: str) -> Formula:
    """A formula as a function of its values. Raises ValueError."""
    return _build(_parsed(text))


def _parsed(text: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ValueError(f"{text!r} is not a formula") from error


def _build(node: ast.expr) -> Formula:
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        number = float(node.value)
        return lambda _values: number
    if isinstance(node, ast.Name) and node.id not in _FUNCTIONS:
        name = node.id
        return lambda values: values[name]
    apply, operands = _operation(node)
    parts = [_build(operand) for operand in operands]
    return lambda values: float(apply(*(part(values) for part in parts)))


def _operation(node: ast.expr) -> tuple[Callable[..., float], list[ast.expr]]:
    found: tuple[Callable[..., float] | None, list[ast.expr]] = None, []
    match node:
        case ast.BinOp(left, op, right) | ast.Compare(left, [op], [right]):
            found = _OPERATORS.get(type(op)), [left, right]
        case ast.UnaryOp(op, operand):
            found = _OPERATORS.get(type(op)), [operand]
        case ast.BoolOp(op, operands):
            found = _OPERATORS.get(type(op)), operands
        case ast.Call(ast.Name(id=name), [_, *_] as arguments, []):
            found = _FUNCTIONS.get(name), arguments
    if found[0] is None:
        raise ValueError(f"{ast.unparse(node)!r} is not allowed in a formula")
    return found[0], found[1]
