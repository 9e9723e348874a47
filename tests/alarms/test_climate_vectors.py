"""Every test vector of the domain notes, and properties that hold without any vector."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alarms.climate import (
    DAY_MS,
    HOUR_MS,
    MEDIUM,
    RESISTANT,
    SENSITIVE,
    VERY_SENSITIVE,
    MouldClass,
    MouldIndex,
    absolute_humidity,
    critical_humidity,
    days_to_mould,
    describe,
    dew_point,
    dew_point_spread,
    emc,
    growth_weeks,
    humidity_from_absolute,
    isopleth,
    lifetime_multiplier,
    mixing_ratio,
    mould_step,
    paper_moisture,
    preservation_index,
    saturation_pressure,
    surface_humidity,
    ventilation,
    years_to_brittle,
)
from alarms.climate_series import (
    Air,
    Band,
    centred_mean,
    compliance,
    coverage_percent,
    describe_series,
    en15757_limits,
    equivalent_lifetime,
    mould_risk_factor,
    percentile,
    smoothed,
    trailing_mean,
    twpi,
    twpi_of,
)


@pytest.mark.parametrize(
    ("t", "rh", "dew", "absolute", "ratio"),
    [
        (20, 50, 9.26, 8.621, 7.243),
        (14, 60, 6.35, 7.223, 5.932),
        (24, 45, 11.33, 9.767, 8.333),
        (24, 60, 15.75, 13.023, 11.160),
        (30, 85, 27.20, 25.722, 22.904),
        (28, 70, 22.01, 18.994, 16.638),
        (5, 40, -7.50, 2.716, 2.148),
    ],
)
def test_psychrometrics(t: float, rh: float, dew: float, absolute: float, ratio: float) -> None:
    assert dew_point(t, rh) == pytest.approx(dew, abs=0.006)
    assert absolute_humidity(t, rh) == pytest.approx(absolute, abs=0.0006)
    assert mixing_ratio(t, rh) == pytest.approx(ratio, abs=0.0006)


@pytest.mark.parametrize(
    ("t", "sonntag", "iapws"),
    [(0.01, 6.116, 6.1166), (10, 12.260, 12.281), (20, 23.326, 23.392), (25, 31.601, 31.698), (30, 42.337, 42.469), (40, 73.675, 73.851)],
)
def test_saturation_pressure(t: float, sonntag: float, iapws: float) -> None:
    assert saturation_pressure(t) == pytest.approx(sonntag, abs=0.0006)
    assert saturation_pressure(t) == pytest.approx(iapws, rel=0.0035)


def test_surfaces() -> None:
    assert surface_humidity(22, 60, 16) == pytest.approx(87.2, abs=0.05)
    assert dew_point_spread(22, 60, 16) == pytest.approx(16 - 13.9, abs=0.1)
    assert dew_point(20, 0) is None
    assert dew_point_spread(20, 0, 16) is None


@given(st.floats(-20, 50), st.floats(1, 100))
def test_absolute_humidity_and_its_inverse(t: float, rh: float) -> None:
    assert humidity_from_absolute(t, absolute_humidity(t, rh)) == pytest.approx(rh)


@given(st.floats(-20, 50), st.floats(1, 99))
def test_air_cooled_to_its_dew_point_is_saturated(t: float, rh: float) -> None:
    dew = dew_point(t, rh)
    assert dew is not None
    assert dew < t
    assert surface_humidity(t, rh, dew) == pytest.approx(100)


@pytest.mark.parametrize(
    ("t", "rh", "expected"), [(20, 50, 9.271), (20, 45, 8.485), (14, 45, 8.603), (25, 70, 12.931), (30, 90, 19.992), (10, 40, 7.874), (32, 63, 11.1)]
)
def test_moisture_content(t: float, rh: float, expected: float) -> None:
    assert emc(t, rh) == pytest.approx(expected, abs=0.05 if expected == 11.1 else 0.0006)


@pytest.mark.parametrize(("t", "rh", "years"), [(20, 45, 51.06), (20, 50, 44.62), (24, 60, 21.06), (14, 45, 109.65), (22, 55, 30.55), (30, 80, 6.34)])
def test_preservation_index(t: float, rh: float, years: float) -> None:
    assert preservation_index(t, rh) == pytest.approx(years, abs=0.006)


# The public calculator's integers (truncated, so +0.5), 14-24 °C.
PI_TABLE = {
    14: (124, 108, 94, 81, 71, 62, 54),
    20: (58, 50, 44, 38, 34, 29, 26),
    24: (35, 31, 27, 24, 21, 18, 16),
}


@pytest.mark.parametrize("t", PI_TABLE)
def test_preservation_index_stays_near_the_published_table(t: int) -> None:
    for rh, years in zip(range(40, 71, 5), PI_TABLE[t], strict=True):
        assert preservation_index(t, rh) / (years + 0.5) - 1 == pytest.approx(-0.0185, abs=0.0375)


def test_preservation_index_is_capped_like_the_table() -> None:
    assert preservation_index(-40, 5) == 9999


@pytest.mark.parametrize(
    ("t", "rh", "multiplier"),
    [
        (20, 50, 1.000), (15, 50, 2.038), (25, 50, 0.503), (20, 40, 1.337), (20, 60, 0.789), (14, 45, 2.703), (18, 45, 1.520), (30, 80, 0.140),
        (10, 35, 6.772),
    ],
)  # fmt: skip
def test_lifetime(t: float, rh: float, multiplier: float) -> None:
    assert lifetime_multiplier(t, rh) == pytest.approx(multiplier, abs=0.0006)


def test_lifetime_of_bone_dry_air_is_not_defined() -> None:
    assert lifetime_multiplier(20, 0) is None


@pytest.mark.parametrize(("t", "rh", "days"), [(20, 70, 163.6), (20, 75, 38.3), (20, 80, 13.6), (20, 90, 3.8), (25, 70, 154.4), (42, 85, 8.5)])
def test_days_to_mould_fit(t: float, rh: float, days: float) -> None:
    assert days_to_mould(t, rh) == pytest.approx(days, abs=0.06)


MOULD_TABLE = [
    (20, 70, 165), (20, 72, 87), (20, 75, 38), (20, 78, 20), (20, 80, 14), (20, 85, 6), (20, 90, 4), (20, 95, 3), (25, 66, 756), (25, 70, 156),
    (25, 72, 82), (25, 75, 36), (25, 80, 13), (25, 85, 6), (25, 90, 4), (25, 95, 2), (30, 66, 742), (30, 70, 153), (30, 75, 36), (30, 80, 13),
    (14, 75, 44), (14, 80, 16), (14, 85, 7), (10, 80, 19), (10, 85, 9), (10, 90, 5),
]  # fmt: skip


@pytest.mark.parametrize(("t", "rh", "days"), MOULD_TABLE)
def test_days_to_mould_stays_near_the_published_table(t: float, rh: float, days: float) -> None:
    assert days_to_mould(t, rh) == pytest.approx(days, rel=0.08, abs=0.6)


@pytest.mark.parametrize(("t", "rh"), [(20, 65), (20, 68.9), (1.9, 100), (45.1, 100), (10, 79)])
def test_no_mould(t: float, rh: float) -> None:
    assert days_to_mould(t, rh) is None


def test_mould_risk_adds_up_never_falls_and_starts_again_at_one() -> None:
    days = days_to_mould(25, 80)
    assert days is not None
    assert mould_risk_factor([(days, 13)])[1] == pytest.approx(1.0, abs=0.02)
    factor, highest = mould_risk_factor([(10.0, 4), (None, 100), (10.0, 2)])
    assert factor == highest == pytest.approx(0.6)
    factor, highest = mould_risk_factor([(10.0, 9), (10.0, 2), (10.0, 3)])
    assert (factor, highest) == (pytest.approx(0.3), pytest.approx(1.1))


@pytest.mark.parametrize(("t", "rh", "weeks"), [(20, 80, 21.601), (20, 90, 4.202), (25, 90, 3.610), (25, 97, 1.275), (15, 90, 5.110)])
def test_growth_weeks(t: float, rh: float, weeks: float) -> None:
    assert growth_weeks(t, rh) == pytest.approx(weeks, abs=0.0006)


CLEAN = MouldIndex()


def grow(t: float, rh: float, days: float, material: MouldClass, state: MouldIndex = CLEAN) -> MouldIndex:
    for _ in range(round(days * 24)):
        state = mould_step(state, t, rh, material=material)
    return state


@pytest.mark.parametrize(
    ("t", "rh", "material", "after_28", "after_84"),
    [
        (25, 90, VERY_SENSITIVE, 1.214, 3.987),
        (22, 95, VERY_SENSITIVE, 3.297, 5.117),
        (15, 90, VERY_SENSITIVE, 0.783, 3.519),
        (25, 90, SENSITIVE, 0.639, 1.601),
        (22, 95, SENSITIVE, 1.164, 2.810),
        (20, 80, VERY_SENSITIVE, 0, 0),
    ],
)
def test_mould_index_in_constant_climate(t: float, rh: float, material: MouldClass, after_28: float, after_84: float) -> None:
    month = grow(t, rh, 28, material)
    assert month.value == pytest.approx(after_28, abs=0.002)
    assert grow(t, rh, 56, material, month).value == pytest.approx(after_84, abs=0.002)


def test_mould_index_reaches_its_marks_on_the_published_days() -> None:
    state, reached = CLEAN, {}
    for hour in range(1, 60 * 24):
        state = mould_step(state, 25, 90, material=VERY_SENSITIVE)
        for mark in (1, 3):
            if state.value >= mark:
                reached.setdefault(mark, hour / 24)
    assert reached == {1: pytest.approx(25.2, abs=0.1), 3: pytest.approx(51.1, abs=0.1)}


def test_mould_index_declines_in_three_stages() -> None:
    state = grow(25, 90, 14, SENSITIVE)
    assert state.value == pytest.approx(0.3198, abs=0.0002)
    before = 0.0
    for dry_days, expected in ((0.25, 0.3118), (1, 0.3118), (14, 0.1038)):
        state = grow(20, 50, dry_days - before, SENSITIVE, state)
        before = dry_days
        assert state.value == pytest.approx(expected, abs=0.0002)


def test_critical_humidity() -> None:
    assert critical_humidity(20) == pytest.approx(80.04, abs=0.005)
    assert critical_humidity(-1) == 100
    assert critical_humidity(25, MEDIUM) == critical_humidity(25, RESISTANT) == 85


@given(st.floats(-10, 60), st.floats(0, 100), st.floats(0, 6), st.floats(0, 100))
def test_mould_index_stays_within_its_scale(t: float, rh: float, value: float, dry: float) -> None:
    for material in (VERY_SENSITIVE, SENSITIVE, MEDIUM, RESISTANT):
        assert 0 <= mould_step(MouldIndex(value, dry), t, rh, material=material).value <= 6


@pytest.mark.parametrize(("indices", "expected"), [([50, 100], 66.667), ([30, 90], 45.0), ([24, 27, 31, 35, 40, 44], 32.041)])
def test_twpi(indices: list[float], expected: float) -> None:
    assert twpi([(index, 1.0) for index in indices]) == pytest.approx(expected, abs=0.0006)


def test_twpi_needs_time() -> None:
    assert twpi([]) is None


@given(st.lists(st.floats(1, 500), min_size=2, max_size=30))
def test_twpi_equals_its_recursion(indices: list[float]) -> None:
    running = indices[0]
    for n, index in enumerate(indices[1:], start=2):
        running = n * running * index / ((n - 1) * index + running)
    assert twpi([(index, 3.0) for index in indices]) == pytest.approx(running)


def hours(values: list[tuple[float, float]], start: int = 0) -> list[Air]:
    return [Air(start + i * HOUR_MS, t, rh) for i, (t, rh) in enumerate(values)]


def test_twpi_leaves_gaps_out_of_both_sums_and_is_withheld_below_90_percent() -> None:
    whole = hours([(20, 50)] * 100)
    assert twpi_of(whole, 0, 100 * HOUR_MS, HOUR_MS) == (pytest.approx(44.62, abs=0.006), 100)
    thin = [air for i, air in enumerate(whole) if i % 20 != 0 or i == 0]
    value, coverage = twpi_of(thin, 0, 100 * HOUR_MS, HOUR_MS)
    assert (value, coverage) == (pytest.approx(44.62, abs=0.006), pytest.approx(96))
    value, coverage = twpi_of(whole[:50], 0, 100 * HOUR_MS, HOUR_MS)
    assert (value, coverage) == (None, pytest.approx(50))


def test_smoothing_takes_a_day_of_temperature_and_a_month_of_humidity() -> None:
    series = hours([(20 + (i % 24), 50 + (i % 48 >= 24)) for i in range(24 * 60)])
    last = smoothed(series)[-1]
    assert last.temperature == pytest.approx(31.5)
    assert last.humidity == pytest.approx(50.5)
    assert smoothed(series)[0] == series[0]


def test_compliance_is_weighted_by_time_inclusive_at_the_edges_and_carries_coverage() -> None:
    series = [Air(0, 14, 60), Air(HOUR_MS, 24, 45), Air(2 * HOUR_MS, 24.1, 62), Air(3 * HOUR_MS, 20, 50)]
    kept = compliance(series, Band(14, 24), Band(45, 60), 0, 8 * HOUR_MS, HOUR_MS)
    assert (kept.temperature, kept.humidity, kept.joint) == (75, 75, 75)
    assert kept.coverage == 50
    assert kept.humid_degree_hours == pytest.approx(2)


def test_compliance_without_data_is_not_a_number_at_all() -> None:
    kept = compliance([], Band(14, 24), Band(45, 60), 0, DAY_MS, HOUR_MS)
    assert (kept.temperature, kept.joint, kept.coverage) == (None, None, 0)


def test_a_band_may_be_open() -> None:
    assert Band(None, 2).holds(-30)
    assert not Band(None, 2).holds(2.1)


@given(st.lists(st.integers(1, 10 * HOUR_MS), min_size=1, max_size=40), st.integers(1, 5 * HOUR_MS))
def test_coverage_is_what_a_count_of_covered_time_gives(steps: list[int], hold: int) -> None:
    at, series = 0, []
    for gap in steps:
        series.append(Air(at, 20, 50))
        at += gap
    assert coverage_percent(series, 0, at, hold) == pytest.approx(100 * sum(min(gap, hold) for gap in steps) / at)


def test_en15757_never_narrower_than_ten() -> None:
    constant = [(i * HOUR_MS, 55.0) for i in range(24 * 90)]
    assert en15757_limits(constant) == (-10, 10)
    small = [(i * HOUR_MS, 55 + 4 * math.sin(2 * math.pi * i / 24)) for i in range(24 * 90)]
    assert en15757_limits(small) == (-10, 10)
    assert en15757_limits([]) is None


def test_en15757_of_a_wide_daily_swing() -> None:
    wide = [(i * HOUR_MS, 55 + 20 * math.sin(2 * math.pi * i / 24)) for i in range(24 * 395)]
    limits = en15757_limits(wide)
    assert limits is not None
    # Hourly sampling knows only sin(75°) = 19.3 and sin(90°) = 20 up there; the continuous percentile is 19.5.
    assert limits == (pytest.approx(-19.5, abs=0.25), pytest.approx(19.5, abs=0.25))


def test_centred_mean_looks_fifteen_days_to_either_side() -> None:
    points = [(day * DAY_MS, float(day)) for day in range(60)]
    means = centred_mean(points)
    assert means[30] == pytest.approx(30)
    assert means[0] == pytest.approx(7.5)


def test_percentile() -> None:
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile([1, 2], 0.25) == 1.25
    with pytest.raises(ValueError, match="needs values"):
        percentile([], 0.5)


def test_describe_has_the_promised_keys() -> None:
    assert describe(20, 50) == {
        "dew_point_c": 9.26,
        "absolute_humidity_g_m3": 8.621,
        "mixing_ratio_g_kg": 7.243,
        "emc_percent": 9.271,
        "preservation_index_years": 44.62,
        "days_to_mould": None,
        "lifetime_multiplier": 1.0,
    }
    assert describe(20, 75)["days_to_mould"] == pytest.approx(38.3, abs=0.06)


BESIDE = (
    "twpi_unsmoothed_years", "twpi_whole_year", "temperature_percent", "humidity_percent", "humid_degree_hours", "lifetime_multiplier",
    "en15757_trailing_low", "en15757_trailing_high",
)  # fmt: skip


def test_describe_series_has_the_promised_keys() -> None:
    series = hours([(20, 50)] * 24 * 30 + [(25, 80)] * 24 * 10)
    told = describe_series(series)
    assert {key: told[key] for key in told if key not in BESIDE} == {
        "twpi_years": pytest.approx(35.3, abs=0.01),
        "mould_risk_factor": pytest.approx(10 / 12.88, abs=0.01),
        "compliance_percent": 75.0,
        "coverage_percent": 100.0,
        "emc_min": pytest.approx(9.271),
        "emc_max": pytest.approx(15.6, abs=0.3),
        "en15757_low": pytest.approx(-10.8, abs=0.1),
        "en15757_high": pytest.approx(20, abs=10),
    }
    with pytest.raises(ValueError, match="empty"):
        describe_series([])


def test_a_gap_in_a_series_costs_coverage_beyond_three_steps() -> None:
    series = [air for i, air in enumerate(hours([(20, 50)] * 100)) if not 10 < i <= 50]
    assert describe_series(series)["coverage_percent"] == pytest.approx(62)


@pytest.mark.parametrize(("t", "low", "high"), [(14, 5.4, 7.2), (20, 7.8, 10.3), (24, 9.8, 13.0)])
def test_the_band_of_paper_in_absolute_terms(t: float, low: float, high: float) -> None:
    assert (absolute_humidity(t, 45), absolute_humidity(t, 60)) == (pytest.approx(low, abs=0.05), pytest.approx(high, abs=0.05))


def test_summer_air_of_the_coast_cooled_without_drying_is_saturated() -> None:
    assert humidity_from_absolute(22, 20.8) > 100


@pytest.mark.parametrize(("rh", "water"), [(30, 5.42), (50, 7.28), (60, 8.24), (80, 10.59)])
def test_paper_moisture(rh: float, water: float) -> None:
    assert paper_moisture(20, rh) == pytest.approx(water, abs=0.006)


@pytest.mark.parametrize(
    ("t", "rh", "ph", "years"), [(20, 50, 6, 799), (20, 50, 5, 456), (24, 60, 6, 330), (14, 45, 6, 2211), (28, 75, 5, 62), (30, 80, 6, 67)]
)
def test_years_to_brittle_paper(t: float, rh: float, ph: float, years: float) -> None:
    assert years_to_brittle(t, rh, ph) == pytest.approx(years, rel=0.012)


WIDE_PI_TABLE = {
    10: (283, 211, 182, 158, 137, 118, 103, 89, 78, 68), 14: (165, 124, 108, 94, 81, 71, 62, 54, 47, 41),
    20: (76, 58, 50, 44, 38, 34, 29, 26, 23, 20), 24: (46, 35, 31, 27, 24, 21, 18, 16, 14, 13), 30: (22, 17, 15, 13, 12, 10, 9, 8, 7, 6),
}  # fmt: skip
MORE_PI = [
    (6, 63, 184), (28, 74, 9), (33, 80, 5), (20, 70, 26), (24, 53, 25), (14, 31, 161), (18, 50, 56), (10, 35, 244), (23, 2.5, 102), (-13, 33, 7840),
]  # fmt: skip
"""Rounded half up, as the public calculator rounds its inputs: (27.5, 74.0), (23.5, 52.5) …"""


def test_preservation_index_over_the_whole_published_range() -> None:
    columns = (30, *range(40, 81, 5))
    cells = [(t, rh, years) for t, row in WIDE_PI_TABLE.items() for rh, years in zip(columns, row, strict=True)]
    for t, rh, years in [*cells, *MORE_PI]:
        # The table is truncated to whole years, so the true figure lies within the year above; small figures are all rounding.
        assert years * (1 - 0.102) - 0.5 <= preservation_index(t, rh) <= (years + 1) * 1.02, (t, rh)


def test_full_compliance_spans_a_factor_of_five() -> None:
    assert preservation_index(14, 45) / preservation_index(24, 60) == pytest.approx(5, abs=0.3)


@pytest.mark.parametrize(("t", "rh", "days"), [(28, 74, 46), (33, 80, 13), (9, 100, 3), (44, 100, 4), (44, 97, 5), (20, 65, 0)])
def test_days_to_mould_of_the_public_calculator(t: float, rh: float, days: float) -> None:
    assert days_to_mould(t, rh) == (pytest.approx(days, rel=0.08, abs=0.6) if days else None)


@pytest.mark.parametrize(("t", "rh"), [(30, 74.2), (20, 75.6)])
def test_isopleth(t: float, rh: float) -> None:
    assert isopleth(t) == pytest.approx(rh, abs=0.06)


def test_the_life_of_paper_in_a_changing_climate_is_a_harmonic_mean() -> None:
    assert equivalent_lifetime([(2.0, 1.0), (0.5, 1.0)]) == pytest.approx(0.8)
    assert equivalent_lifetime([]) is None


@pytest.mark.parametrize(
    ("inside", "outside", "bad", "advice", "reason"),
    [
        ((22, 70), (20, 50), False, "open", "drier"),
        ((22, 70), (20, 50), True, "close", "bad_weather"),
        ((22, 60), (30, 60), False, "close", "wetter"),
        ((22, 60), (22, 60), False, "close", "wetter"),
        ((22, 60), (22, 58), False, "keep", "hardly_drier"),
        ((22, 60), (5, 60), False, "keep", "too_cold_or_hot"),
        ((30, 80), (29, 40), False, "keep", "too_cold_or_hot"),
        # The trap: outside it is "only" 65 % and inside 75 %, and yet the air outside holds more water.
        ((20, 75), (28, 65), False, "close", "wetter"),
    ],
)
def test_ventilation_goes_by_the_water_in_the_air(inside: tuple[int, int], outside: tuple[int, int], bad: bool, advice: str, reason: str) -> None:
    found = ventilation(inside, outside, bad_weather=bad)
    assert (found.advice, found.reason) == (advice, reason)
    assert (found.inside_g_m3, found.outside_g_m3) == (absolute_humidity(*inside), absolute_humidity(*outside))


@given(st.tuples(st.floats(5, 35), st.floats(20, 95)), st.tuples(st.floats(5, 35), st.floats(20, 95)))
def test_advice_to_open_always_dries_the_room(inside: tuple[float, float], outside: tuple[float, float]) -> None:
    found = ventilation(inside, outside)
    assert found.advice != "open" or found.becomes_rh < inside[1]


def test_the_trailing_variant_of_en15757_knows_only_the_past() -> None:
    points = [(day * DAY_MS, float(day)) for day in range(60)]
    assert trailing_mean(points)[59] == pytest.approx(44)
    rising = [(i * HOUR_MS, 40 + i / 24) for i in range(24 * 60)]
    assert en15757_limits(rising) == (-10, 10)
    trailing = en15757_limits(rising, trailing=True)
    assert trailing == (-10, pytest.approx(15, abs=0.1)), "a drift that the centred mean follows stands out"
    assert trailing_mean(points[:31]) == trailing_mean(points)[:31]


def test_a_week_of_damp_is_smoothed_as_the_institute_does() -> None:
    series = hours([(20, 50)] * 24 * 23 + [(20, 80)] * 24 * 7)
    told = describe_series(series)
    mean = [50.0] * 24 * 23 + [50 + 30 * n / (24 * 23 + n) for n in range(1, 24 * 7 + 1)]
    assert told["twpi_years"] == pytest.approx(twpi([(preservation_index(20, rh), 1) for rh in mean]), abs=0.01)
    assert told["twpi_unsmoothed_years"] < told["twpi_years"]
    assert told["twpi_whole_year"] is False
