"""开通清单: what is missing before the first shift, out of the tables, until nothing is."""

import re

from server.store.tables import Notification, Person, Point, Room
from server.store.tables_drill import Drill, DrillCampaign
from tests.web.house import COUNTY, GATEWAY, OTHER, QUIET, ROOM, House

HTML = {"accept": "text/html"}


def states(house: House, role: str = "system") -> list[str]:
    """Per step what the page says of it."""
    page = house.client(role).get("/first-shift", headers=HTML).text
    return re.findall(r'<li><b>\d\. [^<]+</b> <span class="\w+">([^<]+)</span>', page)


def test_the_list_of_a_county_gets_shorter_until_it_may_open(house: House) -> None:
    house.birth()
    assert states(house) == [
        "✓ 完成", "✓ 完成", "○ 差 1，共 3", "✓ 完成", "○ 差 2，共 2", "○ 差 1，共 1", "○ 差 1，共 3", "✓ 完成", "○ 差 2，共 2",
    ]  # fmt: skip
    page = house.client("system").get("/first-shift", headers=HTML).text
    assert "还差 5 步" in page
    assert f'href="/rooms/{QUIET}"' in page
    assert 'href="/people/1"' in page
    assert 'href="/first-shift">开通清单</a>：' in house.client("system").get("/", headers=HTML).text
    assert 'href="/first-shift">开通清单</a>：' not in house.client("duty").get("/", headers=HTML).text
    with house.db.write() as session:
        session.get_one(Person, 1).phone_verified_at = house.now
        session.get_one(Room, QUIET).stage = "in_use"
        session.add(Point(gateway=GATEWAY, device="th3", quantity="temperature", room=QUIET, unit=COUNTY, created_at=house.now, last_at=house.now))
        order = DrillCampaign(unit=COUNTY, by="陈", at=house.now, note="")
        session.add(order)
        session.flush()
        for room in (ROOM, OTHER, QUIET):
            session.add(Drill(campaign=order.id, unit=COUNTY, room=room, state="failed" if room == QUIET else "ended", due_at=house.now))
        for channel in ("sms", "voice"):
            session.add(
                Notification(
                    reason="test", step=0, unit=COUNTY, person=1, phone="+8613900001234", channel=channel, number="000001", text="x",
                    created_at=house.now, due=house.now, state="sent", sent_at=house.now,
                )
            )  # fmt: skip
    assert states(house) == ["✓ 完成"] * 8 + ["○ 差 1，共 3"], "a drill that failed proves nothing"
    with house.db.write() as session:
        session.query(Drill).filter_by(room=QUIET).one().state = "ended"
    assert states(house) == ["✓ 完成"] * 9
    assert "可以开班" in house.client("system").get("/first-shift", headers=HTML).text
    assert 'href="/first-shift">开通清单</a>：' not in house.client("system").get("/", headers=HTML).text
    assert "○ 差" in " ".join(states(house, "province-system")), "the sister's rooms are the province's too"


def test_who_sees_no_people_does_not_see_the_list(house: House) -> None:
    assert house.client("audit").get("/first-shift", headers=HTML).status_code == 403
