import random

from edge.rows import Lane
from edge.rowstore import Head
from edge.window import Turn, Window


class Middle(random.Random):
    """No jitter."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


def window(size: int = 3) -> Window:
    return Window(size, 15_000, 2_000, Middle())


def row(first: int, lane: Lane = Lane.NORMAL) -> Head:
    return Head(first, first + 9, lane)


def due(found: Window, mono: float) -> list[int]:
    return [flight.head.first for flight in found.due(mono)]


def test_an_ordinary_row_is_resent_after_fifteen_seconds_doubling_to_five_minutes() -> None:
    found, mono, waits = window(), 0.0, []
    for _ in range(8):
        found.sent(row(1), Turn.HISTORY, mono)
        assert due(found, found.next_due() - 1) == []
        waits.append(found.next_due() - mono)
        mono = found.next_due()
        assert due(found, mono) == [1]
    assert waits == [15_000, 30_000, 60_000, 120_000, 240_000, 300_000, 300_000, 300_000]


def test_alarm_class_rows_are_resent_after_two_seconds_and_first() -> None:
    found = window()
    found.sent(row(1), Turn.HISTORY, 0)
    found.sent(row(11, Lane.URGENT), Turn.URGENT, 14_000)
    assert found.next_due() == 15_000
    assert due(found, 16_000) == [11, 1]


def test_jitter_stays_within_a_quarter() -> None:
    waits = set()
    for seed in range(200):
        found = Window(1, 15_000, 2_000, random.Random(seed))
        found.sent(row(1), Turn.HISTORY, 0)
        waits.add(found.next_due())
    assert 11_250 <= min(waits) < max(waits) <= 18_750
    assert len(waits) == 200


def test_the_window_limits_each_turn() -> None:
    found = window(2)
    for at in range(2):
        assert found.open_for(Turn.HISTORY)
        found.sent(row(1 + 10 * at), Turn.HISTORY, 0)
    assert not found.open_for(Turn.HISTORY)
    assert found.open_for(Turn.LIVE)
    found.sent(row(100), Turn.LIVE, 0)
    found.sent(row(110), Turn.LIVE, 0)
    assert not found.open_for(Turn.LIVE)
    assert found.open_for(Turn.URGENT)
    found.acknowledged(10, 1)
    assert found.open_for(Turn.HISTORY)
    assert found.open_for(Turn.LIVE), "a server that acknowledges is alive: live rows go on although they wait above the backlog"
    assert len(found) == 3


def test_live_rows_above_a_draining_backlog_are_not_resent_while_it_drains() -> None:
    found = window()
    found.sent(row(1001), Turn.LIVE, 0)
    for at in range(100):
        found.sent(row(1 + 10 * at), Turn.HISTORY, at * 10_000)
        assert due(found, at * 10_000) == []
        found.acknowledged(10 + 10 * at, at * 10_000)
    assert due(found, 991_000) == [1001], "the watermark stands right before it, so it was lost long ago"


def test_a_standing_watermark_means_loss() -> None:
    found = window()
    found.sent(row(1), Turn.HISTORY, 0)
    found.sent(row(21), Turn.HISTORY, 5_000)
    found.acknowledged(10, 10_000)
    assert due(found, 24_999) == []
    assert due(found, 25_000) == [21]


def test_a_new_session_forgets_and_a_rebirth_hurries() -> None:
    found = window()
    found.sent(row(1), Turn.HISTORY, 0)
    found.sent(row(21), Turn.LIVE, 0)
    found.hurry(100)
    assert due(found, 100) == [1, 21]
    found.reset(0, 200)
    assert len(found) == 0
    assert found.next_due() == float("inf")
    assert row(1) not in found


def test_a_row_that_grew_is_not_the_one_that_was_sent() -> None:
    found = window()
    found.sent(row(1), Turn.HISTORY, 0)
    assert row(1) in found
    assert Head(1, 20, Lane.GAP) not in found
    found.forget(row(1))
    assert row(1) not in found
