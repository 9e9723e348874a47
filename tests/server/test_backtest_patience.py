"""A back-test on history that is coarser than what the points report today: no silence where samples simply lie further apart."""

import numpy as np

from alarms.rules import parse_rules
from server.backtest import Samples, judge, patient
from server.store.places import Place

MINUTE, HOUR = 60_000, 3_600_000
START = 1_790_000_000_000
RULES = parse_rules(
    """
rules:
  - {name: damp, kind: threshold, quantity: humidity, ladder: {alarm: {above: 65, on_delay: 20m}}}
  - {name: stale, kind: stale, quantity: any, ladder: {warn: {on_delay: 0s}}}
""",
    "test",
)
PLACE = Place("R1", "paper", ("350000000000",), ((7, "humidity", 3 * MINUTE),))


def stored(*at, value=70.0):
    return Samples(np.zeros(len(at), np.int64), np.array(at, np.int64), np.full(len(at), value))


def raised(samples):
    place = patient(PLACE, samples)
    return [(one.rule, one.at) for one in judge(RULES.canonical(), place, samples, START, START + 24 * HOUR)]


def test_samples_ten_minutes_apart_are_no_silence_and_their_delays_count():
    assert raised(stored(*range(START, START + 24 * HOUR, 10 * MINUTE))) == [("damp", START + 20 * MINUTE)]


def test_an_outage_among_them_is_one_and_what_comes_often_keeps_its_own_deadline():
    coarse = [*range(START, START + 6 * HOUR, 10 * MINUTE), *range(START + 12 * HOUR, START + 24 * HOUR, 10 * MINUTE)]
    last = START + 6 * HOUR - 10 * MINUTE
    assert ("stale", last + 30 * MINUTE) in raised(stored(*coarse, value=50.0))
    assert patient(PLACE, stored(*range(START, START + HOUR, 10_000))).points == PLACE.points
    assert patient(PLACE, stored(START)).points == PLACE.points
