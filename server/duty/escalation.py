"""The escalation file: who is told at which level after how long, what waits until morning, and what never waits.

A file names roles, never persons: roles are resolved through the unit tree (routing.py), so one file serves a whole province.

    levels:                                                # each of critical, urgent, alarm, warn; an empty list tells nobody
      alarm:
        - {after: 15m, to: [room_person, unit_duty]}       # measured from the annunciation; ascending
    last_resort: [nearest_duty]                            # when no step reached anybody
    assist: [above_duty]                                   # a person on site calls for help
    before_acceptance: {stages: [commissioning], to: [room_person]}
    quiet_hours:                                           # Asia/Shanghai; a step in it waits until deliver_at
      {from: "22:00", until: "07:00", deliver_at: "07:30", hold: [selector…], never: [selector…]}

A selector is a mapping with any of `rule`, `kind`, `quantity`, `level`, `stage`; each holds one shell pattern or a list of them, all must match.
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from alarms.document import duration_ms

LEVELS = ("critical", "urgent", "alarm", "warn")
SCOPES = ("unit", "county", "city", "province", "above", "nearest")
DUTIES: Mapping[str, str] = {"duty": "duty_officer", "charge": "person_in_charge", "head": "archive_head"}
ROOM_PERSON = "room_person"
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_MINUTE_MS = 60_000


class EscalationError(ValueError):
    """The file cannot be used. `str` is "file:line: reason"."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(f"{file}:{line}: {reason}")
        self.file, self.line, self.reason = file, line, reason


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


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Selector(_Frozen):
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


class Step(_Frozen):
    """One step: `after` ms from the annunciation, the roles in `to` are told together."""

    after: Duration
    to: tuple[Role, ...] = Field(min_length=1)


def _ascending(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    if any(later.after <= earlier.after for earlier, later in pairwise(steps)):
        raise ValueError("the steps must stand in ascending order of `after`")
    return steps


Steps = Annotated[tuple[Step, ...], AfterValidator(_ascending)]


class QuietHours(_Frozen):
    """Times of day in ms since midnight, Asia/Shanghai. `never` wins over `hold`; what neither names is not held."""

    begin: TimeOfDay = Field(alias="from")
    until: TimeOfDay
    deliver_at: TimeOfDay
    hold: tuple[Selector, ...] = ()
    never: tuple[Selector, ...] = ()

    @model_validator(mode="after")
    def _delivers_outside(self) -> Self:
        if self.covers(self.deliver_at):
            raise ValueError("deliver_at lies within the quiet hours")
        return self

    def covers(self, time_of_day: int) -> bool:
        """Whether a time of day lies in from ≤ t < until, over midnight if need be."""
        if self.begin <= self.until:
            return self.begin <= time_of_day < self.until
        return time_of_day >= self.begin or time_of_day < self.until

    def holds(self, facts: Mapping[str, str]) -> bool:
        """Whether an alarm of this sort waits for the morning."""
        return not any(selector.matches(facts) for selector in self.never) and any(selector.matches(facts) for selector in self.hold)


class BeforeAcceptance(_Frozen):
    """Rooms in these stages are not in service yet: only these roles are told, once, without escalation."""

    stages: tuple[str, ...] = ()
    to: tuple[Role, ...] = ()


class EscalationTable(_Frozen):
    """The whole file. `levels` maps a level word to its steps."""

    levels: dict[LevelWord, Steps]
    last_resort: tuple[Role, ...] = ()
    assist: tuple[Role, ...] = ()
    before_acceptance: BeforeAcceptance = BeforeAcceptance()
    quiet_hours: QuietHours | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if missing := [level for level in LEVELS if level not in self.levels]:
            raise ValueError(f"levels must say something about {', '.join(missing)}; [] tells nobody")
        return self

    def steps(self, level: str) -> tuple[Step, ...]:
        """The steps of a level word. Raises KeyError for a word that is not a level."""
        return self.levels[level]


def parse_escalation(text: str, source: str) -> EscalationTable:
    """Read an escalation file's text; `source` names it in errors. Raises EscalationError."""
    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        raise EscalationError(source, error.problem_mark.line + 1 if error.problem_mark else 1, str(error.problem)) from error
    if not isinstance(document, dict):
        raise EscalationError(source, 1, "expected a mapping with levels, quiet_hours …")
    try:
        return EscalationTable.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "[key]")
        reason = first["msg"].removeprefix("Value error, ")
        raise EscalationError(source, _line_of(document, first["loc"]), f"{where}: {reason}" if where else reason) from error


def load_escalation(path: Path) -> EscalationTable:
    """Read an escalation file. Raises EscalationError, also when it cannot be opened."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise EscalationError(str(path), 1, error.strerror or type(error).__name__) from error
    except UnicodeDecodeError as error:
        raise EscalationError(str(path), 1, "not UTF-8") from error
    return parse_escalation(text, str(path))


@cache
def default_escalation() -> EscalationTable:
    """The product's own table, default-escalation.yaml beside this module."""
    return load_escalation(Path(__file__).with_name("default-escalation.yaml"))


def _line_of(document: Any, location: tuple[int | str, ...]) -> int:
    """The line at which the offending key or item stands, as far down as the document goes."""
    line = 1
    for key in location:
        try:
            line = int(document.lc.key(key)[0] if isinstance(key, str) else document.lc.item(key)[0]) + 1
            document = document[key]
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    return line
