"""Rights of the stream: every kind of event that the server can send is caused for every place of the town, and nobody hears of a foreign one."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from server.live.facts import Fact
from server.live.hub import Kind
from server.web import rights
from server.web.rights import Action
from tests.web import walk_stream
from tests.web.town import Town


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path, ping_ms=walk_stream.QUICK_MS)
    yield made
    made.close()


def test_every_kind_of_event_stays_in_its_subtree(town: Town) -> None:
    assert set(walk_stream.FACTS) == set(get_args(Fact)), "tests/web/walk_stream.py (FACTS) needs an example of every kind of fact"
    characters = [*town.characters(), *town.others(), town.stranger()]
    first, again = asyncio.run(walk_stream.walk(town, characters))
    listening = {heard.who.name for heard in first if heard.status == 200}
    assert listening == {who.name for who in characters if rights.allows(who.role, Action.VIEW)}
    assert {heard.status for heard in first} == {200, 401, 403}
    kinds = {kind for heard in first for kind, _ in heard.events}
    assert kinds == set(get_args(Kind)), "the walk causes every kind of event that the hub can send"
    for heard in first + again:
        assert not [mark for mark in heard.who.forbidden if mark in heard.text], heard.who.name
    rooms = {place.room for place in town.places.values()}
    for heard in (one for one in first if one.status == 200):
        reached = {place.room for key, place in town.places.items() if key in heard.who.reaches}
        for kind in ("snapshot", "tiles"):
            told = {tile["room"] for name, data in heard.events if name == kind for tile in data["tiles"]}
            assert told & rooms == reached, (heard.who.name, kind)
        assert {data["alarm"]["room"] for name, data in heard.events if name == "alarm"} == reached
        desks = [data["notice"]["flood"]["unit"] for name, data in heard.events if name == "notice"]
        assert len(desks) <= 1, "a flood is told at its own desk alone"
        assert set(desks) <= {town.places[key].unit for key in heard.who.reaches}
        counted = {sum(data["counts"].values()) for name, data in heard.events if "counts" in data}
        assert counted == {len({tile["room"] for name, data in heard.events if name == "snapshot" for tile in data["tiles"]})}, heard.who.name
    assert sum("notice" in [kind for kind, _ in heard.events] for heard in first) > 5
    for heard in again:
        kinds = [kind for kind, _ in heard.events]
        assert {"alarm", "tiles"} <= set(kinds), "who comes back gets what he missed"
        assert "snapshot" not in kinds
