"""Viewers get what they may see, whole up to the revision they hold; one who does not read costs nobody anything."""

import asyncio
import json
from typing import Any

import pytest

from server.live.board import AlarmFact, Board, PointFact, ReadingFact, RoomFact
from server.live.facts import ClockFact, FloodFact
from server.live.hub import HISTORY, QUEUE, SILENT_MS, Client, Hub

T0 = 1_790_000_000_000
PROVINCE, NORTH, SOUTH = "350000000000", "350100000000", "350200000000"


def room(unit: str, number: int = 1) -> RoomFact:
    return RoomFact(code=f"{unit}-{number:02}", unit=unit, unit_path=(PROVINCE, unit), name="库", unit_name="局", demanded=("temperature",))


def point(number: int, unit: str) -> PointFact:
    return PointFact(point_id=number, room=f"{unit}-01", gateway="g", device="d", quantity="temperature", deadline_ms=180_000)


def reading(number: int, at: int, value: float = 20.0) -> ReadingFact:
    return ReadingFact(point_id=number, value=value, quality="good", taken_at=at, received_at=at, reason="", at=at)


def alarm(number: int, unit: str, *, in_room: bool = True) -> AlarmFact:
    code = f"{unit}-01" if in_room else None
    return AlarmFact(alarm_id=number, room=code, unit=unit, subject="s", rule="smoke", state="active_unacked", level="critical", raised_at=T0)


@pytest.fixture
def hub() -> Hub:
    hub = Hub(Board(), T0)
    hub.publish([room(NORTH), room(SOUTH), point(1, NORTH), point(2, SOUTH), reading(1, T0), reading(2, T0)], T0)
    hub.run_once(T0)
    return hub


def take(hub: Hub, client: Client, now: int = T0) -> list[tuple[str, Any, int | None]]:
    return [(event.name, json.loads(event.data), event.id) for event in hub.take(client, now)]


def tiles(events: list[tuple[str, Any, int | None]]) -> dict[str, Any]:
    return {tile["room"]: tile for name, data, _ in events if name in ("tiles", "snapshot") for tile in data["tiles"]}


def test_the_first_thing_is_a_snapshot_of_the_own_subtree(hub: Hub) -> None:
    hub.publish([alarm(1, NORTH), alarm(2, SOUTH)], T0)
    events = take(hub, hub.attach(NORTH, T0))
    assert [name for name, _, _ in events] == ["snapshot"]
    assert set(tiles(events)) == {f"{NORTH}-01"}
    assert [a["id"] for a in events[0][1]["alarms"]] == [1]
    assert events[0][1]["counts"] == {"critical": 1}


def test_tiles_are_gathered_for_a_second(hub: Hub) -> None:
    client = hub.attach(None, T0)
    take(hub, client)
    for ms in range(0, 900, 100):
        hub.publish([reading(1, T0 + ms, 20 + ms)], T0 + ms)
        hub.run_once(T0 + ms)
    assert not client.pending
    hub.run_once(T0 + 1_000)
    events = take(hub, client, T0 + 1_000)
    assert tiles(events)[f"{NORTH}-01"]["values"]["temperature"]["value"] == 820
    assert len(events) == 1


def test_a_clock_that_is_put_back_holds_no_tile_up(hub: Hub) -> None:
    client = hub.attach(None, T0)
    take(hub, client)
    back = T0 - 3_600_000
    hub.publish([ClockFact(3_600_000), reading(1, back, 25)], back)
    hub.run_once(back)
    assert tiles(take(hub, client, back))[f"{NORTH}-01"]["values"]["temperature"]["value"] == 25


def test_an_alarm_goes_out_at_once_and_the_tiles_with_it(hub: Hub) -> None:
    client = hub.attach(None, T0)
    take(hub, client)
    hub.publish([reading(2, T0 + 1, 21)], T0 + 1)
    hub.publish([alarm(1, NORTH)], T0 + 2)
    hub.run_once(T0 + 2)
    events = take(hub, client, T0 + 2)
    assert [name for name, _, _ in events] == ["alarm", "tiles"]
    assert set(tiles(events)) == {f"{NORTH}-01", f"{SOUTH}-01"}
    assert [number for _, _, number in events] == [None, hub.revision]


def test_nothing_of_a_sister_unit_enters_the_queue(hub: Hub) -> None:
    client = hub.attach(SOUTH, T0)
    take(hub, client)
    hub.publish([alarm(1, NORTH), alarm(2, NORTH, in_room=False), reading(1, T0 + 5)], T0 + 5)
    hub.publish([FloodFact(unit=NORTH, since=T0, alarms=11)], T0 + 5)
    hub.run_once(T0 + 1_000)
    assert not client.pending
    hub.publish([FloodFact(unit=SOUTH, since=T0, alarms=12)], T0 + 6)
    hub.run_once(T0 + 1_001)
    assert take(hub, client)[0][1]["notice"]["flood"]["alarms"] == 12


def test_a_stream_of_one_room_carries_that_room_only(hub: Hub) -> None:
    client = hub.attach(None, T0, room=f"{NORTH}-01")
    assert set(tiles(take(hub, client))) == {f"{NORTH}-01"}
    hub.publish([reading(2, T0 + 5), alarm(3, SOUTH)], T0 + 5)
    hub.run_once(T0 + 1_000)
    assert not client.pending


def test_a_viewer_who_returns_gets_what_was_missed_and_nothing_else(hub: Hub) -> None:
    first = hub.attach(None, T0)
    held = take(hub, first)[-1][2]
    hub.detach(first)
    hub.publish([reading(2, T0 + 10, 25), alarm(7, NORTH)], T0 + 10)
    events = take(hub, hub.attach(None, T0 + 20, last_event_id=str(held)), T0 + 20)
    assert [name for name, _, _ in events] == ["alarm", "tiles"]
    assert set(tiles(events)) == {f"{NORTH}-01", f"{SOUTH}-01"}
    again = hub.attach(None, T0 + 30, last_event_id=str(events[-1][2]))
    assert not again.pending


@pytest.mark.parametrize("last", ["", "abc", "-5", "²", str(T0 - 1), str(T0 + 10**9)])
def test_a_revision_that_is_not_known_gives_a_snapshot(hub: Hub, last: str) -> None:
    assert take(hub, hub.attach(None, T0, last_event_id=last))[0][0] == "snapshot"


def test_a_revision_older_than_the_kept_events_gives_a_snapshot(hub: Hub) -> None:
    held = hub.revision
    hub.publish([alarm(number, NORTH) for number in range(HISTORY + 1)], T0)
    assert take(hub, hub.attach(None, T0, last_event_id=str(held)))[0][0] == "snapshot"


def test_time_alone_sends_a_tile(hub: Hub) -> None:
    client = hub.attach(None, T0)
    assert tiles(take(hub, client))[f"{NORTH}-01"]["state"] == "normal"
    hub.run_once(T0 + 179_000)
    assert not client.pending
    hub.run_once(T0 + 180_000)
    events = take(hub, client, T0 + 180_000)
    assert tiles(events)[f"{NORTH}-01"]["state"] == "blind"
    assert events[-1][1]["counts"] == {"blind": 2}


def test_a_slow_viewer_is_resynchronised_and_then_let_go(hub: Hub) -> None:
    slow, quick = hub.attach(None, T0), hub.attach(None, T0)
    take(hub, slow)
    take(hub, quick)
    for number in range(QUEUE + 1):
        hub.publish([alarm(number, NORTH)], T0 + number)
        hub.run_once(T0 + number)
        assert len(take(hub, quick)) == 2
    assert (len(slow.messages), slow.rooms, slow.resync) == (0, set(), True)
    assert take(hub, slow)[0][0] == "snapshot"
    hub.publish([alarm(999, NORTH)], T0 + 1_000)
    hub.run_once(T0 + 1_000)
    hub.run_once(T0 + 1_001 + SILENT_MS)
    assert take(hub, slow)[0][0] == "bye"
    hub.run_once(T0 + 1_002 + SILENT_MS)
    assert quick.bye == "slow"  # it, too, has not read since then


def test_a_removed_room_leaves_by_a_snapshot(hub: Hub) -> None:
    client = hub.attach(None, T0)
    held = take(hub, client)[-1][2]
    gone = room(SOUTH)
    removed = RoomFact(code=gone.code, unit=gone.unit, unit_path=gone.unit_path, name="", unit_name="", removed=True)
    hub.publish([removed], T0)
    hub.run_once(T0 + 1_000)
    events = take(hub, client)
    assert events[0][0] == "snapshot"
    assert set(tiles(events)) == {f"{NORTH}-01"}
    assert take(hub, hub.attach(None, T0, last_event_id=str(held)))[0][0] == "snapshot"


def test_clients_are_counted_and_closing_says_bye() -> None:
    counted: list[int] = []
    hub = Hub(Board(), T0, counted.append)
    client = hub.attach(None, T0)
    hub.close()
    hub.run_once(T0)
    assert take(hub, client)[0][0:2] == ("bye", {"reason": "restart", "retry_ms": 2000})
    hub.detach(client)
    assert counted == [1, 0]


def test_publishing_from_another_thread_wakes_the_loop(hub: Hub) -> None:
    async def scene() -> list[tuple[str, Any, int | None]]:
        task = asyncio.create_task(hub.run(lambda: T0 + 10))
        client = hub.attach(None, T0)
        take(hub, client)
        await asyncio.sleep(0)
        await asyncio.to_thread(hub.publish, [alarm(1, NORTH)], T0 + 10)
        await asyncio.wait_for(client.wake.wait(), 5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        hub.publish([alarm(2, NORTH)], T0 + 11)  # nobody listens any more: kept, not raised
        return take(hub, client)

    assert [name for name, _, _ in asyncio.run(scene())] == ["alarm", "tiles"]
