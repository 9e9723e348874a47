"""Listens to the stream as everybody at once while every kind of fact is told about every place. Used by test_web_rights_stream.py."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from server.live.facts import AlarmFact, ClockFact, CoverageFact, Fact, FloodFact, GatewayFact, PointFact, ReadingFact, RoomFact, UnitFact
from tests.web.town import NAMES, Town
from tests.web.walk import Character
from tests.web.walk_examples import Place

QUICK_MS = 50
"""Between two pings of the streams of this walk."""


def _alarm(town: Town, place: Place) -> Fact:
    return AlarmFact(
        alarm_id=9_000 + place.alarm, room=place.room, unit=place.unit, subject=f"room:{place.room}", rule="smoke", state="active_unacked",
        level="critical", raised_at=town.now, acked_by=place.marks[-1],
    )  # fmt: skip


FACTS: Mapping[type, Callable[[Town, Place], Fact]] = {
    UnitFact: lambda town, place: UnitFact(code=place.unit, path=town.board.path(place.unit), name=NAMES.get(place.key, "县局")),
    RoomFact: lambda town, place: town.board.room_fact(place.room),
    PointFact: lambda town, place: town.board.point(place.point),
    ReadingFact: lambda town, place: ReadingFact(place.point, 22.5, "good", town.now, town.now, "", town.now),
    AlarmFact: _alarm,
    CoverageFact: lambda town, place: CoverageFact(room=place.room, state="degraded", cause=place.marks[0], since=town.now),
    GatewayFact: lambda town, place: GatewayFact(
        code=place.gateway, unit=place.unit, online=False, since=town.now, last_seen_at=town.now, rooms=(place.room,)
    ),
    FloodFact: lambda town, place: FloodFact(unit=place.unit, since=town.now, alarms=12),
    ClockFact: lambda town, place: ClockFact(by=0),
}
"""An example of each kind of fact that the watch tells the board, about one place."""


@dataclass(slots=True)
class Heard:
    """What one stream brought: `events` are (kind, data) in order."""

    who: Character
    status: int = 0
    text: str = ""
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """All complete events."""
        found = []
        for block in self.text.split("\n\n")[:-1]:
            lines = dict(line.split(": ", 1) for line in block.splitlines())
            if "event" in lines:
                found.append((lines["event"], json.loads(lines["data"])))
        return found

    @property
    def revision(self) -> str:
        """The first revision that he was told."""
        return next(line[4:] for line in self.text.splitlines() if line.startswith("id: "))


async def listen(town: Town, heard: Heard, query: str = "", last_event_id: str = "") -> None:
    """Hold one stream open until the server ends it or `heard.done` is set."""
    headers = {"host": "testserver", "last-event-id": last_event_id, **heard.who.headers}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": "/api/v1/stream", "raw_path": b"/api/v1/stream",
        "root_path": "", "query_string": query.encode(), "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 5), "server": ("testserver", 80), "scheme": "http",
    }  # fmt: skip
    asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in asked:
            return message
        await heard.done.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        heard.status = message.get("status", heard.status)
        heard.text += message.get("body", b"").decode()

    await town.app(scope, receive, send)


async def tell(town: Town, until: Callable[[], bool]) -> None:
    """Have the hub send what it has, and wait until everybody has taken it."""
    town.now += 1_001
    town.hub.run_once(town.now)
    while not until() or any(client.pending for client in town.hub._clients):  # noqa: ASYNC110 - comes about in many tasks and threads
        await asyncio.sleep(0.002)


async def walk(town: Town, characters: list[Character]) -> tuple[list[Heard], list[Heard]]:
    """Everybody's stream while everything happens everywhere, and the same viewers coming back for what they missed since the beginning."""
    first = [Heard(who) for who in characters]
    tasks = [asyncio.create_task(listen(town, heard)) for heard in first]
    await tell(town, lambda: all(heard.events or heard.status >= 400 for heard in first))
    for make in FACTS.values():
        town.hub.publish([make(town, place) for place in town.places.values()], town.now)
        await tell(town, lambda: True)
    again = [Heard(heard.who) for heard in first if heard.status == 200]
    since = [heard.revision for heard in first if heard.status == 200]
    tasks += [asyncio.create_task(listen(town, heard, last_event_id=number)) for heard, number in zip(again, since, strict=True)]
    await tell(town, lambda: all(any(kind == "ping" for kind, _ in heard.events) for heard in again))
    town.hub.close()
    await tell(town, lambda: True)
    await asyncio.wait_for(asyncio.gather(*tasks), 30)
    return first, again
