"""Leaping over columns of readings comes to exactly what walking through them comes to."""

import math

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alarms.model import Level, Rule, Rung
from alarms.replay import Reading, Track, walk
from server.strides import Column, stride
from tests.alarms.test_replay import ALLOWED, READINGS, RULES, START, readings
from tests.alarms.test_screen import ALLOWED as SHORT
from tests.alarms.test_screen import SAMPLES, plainly, timeline
from tests.alarms.test_screen import START as BEGIN
from tests.alarms.test_screen import rules as point_rules


def column(number: int, quantity: str, found: list[Reading], allowed: int, start: int) -> Column:
    values = [math.nan if reading.value is None else reading.value for reading in found]
    return Column(number, quantity, allowed, np.array([reading.at for reading in found], np.int64), np.array(values), start)


@given(st.sampled_from(RULES), READINGS.map(readings), READINGS.map(readings), READINGS.map(readings))
@settings(max_examples=200, deadline=None)
def test_rules_over_several_points(rule: Rule, first: list[Reading], second: list[Reading], third: list[Reading]) -> None:
    thirds = [Reading(at, value and value / 2) for at, value in third]
    points = [(1, "humidity", first), (2, "humidity", second), (3, "temperature", thirds)]
    mine = [point for point in points if rule.wants(point[1])][: None if rule.subject == "room" else 1]
    until = START + 600_000
    expected = walk(rule, [Track(number, quantity, ALLOWED, found, START) for number, quantity, found in mine], until)
    assert stride(rule, [column(*point, ALLOWED, START) for point in mine], until) == expected


IMPLAUSIBLE = Rule("implausible", "implausible", "temperature", (Rung(Level.WARN, "above", 1, 0),), options=(("high", 65.0), ("low", 1.0)))


@given(point_rules(), SAMPLES.map(timeline))
@example(IMPLAUSIBLE, timeline([(0, 1, 1.0), (0, 1, None), (0, 1, None), (0, 1, 1.0)]))  # the sensor answers again within the band it had left
@settings(max_examples=200, deadline=None)
def test_rules_of_one_point(rule: Rule, samples: list[tuple[int, int, float | None]]) -> None:
    end = max(at for _, at, _ in samples) + 60_000
    expected = plainly([rule], samples, end)
    for point in range(3):
        found = [Reading(at, value) for who, at, value in samples if who == point]
        assert stride(rule, [column(point, "temperature", found, SHORT, BEGIN)], end - 1) == expected[point, 0]


class Counting(Column):
    """A column that counts how often the core asks for its next reading."""

    asked = 0

    def ahead(self, judges_bad: bool) -> int:
        Counting.asked += 1
        return super().ahead(judges_bad)


def test_ordinary_readings_are_leapt_over() -> None:
    """A month of calm readings costs what changes, not what is stored."""
    at = np.arange(START, START + 30 * 86_400_000, 30_000)
    assert stride(RULES[0], [Counting(1, "humidity", ALLOWED, at, 50.0 + np.arange(len(at)) % 3, START)], int(at[-1])) == []
    assert Counting.asked == 2
