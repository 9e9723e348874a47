"""The board never calls a room normal without fresh data, and time alone takes normal away."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.live.board import STATES, AlarmFact, Board, CoverageFact, GatewayFact, PointFact, ReadingFact, RoomFact, UnitFact

T0 = 1_790_000_000_000
ROOM = RoomFact(
    code="350102000000-01",
    unit="350102000000",
    unit_path=("350000000000", "350100000000", "350102000000"),
    name="一号库房",
    unit_name="鼓楼区分局",
    band={"temperature": (14, 24), "humidity": (45, 60)},
    demanded=("temperature", "humidity"),
)


def point(number: int, quantity: str, **more: object) -> PointFact:
    known: dict[str, object] = {"room": ROOM.code, "gateway": "gw", "device": "th1", "unit": "", "deadline_ms": 180_000} | more
    return PointFact(point_id=number, quantity=quantity, **known)  # type: ignore[arg-type]


def reading(number: int, at: int, value: float | None = 20.0, quality: str = "good", received: int | None = None, offset: int = 0) -> ReadingFact:
    came = at if received is None else received
    return ReadingFact(point_id=number, value=value, quality=quality, taken_at=at, received_at=came, reason="", at=min(at + offset, came))


def alarm(
    number: int, level: str, state: str = "active_unacked", *, room: str | None = ROOM.code, closed: bool = False, drill: bool = False
) -> AlarmFact:
    return AlarmFact(
        alarm_id=number, room=room, unit=ROOM.unit, subject="s", rule="r", state=state, level=level, raised_at=T0 + number, closed=closed, drill=drill
    )


@pytest.fixture
def board() -> Board:
    board = Board()
    board.apply([ROOM, point(1, "temperature"), point(2, "humidity"), reading(1, T0), reading(2, T0, 50)])
    return board


def state(board: Board, now: int) -> str:
    tile = board.room(ROOM.code, now)
    assert tile is not None
    return tile.state


def test_a_drill_never_stands_before_a_real_alarm_of_the_room(board: Board) -> None:
    board.apply([alarm(1, "urgent"), alarm(2, "critical", drill=True)])
    tile = board.room(ROOM.code, T0)
    assert tile is not None
    assert tile.worst is not None
    assert (tile.state, tile.worst.alarm_id, len(tile.alarms)) == ("urgent", 1, 2)


def test_a_room_that_never_reported_is_blind() -> None:
    board = Board()
    board.apply([ROOM, point(1, "temperature"), point(2, "humidity")])
    tile = board.room(ROOM.code, T0)
    assert tile is not None
    assert (tile.state, tile.missing) == ("blind", ("temperature", "humidity"))
    assert [view.quality for view in tile.points] == ["missing", "missing"]


def test_a_room_of_which_nothing_is_demanded_is_not_normal() -> None:
    board = Board()
    board.apply([RoomFact(code="x", unit="u", unit_path=("u",), name="n", unit_name="u")])
    tile = board.room("x", T0)
    assert tile is not None
    assert (tile.state, tile.cause) == ("blind", "not_connected")


def test_time_alone_turns_normal_into_degraded_and_blind(board: Board) -> None:
    board.tick(T0)
    assert state(board, T0 + 179_999) == "normal"
    assert board.tick(T0 + 179_999) == set()
    board.apply([reading(1, T0 + 60_000)])
    assert board.tick(T0 + 180_000) == {ROOM.code}
    assert state(board, T0 + 180_000) == "degraded"
    assert board.tick(T0 + 239_999) == set()
    assert board.tick(T0 + 240_000) == {ROOM.code}
    assert state(board, T0 + 240_000) == "blind"
    assert board.tick(T0 + 900_000) == set()


@pytest.mark.parametrize("quality", ["uncertain", "bad", "stale"])
def test_only_good_samples_make_a_room_normal(board: Board, quality: str) -> None:
    board.apply([reading(1, T0 + 1, None if quality == "bad" else 20.0, quality)])
    assert state(board, T0 + 2) == "degraded"


def test_a_clock_that_runs_ahead_keeps_nothing_fresh(board: Board) -> None:
    board.apply([reading(1, T0 + 86_400_000, received=T0 + 10), reading(2, T0 + 86_400_000, received=T0 + 10)])
    assert state(board, T0 + 180_009) == "normal"
    assert state(board, T0 + 180_010) == "blind"


def test_a_clock_that_runs_behind_is_corrected_by_its_offset(board: Board) -> None:
    board.apply([reading(i, T0 - 600_000, received=T0 + 500, offset=600_400) for i in (1, 2)])
    assert state(board, T0 + 1_000) == "normal"


def test_an_older_reading_does_not_replace_a_newer_one(board: Board) -> None:
    assert board.apply([reading(1, T0 - 1, 99)]) == set()


def test_an_outdoor_probe_does_not_stand_for_the_room() -> None:
    board = Board()
    board.apply([ROOM, point(1, "temperature", channel="outdoor"), point(2, "humidity"), reading(1, T0), reading(2, T0)])
    assert state(board, T0) == "degraded"


def test_the_worst_wins(board: Board) -> None:
    for number, level in enumerate(("warn", "alarm", "urgent", "critical")):
        board.apply([alarm(number, level)])
        assert state(board, T0) == level
    board.apply([alarm(number, "x", closed=True) for number in range(1, 4)])
    assert state(board, T0) == "warn"
    assert state(board, T0 + 180_000) == "blind"
    tile = board.room(ROOM.code, T0 + 180_000)
    assert tile is not None
    assert tile.worst is not None


@pytest.mark.parametrize(("silenced", "expected"), [("shelved", "warn"), ("suppressed", "maintenance"), ("out_of_service", "maintenance")])
def test_a_silenced_alarm_is_still_not_normal(board: Board, silenced: str, expected: str) -> None:
    board.apply([alarm(1, "critical", silenced)])
    assert state(board, T0) == expected


def test_maintenance_ends_by_time(board: Board) -> None:
    board.tick(T0)
    board.apply([RoomFact(**{name: getattr(ROOM, name) for name in ROOM.__slots__} | {"maintenance_until": T0 + 5_000})])
    assert state(board, T0 + 4_999) == "maintenance"
    assert board.tick(T0 + 5_000) == {ROOM.code}
    assert state(board, T0 + 5_000) == "normal"


def test_a_point_that_moves_changes_both_rooms(board: Board) -> None:
    other = RoomFact(code="other", unit=ROOM.unit, unit_path=ROOM.unit_path, name="二号", unit_name="u", demanded=("temperature",))
    board.apply([other])
    assert board.apply([point(1, "temperature", room="other")]) == {ROOM.code, "other"}
    assert state(board, T0) == "degraded"


def test_of_several_probes_the_one_furthest_from_the_band_is_shown(board: Board) -> None:
    board.apply([point(3, "temperature", device="th2"), reading(3, T0, 27.5)])
    tile = board.room(ROOM.code, T0)
    assert tile is not None
    shown = tile.headline("temperature")
    assert shown is not None
    assert shown.value == 27.5
    assert tile.headline("smoke") is None


def test_gateway_and_coverage_reach_the_tile(board: Board) -> None:
    gateway = GatewayFact(code="gw", unit=ROOM.unit, online=False, since=T0, last_seen_at=T0, rooms=(ROOM.code,))
    assert board.apply([gateway, CoverageFact(room=ROOM.code, state="blind", cause="gateway", since=T0 + 180_000)]) == {ROOM.code}
    tile = board.room(ROOM.code, T0 + 180_001)
    assert tile is not None
    assert (tile.cause, tile.since, tile.gateways) == ("gateway", T0 + 180_000, (gateway,))


def test_rights_reach_down_the_tree_and_not_sideways(board: Board) -> None:
    board.apply([UnitFact(code="350103000000", path=("350000000000", "350100000000", "350103000000"), name="台江"), alarm(1, "warn", room=None)])
    assert [tile.code for tile in board.rooms(T0, "350100000000")] == [ROOM.code]
    assert board.rooms(T0, "350103000000") == []
    assert [a.alarm_id for a in board.alarms("350102000000")] == [1]
    assert board.alarms("350103000000") == []
    assert board.visible("350103000000", "350100000000")
    assert not board.visible("350100000000", "350103000000")
    assert not board.visible(None, "350000000000")
    assert not board.visible("999999000000", "350000000000")


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 2]), st.integers(0, 600_000), st.sampled_from(["good", "uncertain", "bad", "stale"]), st.integers(0, 300_000)),
        max_size=20,
    ),
    st.integers(0, 1_000_000),
)
def test_normal_is_always_proven(samples: list[tuple[int, int, str, int]], later: int) -> None:
    board = Board()
    board.apply([ROOM, point(1, "temperature"), point(2, "humidity")])
    for number, at, quality, delay in samples:
        board.apply([reading(number, T0 + at, None if quality == "bad" else 20, quality, received=T0 + at + delay)])
    now = T0 + later
    tile = board.room(ROOM.code, now)
    assert tile is not None
    assert tile.state in STATES
    if tile.state == "normal":
        for number in (1, 2):
            assert any((n == number and q == "good" and T0 + at <= now < T0 + at + 180_000) or T0 + at > now for n, at, q, _ in samples)


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.integers(0, 600_000)), min_size=1, max_size=12), st.lists(st.integers(1, 200_000), max_size=12))
def test_ticks_report_every_change_of_state(samples: list[tuple[int, int]], steps: list[int]) -> None:
    board = Board()
    board.apply([ROOM, point(1, "temperature"), point(2, "humidity")])
    board.tick(T0)
    board.apply([reading(number, T0 + at) for number, at in samples])
    now, before = T0, state(board, T0)
    for step in steps:
        now += step
        reported = board.tick(now)
        after = state(board, now)
        assert after == before or reported == {ROOM.code}
        before = after


STEPS = st.one_of(
    st.tuples(st.just("read"), st.sampled_from((1, 2)), st.integers(0, 400), st.sampled_from(("good", "bad"))),
    st.tuples(st.just("alarm"), st.sampled_from((7, 8)), st.sampled_from(("warn", "critical")), st.booleans()),
    st.tuples(st.just("rest"), st.integers(0, 400)),
    st.tuples(st.just("wait"), st.integers(0, 200)),
    st.tuples(st.just("point"), st.integers(30, 300)),
)


@given(st.lists(STEPS, max_size=25))
def test_the_overview_says_what_the_tiles_say(steps: list[tuple]) -> None:
    board, now = Board(), T0
    board.apply([ROOM, point(1, "temperature"), point(2, "humidity")])
    for kind, *what in steps:
        if kind == "read":
            board.apply([reading(what[0], now - what[1] * 1_000, quality=what[2])])
        elif kind == "alarm":
            board.apply([alarm(what[0], what[1], closed=what[2])])
        elif kind == "rest":
            board.apply([replace(ROOM, maintenance_until=now + what[0] * 1_000)])
        elif kind == "point":
            board.apply([point(1, "temperature", deadline_ms=what[0] * 1_000)])
        else:
            now += what[0] * 1_000
        [seen], [made] = board.overview(now), board.rooms(now)
        assert board.states(now) == {made.state: 1}
        assert (seen.state, seen.group, seen.missing, seen.cause, seen.alarms) == (made.state, made.group, made.missing, made.cause, made.alarms)
        assert [(view.at, view.quality) for view in seen.points] == [(view.at, view.quality) for view in made.points]
