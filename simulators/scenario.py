"""Scenarios: what happens in a room, step by step, written in YAML and played on the time of the simulated world.

A file of simulators/scenarios:

    title: {zh: …, en: …}
    parameters: {climb: 45m, peak: 78}           # defaults, referred to as $climb
    variants: {demo: {climb: 50s}}               # other defaults under a name
    steps:
      - {after: 0s, ramp: {quantity: humidity, to: 66, over: $climb}}     # after: since the scenario began
      - {after: $climb, set: {quantity: door, value: 1}}
      - {after: 2h, room: $other, release: {quantity: humidity}}          # room: default $room
      - {after: 2h, release: all}                                         # incidents and forced values of the room end
      - {after: 0s, trigger: {incident: smoulder, over: 10m, lasts: 1h}}
      - {after: 0s, fault: {quantity: temperature, kind: stuck}}          # every device that measures it in the room; kind null ends it
      - {after: 0s, relay: {name: uplink, mode: cut}}

Durations: a number of seconds, or 1500ms, 10s, 5m, 2h. `after` may add: `$climb + 2m`.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Protocol

import httpx
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from contract.quantities import UnknownQuantityError
from simulators.rooms import UnknownRoomError

_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?")
_ACTIONS = ("set", "ramp", "release", "trigger", "fault", "relay")


class ScenarioError(ValueError):
    """The scenario does not exist, or its file or parameters make no sense; the sentence names it."""


class Stage(Protocol):
    """Where a scenario plays: what it can do to a world."""

    def set_value(self, room: str, quantity: str, value: float | None) -> None:
        """Force a value, None releases it."""
        ...

    def ramp(self, room: str, quantity: str, to: float, over_ms: int) -> None:
        """Move a value in a straight line."""
        ...

    def clear(self, room: str) -> None:
        """End incidents and forced values of a room."""
        ...

    def trigger(self, room: str, kind: str, over_ms: int | None, lasts_ms: int | None) -> None:
        """Begin an incident."""
        ...

    def room_fault(self, room: str, quantity: str, kind: str | None) -> None:
        """A fault, or None, for what measures a quantity in a room."""
        ...

    def set_relay(self, name: str, mode: str) -> None:
        """Switch a line."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """One action: `at` ms after the start, in a room."""

    at: int
    room: str
    action: str
    details: Any


@dataclass(frozen=True, slots=True)
class Script:
    """A scenario with all parameters filled in, steps in time order."""

    name: str
    room: str
    steps: tuple[Step, ...]

    @property
    def length_ms(self) -> int:
        """When the last step begins."""
        return self.steps[-1].at if self.steps else 0


def names() -> tuple[str, ...]:
    """The scenarios that come with the program."""
    return tuple(sorted(p.name.removesuffix(".yaml") for p in resources.files("simulators.scenarios").iterdir() if p.name.endswith(".yaml")))


def load(name: str) -> Mapping[str, Any]:
    """The file of a scenario. Raises ScenarioError."""
    if name not in names():
        raise ScenarioError(f"no scenario {name!r}; known: {', '.join(names())}")
    return parse(resources.files("simulators.scenarios").joinpath(f"{name}.yaml").read_text(encoding="utf-8"), f"{name}.yaml")


def parse(text: str, source: str) -> Mapping[str, Any]:
    """A scenario from its YAML text. Raises ScenarioError."""
    try:
        data = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ScenarioError(f"{source}: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("steps"), list):
        raise ScenarioError(f"{source}: a scenario needs a list of steps")
    return data


def script(name: str, data: Mapping[str, Any], *, room: str, variant: str = "", parameters: Mapping[str, Any] | None = None) -> Script:
    """Fill in the parameters: defaults, then those of the variant, then the given ones. Raises ScenarioError."""
    variants = data.get("variants") or {}
    if variant and variant not in variants:
        raise ScenarioError(f"{name}: no variant {variant!r}; known: {', '.join(variants) or 'none'}")
    values = {"room": room} | dict(data.get("parameters") or {}) | dict(variants.get(variant) or {}) | dict(parameters or {})
    steps = [_step(name, number, raw, values) for number, raw in enumerate(data["steps"], start=1)]
    return Script(name, room, tuple(sorted(steps, key=lambda s: s.at)))


def _step(name: str, number: int, raw: Any, values: Mapping[str, Any]) -> Step:
    where = f"{name}, step {number}"
    actions = [a for a in _ACTIONS if isinstance(raw, dict) and a in raw]
    if len(actions) != 1 or set(raw) - {"after", "room", actions[0]}:
        raise ScenarioError(f"{where}: needs after, room and exactly one of {', '.join(_ACTIONS)}")
    room = str(_filled(raw.get("room", "$room"), values, where))
    details = _filled(raw[actions[0]], values, where)
    return Step(duration_ms(_filled(raw.get("after", 0), values, where), where), room, actions[0], details)


def _filled(value: Any, values: Mapping[str, Any], where: str) -> Any:
    """Replace $names: a whole value keeps its type, a part of a text becomes text."""
    if isinstance(value, dict):
        return {k: _filled(v, values, where) for k, v in value.items()}
    if not isinstance(value, str) or "$" not in value:
        return value
    missing = [n for n in re.findall(r"\$(\w+)", value) if n not in values]
    if missing:
        raise ScenarioError(f"{where}: no value for ${missing[0]}")
    if re.fullmatch(r"\$\w+", value):
        return values[value[1:]]
    return re.sub(r"\$(\w+)", lambda m: str(values[m[1]]), value)


def duration_ms(value: Any, where: str = "duration") -> int:
    """Milliseconds of `90`, `1500ms`, `10s`, `5m`, `2h` or a sum of such. Raises ScenarioError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return round(value * 1000)
    total = 0.0
    for part in str(value).split("+"):
        match = _DURATION.fullmatch(part.strip())
        if match is None:
            raise ScenarioError(f"{where}: {value!r} is not a duration such as 10s, 5m or 2h")
        total += float(match[1]) * _UNITS[match[2] or "s"]
    return round(total)


class Playing:
    """A script that has begun at `started` (UTC ms of the world)."""

    def __init__(self, what: Script, started: int) -> None:
        self.script = what
        self.started = started
        self._next = 0

    @property
    def done(self) -> bool:
        """Whether every step has been taken."""
        return self._next >= len(self.script.steps)

    def run_once(self, now: int, stage: Stage) -> int:
        """Take every step that is due; returns how many. Raises what the stage raises for a step it cannot do."""
        taken = 0
        while not self.done and self.started + self.script.steps[self._next].at <= now:
            step = self.script.steps[self._next]
            self._next += 1  # before acting: a step that fails is not tried for ever
            act(step, stage, self.script.name)
            taken += 1
        return taken


def act(step: Step, stage: Stage, name: str) -> None:
    """Do one step on a stage. Raises ScenarioError for details that do not fit the action, and what the stage raises."""
    d = step.details
    try:
        if step.action == "set":
            stage.set_value(step.room, d["quantity"], float(d["value"]))
        elif step.action == "ramp":
            stage.ramp(step.room, d["quantity"], float(d["to"]), duration_ms(d["over"]))
        elif step.action == "release":
            _release(step.room, d, stage)
        elif step.action == "trigger":
            stage.trigger(step.room, d["incident"], _optional(d, "over"), _optional(d, "lasts"))
        elif step.action == "fault":
            stage.room_fault(step.room, d["quantity"], d["kind"])
        else:
            _relay(d["name"], d["mode"], stage)
    except (UnknownRoomError, UnknownQuantityError):
        raise
    except (KeyError, TypeError) as error:
        raise ScenarioError(f"{name}: {step.action} {d!r} in room {step.room!r}: {error}") from error


def _release(room: str, details: Any, stage: Stage) -> None:
    if details == "all":
        stage.clear(room)
    else:
        stage.set_value(room, details["quantity"], None)


def _relay(name: str, mode: str, stage: Stage) -> None:
    if name:  # an empty name: this world has no line to cut
        stage.set_relay(name, mode)


def _optional(details: Mapping[str, Any], name: str) -> int | None:
    return duration_ms(details[name]) if details.get(name) is not None else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `archivewatch-sim scenario`."""
    parser.add_argument("name", nargs="?", help=f"one of {', '.join(names())}; without a name they are listed")
    parser.add_argument("--control", metavar="URL", help="control address of a running world, e.g. http://127.0.0.1:8601")
    parser.add_argument("--room", default="", help="room code")
    parser.add_argument("--variant", default="", help="a set of other timings, e.g. demo")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the scenario")
    parser.add_argument("--json", action="store_true")


def main(args: argparse.Namespace) -> int:
    """Start a scenario in a running world, or list what there is. 0 ok, 2 usage, 4 refused, 5 no world answers."""
    if not args.name:
        return _list(args.json)
    if not args.control:
        print("--control URL of a running world is needed", file=sys.stderr)
        return 2
    parameters = dict(pair.partition("=")[::2] for pair in args.set)
    body = {"name": args.name, "room": args.room, "variant": args.variant, "parameters": parameters}
    try:
        reply = httpx.post(f"{args.control.rstrip('/')}/scenario", json=body, timeout=10.0, trust_env=False)
    except httpx.TransportError as error:
        print(f"{args.control} does not answer: {error}", file=sys.stderr)
        return 5
    if reply.is_error:
        print(f"refused: {reply.text}", file=sys.stderr)
        return 4
    print(reply.text if args.json else f"{args.name}: {len(reply.json()['steps'])} steps in room {args.room or '-'}")
    return 0


def _list(as_json: bool) -> int:
    titles = {name: load(name).get("title") or {} for name in names()}
    if as_json:
        print(json.dumps(titles, ensure_ascii=False))
    else:
        _print_table([(name, title.get("zh", ""), title.get("en", "")) for name, title in titles.items()])
    return 0


def _print_table(rows: Sequence[tuple[str, str, str]]) -> None:
    for name, zh, en in rows:
        print(f"{name:<22} {zh}  {en}")
