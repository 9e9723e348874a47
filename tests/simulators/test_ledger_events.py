"""The ledger's second opinion on messages and alarms: each verdict kind is seen, and correct histories pass."""

from simulators.ledger import Accepted, Due, Episode, Verdict, check_alarms, check_messages, expected_episodes
from simulators.ledger_verdict import KINDS

P = "GW-1/smoke1/smoke"
ANNA, BEN = "+8613912345601", "+8613912345602"


def _faults(verdict: Verdict) -> dict[str, int]:
    return {kind: getattr(verdict, kind) for kind in KINDS if getattr(verdict, kind)}


def _sms(to: str, body: str, at: int = 0, direction: str = "outbound-api") -> dict[str, object]:
    return {"to": to, "body": body, "created_at": at, "direction": direction}


DUE = [Due(ANNA, ("特急", "483925"), 1000), Due(BEN, ("特急", "483925"), 1000), Due(ANNA, ("恢复", "483925"), 9000)]
SENT = [_sms(ANNA, "特急：烟感告警。编号483925", 1200), _sms(BEN, "特急：烟感告警。编号483925", 1300), _sms(ANNA, "恢复。编号483925", 9100)]


def test_all_messages_sent_once() -> None:
    verdict = check_messages(DUE, [*SENT, _sms("+8613900009999", "1", direction="inbound")], late_after_ms=5000)
    assert verdict.ok
    assert not check_messages([], []).ok


def test_faulty_messages() -> None:
    assert _faults(check_messages(DUE, SENT[1:])) == {"lost": 1}
    assert _faults(check_messages(DUE, [*SENT, SENT[0]])) == {"dup": 1}
    assert _faults(check_messages(DUE, [*SENT, _sms(BEN, "恢复。编号483925", 9100)])) == {"wrong": 1}
    assert _faults(check_messages(DUE, [*SENT, _sms(BEN, "编号000000")])) == {"ghost": 1}
    assert _faults(check_messages(DUE, [{**SENT[0], "created_at": 9000}, *SENT[1:]], late_after_ms=5000)) == {"late": 1}


def test_two_equal_messages_due_are_two_not_a_duplicate() -> None:
    reminder = Due(ANNA, ("提醒",))
    assert check_messages([reminder, reminder], [_sms(ANNA, "提醒"), _sms(ANNA, "提醒")]).ok


def _samples(*pairs: tuple[int, float | None]) -> list[Accepted]:
    return [Accepted(P, at, found) for at, found in pairs]


def test_episodes_without_delays() -> None:
    samples = _samples((0, 0), (10, 1), (20, 1), (30, None), (40, 0), (50, 1))
    assert expected_episodes(samples, "smoke") == [Episode(P, 10, 40), Episode(P, 50, None)]
    assert expected_episodes(samples, "door") == []


def test_episodes_with_delays() -> None:
    samples = _samples((0, 1), (10, 0), (20, 1), (30, 1), (40, 1), (50, 0), (55, 1), (60, 0), (90, 0))
    assert expected_episodes(samples, "smoke", on_delay_ms=15, off_delay_ms=15) == [Episode(P, 35, 75)]
    assert expected_episodes(_samples((0, 1), (15, 0)), "smoke", on_delay_ms=15) == []
    assert expected_episodes(_samples((0, 1)), "smoke", on_delay_ms=15) == []
    assert expected_episodes(_samples((0, 1)), "smoke", on_delay_ms=15, until=15) == [Episode(P, 15, None)]


def test_right_alarms_pass_within_the_tolerance() -> None:
    expected = [Episode(P, 1000, 5000), Episode(P, 9000, None)]
    assert check_alarms(expected, [Episode(P, 1040, 5060), Episode(P, 8990, None)], tolerance_ms=100).ok
    assert not check_alarms([], []).ok


def test_faulty_alarms() -> None:
    expected = [Episode(P, 1000, 5000), Episode(P, 9000, None)]
    one, two = expected
    assert _faults(check_alarms(expected, [one])) == {"lost": 1}
    assert _faults(check_alarms(expected, [one, Episode(P, 1200, 5000), two])) == {"dup": 1}
    assert _faults(check_alarms(expected, [Episode(P, 200, 300), one, two])) == {"ghost": 1}
    assert _faults(check_alarms(expected, [one, Episode(P, 7000, 7100), two])) == {"ghost": 1}
    assert _faults(check_alarms(expected, [Episode("GW-2/smoke1/smoke", 1000, None), one, two])) == {"ghost": 1}
    assert _faults(check_alarms(expected, [Episode(P, 1000, 6000), two], tolerance_ms=100)) == {"wrong": 1}
    assert _faults(check_alarms(expected, [one, Episode(P, 9000, 9500)])) == {"wrong": 1}
    assert _faults(check_alarms(expected, [Episode(P, 2500, 5000), two], tolerance_ms=100)) == {"late": 1}
