"""The pieces of an escalation table: words of levels, roles and times, selectors, steps, ladders. How a file of them looks: escalation.py."""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from alarms.document import duration_ms

LEVELS = ("critical", "urgent", "alarm", "warn")
SCOPES = ("unit", "county", "city", "province", "above", "nearest")
DUTIES: Mapping[str, str] = {
    "duty": "duty_officer", "charge": "person_in_charge", "head": "archive_head", "desk": "desk", "shift": "shift", "leader": "duty_leader",
}  # fmt: skip
"""Ending of a role -> who: desk is the round-the-clock duty room, shift whoever the roster has on duty now."""
_MOST_STEPS = 60
ROOM_PERSON = "room_person"
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_MINUTE_MS = 60_000
TOGETHER_MS = 86_400_000
"""What one message speaks for was written at most so long before it (a phone's newest messages are found by an index)."""


def _role(name: Any) -> str:
    name = "nearest_head" if name == "archive_head" else name
    scope, _, duty = name.rpartition("_") if isinstance(name, str) else ("", "", "")
    if name != ROOM_PERSON and (scope not in SCOPES or duty not in DUTIES):
        raise ValueError(f"{name!r} is not a role: {ROOM_PERSON}, archive_head, or one of {', '.join(SCOPES)} with one of _{', _'.join(DUTIES)}")
    return str(name)


def _level(word: Any) -> str:
    if word not in LEVELS:
        raise ValueError(f"{word!r} is not a level: {', '.join(LEVELS)}")
    return str(word)


def _clock(text: Any) -> int:
    found = _CLOCK.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f'{text!r} is not a time of day like "07:30" (in quotes)')
    return (int(found[1]) * 60 + int(found[2])) * _MINUTE_MS


def _patterns(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Duration = Annotated[int, BeforeValidator(duration_ms)]
LevelWord = Annotated[str, BeforeValidator(_level)]
Role = Annotated[str, BeforeValidator(_role)]
TimeOfDay = Annotated[int, BeforeValidator(_clock)]
Patterns = Annotated[tuple[str, ...], BeforeValidator(_patterns)]


class Frozen(BaseModel):
    """A part of the table; what it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Selector(Frozen):
    """Which alarms are meant; at least one field, each a list of shell patterns of which one must match."""

    rule: Patterns = ()
    kind: Patterns = ()
    quantity: Patterns = ()
    level: Patterns = ()
    stage: Patterns = ()

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError("a selector without a field would mean every alarm")
        return self

    def matches(self, facts: Mapping[str, str]) -> bool:
        """Whether an alarm with these facts (rule, kind, quantity, level, stage) is meant."""
        wanted = ((facts.get(name, ""), getattr(self, name)) for name in type(self).model_fields)
        return all(any(fnmatchcase(fact, pattern) for pattern in patterns) for fact, patterns in wanted if patterns)


class Step(Frozen):
    """One step: `after` ms from the annunciation, the roles in `to` are told together."""

    after: Duration
    to: tuple[Role, ...] = Field(min_length=1)
    times: int = Field(default=1, ge=1, le=20)
    every: Duration = 0

    @model_validator(mode="after")
    def _repeats_with_a_pause(self) -> Self:
        if self.times > 1 and self.every <= 0:
            raise ValueError("a step that is repeated needs `every`")
        return self

    def at(self, after: int) -> "Step":
        """The same people once, at another instant."""
        return self.model_copy(update={"after": after, "times": 1})

    def repeated(self) -> tuple["Step", ...]:
        """The step once for each time it is to be said."""
        return tuple(self.at(self.after + number * self.every) for number in range(self.times))


def _ascending(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    if any(later.after <= earlier.after for earlier, later in pairwise(steps)):
        raise ValueError("the steps must stand in ascending order of `after`")
    return steps


Steps = Annotated[tuple[Step, ...], AfterValidator(_ascending)]


class Loop(Frozen):
    """After the last step `every` later back to step number `to`, `times` times."""

    to: int = Field(ge=0)
    every: Duration
    times: int = Field(ge=1, le=20)


class Ladder(Frozen):
    """The steps of one level, by day and at night (the same where `night` is missing), with repetitions written out."""

    day: Steps
    night: Steps | None = None
    loop: Loop | None = None
    contingency: Step | None = None

    @model_validator(mode="after")
    def _can_be_walked(self) -> Self:
        for steps in (self.day, self.night or ()):
            if self.loop is not None and steps and self.loop.to >= len(steps):
                raise ValueError(f"there is no step {self.loop.to} to loop to")
            if len(flat := self._walk(steps)) > _MOST_STEPS:
                raise ValueError(f"{len(flat)} steps in all, at most {_MOST_STEPS}")
            _ascending(flat)
        return self

    def steps(self, *, night: bool) -> tuple[Step, ...]:
        """All steps in order, loops and contingency list included."""
        return self._walk(self.night if night and self.night is not None else self.day)

    def _walk(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        flat = [one for step in steps for one in step.repeated()]
        if not flat:
            return ()
        if self.loop is not None:
            again = [one for step in steps[self.loop.to :] for one in step.repeated()]
            for _ in range(self.loop.times):
                shift = flat[-1].after + self.loop.every - again[0].after
                flat += [one.at(one.after + shift) for one in again]
        if self.contingency is not None:
            flat.append(self.contingency.at(flat[-1].after + self.contingency.after))
        return tuple(flat)
