"""A report against the sensor: confirmed, still waiting, or contradicted with both facts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.duty.cards import Claim, Done
from server.duty.closure import Facts, judge

M, H = 60_000, 3_600_000
T = 1_790_000_000_000
SMOKE = Done.model_validate({"hold": "30m", "within": "2h", "reset": True, "claims": [{"quantity": "temperature", "trend": "not_rising", "by": 2}]})
DAMP = Done.model_validate({"hold": "20m", "within": "24h", "claims": [{"quantity": "humidity", "trend": "falling", "by": 0.5, "within": "2h"}]})


def says(done: Done, at: int, **facts: object) -> tuple[str, str]:
    verdict = judge(done, Facts(reported_at=T, **facts), T + at)  # type: ignore[arg-type]
    return verdict.state, "".join(verdict.reasons)


def test_smoke_is_over_after_half_an_hour_of_clear_air_and_a_reset() -> None:
    clear = T - 10 * M
    assert says(SMOKE, 10 * M, gone_since=None)[0] == "waiting"
    assert says(SMOKE, 10 * M, gone_since=clear, locked=True)[0] == "waiting"
    assert says(SMOKE, 20 * M, gone_since=clear, locked=True) == ("waiting", "告警仍锁定，现场核查后还没有复位。")
    assert says(SMOKE, 20 * M, gone_since=clear)[0] == "verified"


def test_smoke_that_comes_again_contradicts_at_once() -> None:
    assert says(SMOKE, 10 * M, gone_since=None, again_at=T + 9 * M)[0] == "contradicted"
    assert says(SMOKE, 40 * M, gone_since=T + 9 * M, again_at=T + 8 * M)[0] == "contradicted", "although it is clear again"
    assert says(DAMP, 10 * M, gone_since=None, again_at=T + 9 * M)[0] == "waiting"


def test_rising_temperature_contradicts_a_false_alarm_at_once() -> None:
    readings = {"temperature": [(T - M, 24.0), (T + M, 25.0), (T + 5 * M, 27.1)]}
    state, why = says(SMOKE, 6 * M, gone_since=T - 40 * M, readings=readings)
    assert (state, why) == ("contradicted", "温度报告时 24.0 ℃，现在 27.1 ℃，仍在上升。")


def test_a_dehumidifier_that_changes_nothing_is_found_out_after_two_hours() -> None:
    flat = {"humidity": [(T - M, 70.8), (T + H, 70.9), (T + 2 * H, 71.2)]}
    assert says(DAMP, H, gone_since=None, readings=flat)[0] == "waiting"
    assert says(DAMP, 2 * H, gone_since=None, readings=flat) == ("contradicted", "湿度报告时 70.8 %RH，现在 71.2 %RH，120 分钟内没有下降。")
    falling = {"humidity": [(T - M, 70.8), (T + H, 70.2), (T + 2 * H, 69.5)]}
    assert says(DAMP, 2 * H, gone_since=None, readings=falling)[0] == "waiting"
    assert says(DAMP, 5 * H, gone_since=T + 4 * H, readings=falling)[0] == "verified"


def test_what_does_not_come_true_in_time_comes_back() -> None:
    assert says(DAMP, 24 * H - 1, gone_since=None)[0] == "waiting"
    assert says(DAMP, 24 * H, gone_since=None) == ("contradicted", "传感器仍在告警。")
    assert says(DAMP, 24 * H, gone_since=T + 24 * H - 19 * M)[0] == "contradicted"


def test_without_data_nothing_is_confirmed() -> None:
    power = Done.model_validate({"hold": "30m", "within": "24h", "fresh": True})
    assert says(power, H, gone_since=T, silent=("humidity",)) == ("waiting", "还没有有效数据：湿度。")
    assert says(power, 24 * H, gone_since=T, silent=("humidity",))[0] == "contradicted"
    assert says(power, H, gone_since=T)[0] == "verified"


@given(
    st.lists(st.tuples(st.integers(-30, 1500), st.integers(0, 1000)), max_size=20),
    st.none() | st.integers(-600, 1500),
    st.booleans(),
    st.sampled_from(["falling", "rising", "not_rising", "not_falling"]),
)
def test_a_report_is_settled_by_its_deadline_and_never_confirmed_while_the_alarm_holds(
    readings: list[tuple[int, int]], gone: int | None, locked: bool, trend: str
) -> None:
    claim = Claim.model_validate({"quantity": "humidity", "trend": trend, "by": 0.5, "within": "2h"})
    done = Done.model_validate({"hold": "20m", "within": "24h", "reset": True, "claims": (claim,)})
    series = sorted((T + minute * M, value / 10) for minute, value in readings)
    for at in (0, 2 * H, 24 * H):
        known = [reading for reading in series if reading[0] <= T + at]
        since = None if gone is None or gone * M > at else T + gone * M
        verdict = judge(done, Facts(reported_at=T, gone_since=since, locked=locked, readings={"humidity": known}), T + at)
        if since is None or locked or T + at - since < 20 * M:
            assert verdict.state != "verified"
        assert verdict.reasons
    assert verdict.state != "waiting"


@pytest.mark.parametrize(("trend", "last", "contradicted"), [("not_falling", 40.0, True), ("not_falling", 50.0, False), ("not_rising", 60.0, True)])
def test_trends_that_must_not_be_contradicted(trend: str, last: float, contradicted: bool) -> None:
    claim = Claim.model_validate({"quantity": "humidity", "trend": trend, "by": 5})
    done = Done.model_validate({"hold": "10m", "within": "1h", "claims": (claim,)})
    facts = Facts(reported_at=T, gone_since=T - H, readings={"humidity": [(T - M, 50.0), (T + M, last)]})
    assert (judge(done, facts, T + 2 * M).state == "contradicted") == contradicted
