"""Paths into JSON: dotted keys, `"quoted"` keys, `[0]` indexes, and `*` for any one object key.

`params."temperature:0".tC` reads a Shelly, `*.Temperature` a Tasmota sensor whose key contains the bus address.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

_STEP: Final = re.compile(r'(?:^|(?<!^)\.)(?:"([^"]+)"|([^."\[\]\s:]+))|\[(\d+)\]')

Step = str | int | None
"""A key, an index, or None for any key."""


class _Missing:
    """Nothing at this path; not the same as null."""


MISSING: Final = _Missing()


@lru_cache(maxsize=1024)
def parse_path(path: str) -> tuple[Step, ...]:
    """Split a path into steps. Raises ValueError."""
    steps: list[Step] = []
    at = 0
    while found := _STEP.match(path, at):
        quoted, key, index = found.groups()
        steps.append(int(index) if index is not None else quoted if quoted is not None else None if key == "*" else key)
        at = found.end()
    if at < len(path) or not steps:
        raise ValueError(f"{path!r} is not a JSON path")
    return tuple(steps)


def look_up(content: Any, steps: Sequence[Step]) -> Any:
    """The value at a path, or MISSING. Under `*` the first key that leads somewhere wins."""
    if not steps:
        return content
    step, rest = steps[0], steps[1:]
    if isinstance(step, int):
        return look_up(content[step], rest) if isinstance(content, list) and step < len(content) else MISSING
    if not isinstance(content, dict):
        return MISSING
    if step is not None:
        return look_up(content[step], rest) if step in content else MISSING
    return next((found for value in content.values() if (found := look_up(value, rest)) is not MISSING), MISSING)


def place(content: dict[str, Any], steps: Sequence[Step], value: Any) -> None:
    """Put a value at a path, making the objects and lists on the way; `*` becomes the key "sensor"."""
    target: Any = content
    for step, following in pairwise(steps):
        target = _enter(target, step, [] if isinstance(following, int) else {})
    _enter(target, steps[-1], value, replace=True)


def _enter(target: Any, step: Step, fresh: Any, replace: bool = False) -> Any:
    if isinstance(step, int):
        target.extend([None] * (step + 1 - len(target)))
        if replace or target[step] is None:
            target[step] = fresh
        return target[step]
    key = "sensor" if step is None else step
    if replace:
        target[key] = fresh
    return target.setdefault(key, fresh)
