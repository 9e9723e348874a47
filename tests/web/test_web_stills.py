"""Privacy of stills at the wire: covered areas, originals, who looked, how long pictures are kept."""

import hashlib
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from server.org import still_keeping
from server.store import audit
from server.store.tables import Alarm, Snapshot
from server.store.tables_incident import Incident
from tests.web.house import CITY, COUNTY, GATEWAY, GATEWAY_KEY, OTHER, ROOM, SISTER, House

DAY_MS = 86_400_000
WHITE = {"left": 0.5, "top": 0.25, "width": 0.25, "height": 0.5}


def deliver(house: House, text: str = "one", *, days_ago: int = 0, room: str = ROOM, device: str = "cam1") -> tuple[int, str, bytes]:
    """A still with white in its right half; its id, hash and content."""
    picture = Image.new("RGB", (640, 360), (20, 20, 20))
    picture.paste((255, 255, 255), (320, 0, 640, 360))
    picture.putpixel((0, 0), (len(text), sum(text.encode()) % 256, 7))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    content = buffer.getvalue()
    client = TestClient(house.app, headers={"Authorization": f"Bearer {GATEWAY_KEY}"})
    taken = house.now - days_ago * DAY_MS
    form = {"sha256": hashlib.sha256(content).hexdigest(), "device": device, "taken_at": _iso(taken), "room": room}
    answer = client.post("/api/v1/snapshots", data=form, files={"file": ("still.png", content, "image/png")})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"], answer.json()["sha256"], content


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


def brightness(content: bytes, box: tuple[int, int, int, int]) -> float:
    """The brightest there is in a part of a picture, 0 to 255."""
    with Image.open(io.BytesIO(content)) as picture:
        return max(picture.convert("L").crop(box).tobytes())


def cover(house: House, areas: list[dict[str, float]], login: str = "in_charge", room: str = ROOM, **changes: Any) -> Any:
    body = {"gateway": GATEWAY, "device": "cam1", "areas": areas, "reason": "窗外是民居"} | changes
    return house.client(login).put(f"/api/v1/rooms/{room}/masks", json=body)


def entries(house: House, action: str, subject: str) -> list[Any]:
    with house.db.read() as session:
        return list(audit.about(session, subject, (action,)))


def test_what_is_covered_shows_through_to_nobody_and_the_original_stays(house: House) -> None:
    ident, digest, content = deliver(house)
    inside, beside = (330, 100, 470, 260), (500, 100, 620, 260)
    look = f"/api/v1/rooms/{ROOM}/snapshot"
    assert brightness(house.client("inspector").get(look).content, inside) > 200
    done = cover(house, [WHITE])
    assert done.status_code == 200, done.text
    assert done.json()[0]["areas"] == [WHITE]
    for login in ("inspector", "duty", "in_charge", "province-inspector"):
        shown = house.client(login).get(f"{look}?snapshot={ident}").content
        assert brightness(shown, inside) < 150 < brightness(shown, beside), "grey with the viewer's name, although the picture is older"
    assert (house.folder / "snapshots" / digest[:2] / f"{digest}.png").read_bytes() == content
    [entry] = entries(house, "still_mask", f"room:{ROOM}")
    assert (entry.actor, entry.reason, entry.before, entry.unit) == ("in_charge", "窗外是民居", {"areas": []}, COUNTY)
    assert entry.after == {"areas": [[0.5, 0.25, 0.25, 0.5]]}


def test_the_original_is_for_a_right_and_a_reason(house: House) -> None:
    ident, digest, content = deliver(house)
    cover(house, [WHITE])
    path = f"/api/v1/rooms/{ROOM}/snapshots/{ident}/original"
    for login in ("duty", "inspector", "security", "system", "audit", "keeper"):
        assert house.client(login).post(path, json={"reason": "调查"}).status_code == 403
    assert house.client("sister-in_charge").post(path, json={"reason": "调查"}).status_code == 403
    chief = house.client("in_charge")
    assert chief.post(path, json={"reason": " "}).status_code == 422
    assert chief.post(f"/api/v1/rooms/{OTHER}/snapshots/{ident}/original", json={"reason": "调查"}).status_code == 404
    assert entries(house, "still_original", f"room:{ROOM}") == []
    answer = chief.post(f"/rooms/{ROOM}/snapshots/{ident}/original", data={"reason": "调查 7 号事件"})
    assert (answer.content, answer.headers["x-sha256"]) == (content, digest)
    [entry] = entries(house, "still_original", f"room:{ROOM}")
    assert (entry.actor, entry.reason, entry.detail) == ("in_charge", "调查 7 号事件", {"still": digest})


def test_who_looked_at_what_is_listed_once_in_ten_minutes(house: House) -> None:
    first, one, _ = deliver(house, "one")
    second, two, _ = deliver(house, "two")
    viewer = house.client("inspector")
    for ident in (first, second, first, second):
        assert viewer.get(f"/api/v1/rooms/{ROOM}/snapshot?snapshot={ident}").headers["x-sha256"] == (one if ident == first else two)
    listed = house.client("security").get(f"/api/v1/rooms/{ROOM}/looks-at-stills").json()["items"]
    assert [(item["who"], item["sha256"], item["original"]) for item in listed] == [("inspector", two, False), ("inspector", one, False)]
    house.now += 11 * 60_000
    viewer.get(f"/api/v1/rooms/{ROOM}/snapshot?snapshot={first}")
    page = house.client("in_charge").get(f"/api/v1/rooms/{ROOM}/looks-at-stills?limit=1").json()
    assert (page["items"][0]["sha256"], page["next"] is not None) == (one, True)
    assert viewer.get(f"/api/v1/rooms/{ROOM}/looks-at-stills").status_code == 403


@pytest.mark.parametrize(
    ("areas", "status"),
    [
        ([{"left": 0.9, "top": 0, "width": 0.5, "height": 1}], 200),  # cut to the picture
        ([{"left": 0.5, "top": 0, "width": 0, "height": 1}], 422),
        ([{"left": 1, "top": 0, "width": 0.1, "height": 1}], 422),
        ([{"left": -0.1, "top": 0, "width": 0.5, "height": 1}], 422),
        ([WHITE] * (still_keeping.MOST_AREAS + 1), 422),
    ],
)
def test_only_areas_of_the_picture_are_taken(house: House, areas: list[dict[str, float]], status: int) -> None:
    deliver(house)
    assert cover(house, areas).status_code == status


def test_only_a_camera_of_the_room_is_covered(house: House) -> None:
    deliver(house)
    assert cover(house, [WHITE], room=OTHER).status_code == 404
    assert cover(house, [WHITE], device="cam2").status_code == 404
    assert cover(house, [WHITE], "duty").status_code == cover(house, [WHITE], "sister-security").status_code == 403


def test_the_page_takes_percents_and_shows_what_holds(house: House) -> None:
    deliver(house)
    chief = house.client("in_charge")
    form = {"gateway": GATEWAY, "device": "cam1", "left": ["50", ""], "top": ["25", ""], "width": ["25", ""], "height": ["50", ""], "reason": "窗外"}
    assert chief.post(f"/rooms/{ROOM}/masks", data=form).status_code == 303
    text = chief.get(f"/rooms/{ROOM}/stills", headers={"accept": "text/html"}).text
    assert 'value="25"' in text
    assert "窗外" in text
    assert chief.post(f"/rooms/{ROOM}/masks", data=form | {"left": ["50", "7"]}).status_code == 422
    assert chief.post(f"/rooms/{ROOM}/still-policy", data={"keep_days": "30", "reason": "内网规定"}).status_code == 303
    assert "30 天" in chief.get(f"/rooms/{ROOM}/stills", headers={"accept": "text/html"}).text
    hidden = house.client("security").get(f"/rooms/{ROOM}/stills", headers={"accept": "text/html"}).text
    assert "nopicture" in hidden
    assert "<image" not in hidden, "the security administrator sets the rules and sees no picture"


def test_stills_go_when_their_time_is_over_and_those_of_an_incident_stay(house: House) -> None:
    old, gone, _ = deliver(house, "old", days_ago=91)
    evidence, kept, _ = deliver(house, "evidence", days_ago=95)
    young, _, _ = deliver(house, "young", days_ago=89)
    _, shared, _ = deliver(house, "twin", days_ago=92)
    again, same, _ = deliver(house, "twin", days_ago=1)
    assert shared == same
    alarm = house.smoke()
    with house.db.write() as session:
        session.add(_incident(session.get_one(Alarm, alarm), house.now - 95 * DAY_MS))
    listed = {item["id"]: item for item in house.client("inspector").get(f"/api/v1/rooms/{ROOM}/snapshots").json()["items"]}
    assert (listed[evidence]["kept"], listed[evidence]["until"], listed[old]["kept"]) == (True, None, False)
    assert still_keeping.expire(house.db, house.folder, 90, house.now) == 2
    with house.db.read() as session:
        assert {row.id for row in session.query(Snapshot)} == {evidence, young, again}
    folder = house.folder / "snapshots"
    assert not (folder / gone[:2] / f"{gone}.png").exists()
    assert all((folder / digest[:2] / f"{digest}.png").exists() for digest in (kept, shared)), "another still is the same picture"
    [entry] = entries(house, "still_expire", f"room:{ROOM}")
    assert (entry.actor, entry.detail["stills"], set(entry.detail["sha256"])) == ("系统", 2, {gone, shared})
    assert house.client("inspector").get(f"/api/v1/rooms/{ROOM}/snapshot?snapshot={old}").status_code == 404
    assert still_keeping.expire(house.db, house.folder, 90, house.now) == 0
    assert len(entries(house, "still_expire", f"room:{ROOM}")) == 1


def test_the_nearest_unit_that_says_so_decides_how_long(house: House) -> None:
    near, _, _ = deliver(house, "near", days_ago=40)
    chief, province = house.client("in_charge"), house.client("province-security")
    policy = f"/api/v1/units/{COUNTY}/still-policy"
    assert chief.get(policy).json() == {"keep_days": 90, "said_by": None, "reason": ""}
    body = {"keep_days": 30, "reason": "少存画面"}
    assert province.put(f"/api/v1/units/{CITY}/still-policy", json=body).json()["keep_days"] == 30
    assert chief.get(policy).json() == {"keep_days": 30, "said_by": CITY, "reason": "少存画面"}
    assert chief.put(policy, json={"keep_days": 60, "reason": "案件多"}).json()["said_by"] == COUNTY
    assert chief.put(f"/api/v1/units/{SISTER}/still-policy", json=body).status_code == 403
    assert chief.put(policy, json={"keep_days": 0, "reason": "x"}).status_code == 422
    assert still_keeping.expire(house.db, house.folder, 90, house.now) == 0
    assert chief.put(policy, json={"keep_days": None, "reason": "随上级"}).json()["keep_days"] == 30
    assert [(row.before, row.after) for row in entries(house, "still_policy", f"unit:{COUNTY}")] == [
        ({"keep_days": 60}, {"keep_days": None}),
        ({"keep_days": None}, {"keep_days": 60}),
    ]
    assert still_keeping.expire(house.db, house.folder, 90, house.now) == 1
    with house.db.read() as session:
        assert session.get(Snapshot, near) is None


def _incident(alarm: Alarm, begun: int) -> Incident:
    made = Incident(alarm=alarm.id, room=alarm.room, unit=alarm.unit, event="smoke", card="1", level=alarm.level, state="closed")
    made.opened_at, made.closed_at = begun, begun + 60_000
    return made
