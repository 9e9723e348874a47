"""What a gateway says of itself: fill, clock, and what it gave up."""

from typing import Any

import pytest

from edge.condition import Condition, declarations
from edge.intake import Report
from edge.spool import Counters

NOW = 1_800_000_000_000
ROOM = "350128000001-01"


class Desk:
    """A condition with time."""

    def __init__(self, room: str = ROOM) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.counters = Counters()
        self.mono = 0.0
        self.condition = Condition("gw-1", room, lambda kind, _now, **detail: self.told.append((kind, detail)))

    def look(self, fill: float = 0.1, offset: float | None = 0.2, after_s: float = 60) -> dict[str, float | None]:
        self.mono += 1000 * after_s
        reports: list[Report] = self.condition.look(fill, self.counters, offset, NOW + int(self.mono), self.mono)
        assert all(report.room == ROOM for report in reports)
        return {report.sample.point.metric: report.sample.value for report in reports}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_both_points_are_told_every_five_minutes(desk: Desk) -> None:
    assert desk.look(0.123) == {"gateway/spool_fill": 12.3, "gateway/clock_offset": 0.2}
    assert [bool(desk.look()) for _ in range(5)] == [False, False, False, False, True]
    assert {point.metric: (point.interval_s, point.room, point.klass) for point in declarations(ROOM)} == {
        "gateway/spool_fill": (300, ROOM, "health"),
        "gateway/clock_offset": (300, ROOM, "health"),
    }


@pytest.mark.parametrize("fill", [0.7, 0.9])
def test_a_spool_that_fills_up_is_told_at_once_and_once(desk: Desk, fill: float) -> None:
    desk.look(fill - 0.01)
    desk.told.clear()
    assert desk.look(fill)["gateway/spool_fill"] == pytest.approx(100 * fill)
    assert desk.look(fill + 0.01, after_s=29) == {}
    assert "gateway/spool_fill" in desk.look(fill + 0.01, after_s=1), "a centre that comes back must hear of it while it lasts"
    assert desk.told == [("spool_filling", {"fill": fill})]
    assert "gateway/spool_fill" in desk.look(fill - 0.2), "and at once when there is room again"


def test_a_clock_that_is_off_is_told_at_once(desk: Desk) -> None:
    assert desk.look(offset=None) == {"gateway/spool_fill": 10.0}, "nobody acknowledged anything yet"
    assert desk.look(offset=7200.5)["gateway/clock_offset"] == 7200.5
    assert desk.told == [("clock_offset", {"offset_s": 7200.5})]
    assert desk.look(offset=7201.0) == {}
    assert desk.look(offset=0.0)["gateway/clock_offset"] == 0.0


def test_what_was_given_up_goes_into_the_logbook_once(desk: Desk) -> None:
    desk.look()
    desk.counters.evicted, desk.counters.expired = 500, 64
    desk.look()
    desk.counters.evicted += 100
    desk.counters.renewed = desk.counters.lost = 1
    desk.look()
    desk.look()
    assert desk.told == [
        ("spool_evicted", {"count": 500}), ("spool_expired", {"count": 64}),
        ("spool_evicted", {"count": 100}), ("spool_renewed", {"count": 1}), ("spool_lost", {"count": 1}),
    ]  # fmt: skip


def test_a_gateway_without_a_room_has_no_points_but_a_logbook() -> None:
    desk = Desk("")
    desk.counters.evicted = 1
    assert desk.look(0.95) == {}
    assert [kind for kind, _ in desk.told] == ["spool_evicted", "spool_filling"]
    assert declarations("") == ()
