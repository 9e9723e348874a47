from contract.profile_models import Confirm
from contract.readings import Reading
from contract.sample import Quality
from edge.quality import Limits, Memory, Unconfirmed, Verdict, confirm, judge, overdue

NOW = 1_800_000_000_000
MINUTE = 60_000
CLIMATE = Limits(max_step_per_min=5, stuck_s=3600, warmup_s=15)


def reading(value: float | None, quality: Quality = Quality.GOOD, reason: str = "") -> Reading:
    return Reading("t", "temperature", "", value, "°C", quality, reason)


def run(*values: float, every: int = MINUTE, limits: Limits = CLIMATE, awake_since: int = NOW - MINUTE) -> list[str]:
    memory: Memory | None = None
    reasons = []
    for at, value in enumerate(values):
        verdict, memory = judge(limits, memory, reading(value), NOW + at * every, awake_since)
        reasons.append(verdict.reason)
    return reasons


def test_a_calm_series_is_good() -> None:
    assert run(20.0, 20.1, 20.0) == ["", "", ""]


def test_one_spike_is_doubted_twice_and_a_new_level_once() -> None:
    assert run(20, 60, 20, 20) == ["", "step", "step", ""]
    assert run(20, 60, 60.1) == ["", "step", ""]


def test_a_step_is_measured_per_minute_but_never_below_one() -> None:
    assert run(20, 24, every=1000) == ["", ""]
    assert run(20, 29, every=2 * MINUTE) == ["", ""]
    assert run(20, 31, every=2 * MINUTE) == ["", "step"]


def test_a_value_that_never_changes_is_stuck_and_recovers() -> None:
    assert run(*[20.0] * 62, 20.1)[58:] == ["", "", "stuck", "stuck", ""]


def test_a_device_that_just_woke_up_is_warming_up() -> None:
    verdict, _ = judge(CLIMATE, None, reading(20), NOW, NOW - 14_999)
    assert verdict == Verdict(20, Quality.UNCERTAIN, "warm_up")
    verdict, _ = judge(CLIMATE, None, reading(20), NOW, NOW - 15_000)
    assert verdict == Verdict(20, Quality.GOOD)


def test_the_first_doubt_wins_and_the_profile_comes_last() -> None:
    before = Memory(60, NOW - MINUTE, NOW - MINUTE, NOW)
    verdict, _ = judge(CLIMATE, before, reading(20, Quality.UNCERTAIN, "suspect"), NOW, NOW)
    assert verdict.reason == "step"
    verdict, _ = judge(CLIMATE, None, reading(20, Quality.UNCERTAIN, "suspect"), NOW, NOW)
    assert verdict.reason == "warm_up"
    verdict, _ = judge(Limits(), None, reading(20, Quality.UNCERTAIN, "suspect"), NOW, NOW)
    assert verdict == Verdict(20, Quality.UNCERTAIN, "suspect")


def test_a_bad_reading_has_no_value_and_leaves_the_history_alone() -> None:
    before = Memory(20, NOW - MINUTE, NOW - MINUTE, 0)
    verdict, memory = judge(CLIMATE, before, reading(None, Quality.BAD, "probe_broken"), NOW, 0)
    assert verdict == Verdict(None, Quality.BAD, "probe_broken")
    assert memory is before


def test_a_restart_of_the_device_restarts_the_stuck_clock() -> None:
    before = Memory(20, NOW - MINUTE, NOW - 3600_000, 0)
    verdict, _ = judge(CLIMATE, before, reading(20), NOW, 0)
    assert verdict.reason == "stuck"
    verdict, _ = judge(CLIMATE, before, reading(20), NOW, NOW - 20_000)
    assert verdict.reason == ""


TWICE = Confirm(n=2, within_s=5)
ON, OFF, BROKEN = Verdict(1, Quality.GOOD), Verdict(0, Quality.GOOD), Verdict(None, Quality.BAD, "x")


def test_smoke_counts_when_seen_twice() -> None:
    counts, pending = confirm(TWICE, None, ON, NOW, False)
    assert (counts, pending) == (False, Unconfirmed(NOW, 1))
    assert confirm(TWICE, pending, ON, NOW + 1000, False) == (True, None)


def test_a_single_flicker_is_dropped_and_a_bad_reading_does_not_decide() -> None:
    _, pending = confirm(TWICE, None, ON, NOW, False)
    assert confirm(TWICE, pending, OFF, NOW + 1000, False) == (True, None)
    assert confirm(TWICE, pending, BROKEN, NOW + 1000, False) == (True, pending)


def test_smoke_that_nobody_could_look_at_again_is_told() -> None:
    _, pending = confirm(TWICE, None, ON, NOW, False)
    assert not overdue(TWICE, pending, NOW + 4999)
    assert overdue(TWICE, pending, NOW + 5000)
    assert not overdue(TWICE, None, NOW)
    assert confirm(Confirm(n=9, within_s=5), pending, ON, NOW + 5000, False) == (True, None)


def test_without_a_rule_or_once_believed_it_counts_at_once() -> None:
    assert confirm(None, None, ON, NOW, False) == (True, None)
    assert confirm(TWICE, None, ON, NOW, True) == (True, None)
