"""No tile stays green on old or missing data: devices that never spoke, sensors taken out of a configuration, wrong clocks, a stopped server.

And smoke before any of it is never lost sight of.
"""

import pytest

from server.live.board import Board
from server.store.tables import Alarm, Transition
from server.watch.inputs import GatewayDeath

CLIMATE = [("th1/humidity", "350102000000-01"), ("th1/temperature", "350102000000-01")]
LIMIT_S, HOUR_MS = 30, 3_600_000


def state(made):
    """What the board shows of the room now, from everything that the watch has published."""
    board = Board()
    board.apply(made.facts)
    return board.room(made.ROOM, made.now).state


def calm(made, **more):
    made.send(("th1/humidity", 50.0), ("th1/temperature", 20.0), **more)


def test_a_device_that_never_spoke_since_it_was_declared(slice_):
    slice_.birth(CLIMATE)
    for _ in range(8):
        assert state(slice_) in ("blind", "degraded")
        slice_.run(5)
    slice_.send(("th1/temperature", 20.0))  # the gateway lives; one of the two has never spoken
    assert state(slice_) != "normal"
    assert [alarm.quantity for alarm in slice_.rows(Alarm, rule="sensor_stale", state="active_unacked")] == ["humidity"]


def test_a_sensor_that_was_taken_out_of_the_configuration_still_owes_its_readings(slice_):
    slice_.birth(CLIMATE)
    calm(slice_)
    assert state(slice_) == "normal"
    slice_.birth(CLIMATE[1:])
    for _ in range(5):
        slice_.send(("th1/temperature", 20.0))
        slice_.run(8)
    assert state(slice_) != "normal"
    assert [alarm.quantity for alarm in slice_.rows(Alarm, rule="sensor_stale")] == ["humidity"]


@pytest.mark.parametrize("wrong_ms", [-3 * HOUR_MS, 3 * HOUR_MS])
def test_a_gateway_whose_clock_is_hours_off_is_fresh_while_it_speaks_and_no_longer(slice_, wrong_ms):
    slice_.birth(CLIMATE)
    for _ in range(3):
        calm(slice_, ago=-wrong_ms / 1000, offset_ms=-wrong_ms)
        assert state(slice_) == "normal"
        slice_.run(10)
    slice_.now += (LIMIT_S - 10) * 1000
    assert state(slice_) != "normal"


def test_a_clock_that_runs_ahead_unseen_keeps_nothing_fresh(slice_):
    slice_.birth(CLIMATE)
    calm(slice_, ago=-7_200)  # two hours ahead, and no offset is known
    assert state(slice_) == "normal"
    slice_.now += LIMIT_S * 1000
    assert state(slice_) != "normal"


def test_a_server_that_was_away_for_ten_minutes_shows_nothing_green_until_it_hears_again(slice_):
    slice_.birth(CLIMATE)
    calm(slice_)
    slice_.now += 600_000
    slice_.facts.clear()
    slice_.start()
    assert state(slice_) == "blind"
    slice_.run(1)
    assert state(slice_) == "blind"
    slice_.birth(CLIMATE)
    assert state(slice_) == "blind"  # a birth is no reading
    calm(slice_)
    assert state(slice_) == "normal"


def test_smoke_before_a_kill_whose_gateway_never_comes_back(slice_):
    points = [*CLIMATE, ("smoke1/smoke", slice_.ROOM)]
    slice_.birth(points)
    calm(slice_)
    slice_.send(("smoke1/smoke", 1))
    slice_.now += 5_000
    slice_.start()
    slice_.run(120)  # beyond the silence that makes a gateway absent
    [lost] = slice_.rows(Alarm, kind="lost")
    assert (lost.level, lost.state, lost.room, lost.group_alarm) == ("critical", "active_unacked", slice_.ROOM, None)
    assert "raised" in {row.name for row in slice_.rows(Transition, alarm=lost.id)}
    assert state(slice_) == "critical"


def test_smoke_before_a_kill_and_the_death_of_its_gateway_after_it(slice_):
    slice_.birth([*CLIMATE, ("smoke1/smoke", slice_.ROOM)])
    calm(slice_)
    slice_.send(("smoke1/smoke", 1))
    slice_.run(2)
    slice_.send(("smoke1/smoke", 0))
    slice_.now += 20_000
    slice_.start()
    slice_.watch.offer(GatewayDeath(gateway=slice_.GATEWAY, at=slice_.now))
    slice_.run(2)
    [lost] = slice_.rows(Alarm, kind="lost")
    assert (lost.level, lost.state) == ("critical", "active_unacked")
