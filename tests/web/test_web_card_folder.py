"""处置卡夹: the cards of a unit's own rooms on one page, with numbers that can be called."""

import pytest

from server.store.tables import Unit
from server.web.formats import Formats
from tests.web.house import CITY, COUNTY, SISTER, House


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("打 0591-87550110，请人看", ["059187550110"]), ("打119。", ["119"]), ("林一 13900001111", ["13900001111"]),
        ("值班室 +8659100000009 借", ["+8659100000009"]), ("30 分钟，50–55 %RH，1190", []), ('<b>"119"', ["119"]),
    ],
)  # fmt: skip
def test_telephone_numbers_of_a_sentence_can_be_called(text: str, links: list[str]) -> None:
    made = str(Formats.callable(text))
    assert [part.partition('"')[0] for part in made.split('href="tel:')[1:]] == links
    assert "<b>" not in made


def test_the_folder_has_every_card_of_every_room_and_the_numbers(shared_house: House) -> None:
    with shared_house.db.write() as session:
        session.get_one(Unit, COUNTY).duty_phone = "0591-87654321"
    page = shared_house.client("duty").get("/duty/cards").text
    assert page.count('<section class="card">') == 12 * page.count("<details")
    assert 'href="tel:059187654321"' in page
    assert 'href="tel:119"' in page
    assert "如果现在连不上中心" not in page
    assert "如果现在连不上中心" in shared_house.client("duty").get("/duty/cards?kept=true").text


def test_a_unit_without_rooms_has_the_cards_and_another_units_are_not_shown(shared_house: House) -> None:
    page = shared_house.client("province-duty").get("/duty/cards", params={"unit": CITY}).text
    assert page.count('<section class="card">') == 12
    assert shared_house.client("duty").get("/duty/cards", params={"unit": SISTER}).status_code in (403, 404)


def test_the_worker_may_serve_every_page(shared_house: House) -> None:
    answer = shared_house.client().get("/static/js/sw.js")
    assert (answer.headers["Service-Worker-Allowed"], answer.headers["Cache-Control"]) == ("/", "no-cache")
