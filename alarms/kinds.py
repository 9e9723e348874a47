"""The table of rule kinds. A new kind = its evaluator and one row here; parsing, judging and documentation follow from the row."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from alarms import conditions, expression
from alarms.conditions import NO_LIMIT, Evaluate, Option

Subject = Literal["point", "room", "gateway"]
_MINUTE, _HOUR = 60_000.0, 3_600_000.0
_CLIMATE = ("temperature", "humidity")


@dataclass(frozen=True, slots=True)
class Kind:
    """One rule kind.

    `sides` may stand in its ladder. `inputs` are the quantities it needs when they are fixed (subject room); `inputs_of` finds them in the
    option `expression`. `options` are the file's extra keys with their defaults; those in `durations` are written like 30m and held in ms.
    `silent` marks the kind whose breach is the absence of samples; `bare` rungs carry no limit; `limit_is_duration` limits are written like
    12h and compared in ms; `derived` limits are not readings and so have no plausible range.
    """

    evaluate: Evaluate
    sides: tuple[str, ...]
    subject: Subject = "point"
    inputs: tuple[str, ...] = ()
    inputs_of: Callable[[str], tuple[str, ...]] | None = None
    options: Mapping[str, Option] = field(default_factory=dict)
    durations: frozenset[str] = frozenset()
    silent: bool = False
    bare: bool = False
    limit_is_duration: bool = False
    derived: bool = False


_WINDOW, _ROOM_CLOCKS = frozenset({"window"}), frozenset({"every", "within"})

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "threshold": Kind(conditions.value_itself, ("above", "below")),
        "state": Kind(conditions.value_itself, ("above", "below", "equals")),
        "camera": Kind(conditions.value_itself, ("above", "below", "equals")),
        "stale": Kind(conditions.present, ("equals",), silent=True, bare=True),
        "rate": Kind(conditions.rate, ("above", "below"), options={"window": _MINUTE, "least": NO_LIMIT}, durations=_WINDOW, derived=True),
        "swing": Kind(conditions.swing, ("above",), options={"window": 15 * _MINUTE, "around": NO_LIMIT}, durations=_WINDOW, derived=True),
        "stuck": Kind(conditions.stuck, ("above",), limit_is_duration=True, derived=True),
        "dew_point": Kind(
            conditions.condensation,
            ("below",),
            subject="room",
            inputs=_CLIMATE,
            options={"surface": -3.0, "every": 5 * _MINUTE, "within": 15 * _MINUTE},
            durations=_ROOM_CLOCKS,
            derived=True,
        ),
        "mould": Kind(
            conditions.mould,
            ("above",),
            subject="room",
            inputs=_CLIMATE,
            options={"every": _HOUR, "within": 2 * _HOUR},
            durations=_ROOM_CLOCKS,
            derived=True,
        ),
        "expression": Kind(
            expression.evaluate,
            ("above", "below", "equals"),
            subject="room",
            inputs_of=expression.inputs_of,
            options={"expression": "", "every": _MINUTE, "within": 15 * _MINUTE},
            durations=_ROOM_CLOCKS,
            derived=True,
        ),
    }
)
