"""Derived quantities: the vectorised formulas are those of alarms/climate.py, and steps are made of them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarms import climate
from server.series import Earlier, Limits, Row, derived
from server.series.derived import DERIVED, Air

T0 = 1_790_000_000_000 // 3_600_000 * 3_600_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
LIMITS = {1: Limits(15 * MINUTE), 2: Limits(15 * MINUTE)}
AIR = Air(1, 2)


@given(st.lists(st.tuples(st.floats(-20, 60), st.floats(0, 100)), min_size=1, max_size=30))
def test_formulas_are_those_of_the_core(climates):
    t, rh = (np.array(column) for column in zip(*climates, strict=True))
    for scalar, vector in (
        (climate.absolute_humidity, derived.absolute_humidity),
        (climate.preservation_index, derived.preservation_index),
        (climate.emc, derived.emc),
    ):
        assert vector(t, rh).tolist() == pytest.approx([scalar(*each) for each in climates], rel=1e-12)
    dew = [climate.dew_point(*each) for each in climates]
    assert derived.dew_point(t, rh).tolist() == pytest.approx([math.nan if each is None else each for each in dew], rel=1e-12, nan_ok=True)
    days = [climate.days_to_mould(*each) for each in climates]
    assert derived.mould_rate(t, rh).tolist() == pytest.approx([0 if each is None else 1 / each for each in days], rel=1e-12)


def fill(store, hours, temperature=lambda minute: 20.0, humidity=lambda minute: 50.0):
    rows = []
    for minute in range(0, hours * 60, 5):
        taken = T0 + minute * MINUTE
        rows += [Row(1, taken, temperature(minute), 2, taken), Row(2, taken, humidity(minute), 2, taken)]
    store.write(rows)


@pytest.mark.parametrize(
    ("quantity", "expected"), [("dew_point", 9.26), ("absolute_humidity", 8.621), ("emc", 9.271), ("preservation_index", 44.62), ("mould", 0)]
)
def test_a_steady_climate_gives_its_figure_in_every_step(embedded, quantity, expected):
    fill(embedded, 48)
    for step in (10 * MINUTE, HOUR, 6 * HOUR, DAY):
        found = derived.figures(embedded, [AIR], LIMITS, quantity, T0, T0 + 2 * DAY, step)[AIR]
        assert len(found) == 2 * DAY // step
        for column in (found.min, found.mean, found.max):
            assert column.tolist() == pytest.approx([expected] * len(found), abs=0.005)
        assert set(found.watched_ms.tolist()) == {step}


def test_the_preservation_index_of_a_day_is_its_harmonic_mean(embedded):
    fill(embedded, 24, lambda minute: 14.0 if minute < 720 else 24.0)
    (mean,) = derived.figures(embedded, [AIR], LIMITS, "preservation_index", T0, T0 + DAY, DAY)[AIR].mean
    cool, warm = climate.preservation_index(14, 50), climate.preservation_index(24, 50)
    assert mean == pytest.approx(2 / (1 / cool + 1 / warm), rel=1e-9)


def test_mould_is_counted_up_and_gaps_add_nothing(embedded):
    rows = [
        Row(point, T0 + minute * MINUTE, value, 2, T0)
        for minute in range(0, 4 * 1440, 5)
        if not 1440 <= minute < 2880
        for point, value in ((1, 25.0), (2, 80.0))
    ]
    embedded.write(rows)
    found = derived.figures(embedded, [AIR], LIMITS, "mould", T0, T0 + 4 * DAY, DAY)[AIR]
    per_day = 1 / climate.days_to_mould(25, 80)
    watched = [DAY, 10 * MINUTE, DAY, DAY]
    assert found.watched_ms.tolist() == watched, "the last value holds a little into the gap"
    assert found.max.tolist() == pytest.approx([per_day * sum(watched[: index + 1]) / DAY for index in range(4)], rel=1e-9)


def test_a_step_counts_where_both_are_watched(embedded):
    fill(embedded, 1)
    embedded.write([Row(1, T0 + HOUR + minute * MINUTE, 20.0, 2, T0) for minute in range(0, 60, 5)])
    found = derived.figures(embedded, [AIR], LIMITS, "emc", T0, T0 + 2 * HOUR, 30 * MINUTE)[AIR]
    assert ((found.time - T0) // MINUTE).tolist() == [0, 30, 60]
    assert (found.watched_ms // MINUTE).tolist() == [30, 30, 10]


def test_raw_values_take_the_humidity_that_holds(embedded):
    given = [
        (2, 0, 50.0),
        (1, 1, 20.0),
        (2, MINUTE, None),
        (1, MINUTE + 1, 20.0),
        (2, HOUR, 60.0),
        (1, HOUR + 14 * MINUTE, 24.0),
        (1, HOUR + 16 * MINUTE, 24.0),
    ]
    embedded.write([Row(point, T0 + offset, value, 0 if value is None else 2, T0) for point, offset, value in given])
    times, values = derived.samples(embedded, AIR, LIMITS, "dew_point", T0, T0 + 2 * HOUR)
    assert times == [T0 + 1, T0 + HOUR + 14 * MINUTE]
    assert values == pytest.approx([climate.dew_point(20, 50), climate.dew_point(24, 60)])
    assert derived.samples(embedded, AIR, LIMITS, "mould", T0 + DAY, T0 + 2 * DAY) == ([], [])


def test_every_derived_quantity_has_a_name_in_both_languages():
    assert set(DERIVED) == {"dew_point", "absolute_humidity", "preservation_index", "emc", "mould"}
    assert all(each.zh and each.en for each in DERIVED.values())


def test_samples_of_the_past_hold_for_as_long_as_was_allowed_then(embedded):
    embedded.write([Row(1, T0 + 20 * MINUTE, 20.0, 2, T0), Row(2, T0, 50.0, 2, T0)])
    before = {point: Limits(15 * MINUTE, earlier=(Earlier(T0 + HOUR, HOUR),)) for point in AIR}
    assert derived.samples(embedded, AIR, LIMITS, "dew_point", T0, T0 + HOUR)[0] == []
    assert derived.samples(embedded, AIR, before, "dew_point", T0, T0 + HOUR)[0] == [T0 + 20 * MINUTE]
