"""The page of help: the digits that really act, the states that the board really shows, the telephones of one's own line."""

import pytest

from server.duty.answers import ASKS
from server.web.labels import DIGITS, ROOM_STATES
from server.web.pages.help import STATES


def test_it_names_the_digits_the_colours_and_the_duty_rooms_above(house):
    page = house.client("duty").get("/help").text
    assert [f'<td class="code">{digit}</td>' in page for digit in ASKS] == [True] * 5
    assert all(ROOM_STATES[state] in page for state in STATES)
    assert "0591-87550110" in page
    assert {action: digit for digit, action in ASKS.items()} == DIGITS


@pytest.mark.parametrize("login", ["inspector", "system", "security", "audit"])
def test_everybody_who_has_signed_in_can_read_it(house, login):
    client = house.client(login)
    assert client.get("/help").status_code == 200
    assert 'href="/help"' in client.get("/me").text
