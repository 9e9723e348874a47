"""Every rule-test file of tests/scenarios, and the runner's own promises: notation, order, readable diff, refusals."""

from pathlib import Path

import pytest

from alarms.model import RuleError
from alarms.timeline import Reading, check, expand, run

SCENARIOS = sorted((Path(__file__).parent.parent / "scenarios").glob("*.yaml"))
MINUTE = 60_000


def test_there_are_scenarios() -> None:
    assert len(SCENARIOS) >= 15


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    outcome = check(path.read_text(encoding="utf-8"), path.name)
    assert not outcome.failures, "\n".join(map(str, outcome.failures))
    assert outcome.expectations > 0


@pytest.mark.parametrize(
    ("notation", "values"),
    [
        ("58x3", [(0, 58), (1, 58), (2, 58)]),
        ("21+0.5x2", [(0, 21), (1, 21.5), (2, 22)]),
        ("20-10x2 -3", [(0, 20), (1, 10), (2, 0), (3, -3)]),
        ("-2-1x1", [(0, -2), (1, -3)]),
        ("1 _x2 1", [(0, 1), (3, 1)]),
        ("_ 5", [(1, 5)]),
        ("5 badx2", [(0, 5), (1, None), (2, None)]),
        ("0.1+0.1x2", [(0, 0.1), (1, 0.2), (2, 0.3)]),
    ],
)
def test_series_notation(notation: str, values: list[tuple[int, float | None]]) -> None:
    assert expand(notation, MINUTE) == tuple(Reading(at * MINUTE, value) for at, value in values)


@pytest.mark.parametrize("notation", ["58y3", "x3", "1+2", "1x", "--1", "nan", "1e3", "good"])
def test_series_notation_refuses(notation: str) -> None:
    with pytest.raises(ValueError, match=r"xN|not like"):
        expand(notation, MINUTE)


RULE = "rules: [{name: damp, kind: threshold, quantity: humidity, ladder: {warn: {above: 60}}}]\n"
TEST = """tests:
  - name: t
    interval: 1m
    series: [{room: R1, quantity: humidity, values: '61 50'}]
"""


def test_a_failure_tells_file_line_time_and_what_happened() -> None:
    (failure,) = run(RULE + TEST + "    expect:\n      - {at: 1m, alarm: damp, state: normal}\n", "my.yaml")
    assert (failure.line, failure.at, failure.expected, failure.got) == (7, MINUTE, "normal", "cleared_unacked warn")
    assert str(failure) == "\n".join(
        [
            "my.yaml:7: t, at 1m: damp R1",
            "  - expected: normal",
            "  + got:      cleared_unacked warn",
            "    at 0s: raised -> active_unacked, warn, value 61",
            "    at 1m: cleared -> cleared_unacked, warn, value 50",
        ]
    )


def test_a_wrong_level_fails() -> None:
    (failure,) = run(RULE + TEST + "    expect: [{at: 0m, alarm: damp, state: active_unacked, level: urgent}]\n", "f")
    assert (failure.expected, failure.got) == ("active_unacked urgent", "active_unacked warn")


def test_a_refused_command_fails_with_the_sentence_a_person_would_read() -> None:
    (failure,) = run(RULE + TEST + "    commands: [{at: 0m, do: reset, alarm: damp}]\n", "f")
    assert "复位" in failure.got


def test_a_command_that_should_be_refused_but_is_not_fails() -> None:
    (failure,) = run(RULE + TEST + "    commands: [{at: 0m, do: acknowledge, alarm: damp, refused: true}]\n", "f")
    assert failure.got == "allowed: active_acked warn"


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        ("    expect: [{at: 1m, alarm: dump, state: normal}]\n", "no rule is called dump"),
        ("    expect: [{at: 1m, alarm: damp, room: R2, state: normal}]\n", "no series is in room R2"),
        ("    expect: [{at: 1m, alarm: damp, state: calm}]\n", "'calm' is not a state"),
        ("    expect: [{at: 1m, alarm: damp, state: normal, levle: warn}]\n", "unknown key 'levle'"),
        ("    expect: [{at: soon, alarm: damp, state: normal}]\n", "not a duration"),
        ("    commands: [{at: 1m, do: silence, alarm: damp}]\n", "'silence' is not a command"),
        ("    series: []\n", "found duplicate key|duplicate"),
    ],
)
def test_mistakes_in_the_file_are_refused_with_their_line(rest: str, reason: str) -> None:
    with pytest.raises(RuleError, match=reason) as caught:
        run(RULE + TEST + rest, "f.yaml")
    assert caught.value.line >= 5


def test_a_file_without_tests_is_refused() -> None:
    with pytest.raises(RuleError, match="no tests"):
        run(RULE, "f.yaml")


def test_without_room_an_expectation_looks_at_the_worst() -> None:
    two = (
        RULE
        + TEST.replace("}]", "}, {room: R2, quantity: humidity, values: '50x2'}]")
        + "    expect: [{at: 0m, alarm: damp, state: active_unacked}]\n"
    )
    assert run(two, "f") == []
