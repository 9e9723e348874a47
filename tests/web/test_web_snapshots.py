"""Camera stills: who may deliver, what is refused, what is shown."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from server.store.tables import Gateway, Point, Snapshot
from tests.web.house import COUNTY, FOREIGN, GATEWAY, GATEWAY_KEY, ROOM, T0, House


def deliver(house: House, content: bytes, digest: str, **changes: str) -> Any:
    client = TestClient(house.app, headers={"Authorization": f"Bearer {GATEWAY_KEY}"})
    form = {"sha256": digest, "device": "cam1", "taken_at": "2026-09-21T14:13:00Z", "room": ROOM, "reason": "periodic"} | changes
    return client.post("/api/v1/snapshots", data=form, files={"file": ("still.jpg", content, "image/jpeg")})


def test_a_still_is_stored_under_its_hash_and_shown(house: House) -> None:
    content, digest = house.picture()
    viewer = house.client("inspector")
    assert viewer.get(f"/api/v1/rooms/{ROOM}/snapshot").status_code == 404
    answer = deliver(house, content, digest.upper())
    assert (answer.status_code, answer.json()["sha256"], answer.json()["room"]) == (201, digest, ROOM)
    assert (house.folder / "snapshots" / digest[:2] / f"{digest}.jpg").read_bytes() == content
    shown = viewer.get(f"/api/v1/rooms/{ROOM}/snapshot")
    assert shown.headers["x-sha256"] == digest
    assert (shown.content[:3], shown.content != content) == (b"\xff\xd8\xff", True), "the viewer's name is across what he gets"
    assert (shown.headers["content-type"], shown.headers["x-taken-at"]) == ("image/jpeg", "2026-09-21T14:13:00.000Z")
    assert "拍摄于" in viewer.get(f"/rooms/{ROOM}", headers={"accept": "text/html"}).text


def test_the_same_still_twice_is_one(house: House) -> None:
    content, digest = house.picture()
    first, second = deliver(house, content, digest), deliver(house, content, digest)
    assert first.json()["id"] == second.json()["id"]
    with house.db.read() as session:
        assert session.query(Snapshot).count() == 1


@pytest.mark.parametrize(
    ("content", "digest", "code"),
    [
        (None, "0" * 64, "hash"),
        (b"GIF89a", None, "format"),
        (b"", None, "size"),
        (b"\xff\xd8\xff" + bytes(6 * 1024 * 1024), None, "size"),
        (None, "zz", "invalid"),
    ],
)
def test_a_wrong_still_is_refused_and_not_kept(house: House, content: bytes | None, digest: str | None, code: str) -> None:
    picture, right = house.picture()
    answer = deliver(house, picture if content is None else content, digest or right)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    with house.db.read() as session:
        assert session.query(Snapshot).count() == 0
    assert not (house.folder / "snapshots").exists()


def test_a_body_without_end_is_cut_off(house: House) -> None:
    assert deliver(house, b"\xff\xd8\xff" + bytes(9 * 1024 * 1024), "0" * 64).status_code == 413


def test_the_servers_own_assignment_of_a_camera_wins(house: House) -> None:
    content, digest = house.picture()
    with house.db.write() as session:
        session.add(Point(gateway=GATEWAY, device="cam1", quantity="camera", room=f"{COUNTY}-02", created_at=T0))
    assert deliver(house, content, digest).json()["room"] == f"{COUNTY}-02"
    assert deliver(house, content, digest, device="cam2", room=FOREIGN).json()["room"] is None


def test_a_clock_that_runs_ahead_does_not_make_a_still_the_newest_for_ever(house: House) -> None:
    content, digest = house.picture("a")
    assert deliver(house, content, digest, taken_at="2036-01-01T00:00:00Z").json()["taken_at"] == "2026-09-21T14:13:20Z"
    house.now += 60_000
    newer, second = house.picture("b")
    deliver(house, newer, second, taken_at="2026-09-21T14:14:00Z")
    assert house.client("duty").get(f"/api/v1/rooms/{ROOM}/snapshot").headers["x-sha256"] == second


def test_an_unclaimed_gateway_delivers_nothing(house: House) -> None:
    with house.db.write() as session:
        session.get_one(Gateway, GATEWAY).unit = None
    answer = deliver(house, *house.picture())
    assert (answer.status_code, answer.json()["code"]) == (403, "unclaimed")
