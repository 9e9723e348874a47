"""Figures of the alarm system: counted by hand, and the identities that must hold over any history."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarms.performance import DAY_MS, HOUR_MS, WINDOW_MS, Asked, Held, measure, mix

M, S = 60_000, 1000


def figures(*args, **more):
    found = measure(*args, **more)
    return {one.name: (one.value, one.grade) for one in found.figures}, found


@pytest.mark.parametrize(
    ("counts", "shares"),
    [
        ((1, 1, 1, 0), [33.4, 33.3, 33.3, 0.0]),
        ((2999, 0, 0, 1), [99.9, 0.0, 0.0, 0.1]),
        ((1_000_000, 1, 1, 1), [99.7, 0.1, 0.1, 0.1]),
        ((0, 7, 0, 0), [0.0, 100.0, 0.0, 0.0]),
        ((0, 0, 0, 0), [None] * 4),
    ],
)
def test_the_shares_of_the_levels_add_up_and_nothing_looks_complete_that_is_not(counts, shares):
    assert mix(counts) == shares


def test_rates_shares_and_grades_of_a_counted_day():
    rows = [Asked(hour * HOUR_MS, f"t{hour % 3}", "warn") for hour in range(24)] + [Asked(5 * M, "t9", "critical")]
    values, found = figures(rows, [], 0, DAY_MS)
    assert values["per_hour"] == (25 / 24, "good")
    assert values["per_day"] == (25, "good")
    assert values["peak_10_minutes"] == (2, "good")
    assert values["critical_share"] == (4, "fair")
    assert values["top_10_share"] == (100, "poor")
    assert values["warn_share"] == (96, "good"), "a floor: most alarms should be of the lowest level"
    assert figures([Asked(M, "t", "alarm")], [], 0, DAY_MS)[0]["warn_share"] == (0, "fair")
    assert found.levels == {"warn": 24, "alarm": 0, "urgent": 0, "critical": 1}
    assert found.top[0] == ("t0", 8)


def test_a_flood_begins_with_the_eleventh_and_ends_with_fewer_than_five():
    rows = [Asked(n * 10 * S, "t", "warn") for n in range(12)]
    values, found = figures(rows, [], 0, HOUR_MS)
    # The eleventh comes at 100 s; of twelve, the eighth (70 s) leaves the window at 670 s and four remain.
    assert found.floods == ((100 * S, 670 * S),)
    assert values["windows_above_10"] == (100 / 6, "poor")
    assert values["time_in_flood"][0] == pytest.approx(100 * 570 / 3600)


def test_ten_in_ten_minutes_are_no_flood():
    assert figures([Asked(n * M, "t", "warn") for n in range(10)], [], 0, HOUR_MS)[1].floods == ()


def test_stale_counts_what_was_active_for_more_than_a_day_at_one_time():
    held = [Held("a", 0, 3 * DAY_MS), Held("b", DAY_MS, None), Held("c", 2 * DAY_MS, 2 * DAY_MS + HOUR_MS), Held("d", 0, DAY_MS + 1)]
    assert figures([], held, 0, 10 * DAY_MS)[0]["stale_worst_day"] == (2, "good")


def test_nothing_to_judge_is_not_good():
    values, _ = figures([], [], 0, HOUR_MS)
    assert values["top_10_share"] == (None, "none")
    with pytest.raises(ValueError, match="empty"):
        measure([], [], 5, 5)


@given(st.lists(st.integers(0, 6 * HOUR_MS), max_size=80))
def test_floods_lie_in_the_range_in_order_and_hold_at_least_eleven(instants):
    rows = [Asked(at, "t", "warn") for at in instants]
    found = measure(rows, [], 0, 5 * HOUR_MS)
    inside = [at for at in instants if at < 5 * HOUR_MS]
    assert found.asked == len(inside)
    last = 0
    for since, until in found.floods:
        assert last <= since <= until <= 5 * HOUR_MS
        assert sum(since - WINDOW_MS < at <= since for at in inside) > 10
        last = until
