"""Reading YAML 1.2 with lines, so that every refusal can say file, line and reason. Shared by rule files and rule-test files."""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from alarms.model import RuleError

T = TypeVar("T")
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def duration_ms(text: object) -> int:
    """Parse 500ms, 10s, 30m, 1h, 1h30m, 2d (and a bare 0) to ms. Raises ValueError."""
    if text == 0 and not isinstance(text, bool):
        return 0
    parts = _PART.findall(text) if isinstance(text, str) else []
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration like 30m, 10s, 1h or 500ms")
    return round(sum(float(number) * _UNITS[unit] for number, unit in parts))


def number(value: object) -> float:
    """A finite number, not a truth value. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def text(value: object) -> str:
    """A string; a bare integer (a unit code) is taken as its digits. Raises ValueError."""
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"{value!r} is not text")


def truth(value: object) -> bool:
    """true or false. Raises ValueError."""
    if isinstance(value, bool):
        return value
    raise ValueError(f"{value!r} is not true or false")


def texts(value: object) -> tuple[str, ...]:
    """One text or a list of them. Raises ValueError."""
    return tuple(text(item) for item in value) if isinstance(value, list) else (text(value),)


class Block:
    """One mapping of the file, with the line of each key."""

    def __init__(self, file: str, body: CommentedMap, line: int) -> None:
        self.file = file
        self.body = body
        self.line = line

    def __contains__(self, key: str) -> bool:
        return key in self.body

    def __iter__(self) -> Iterator[str]:
        return iter([str(key) for key in self.body])

    def line_of(self, key: str) -> int:
        """Line of a key, 1-based; the block's own when the key is missing."""
        position = self.body.lc.data.get(key) if self.body.lc.data else None
        return int(position[0]) + 1 if position else self.line

    def error(self, reason: str, key: str = "") -> RuleError:
        """The error to raise about this block or one key of it."""
        return RuleError(self.file, self.line_of(key) if key else self.line, reason)

    def only(self, keys: Iterable[str]) -> None:
        """Refuse keys that nobody reads: a misspelt one would silently switch something off."""
        known = sorted(keys)
        for key in self:
            if key not in known:
                raise self.error(f"unknown key {key!r} (known: {', '.join(known)})", key)

    def get(self, key: str, convert: Callable[[object], T], default: T) -> T:
        """A converted value, or the default when the key is absent or null."""
        if self.body.get(key) is None:
            return default
        return self.need(key, convert)

    def need(self, key: str, convert: Callable[[object], T]) -> T:
        """A converted value that must be there."""
        if key not in self.body:
            raise self.error(f"{key} is missing")
        try:
            return convert(self.body[key])
        except ValueError as error:
            raise self.error(f"{key}: {error}", key) from error

    def block(self, key: str) -> "Block":
        """The mapping under a key; an absent one is empty."""
        body = self.body.get(key)
        if body is None:
            return Block(self.file, CommentedMap(), self.line_of(key))
        if not isinstance(body, CommentedMap):
            raise self.error(f"{key} must be a mapping", key)
        return Block(self.file, body, self.line_of(key))

    def blocks(self, key: str) -> "list[Block]":
        """The mappings listed under a key; an absent list is empty."""
        items = self.body.get(key)
        if items is None:
            return []
        if not isinstance(items, CommentedSeq):
            raise self.error(f"{key} must be a list", key)
        return [self._item(key, index, item, items) for index, item in enumerate(items)]

    def _item(self, key: str, index: int, item: Any, items: CommentedSeq) -> "Block":
        line = int(items.lc.item(index)[0]) + 1
        if not isinstance(item, CommentedMap):
            raise RuleError(self.file, line, f"{key}: each entry must be a mapping")
        return Block(self.file, item, line)


def read(source_text: str, file: str) -> Block:
    """Parse one YAML 1.2 document whose top is a mapping. Raises RuleError."""
    yaml = YAML(typ="rt", pure=True)
    yaml.version = (1, 2)
    try:
        body = yaml.load(source_text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise RuleError(file, mark.line + 1 if mark else 1, str(error.problem or error)) from error
    except YAMLError as error:
        raise RuleError(file, 1, str(error)) from error
    if not isinstance(body, CommentedMap):
        raise RuleError(file, 1, "the file must be a mapping")
    return Block(file, body, 1)
