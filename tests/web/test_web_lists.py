"""Lists with more than fits on a page: nothing is left out, what is worst comes first, and each page knows the next."""

import re

from server.store.tables import Alarm
from tests.web.house import COUNTY, ROOM, House

HTML = {"accept": "text/html"}


def page(house: House, address: str, login: str = "duty") -> str:
    answer = house.client(login).get(address, headers=HTML)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_an_old_fire_stays_on_top_of_seven_hundred_newer_alarms_and_the_pages_hold_them_all(house: House) -> None:
    fire = house.smoke()
    with house.db.write() as session:
        session.add_all(
            Alarm(
                open_key=f"gateway:G{n}|gateway_offline", subject=f"gateway:G{n}", rule="gateway_offline", kind="stale", unit=COUNTY,
                state="active_acked" if n % 7 == 0 else "active_unacked", level="warn", raised_at=house.now + n, number=f"{n:06d}",
            )
            for n in range(700)
        )  # fmt: skip
    address, seen = "/alarms", []
    while address:
        text = page(house, address)
        seen.append([int(found) for found in re.findall(r'data-alarm-row="(\d+)"', text)])
        following = re.search(r'href="(\?view=open&amp;cursor=[^"&]+)"', text)
        address = "/alarms" + following[1].replace("&amp;", "&") if following else ""
    assert seen[0][0] == fire
    everything = [ident for part in seen for ident in part]
    assert len(everything) == len(set(everything)) == 701
    assert max(map(len, seen)) == 100
    assert "<b>701</b>" in page(house, "/alarms")
    assert "<b>100</b>" in page(house, "/alarms?view=taken")
    assert page(house, f"/rooms/{ROOM}").count(f"/alarms/{fire}") >= 1


def test_who_may_not_see_numbers_cannot_find_them_out_by_searching(house: House) -> None:
    shown = {login: house.client(login).get("/api/v1/people", params={"q": "139000012"}).json()["items"] for login in ("keeper", "inspector")}
    assert [person["phone"] for person in shown["keeper"]] == ["+8613900001234"]
    assert shown["inspector"] == []
    found = house.client("inspector").get("/api/v1/people").json()["items"]
    assert found
    assert all("00012" not in str(person["phone"]) for person in found)
    assert house.client("inspector").get("/api/v1/search", params={"q": "139000012"}).json() == []
