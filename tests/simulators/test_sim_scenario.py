"""Scenario files: parsing, parameters, order of steps, refusal of nonsense."""

from typing import Any

import pytest

from simulators.faults import FaultError
from simulators.rehearsal import Rehearsal
from simulators.rooms import UnknownRoomError
from simulators.scenario import Playing, ScenarioError, duration_ms, load, names, parse, script


class Notebook:
    """A stage that writes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []

    def set_value(self, room: str, quantity: str, value: float | None) -> None:
        self.lines.append(("set", room, quantity, value))

    def ramp(self, room: str, quantity: str, to: float, over_ms: int) -> None:
        self.lines.append(("ramp", room, quantity, to, over_ms))

    def clear(self, room: str) -> None:
        self.lines.append(("clear", room))

    def trigger(self, room: str, kind: str, over_ms: int | None, lasts_ms: int | None) -> None:
        self.lines.append(("trigger", room, kind, over_ms, lasts_ms))

    def room_fault(self, room: str, quantity: str, kind: str | None) -> None:
        self.lines.append(("fault", room, quantity, kind))

    def set_relay(self, name: str, mode: str) -> None:
        self.lines.append(("relay", name, mode))


@pytest.mark.parametrize(("text", "ms"), [("10s", 10_000), ("1500ms", 1500), (2.5, 2500), ("1h", 3_600_000), ("1m + 30s + 1", 91_000)])
def test_durations(text: Any, ms: int) -> None:
    assert duration_ms(text) == ms


@pytest.mark.parametrize("text", ["soon", "10 days", "", "-5s", True])
def test_bad_durations(text: Any) -> None:
    with pytest.raises(ScenarioError):
        duration_ms(text)


@pytest.mark.parametrize("name", names())
def test_every_scenario_could_work(name: str) -> None:
    data = load(name)
    assert data["title"]["zh"]
    stage = Rehearsal(frozenset({"R1"}), frozenset({"uplink"}))
    for variant in ("", "demo"):
        plan = script(name, data, room="R1", variant=variant)
        assert Playing(plan, 0).run_once(plan.length_ms, stage) == len(plan.steps) > 0
    assert script(name, data, room="R1", variant="demo").length_ms <= script(name, data, room="R1").length_ms


def test_the_demo_reaches_its_limits_in_time() -> None:
    steps = script("damp-evening", load("damp-evening"), room="R1", variant="demo").steps
    peak = steps[1]
    assert steps[0].details["to"] > 65
    assert peak.details["to"] > 75
    assert peak.at + duration_ms(peak.details["over"]) <= 90_000
    smoke = script("smouldering-cable", load("smouldering-cable"), room="R1", variant="demo").steps[0]
    assert smoke.at + duration_ms(smoke.details["over"]) <= 60_000


def test_steps_are_played_in_order_and_once() -> None:
    data = parse(
        """
parameters: {wait: 10s, to: 78}
steps:
  - {after: $wait + 5s, ramp: {quantity: humidity, to: $to, over: 60s}}
  - {after: 0s, set: {quantity: door, value: 1}}
  - {after: $wait, room: other, trigger: {incident: leak, lasts: 5s}}
  - {after: 20s, release: {quantity: door}}
  - {after: 21s, release: all}
  - {after: 22s, relay: {name: "", mode: cut}}
""",
        "test",
    )
    stage = Notebook()
    playing = Playing(script("test", data, room="R1", parameters={"to": "80"}), 1_000_000)
    assert playing.run_once(1_000_000 + 9_999, stage) == 1
    assert playing.run_once(1_000_000 + 15_000, stage) == 2
    assert not playing.done
    assert playing.run_once(1_000_000 + 60_000, stage) == 3
    assert playing.run_once(1_000_000 + 60_000, stage) == 0
    assert playing.done
    assert stage.lines == [
        ("set", "R1", "door", 1.0),
        ("trigger", "other", "leak", None, 5000),
        ("ramp", "R1", "humidity", 80.0, 60_000),
        ("set", "R1", "door", None),
        ("clear", "R1"),
    ]


@pytest.mark.parametrize(
    "steps",
    [
        "steps: 3",
        "steps: [{after: 0s}]",
        "steps: [{after: 0s, set: {quantity: door, value: 1}, release: all}]",
        "steps: [{after: 0s, sett: {}}]",
        "steps: [{after: later, release: all}]",
        "steps: [{after: 0s, set: {quantity: door, value: $missing}}]",
        "steps: [",
    ],
)
def test_bad_files_are_refused(steps: str) -> None:
    with pytest.raises(ScenarioError):
        script("bad", parse(steps, "bad"), room="R1")


def test_steps_that_cannot_work_are_found_before_they_start() -> None:
    def rehearse(step: str) -> None:
        plan = script("x", parse(f"steps: [{{after: 0s, {step}}}]", "x"), room="R1")
        Playing(plan, 0).run_once(0, Rehearsal(frozenset({"R1"}), frozenset({"uplink"})))

    with pytest.raises(UnknownRoomError):
        rehearse("room: R2, release: all")
    with pytest.raises(FaultError):
        rehearse("fault: {quantity: temperature, kind: bored}")
    with pytest.raises(ScenarioError, match="uplink"):
        rehearse("relay: {name: downlink, mode: cut}")
    with pytest.raises(ScenarioError, match="set"):
        rehearse("set: {quantity: temperature}")
    with pytest.raises(ScenarioError, match="earthquake"):
        rehearse("trigger: {incident: earthquake}")


def test_unknown_names() -> None:
    with pytest.raises(ScenarioError, match="damp-evening"):
        load("sunny-morning")
    with pytest.raises(ScenarioError, match="variant"):
        script("x", parse("steps: []", "x"), room="R1", variant="demo")
