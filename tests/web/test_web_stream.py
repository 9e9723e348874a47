"""GET /stream over a real HTTP server: what arrives, in which order, how it resumes, and how it ends."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.orm import Session

from server.org import credentials
from server.store.tables import Account
from server.store.tables_security import ApiKey
from tests.web.house import FOREIGN, PASSWORD, ROOM, SERVICE_KEY, SISTER, SISTER_GATEWAY, House, serving, wait_until


class Listener:
    """A signed-in reader of the stream."""

    def __init__(self, url: str, stack: ExitStack, login: str, **headers: str) -> None:
        self.client = stack.enter_context(httpx.Client(base_url=url, timeout=10, trust_env=False))
        if login:
            assert self.client.post("/api/v1/session", json={"login": login, "password": PASSWORD}).status_code == 200
        self.answer = stack.enter_context(self.client.stream("GET", "/api/v1/stream", headers=headers))
        assert self.answer.status_code == 200, self.answer.read()
        self._lines = self.answer.iter_lines()
        assert next(self._lines) == "retry: 2000"

    def next(self, *wanted: str) -> dict[str, Any]:
        """The next event, or the next one of these names; `name`, `id` and the data."""
        event: dict[str, Any] = {}
        for line in self._lines:
            field, _, value = line.partition(": ")
            if field == "data":
                event |= json.loads(value)
            elif field:
                event["name" if field == "event" else field] = value
            elif "name" in event and (not wanted or event["name"] in wanted):
                return event
            else:
                event = {}
        raise EOFError("the stream has ended")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, ping_ms=200)
    made.birth()
    made.calm()
    yield made
    made.close()


@contextmanager
def listening(house: House, port: int) -> Iterator[Callable[..., Listener]]:
    with serving(house, port) as url, ExitStack() as stack:
        yield lambda login="duty", **headers: Listener(url, stack, login, **headers)


def test_a_snapshot_then_alarms_at_once_then_a_resume(house: House, free_port: int) -> None:
    with listening(house, free_port) as listen:
        first = listen()
        assert first.answer.headers["content-type"].startswith("text/event-stream")
        assert first.answer.headers["cache-control"] == "no-store"
        snapshot = first.next()
        assert snapshot["name"] == "snapshot"
        assert {tile["room"]: tile["state"] for tile in snapshot["tiles"]}[ROOM] == "normal"
        ident = house.smoke()
        alarm = first.next("alarm")["alarm"]
        assert (alarm["id"], alarm["level"], alarm["annunciate"]) == (ident, "critical", True)
        tiles = first.next("tiles")
        assert int(tiles["id"]) > int(snapshot["id"])
        assert tiles["counts"]["critical"] == 1
        again = listen(**{"Last-Event-ID": snapshot["id"]})
        assert again.next()["name"] == "alarm"
        assert again.next()["name"] == "tiles"
        caught_up = listen(**{"Last-Event-ID": tiles["id"]})
        assert caught_up.next()["name"] == "ping"
        assert listen(**{"Last-Event-ID": "1"}).next()["name"] == "snapshot"


def test_a_named_ping_carries_the_servers_time(house: House, free_port: int) -> None:
    with listening(house, free_port) as listen:
        stream = listen()
        assert stream.next()["name"] == "snapshot"
        assert stream.next("ping")["now"] == "2026-09-21T14:13:20.000Z"


def test_time_alone_changes_a_tile(house: House, free_port: int) -> None:
    with listening(house, free_port) as listen:
        stream = listen()
        stream.next("snapshot")
        house.now += 90_000
        tiles = stream.next("tiles")
        assert {tile["room"]: tile["state"] for tile in tiles["tiles"]}[ROOM] == "blind"


def test_a_sister_unit_hears_nothing(house: House, free_port: int) -> None:
    house.birth(SISTER_GATEWAY, (FOREIGN,))
    with listening(house, free_port) as listen:
        own, sister = listen(), listen("sister-duty")
        assert [tile["room"] for tile in sister.next("snapshot")["tiles"]] == [FOREIGN]
        own.next("snapshot")
        house.smoke()
        own.next("alarm")
        house.smoke(FOREIGN, SISTER_GATEWAY)
        assert sister.next("alarm")["alarm"]["room"] == FOREIGN


def test_a_program_listens_with_its_key(house: House, free_port: int) -> None:
    with listening(house, free_port) as listen:
        snapshot = listen("", Authorization=f"Bearer {SERVICE_KEY}").next("snapshot")
        assert len(snapshot["tiles"]) == 4


def test_a_revoked_session_stops_reading(house: House, free_port: int) -> None:
    with listening(house, free_port) as listen:
        stream = listen()
        stream.next("snapshot")
        assert stream.client.delete("/api/v1/session").status_code == 204
        house.now += 60_000
        assert stream.next("bye")["reason"] == "session"
        with pytest.raises(EOFError):
            stream.next()


def revoke_key(session: Session, now: int) -> None:
    session.query(ApiKey).one().revoked_at = now


def end_visit(session: Session, now: int) -> None:
    credentials.security(session, session.query(Account).filter_by(login="duty").one().id).valid_until = now


def move_unit(session: Session, _now: int) -> None:
    session.query(Account).filter_by(login="duty").one().unit = SISTER


def lose_role(session: Session, _now: int) -> None:
    session.query(Account).filter_by(login="duty").one().role = "audit"


@pytest.mark.parametrize(
    ("by_key", "change", "reason"),
    [
        (True, revoke_key, "session"),
        (True, move_unit, "session"),
        (False, end_visit, "session"),
        (False, move_unit, "rights"),
        (False, lose_role, "rights"),
    ],
)
def test_an_open_stream_ends_with_the_right_to_it(house: House, free_port: int, by_key: bool, change: Any, reason: str) -> None:
    with house.db.write() as session:
        owner = session.query(Account).filter_by(login="duty").one()
        key = credentials.make_key(session, owner, name="大屏", actions=("view",), days=30, now=house.now)
    with listening(house, free_port) as listen:
        stream = listen("", Authorization=f"Bearer {key}") if by_key else listen()
        stream.next("snapshot")
        house.now += 60_000
        assert stream.next("ping", "bye", "tiles")["name"] != "bye", "nothing has changed"
        with house.db.write() as session:
            change(session, house.now)
        house.now += 60_000
        assert stream.next("bye")["reason"] == reason


def test_a_viewer_who_leaves_is_forgotten(house: House, free_port: int) -> None:
    with listening(house, free_port) as listen:
        stream = listen()
        stream.next("snapshot")
        assert len(house.hub._clients) == 1
        stream.answer.close()
        wait_until(lambda: not house.hub._clients)


def test_the_server_says_goodbye(house: House, free_port: int) -> None:
    with ExitStack() as stack:
        with serving(house, free_port) as url:
            stream = Listener(url, stack, "duty")
            stream.next("snapshot")
        assert stream.next("bye")["reason"] == "restart"
