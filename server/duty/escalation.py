"""The escalation file: who is told at which level after how long, what waits until morning, and what never waits.

A file names roles, never persons: roles are resolved through the unit tree (routing.py), so one file serves a whole province.

    levels:                                                # each of critical, urgent, alarm, warn; an empty list tells nobody
      alarm:
        - {after: 15m, to: [room_person, unit_duty]}       # measured from the annunciation; ascending
      urgent:                                              # or one list by day and one for the night
        day: [{after: 0s, to: [unit_duty], times: 2, every: 5m}]
        night: [{after: 0s, to: [nearest_desk]}]
        loop: {to: 0, every: 10m, times: 3}                # after the last step back to step 0, three times
        contingency: {after: 5m, to: [nearest_head]}       # and then these, once
    special: [{when: {rule: duty_vacancy}, steps: [{after: 0s, to: [unit_charge]}]}]   # ladders of their own
    supervision: {critical: [{after: 0s, to: [county_duty]}]}   # told who has it; an answer of the handler never silences it
    progress: {critical: {ask: 10m, expire: 5m}}           # asked after `ask` without progress, `expire` later the take-over runs out
    unanswered: {critical: 30m}                            # all were told, nobody answers: the last step again at this pace, then ever rarer
    ways: {critical: [sms, voice]}                         # how people are reached at once; sms where it says nothing
    working_hours: {from: "08:00", until: "18:00", levels: [alarm]}   # day of `levels`; the levels named here wait for working hours
    last_resort: [nearest_duty]                            # when no step reached anybody
    assist: [above_duty]                                   # a person on site calls for help
    before_acceptance: {stages: [commissioning], to: [room_person]}
    quiet_hours:                                           # Asia/Shanghai; a step in it waits until deliver_at
      {from: "22:00", until: "07:00", deliver_at: "07:30", hold: [selector…], never: [selector…]}

A selector is a mapping with any of `rule`, `kind`, `quantity`, `level`, `stage`; each holds one shell pattern or a list of them, all must match.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from alarms.builtin import SMOKE_LOST, builtin
from alarms.rules import Rule, default_rules
from server.duty.ladder import LEVELS, Duration, Frozen, Ladder, LevelWord, Role, Selector, Step, Steps, TimeOfDay

WAYS = ("sms", "voice")
AT_ONCE_MS = 60_000


@cache
def smoke_facts() -> tuple[Mapping[str, str], ...]:
    """What selectors see of every smoke alarm that the product raises in a room in use, level by level."""
    rules = [rule for rule in (*default_rules().rules, *builtin(0, 0).values()) if rule.two_persons]
    return tuple(_facts(rule, rung.level.word) for rule in rules for rung in rule.ladder)


def _facts(rule: Rule, level: str) -> dict[str, str]:
    kind, quantity = ("lost", "smoke") if rule.name == SMOKE_LOST else (rule.kind, rule.quantity)
    return {"rule": rule.name, "kind": kind, "quantity": quantity, "level": level, "stage": "in_use"}


class EscalationError(ValueError):
    """The file cannot be used. `str` is "file:line: reason"."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(f"{file}:{line}: {reason}")
        self.file, self.line, self.reason = file, line, reason


def _ladder(value: Any) -> Any:
    return {"day": value} if isinstance(value, list | tuple) else value


def _way(word: Any) -> str:
    if word not in WAYS:
        raise ValueError(f"{word!r} is not a way: {', '.join(WAYS)}")
    return str(word)


class Special(Frozen):
    """A ladder of its own for alarms that are not about a room's contents: a duty gap, a provider that cannot send."""

    when: Selector
    steps: Steps


class WorkingHours(Frozen):
    """Times of day in ms; on workdays between them it is day. Alarms of `levels` wait for the next delivery of the morning otherwise."""

    begin: TimeOfDay = Field(alias="from")
    until: TimeOfDay
    levels: tuple[LevelWord, ...] = ()

    @model_validator(mode="after")
    def _within_a_day(self) -> Self:
        if self.begin >= self.until:
            raise ValueError("working hours end before they begin")
        return self

    def covers(self, time_of_day: int) -> bool:
        """Whether a time of day is working time on a workday."""
        return self.begin <= time_of_day < self.until


class Progress(Frozen):
    """A take-over without progress: asked after `ask`, run out `expire` later."""

    ask: Duration
    expire: Duration


class QuietHours(Frozen):
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


class BeforeAcceptance(Frozen):
    """Rooms in these stages are not in service yet: only these roles are told, once, without escalation."""

    stages: tuple[str, ...] = ()
    to: tuple[Role, ...] = ()


class EscalationTable(Frozen):
    """The whole file. `levels` maps a level word to its ladder; `unanswered` (ms, above 0) how often its last step is said again after its end."""

    levels: dict[LevelWord, Annotated[Ladder, BeforeValidator(_ladder)]]
    supervision: dict[LevelWord, Steps] = Field(default_factory=dict)
    progress: dict[LevelWord, Progress] = Field(default_factory=dict)
    unanswered: dict[LevelWord, Duration] = Field(default_factory=dict)
    ways: dict[LevelWord, tuple[Annotated[str, BeforeValidator(_way)], ...]] = Field(default_factory=dict)
    special: tuple[Special, ...] = ()
    working_hours: WorkingHours | None = None
    last_resort: tuple[Role, ...] = ()
    assist: tuple[Role, ...] = ()
    before_acceptance: BeforeAcceptance = BeforeAcceptance()
    quiet_hours: QuietHours | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if missing := [level for level in LEVELS if level not in self.levels]:
            raise ValueError(f"levels must say something about {', '.join(missing)}; [] tells nobody")
        return self

    @model_validator(mode="after")
    def _asks_again_in_time(self) -> Self:
        if any(pace < AT_ONCE_MS for pace in self.unanswered.values()):
            raise ValueError("unanswered must be a minute or more")
        return self

    @model_validator(mode="after")
    def _smoke_is_told(self) -> Self:
        """No file keeps smoke of a room in use from people: at its worst it is told at once, and at no level does it wait for the morning."""
        if "in_use" in self.before_acceptance.stages:
            raise ValueError("before_acceptance.stages must not name in_use")
        for facts in smoke_facts():
            if self.quiet_hours is not None and self.quiet_hours.holds(facts):
                raise ValueError(f"quiet_hours would hold {facts['rule']} ({facts['level']}) until the morning; name it under never")
            for night in (False, True) if facts["level"] == "critical" else ():
                steps = self.steps_for(facts, night=night)
                if not steps or steps[0].after > AT_ONCE_MS:
                    when = "by night" if night else "by day"
                    raise ValueError(f"{facts['rule']} must be told at once {when}, at most {AT_ONCE_MS // 1000} s after it")
        return self

    def steps(self, level: str, *, night: bool = False) -> tuple[Step, ...]:
        """The steps of a level word. Raises KeyError for a word that is not a level."""
        return self.levels[level].steps(night=night)

    def steps_for(self, facts: Mapping[str, str], *, night: bool) -> tuple[Step, ...]:
        """The steps of an alarm with these facts: of the first special ladder that means it, else of its level."""
        special = next((one.steps for one in self.special if one.when.matches(facts)), None)
        return self.steps(facts["level"], night=night) if special is None else special

    def ways_of(self, level: str) -> tuple[str, ...]:
        """How people are reached at this level."""
        return self.ways.get(level, ("sms",))


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
        location = _written(document, first["loc"])
        where = ".".join(str(part) for part in location if part != "[key]")
        reason = first["msg"].removeprefix("Value error, ")
        raise EscalationError(source, _line_of(document, location), f"{where}: {reason}" if where else reason) from error


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


def _written(document: Any, location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """A location as the file has it: a level that is a bare list has no `day` in it."""
    if len(location) > 2 and location[0] == "levels" and location[2] == "day":
        level = document.get("levels", {}).get(location[1])
        return (*location[:2], *location[3:]) if isinstance(level, list) else location
    return location


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
