"""The physical model of the rooms: against the table of domain facts 5.4, exact in time, deterministic, and doing what it is told."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from contract.quantities import QUANTITIES, Kind, UnknownQuantityError
from simulators import visits
from simulators.air import absolute_humidity, dew_point, saturation
from simulators.plant import Plant
from simulators.rooms import RoomSpec, UnknownRoomError
from simulators.weather import DAY, HOUR, LOCAL

START = int(datetime(2025, 6, 2, tzinfo=LOCAL).timestamp() * 1000)  # a Monday
SUMMER = int(datetime(2025, 8, 4, tzinfo=LOCAL).timestamp() * 1000)
BARE = RoomSpec.bare("bare")


def run(rooms: list[RoomSpec], days: int, start: int = START, step_h: int = 1) -> tuple[np.ndarray, np.ndarray]:
    plant = Plant(rooms, seed=3, start_ms=start)
    temperatures, humidities = [], []
    for t in range(start, start + days * DAY, step_h * HOUR):
        plant.advance(t)
        temperatures.append(plant.values("temperature"))
        humidities.append(plant.values("humidity"))
    return np.array(temperatures), np.array(humidities)


def inside(t: np.ndarray, h: np.ndarray) -> float:
    return float(np.mean((t >= 14) & (t <= 24) & (h >= 45) & (h <= 60)))


def test_a_year_of_each_kind_of_room() -> None:
    """Domain facts 5.4: RH means of 77, 56 and 54 %, nothing in the band without machines, heating decides the winter."""
    rooms = [
        BARE,
        replace(BARE, code="dry", dehumidifier=55.0),
        replace(BARE, code="cool", dehumidifier=55.0, cooling=22.0),
        RoomSpec("kept"),
        replace(BARE, code="chilled", cooling=24.0, cooling_hours="office"),
    ]
    seasons = [run(rooms, 30, int(datetime(2025, month, 1, tzinfo=LOCAL).timestamp() * 1000)) for month in (1, 4, 7, 10)]
    t, h = (np.concatenate([season[i] for season in seasons]) for i in (0, 1))
    assert 60 <= h[:, 0].mean() <= 90
    assert inside(t[:, 0], h[:, 0]) < 0.02
    assert 6 < t[:, 0].min() < 12
    assert 28 < t[:, 0].max() < 36
    assert 50 <= h[:, 1].mean() <= 58
    assert 0.25 < inside(t[:, 1], h[:, 1]) < 0.5
    assert 0.65 < inside(t[:, 2], h[:, 2]) < 0.9
    assert inside(t[:, 3], h[:, 3]) > 0.95
    assert h[:, 4].mean() > h[:, 0].mean() - 1, "cooling alone does not dry a room"
    assert t[:, 4].max() < t[:, 0].max()


def test_forty_rooms_for_a_month_are_well_kept() -> None:
    rooms = [replace(RoomSpec(f"r{i}"), volume_m3=45.0 + i, paper_mass_kg=4000.0 + 100 * i) for i in range(36)] + [
        RoomSpec.bare(f"b{i}") for i in range(4)
    ]
    t, h = run(rooms, 30)
    assert inside(t[:, :36], h[:, :36]) > 0.95
    assert inside(t[:, 36:], h[:, 36:]) < 0.2


def test_water_and_heat_only_come_from_somewhere() -> None:
    """A sealed room without machines, people and heat exchange by air keeps the water of air and paper together."""
    sealed = replace(BARE, ach=0.0, visits_per_day=0.0)
    _, h = run([sealed], 20)
    assert np.ptp(h) < 12
    assert 20 < h.mean() < 100


def test_paper_damps_the_outside() -> None:
    full, empty = replace(BARE, code="full"), replace(BARE, code="empty", paper_mass_kg=60.0)
    t, h = run([full, empty], 60)
    swings = [np.median(np.ptp(x.reshape(60, 24, 2), axis=1), axis=0) for x in (t, h)]
    assert swings[0][0] < swings[0][1]
    assert swings[1][0] < swings[1][1] / 2


def test_deterministic_and_independent_of_how_often_one_looks() -> None:
    rooms = [RoomSpec("a"), BARE]
    often, once, other = (Plant(rooms, seed=s, start_ms=START) for s in (1, 1, 2))
    for t in range(START, START + 3 * DAY, 7 * 60_000 + 13):
        often.advance(t)
    for plant in (often, once, other):
        plant.advance(START + 3 * DAY)
    assert np.array_equal(often.values("temperature"), once.values("temperature"))
    assert often.value("bare", "humidity") == once.value("bare", "humidity")
    assert not np.allclose(once.values("temperature"), other.values("temperature"))


def test_a_smaller_step_gives_nearly_the_same() -> None:
    coarse, fine = (Plant([RoomSpec("a"), BARE], seed=1, start_ms=START, step_ms=s) for s in (300_000, 60_000))
    for plant in (coarse, fine):
        plant.advance(START + 2 * DAY)
    assert np.allclose(coarse.values("temperature"), fine.values("temperature"), atol=0.3)
    assert np.allclose(coarse.values("humidity"), fine.values("humidity"), atol=1.0)


def test_values_are_continuous_between_steps() -> None:
    plant = Plant([BARE], seed=1, start_ms=START)
    seen = []
    for second in range(0, 1200, 5):
        plant.advance(START + second * 1000)
        seen.append(plant.value("bare", "temperature"))
    assert max(abs(np.diff(seen))) < 0.02


def test_every_quantity_has_a_plausible_value() -> None:
    plant = Plant([RoomSpec("a")], seed=1, start_ms=START + 10 * HOUR)
    for quantity in QUANTITIES.values():
        value = plant.value("a", quantity.name)
        assert quantity.low <= value <= quantity.high, quantity.name
        if quantity.kind is Kind.STATE:
            assert value == int(value)


def test_refuses_what_it_does_not_know() -> None:
    plant = Plant([RoomSpec("a")], seed=1, start_ms=START)
    with pytest.raises(UnknownRoomError, match="attic"):
        plant.value("attic", "temperature")
    with pytest.raises(UnknownQuantityError):
        plant.value("a", "happiness")
    with pytest.raises(ValueError, match="backwards"):
        plant.advance(START - 1)
    with pytest.raises(ValueError, match="incident"):
        plant.trigger("a", "earthquake")
    with pytest.raises(ValueError, match="different codes"):
        Plant([RoomSpec("a"), RoomSpec("a")], seed=1, start_ms=START)
    with pytest.raises(ValueError, match="300 s"):
        Plant([RoomSpec("a")], seed=1, start_ms=START, step_ms=600_000)


def test_override_is_exact_and_ramps_are_straight() -> None:
    plant = Plant([RoomSpec("a")], seed=1, start_ms=START)
    plant.override("a", "humidity", 70.0)
    assert plant.value("a", "humidity") == plant.values("humidity")[0] == 70.0
    assert plant.forced("a", "humidity")
    plant.ramp("a", "humidity", 80.0, 60_000)
    plant.advance(START + 30_000)
    assert plant.value("a", "humidity") == pytest.approx(75.0)
    assert not plant.forced("a", "humidity")
    plant.advance(START + 90_000)
    assert plant.value("a", "humidity") == 80.0
    assert plant.value("a", "dew_point") == pytest.approx(dew_point(plant.value("a", "temperature"), 80.0))
    plant.override("a", "humidity", None)
    assert 40 < plant.value("a", "humidity") < 62


def test_smouldering_rises_convexly_and_trips_the_detector() -> None:
    plant = Plant([RoomSpec("a")], seed=1, start_ms=START)
    calm = plant.value("a", "temperature")
    plant.trigger("a", "smoulder", over_ms=60_000)
    densities = []
    for second in range(61):
        plant.advance(START + second * 1000)
        densities.append(plant.value("a", "smoke_density"))
    rises = np.diff(densities)
    assert np.all(rises > 0)
    assert np.all(np.diff(rises) > 0)
    assert densities[0] == pytest.approx(0.002)
    assert densities[-1] == pytest.approx(0.15, abs=0.01)
    assert plant.value("a", "smoke") == 1
    assert plant.value("a", "co") > 10
    assert 0.3 < plant.value("a", "temperature") - calm < 3.5
    plant.clear("a")
    assert plant.value("a", "smoke") == 0


def test_flames_and_dust() -> None:
    plant = Plant([RoomSpec("a"), RoomSpec("b")], seed=1, start_ms=START)
    before = plant.value("b", "temperature")
    plant.trigger("a", "flame", over_ms=90_000)
    plant.trigger("b", "dust")
    plant.advance(START + 10_000)
    assert plant.value("b", "smoke_density") > 0.05
    plant.advance(START + 90_000)
    assert plant.value("a", "smoke_density") == pytest.approx(1.0, abs=0.05)
    assert plant.value("a", "temperature") > before + 20
    plant.advance(START + 300_000)
    assert plant.value("b", "smoke_density") < 0.01
    assert plant.value("b", "temperature") == pytest.approx(before, abs=0.5)


def test_an_open_door_lets_the_weather_in() -> None:
    rooms = [replace(BARE, code=c, visits_per_day=0.0, dehumidifier=50.0, cooling=22.0) for c in ("open", "shut")]
    plant = Plant(rooms, seed=1, start_ms=SUMMER)
    plant.trigger("open", "door_open", lasts_ms=2 * HOUR)
    plant.advance(SUMMER + HOUR)
    assert (plant.value("open", "door"), plant.value("shut", "door")) == (1, 0)
    assert plant.value("open", "temperature") > plant.value("shut", "temperature") + 0.05
    assert plant.value("open", "dew_point") > plant.value("shut", "dew_point") + 1
    plant.advance(SUMMER + 3 * HOUR)
    assert plant.value("open", "door") == 0


def test_a_power_cut_stops_the_machines_and_drains_the_ups() -> None:
    rooms = [replace(RoomSpec(c), visits_per_day=0.0, ups_minutes=60.0) for c in ("dark", "lit")]
    plant = Plant(rooms, seed=1, start_ms=SUMMER)
    plant.trigger("dark", "power_cut", lasts_ms=10 * HOUR)
    plant.advance(SUMMER + HOUR // 2)
    assert plant.value("dark", "power") == 0
    assert plant.value("dark", "voltage") == 0
    assert plant.value("dark", "battery") == pytest.approx(50, abs=1)
    plant.advance(SUMMER + 9 * HOUR)
    assert plant.value("dark", "runtime") == 0
    assert plant.value("dark", "temperature") > plant.value("lit", "temperature") + 0.6
    plant.advance(SUMMER + 11 * HOUR)
    assert plant.value("dark", "power") == 1


def test_leaks_are_seen() -> None:
    plant = Plant([RoomSpec("a")], seed=1, start_ms=START)
    plant.trigger("a", "leak", lasts_ms=5000)
    assert plant.value("a", "leak") == 1
    plant.advance(START + 5000)
    assert plant.value("a", "leak") == 0


def test_visits_keep_office_hours() -> None:
    found = [v for day in range(20_000, 20_140) for v in visits.of_day(1, "a", day, 2.0)]
    assert 140 < len(found) < 260
    for visit in found:
        assert visits.working_hours(visit.enter)
        assert visit.openings[0][0] == visit.enter < visit.leave
    pulses = [b - a for v in found for a, b in v.openings[:1]]
    assert 4_000 < np.median(pulses) < 16_000
    assert visits.of_day(1, "a", 20_001, 6.0) == ()  # a Saturday
    assert visits.of_day(1, "a", 20_002, 6.0) == ()  # a Sunday


def test_door_and_motion_follow_the_visits() -> None:
    visit = next(v for day in range(visits.local_day(START), visits.local_day(START) + 5) for v in visits.of_day(1, "a", day, 2.0))
    plant = Plant([RoomSpec("a")], seed=1, start_ms=START)
    plant.advance(visit.enter)
    assert (plant.value("a", "door"), plant.value("a", "motion")) == (1, 1)
    assert plant.value("a", "illuminance") > 100
    plant.advance(visit.openings[0][1] + 1)
    assert (plant.value("a", "door"), plant.value("a", "motion")) == (0, 1)
    plant.advance(visit.leave)
    assert (plant.value("a", "door"), plant.value("a", "motion")) == (0, 0)


def test_shares_of_steps_add_up_to_the_visits() -> None:
    day = next(d for d in range(20_000, 20_010) if len(visits.of_day(1, "a", d, 4.0)) > 1)
    start = day * DAY - 8 * HOUR
    opened, people = visits.shares(1, "a", start, 300_000, 288, 4.0)
    found = visits.of_day(1, "a", day, 4.0)
    assert people.sum() * 300_000 == pytest.approx(sum(v.leave - v.enter for v in found))
    assert opened.sum() * 300_000 == pytest.approx(sum(b - a for v in found for a, b in v.openings))


def test_psychrometrics_match_the_published_vectors() -> None:
    """Domain facts 2.1."""
    for t, rh, td, ah in ((20, 50, 9.26, 8.621), (14, 60, 6.35, 7.223), (30, 85, 27.20, 25.722), (5, 40, -7.50, 2.716)):
        assert dew_point(t, rh) == pytest.approx(td, abs=0.01)
        assert float(absolute_humidity(np.array([float(t)]), np.array([float(rh)]))[0]) == pytest.approx(ah, rel=0.003)
    assert float(saturation(np.array([20.0]))[0]) == pytest.approx(17.24, abs=0.05)
