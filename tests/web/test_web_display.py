"""What each device chooses for its display, and how one gets somewhere quickly: the number of an SMS, the code on a door."""

import re

from tests.web.house import PROVINCE, ROOM, House


def test_colours_and_letters_are_chosen_by_address_and_kept_by_the_device(shared_house: House) -> None:
    client = shared_house.client("duty")
    usual = client.get("/me").text
    assert 'media="screen and (prefers-color-scheme: dark)"' in usual
    assert '<html lang="zh-CN">' in usual
    client.get("/me?theme=dark&size=large")
    kept = client.get("/alarms").text
    assert re.search(r'css/dark\.css[^"]*" media="screen">', kept)
    assert '<meta name="color-scheme" content="dark">' in kept
    assert '<html lang="zh-CN" class="large">' in kept
    assert "dark.css" not in client.get("/alarms?theme=light").text
    assert "dark.css" not in client.get("/alarms?theme=<script>").text, "what is not offered changes nothing"


def test_the_number_of_a_message_finds_its_alarm_for_whoever_may_see_it(shared_house: House) -> None:
    house = shared_house
    house.birth()
    ident = house.smoke(ROOM)
    number = house.alarm(ROOM, "smoke").number
    asked = f"/search?q={number[:3]}%20{number[3:]}"
    assert house.client("duty").get(asked).headers["location"] == f"/alarms/{ident}"
    assert house.client("sister-duty").get(asked).status_code == 200, "elsewhere nothing is found"


def test_the_cards_for_the_door_carry_the_address_of_the_room(shared_house: House) -> None:
    page = shared_house.client("duty").get(f"/rooms/{ROOM}/cards").text
    assert '<svg class="segno"' in page or 'class="segno"' in page
    assert "style=" not in page[page.index("doorcode") : page.index("</svg>")], "the policy lets no style attribute through"
    assert PROVINCE not in page[page.index("doorcode") : page.index("</svg>")]
