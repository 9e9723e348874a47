"""The table of rule kinds. A new kind = its evaluator and one row here; parsing, judging and documentation follow from the row."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from alarms import conditions, doors, expression, sensors
from alarms.conditions import NO_LIMIT, Evaluate, Leaves, Memory, Option

Subject = Literal["point", "room", "gateway"]
_MINUTE, _HOUR = 60_000.0, 3_600_000.0
_CLIMATE = ("temperature", "humidity")


@dataclass(frozen=True, slots=True)
class Kind:
    """One rule kind.

    `sides` may stand in its ladder. `inputs` are the quantities it needs when they are fixed (subject room); `inputs_of` finds them in the
    option `expression` and tries it, `names_of` only finds them.
    `options` are the file's extra keys with their defaults; those in `durations` are written like 30m and held in ms. `silent` marks the kind
    whose breach is the absence of samples; `bare` rungs carry no limit; `limit_is_duration` limits are written like 12h and compared in ms;
    `derived` limits are not readings and so have no plausible range. `sources`: of a room rule over all sensors of one quantity, which of them
    its memory speaks of. `judges_bad`: unusable readings are judged too. `local`: a gateway can judge it alone (alarms/local.py). `checks` reads
    text options when a file is loaded. `still` says which readings the evaluator leaves alone (None: none), for the screen.
    """

    evaluate: Evaluate
    sides: tuple[str, ...]
    still: Leaves | None = None
    subject: Subject = "point"
    inputs: tuple[str, ...] = ()
    inputs_of: Callable[[str], tuple[str, ...]] | None = None
    names_of: Callable[[str], tuple[str, ...]] | None = None
    options: Mapping[str, Option] = field(default_factory=dict)
    durations: frozenset[str] = frozenset()
    silent: bool = False
    bare: bool = False
    limit_is_duration: bool = False
    derived: bool = False
    sources: Callable[[Memory], Memory] | None = None
    judges_bad: bool = False
    local: bool = False
    checks: Mapping[str, Callable[[str], object]] = field(default_factory=dict)

    @property
    def over_sensors(self) -> bool:
        """Whether it is a room rule over all sensors of one quantity."""
        return self.sources is not None


_WINDOW, _CLOCKS, _ROOM_CLOCKS = frozenset({"window"}), frozenset({"window", "every"}), frozenset({"every", "within"})
_ABOVE, _STATES = ("above",), ("above", "below", "equals")
_RATE = {"window": _MINUTE, "least": NO_LIMIT}

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "threshold": Kind(conditions.value_itself, ("above", "below"), conditions.value_still, local=True),
        "state": Kind(conditions.value_itself, _STATES, conditions.value_still, local=True),
        "camera": Kind(conditions.value_itself, _STATES, conditions.value_still),
        "stale": Kind(conditions.present, ("equals",), conditions.present_still, silent=True, bare=True, local=True),
        "rate": Kind(conditions.rate, ("above", "below"), conditions.rate_still, options=_RATE, durations=_WINDOW, derived=True, local=True),
        "heat": Kind(
            conditions.heat,
            _ABOVE,
            conditions.heat_still,
            options=_RATE | {"least": 30.0, "rise": 4.0, "ahead": 10.0},
            durations=_WINDOW,
            local=True,
        ),
        "swing": Kind(
            conditions.swing,
            _ABOVE,
            conditions.swing_still,
            options={"window": 15 * _MINUTE, "every": 0.0, "around": NO_LIMIT},
            durations=_CLOCKS,
            derived=True,
        ),
        "stuck": Kind(
            conditions.stuck, _ABOVE, conditions.stuck_still, options={"every": 0.0}, durations=_CLOCKS, limit_is_duration=True, derived=True
        ),
        "step": Kind(sensors.step, _ABOVE, sensors.step_still, options={"window": 15 * _MINUTE, "every": _MINUTE}, durations=_CLOCKS, derived=True),
        "implausible": Kind(
            sensors.implausible, _ABOVE, sensors.implausible_still, options={"low": NO_LIMIT, "high": -NO_LIMIT}, derived=True, judges_bad=True
        ),
        "off_hours": Kind(
            doors.off_hours,
            _STATES,
            doors.off_hours_still,
            options={"hours": "mon-fri 08:00-18:00", "holidays": "", "workdays": ""},
            checks={"hours": doors.hours_of, "holidays": doors.days_of, "workdays": doors.days_of},
        ),
        "forced": Kind(
            doors.forced,
            ("equals",),
            doors.forced_still,
            subject="room",
            inputs=("door", "grant"),
            options={"within": _MINUTE / 2},
            durations=_ROOM_CLOCKS,
            derived=True,
        ),
        "deviation": Kind(
            sensors.deviation,
            _ABOVE,
            sensors.deviation_still,
            subject="room",
            options={"around": NO_LIMIT, "every": _MINUTE, "within": 15 * _MINUTE},
            durations=_ROOM_CLOCKS,
            derived=True,
            sources=sensors.compared,
        ),
        "voting": Kind(sensors.voting, _ABOVE, sensors.voting_still, subject="room", options={"least": 1.0}, derived=True, sources=sensors.voters),
        "dew_point": Kind(
            conditions.condensation,
            ("below",),
            conditions.gather_still,
            subject="room",
            inputs=_CLIMATE,
            options={"surface": -3.0, "every": 5 * _MINUTE, "within": 15 * _MINUTE},
            durations=_ROOM_CLOCKS,
            derived=True,
        ),
        "mould": Kind(
            conditions.mould,
            _ABOVE,
            conditions.gather_still,
            subject="room",
            inputs=_CLIMATE,
            options={"every": _HOUR, "within": 2 * _HOUR},
            durations=_ROOM_CLOCKS,
            derived=True,
        ),
        "expression": Kind(
            expression.evaluate,
            _STATES,
            conditions.gather_still,
            subject="room",
            inputs_of=expression.inputs_of,
            names_of=expression.names_of,
            options={"expression": "", "every": _MINUTE, "within": 15 * _MINUTE},
            durations=_ROOM_CLOCKS,
            derived=True,
        ),
    }
)
