"""What is remembered of one alarm, what can happen to it, and what a step reports. Values only; the machine is in lifecycle.py.

Facts are stored and the ISA-18.2 state is derived from them (`isa`), with the inhibits on top in fixed precedence: out of service, then
suppressed by design, then shelved, then the A-F machine that keeps running beneath. Times are UTC ms.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from alarms.conditions import Memory
from alarms.model import Level
from contract.sample import Quality


class NotAllowedError(Exception):
    """The standard (or the rule) forbids the command now; `str` is one Chinese sentence for the person."""


@dataclass(frozen=True, slots=True)
class Onset:
    """A limit that is breached but not yet reached in time: since when, and by which value."""

    level: Level
    since: int
    value: float | None


@dataclass(frozen=True, slots=True)
class Release:
    """A reached limit that is clear again but not yet for long enough."""

    level: Level
    since: int


class AlarmState(NamedTuple):
    """All facts about one (subject, rule).

    `announced`: this occurrence has asked people for attention at least once. `acknowledged` is true where nothing is to be acknowledged.
    raised/cleared/acked facts of a closed alarm stay readable until the next one is raised. `onsets` and `releases` are the running on- and
    off-delays, least severe first; `memory` is the rule kind's own. A tuple, because changed copies of it are made with every step.
    """

    tripped: bool = False
    level: Level | None = None
    acknowledged: bool = True
    latched: bool = False
    shelved_until: int | None = None
    shelve_one_shot: bool = False
    suppressed: tuple[str, ...] = ()
    out_of_service: bool = False
    announced: bool = False
    raised_at: int | None = None
    raised_value: float | None = None
    cleared_at: int | None = None
    acked_at: int | None = None
    acked_by: str = ""
    occurrence: int = 0
    onsets: tuple[Onset, ...] = ()
    releases: tuple[Release, ...] = ()
    memory: Memory = ()

    @property
    def machine(self) -> str:
        """The state of the A-F machine beneath the inhibits."""
        if self.tripped:
            return "active_acked" if self.acknowledged else "active_unacked"
        if self.latched:
            return "latched_acked" if self.acknowledged else "latched_unacked"
        return "normal" if self.acknowledged else "cleared_unacked"

    @property
    def isa(self) -> str:
        """The ISA-18.2 state that people see."""
        if self.out_of_service:
            return "out_of_service"
        if self.suppressed:
            return "suppressed"
        return "shelved" if self.shelved_until is not None else self.machine

    @property
    def inhibited(self) -> bool:
        """Whether annunciation is off, for whatever reason."""
        return self.out_of_service or bool(self.suppressed) or self.shelved_until is not None

    @property
    def open(self) -> bool:
        """Whether an occurrence is going on beneath the inhibits (the alarm row stays open)."""
        return self.tripped or self.latched or not self.acknowledged

    @property
    def timeless(self) -> bool:
        """Whether no delay and no clock can be running, whatever the rule: so it is with nearly every alarm nearly always."""
        return not (self.onsets or self.releases or self.tripped) and self.shelved_until is None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: only what differs from INITIAL."""
        body: dict[str, Any] = {}
        for name, value, initial in zip(self._fields, self, INITIAL, strict=True):
            if value != initial:
                body[name] = _PACK.get(name, _same)(value)
        return body

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> "AlarmState":
        """The reverse of to_dict; unknown keys are ignored so that an older build can read a newer row."""
        return cls(**{key: _UNPACK.get(key, _same)(value) for key, value in body.items() if key in cls._fields})


def _same(value: Any) -> Any:
    return value


_PACK: Mapping[str, Callable[[Any], Any]] = {
    "level": int,
    "suppressed": list,
    "memory": list,
    "onsets": lambda items: [[int(o.level), o.since, o.value] for o in items],
    "releases": lambda items: [[int(r.level), r.since] for r in items],
}
_UNPACK: Mapping[str, Callable[[Any], Any]] = {
    "level": lambda value: None if value is None else Level(value),
    "suppressed": tuple,
    "memory": tuple,
    "onsets": lambda items: tuple(Onset(Level(level), since, value) for level, since, value in items),
    "releases": lambda items: tuple(Release(Level(level), since) for level, since in items),
}

INITIAL = AlarmState()


@dataclass(frozen=True, slots=True)
class Seen:
    """A sample on the alarm time axis. The caller hands the samples of a point over in order. `quantity` matters to rules with several inputs.

    `source` tells the points of one quantity apart (any number that is theirs alone); it matters to rules over several sensors, and to when a sensor
    has its turn (next_look).
    """

    at: int
    value: float | None
    quality: Quality = Quality.GOOD
    quantity: str = ""
    source: int = 0

    @property
    def usable(self) -> bool:
        """Good and uncertain readings count as values (a doubtful fire is still a fire); bad and stale ones say nothing."""
        return self.value is not None and self.quality in (Quality.GOOD, Quality.UNCERTAIN)


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passes. `fresh`: the point's last usable sample is within its deadline.

    `deadline` is that deadline (last usable sample + allowed silence), where the caller knows it: a tick that comes late then still does
    exactly what ticks on time would have done, and a stale rule counts from the deadline and not from the tick.
    """

    fresh: bool
    deadline: int | None = None


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """接手."""

    by: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Unacknowledge:
    """撤回接手: the same person, within UNACKNOWLEDGE_MS."""

    by: str


@dataclass(frozen=True, slots=True)
class Expire:
    """The take-over has run out: nobody reported progress in its time."""


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Whoever has been told must be told anew, or has not been told yet: a second wave of a group, or one that its group no longer speaks for."""


@dataclass(frozen=True, slots=True)
class Shelve:
    """暂停提醒 until an instant, with reason; `one_shot` ends earlier when the condition goes."""

    until: int
    by: str
    reason: str
    one_shot: bool = False


@dataclass(frozen=True, slots=True)
class Unshelve:
    """End the shelf early."""

    by: str


@dataclass(frozen=True, slots=True)
class Reset:
    """复位 a latched alarm after a check on site."""

    by: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Suppress:
    """自动抑制 by design, with its cause (gateway offline, maintenance); causes add up. A rule for two persons wants both names."""

    cause: str
    by: str = ""
    second: str = ""


@dataclass(frozen=True, slots=True)
class Unsuppress:
    """One cause has gone."""

    cause: str


@dataclass(frozen=True, slots=True)
class OutOfService:
    """停用 with a permit. A rule for two persons wants the second one's name."""

    by: str
    reason: str
    second: str = ""


@dataclass(frozen=True, slots=True)
class ReturnToService:
    """Back in use."""

    by: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The rule or the sensor behind an alarm is no more: nothing can clear it, so this does."""


Event = (
    Seen | Tick | Acknowledge | Unacknowledge | Expire | AskAgain | Shelve | Unshelve | Reset | Suppress | Unsuppress | OutOfService
    | ReturnToService | Withdraw
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """One named transition. `before` and `after` are ISA states; `annunciate`: people are to be told (never true while inhibited)."""

    name: str
    before: str
    after: str
    level: Level | None
    annunciate: bool
    at: int
    by: str = ""
    note: str = ""
    value: float | None = None


class Step(NamedTuple):
    """The outcome: the state (the identical object when no fact changed), what happened, and the next instant at which a Tick matters."""

    state: AlarmState
    transitions: tuple[Change, ...] = ()
    due: int | None = None
