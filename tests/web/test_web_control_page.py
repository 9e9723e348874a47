"""遥控 as a page: what the profile demands is demanded here, too, and what became of an order can be read."""

import pytest

from contract.offers import offers_of
from contract.profile import find
from server.store import gateway_events
from server.store.tables import Gateway, GatewayCommand
from tests.web.house import GATEWAY, SERVICE_KEY, House

PAGE = f"/gateways/{GATEWAY}/control"
FORM = {"write": "relay/relay1", "value": "开", "reason": "试声光"}


@pytest.fixture(autouse=True)
def offered(house: House) -> None:
    """The gateway has said that of its relay two outputs may be written, and the set point of a dehumidifier."""
    told = offers_of([("relay", find("waveshare-relay-8ch"), ("relay1", "relay2")), ("dryer", find("dantherm-cdp"), ("set_humidity",))])
    house.birth(offers=told)


def orders(house: House) -> list[tuple[str, str, object]]:
    with house.db.read() as session:
        return [(row.state, row.body["write"], row.body["value"]) for row in gateway_events.writes(session, GATEWAY, before=None, limit=50)]


def test_an_order_goes_out_and_its_outcome_is_shown(house: House) -> None:
    duty = house.client("duty")
    page = duty.get(PAGE)
    assert page.status_code == 200
    assert "relay/relay1" in page.text
    assert "relay/relay3" not in page.text, "only what devices.yaml allows is offered"
    sent = duty.post(PAGE, data=FORM, follow_redirects=False)
    assert (sent.status_code, sent.headers["location"]) == (303, PAGE)
    assert orders(house) == [("pending", "relay1", True)]
    with house.db.write() as session:
        (row,) = gateway_events.writes(session, GATEWAY, before=None, limit=1)
        text = f'{{"id": "e", "at": 5, "kind": "write", "order": "{row.id}", "device": "relay", "outcome": "failed", "reason": "回读是 0"}}'
        assert gateway_events.take(session, GATEWAY, [text], house.now) == ["e"]
    after = duty.get(PAGE).text
    assert "没有成功" in after
    assert "回读是 0" in after


def test_what_the_profile_does_not_allow_stays_in_the_form(house: House) -> None:
    duty = house.client("duty")
    for change in ({"value": "半开"}, {"write": "nobody/knows"}, {"reason": " "}):
        answer = duty.post(PAGE, data=FORM | change, follow_redirects=False)
        assert answer.status_code == 422
        assert 'role="alert"' in answer.text
    assert orders(house) == []


def test_a_second_person_confirms_on_the_page_and_the_first_cannot(house: House) -> None:
    duty = house.client("duty")
    assert duty.post(PAGE, data=FORM | {"two_people": "1"}, follow_redirects=False).status_code == 303
    assert orders(house)[0][0] == "held"
    page = duty.get(PAGE).text
    assert "要由另一个人在十分钟内确认" in page
    assert "我核对过，确认下发" not in page
    with house.db.read() as session:
        (row,) = gateway_events.writes(session, GATEWAY, before=None, limit=1)
    assert duty.post(f"{PAGE}/confirm", data={"order": row.id}, follow_redirects=False).status_code == 409
    other = house.client()
    other.headers["Authorization"] = f"Bearer {SERVICE_KEY}"
    assert "我核对过，确认下发" in other.get(PAGE).text
    assert other.post(f"{PAGE}/confirm", data={"order": row.id}, follow_redirects=False).status_code == 303
    with house.db.read() as session:
        assert session.get_one(GatewayCommand, row.id).state == "pending"


def test_numbers_are_bounded_and_roles_are_kept_apart(house: House) -> None:
    """What the duty officer may not order he sees in the list of everything, and cannot send."""
    number = {"write": "dryer/set_humidity", "value": "50", "reason": "梅雨"}
    duty, charge = house.client("duty"), house.client("in_charge")
    assert '<option value="dryer/set_humidity"' not in duty.get(PAGE).text
    assert "责任人以上" in duty.get(PAGE).text
    assert duty.post(PAGE, data=number).status_code == 422
    assert charge.post(PAGE, data=number | {"value": "120"}).status_code == 422
    assert charge.post(PAGE, data=number).status_code == 303
    assert orders(house) == [("pending", "set_humidity", 50.0)]


def test_a_gateway_that_tells_nothing_and_one_that_allows_nothing(house: House) -> None:
    for told, sentence in ((None, "还没有报告"), ({}, "devices.yaml")):
        with house.db.write() as session:
            session.get_one(Gateway, GATEWAY).offers = told
        assert sentence in house.client("duty").get(PAGE).text
