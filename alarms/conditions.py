"""What each kind of rule looks at: a row of KINDS turns readings into the one number that the ladder compares with its limits.

Adding a kind = its evaluator (here or in a file of its own) and one row in KINDS. An evaluator is pure: it gets the rule's options, the
memory it returned last time and one usable reading, and returns its new memory and the number to judge (None: nothing to judge yet). It must
return the very same memory object when nothing changed, so that an unchanged alarm state is not written again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Memory = tuple[float, ...]
Option = float | str
Evaluate = Callable[[Mapping[str, Option], Memory, int, str, float], tuple[Memory, float | None]]
Subject = Literal["point", "room", "gateway"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One rule kind.

    `sides` may stand in its ladder; `inputs` are the quantities it needs when they are fixed (subject room); `options` are the file's extra
    keys with their defaults, those in `durations` are written like 30m and held in ms; `silent` marks the kind whose breach is the absence of
    samples; `bare` rungs carry no limit; `limit_is_duration` limits are written like 12h and compared in ms.
    """

    evaluate: Evaluate
    sides: tuple[str, ...]
    subject: Subject = "point"
    inputs: tuple[str, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)
    durations: frozenset[str] = frozenset()
    silent: bool = False
    bare: bool = False
    limit_is_duration: bool = False


def value_itself(_options: Mapping[str, Option], memory: Memory, _at: int, _quantity: str, value: float) -> tuple[Memory, float | None]:
    """Judge the reading as it is: threshold, state and camera."""
    return memory, value


def present(_options: Mapping[str, Option], memory: Memory, _at: int, _quantity: str, _value: float) -> tuple[Memory, float | None]:
    """Judge that a reading came at all: 0 = heard, the silence itself (1) comes from the tick."""
    return memory, 0.0


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "threshold": Kind(value_itself, ("above", "below")),
        "state": Kind(value_itself, ("equals",)),
        "camera": Kind(value_itself, ("equals",)),
        "stale": Kind(present, ("equals",), silent=True, bare=True),
    }
)
