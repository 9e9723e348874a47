"""Common causes and floods: what is folded, what never is, and that nothing gets lost in it."""

from hypothesis import given
from hypothesis import strategies as st

from alarms.grouping import CAUSES, FLOOD_WINDOW_MS, Flood, Group, Open, cause_of, flood_step, fold, scope_of, stands_alone
from alarms.model import Level

M = 60_000
PROVINCE, FUZHOU, XIAMEN = "350000000000", "350100000000", "350200000000"
GULOU, TAIJIANG = "350102000000", "350103000000"


def alarm(ident: int, family: str, path: tuple[str, ...], at: int, level: Level = Level.ALARM, room: str = "") -> Open:
    return Open(ident, family, (room or f"{path[-1]}-{ident:02}",), path, at, level)


def test_causes() -> None:
    assert cause_of("gateway_offline", "stale", "gateway", Level.ALARM) == "offline"
    assert cause_of("room_blind", "stale", "", Level.URGENT) == "offline"
    assert cause_of("sensor_stale", "stale", "humidity", Level.WARN) == "bus"
    assert cause_of("power_lost", "state", "power", Level.URGENT) == "power"
    assert cause_of("humidity_high", "threshold", "humidity", Level.WARN) == "weather"
    assert cause_of("dew", "dew_point", "temperature", Level.ALARM) == "weather"
    assert cause_of("humidity_high", "threshold", "humidity", Level.URGENT) == ""
    assert cause_of("co2", "threshold", "co2", Level.WARN) == ""
    assert cause_of("door_held", "state", "door", Level.WARN) == ""


def test_smoke_leak_intrusion_and_fast_heat_stand_alone() -> None:
    alone = [
        ("smoke", "state", "smoke", Level.CRITICAL), ("leak", "state", "leak", Level.URGENT), ("intruder", "state", "motion", Level.URGENT),
        ("temperature_rise", "rate", "temperature", Level.CRITICAL), ("heat", "threshold", "temperature", Level.CRITICAL),
        ("door_forced", "state", "door", Level.URGENT),
    ]  # fmt: skip
    for one in alone:
        assert (stands_alone(*one), cause_of(*one)) == (True, "")
    for other in [("door_held", "state", "door", Level.WARN), ("sensor_stale", "stale", "smoke", Level.WARN)]:
        assert (stands_alone(*other), cause_of(*other)) == (False, "")


def test_scopes() -> None:
    path = (PROVINCE, FUZHOU, GULOU, "350102010000")
    assert [scope_of(cause, path) for cause in ("restart", "offline", "bus")] == [PROVINCE, FUZHOU, "350102010000"]
    assert scope_of("power", (PROVINCE,)) == PROVINCE


def test_a_damp_front_over_a_city_is_one_group_with_every_room_counted() -> None:
    county = [alarm(i, "weather", (PROVINCE, FUZHOU, GULOU), i * 10 * M) for i in range(4)]
    other = [alarm(9, "weather", (PROVINCE, FUZHOU, TAIJIANG), 45 * M, Level.URGENT)]
    far = [alarm(10, "weather", (PROVINCE, XIAMEN), 20 * M)]
    groups, single = fold([*far, *other, *county])
    assert groups == (Group("weather", FUZHOU, 0, Level.URGENT, (0, 1, 2, 3, 9), tuple(a.rooms[0] for a in [*county, *other])),)
    assert single == (10,)


def test_a_power_cut_in_one_county_is_named_after_the_county() -> None:
    groups, _ = fold([alarm(i, "power", (PROVINCE, FUZHOU, GULOU, f"3501020{i}0000"), i * 1000) for i in range(3)])
    assert [(group.unit, group.since) for group in groups] == [(GULOU, 0)]


def test_far_apart_in_time_is_not_one_cause() -> None:
    alarms = [alarm(i, "power", (PROVINCE, FUZHOU), i * (CAUSES["power"].burst_ms + 1)) for i in range(5)]
    assert fold(alarms) == ((), (0, 1, 2, 3, 4))


def test_many_alarms_of_one_room_are_no_group() -> None:
    assert fold([alarm(i, "offline", (PROVINCE, FUZHOU), i, room="R1") for i in range(9)])[0] == ()


ALARMS = st.lists(
    st.builds(
        alarm,
        st.integers(0, 10_000),
        st.sampled_from(["offline", "power", "weather", ""]),
        st.sampled_from([(PROVINCE, FUZHOU, GULOU), (PROVINCE, FUZHOU, TAIJIANG), (PROVINCE, XIAMEN), (PROVINCE,)]),
        st.integers(0, 300 * M),
    ),
    unique_by=lambda a: a.alarm,
    max_size=40,
)


@given(ALARMS, st.integers(1, 4))
def test_every_alarm_is_in_exactly_one_place(alarms: list[Open], least: int) -> None:
    groups, single = fold(alarms, least)
    assert sorted([*single, *(ident for group in groups for ident in group.alarms)]) == sorted(a.alarm for a in alarms)
    by_id = {a.alarm: a for a in alarms}
    for group in groups:
        members = [by_id[ident] for ident in group.alarms]
        assert {a.family for a in members} == {group.cause}
        assert all(group.unit in a.unit_path for a in members)
        assert set(group.rooms) == {room for a in members for room in a.rooms}
        assert len(group.rooms) >= least
        assert group.since == min(a.raised_at for a in members)
    assert fold(list(reversed(alarms)), least) == (groups, single)


def test_a_flood_starts_with_the_eleventh_alarm_and_ends_with_the_fifth_from_last() -> None:
    state, ends = Flood(), None
    for minute in range(11):
        state, ends = flood_step(state, minute * 50_000, 1)
        assert (state.since is not None) == (minute == 10)
    assert ends == 6 * 50_000 + FLOOD_WINDOW_MS
    assert flood_step(state, ends - 1)[0].since is not None
    assert flood_step(state, ends)[0].since is None


@given(st.lists(st.tuples(st.integers(0, 5 * M), st.integers(0, 4)), max_size=40))
def test_flood_agrees_with_a_count_of_the_last_ten_minutes(arrivals: list[tuple[int, int]]) -> None:
    state, now, seen, flooded = Flood(), 0, [], False
    for wait, count in arrivals:
        now += wait
        seen += [now] * count
        recent = sum(at > now - FLOOD_WINDOW_MS for at in seen)
        flooded = recent > 10 or (flooded and recent >= 5)
        state, ends = flood_step(state, now, count)
        assert (state.since is not None) == flooded
        assert (ends is not None) == flooded
