"""The ledger against an injected truth: random arrivals, outages of gateway and server, maintenance and back-fill; sums exact to the second."""

import random

import pytest

from alarms.coverage import DAY_MS, day_of
from server import coverage
from server.store.performance import chronic, desk
from server.store.tables import Alarm, CoverageSpan
from server.watch import commands
from server.watch.inputs import GatewayDeath

LIMIT_S = 30


class Truth:
    """Second by second what was so, worked out without the server's code: [state, cause] at each second since T0."""

    def __init__(self):
        self.heard = {"humidity": -10_000, "temperature": -10_000}
        self.seconds = []

    def second(self, second, down=False):
        fresh = sum(second < heard + LIMIT_S for heard in self.heard.values())
        self.seconds.append("blind" if down else {2: "watched", 1: "degraded", 0: "blind"}[fresh])


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 40))])
def test_sums_equal_the_injected_truth_to_the_second(slice_, seed):
    dice, truth = random.Random(seed), Truth()
    slice_.birth([("th1/humidity", slice_.ROOM), ("th1/temperature", slice_.ROOM)])
    second = 0
    while second < 500:
        for quantity, value in (("humidity", 50.0), ("temperature", 20.0)):
            if dice.random() < 0.04 or second == 0:
                slice_.send((f"th1/{quantity}", value))
                truth.heard[quantity] = second
        if dice.random() < 0.02:
            slice_.send(("th1/humidity", 50.0), ago=dice.randint(40, 300), historical=True)
        if dice.random() < 0.006:
            slice_.watch.offer(GatewayDeath(gateway=slice_.GATEWAY, at=slice_.now))
        slice_.watch.run_once(lambda: slice_.now)
        if dice.random() < 0.006:
            away = dice.randint(4, 90)
            for _ in range(away):
                truth.second(second, down=True)
                second += 1
            slice_.now += away * 1000
            slice_.start()
        truth.second(second)
        second += 1
        slice_.now += 1000
        slice_.watch.run_once(lambda: slice_.now)
    with slice_.db.read() as session:
        [found] = coverage.sums(session, None, slice_.T0, slice_.now, room=slice_.ROOM)
        daily = coverage.sums(session, None, slice_.T0 - DAY_MS, slice_.now + DAY_MS, room=slice_.ROOM, daily=True)
    assert {state: length / 1000 for state, length in found.states.items() if length} == {
        state: float(truth.seconds.count(state)) for state in ("watched", "degraded", "blind") if state in truth.seconds
    }
    assert found.unknown == 0
    assert sum(found.causes.values()) == found.states["blind"] + found.states["degraded"]
    assert sum(one.end - one.start for one in daily) == 2 * DAY_MS + slice_.now - slice_.T0
    assert all(one.end - one.start == one.counted + one.apart + one.unknown for one in daily)


def test_every_room_of_the_subtree_is_on_record_and_only_rooms_in_use_make_percentages(slice_):
    slice_.birth([("th1/humidity", slice_.ROOM), ("th1/temperature", slice_.ROOM)])
    slice_.send(("th1/humidity", 50.0), ("th1/temperature", 20.0))
    slice_.run(10)
    slice_.order(commands.SetStage(room=slice_.ROOM, stage="commissioning", by="林一", reason="复检"))
    slice_.run(10)
    with slice_.db.read() as session:
        [found] = coverage.sums(session, "350102000000", slice_.T0, slice_.now)
    assert (found.states["watched"], found.apart, found.rooms) == (10_000, 10_000, 2)
    assert found.states["blind"] == 20_000  # the other room has no points: nobody watches it
    assert found.causes == {"not_connected": 20_000}
    assert found.percent == pytest.approx(100 / 3)
    assert {span.room for span in slice_.rows(CoverageSpan)} == {slice_.ROOM, slice_.OTHER}


def test_an_open_stretch_over_midnight_is_part_of_both_days():
    midnight = day_of(1_790_000_000_000)[1]
    assert list(coverage.days(midnight - 5, midnight + 7)) == [(midnight - 5, midnight), (midnight, midnight + 7)]


def test_the_figures_of_a_desk_leave_out_drills_members_and_what_was_only_listed(slice_):
    slice_.birth()
    slice_.send(("smoke1/smoke", 1))
    slice_.run(40)
    slice_.send(("th1/humidity", 50.0))
    for ago in range(39, 2, -4):
        slice_.send(("th1/humidity", 70.0), ago=ago, historical=True)
    slice_.run(61)
    with slice_.db.write() as session:
        before = desk(session, "350102000000", slice_.T0 - 1, slice_.now + 1)
        session.query(Alarm).filter_by(rule="smoke").one().drill = True
    with slice_.db.read() as session:
        after = desk(session, "350102000000", slice_.T0 - 1, slice_.now + 1)
        assert chronic(session, None) == []
    assert before.performance.asked - after.performance.asked == 1
    assert (before.known_late, before.performance.levels["critical"]) == (1, 2)  # smoke, and the silence after it
    assert after.performance.levels["critical"] == 1
