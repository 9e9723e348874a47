"""遥控 as a page: what the profile demands is demanded here, too, and what became of an order can be read."""

from server.store import gateway_events
from server.store.tables import GatewayCommand
from server.web.pages.control import choices
from tests.web.house import GATEWAY, SERVICE_KEY, House

PAGE = f"/gateways/{GATEWAY}/control"
FORM = {"device": "relay", "write": "waveshare-relay-8ch/relay1", "value": "开", "reason": "试声光"}


def orders(house: House) -> list[tuple[str, str, object]]:
    with house.db.read() as session:
        return [(row.state, row.body["write"], row.body["value"]) for row in gateway_events.writes(session, GATEWAY, before=None, limit=50)]


def test_an_order_goes_out_and_its_outcome_is_shown(house: House) -> None:
    duty = house.client("duty")
    page = duty.get(PAGE)
    assert page.status_code == 200
    assert "waveshare-relay-8ch/relay1" in page.text
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
        assert 'value="relay"' in answer.text
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


def test_dangerous_writes_are_marked_and_roles_are_kept_apart() -> None:
    """What the profiles of the catalogue say decides which choices there are."""
    by_role = {role: list(choices(role)) for role in ("duty", "in_charge", "service", "audit")}
    assert by_role["audit"] == []
    assert {choice.name for choice in by_role["duty"]} < {choice.name for choice in by_role["in_charge"]}
    assert all(choice.pair == (choice.write.danger == "high") for choice in by_role["service"])
    assert all(choice.allowed for choice in by_role["service"])
