"""YAML that remembers where everything stands, so that every complaint about a file can name the line.

YAML 1.2 rules: a bare `on`, `off`, `yes`, `no` is text. A file that declares YAML 1.1 turns them into booleans; such a value is refused here instead
of becoming `false` in silence. Duplicate keys, merge keys, tags and several documents are refused too: our files need none of them.
"""

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Path = tuple[str | int | float | bool, ...]

_TAG: Final = "tag:yaml.org,2002:"
_INTEGER: Final = re.compile(r"[-+]?(0x[0-9a-fA-F]+|0o[0-7]+|[0-9]+)")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_BOOLEAN: Final = {"true": True, "false": False}
_DEEPEST: Final = 40
_MOST_NODES: Final = 200_000


class LocatedYamlError(ValueError):
    """The text is not the plain YAML that we accept; `line` counts from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Located:
    """Plain data (dict, tuple, str, int, float, bool, None) and the line of every path in it."""

    data: Any
    lines: Mapping[Path, int]

    def line(self, path: tuple[Any, ...]) -> int:
        """The line of a path, or of its nearest ancestor that exists; 1 at worst."""
        for end in range(len(path), -1, -1):
            if (found := self.lines.get(path[:end])) is not None:
                return found
        return 1


def load_located(text: str) -> Located:
    """Parse one YAML document. Raises LocatedYamlError."""
    try:
        root = YAML(typ="safe", pure=True).compose(io.StringIO(text))
    except MarkedYAMLError as broken:
        mark = broken.problem_mark or broken.context_mark
        raise LocatedYamlError(mark.line + 1 if mark else 1, broken.problem or "not YAML") from None
    except (YAMLError, RecursionError, ValueError) as broken:
        raise LocatedYamlError(1, f"not YAML: {str(broken).splitlines()[0]}") from None
    if root is None:
        raise LocatedYamlError(1, "the file is empty")
    lines: dict[Path, int] = {}
    return Located(_plain(root, (), lines), lines)


def _refuse(node: Node, reason: str) -> LocatedYamlError:
    return LocatedYamlError(node.start_mark.line + 1, reason)


def _plain(node: Node, path: Path, lines: dict[Path, int]) -> Any:
    """Build the value of a node and note the line of it and of everything below."""
    if len(path) > _DEEPEST:
        raise _refuse(node, "nested too deeply")
    if len(lines) > _MOST_NODES:  # a few nested anchors can stand for billions of values
        raise _refuse(node, f"more than {_MOST_NODES} values")
    lines[path] = node.start_mark.line + 1
    if isinstance(node, ScalarNode):
        return _scalar(node)
    if isinstance(node, SequenceNode):
        return tuple([_plain(item, (*path, at), lines) for at, item in enumerate(node.value)])
    if isinstance(node, MappingNode):
        return {key: _entry(key_node, value, (*path, key), lines) for key, key_node, value in _keys(node)}
    raise _refuse(node, "an anchor without a value")


def _entry(key_node: Node, value: Node, path: Path, lines: dict[Path, int]) -> Any:
    built = _plain(value, path, lines)
    lines[path] = key_node.start_mark.line + 1
    return built


def _keys(node: MappingNode) -> Iterator[tuple[Any, Node, Node]]:
    seen: set[tuple[type, Any]] = set()
    for key_node, value in node.value:
        if not isinstance(key_node, ScalarNode):
            raise _refuse(key_node, "a key must be a plain word or number")
        key = _scalar(key_node)
        if (type(key), key) in seen:
            raise _refuse(key_node, f"{key!r} is given twice")
        seen.add((type(key), key))
        yield key, key_node, value


def _scalar(node: ScalarNode) -> Any:
    text, kind = str(node.value), str(node.tag).removeprefix(_TAG)
    if kind == "str":
        return text
    if kind == "null":
        return None
    if kind == "bool" and text.lower() in _BOOLEAN:
        return _BOOLEAN[text.lower()]
    if kind == "int" and _INTEGER.fullmatch(text):
        return int(text, 0 if "x" in text or "o" in text else 10)
    if kind == "float" and _FLOAT.fullmatch(text):
        return float(text)
    raise _refuse(node, f"{text!r} is ambiguous here (read as {kind}): write it in quotes if it is text")
