"""Ordering a write through the interface: kept with who and why, confirmed by somebody else where two are needed, listed with its outcome."""

from typing import Any

from server.store import gateway_events
from server.store.tables import GatewayCommand
from tests.web.house import GATEWAY, SERVICE_KEY, House

ORDER: dict[str, Any] = {"device": "relay", "write": "relay1", "value": True, "reason": "试声光"}


def test_a_write_is_ordered_and_its_outcome_is_listed(house: House) -> None:
    duty = house.client("duty")
    address = f"/api/v1/gateways/{GATEWAY}/writes"
    made = duty.post(address, json=ORDER)
    assert made.status_code == 202, made.text
    assert (made.json()["state"], made.json()["value"], made.json()["reason"]) == ("pending", True, "试声光")
    ident = made.json()["id"]
    with house.db.write() as session:
        body = session.get_one(GatewayCommand, ident).body
        assert (body["id"], body["role"]) == (str(ident), "duty")
        text = f'{{"id": "e", "at": 5, "kind": "write", "order": "{ident}", "device": "relay", "outcome": "done"}}'
        assert gateway_events.take(session, GATEWAY, [text], house.now) == ["e"]
    assert [(row["id"], row["state"]) for row in duty.get(address).json()["items"]] == [(ident, "done")]
    assert duty.get(f"/api/v1/gateways/{GATEWAY}/events").json()["items"][0]["detail"]["outcome"] == "done"


def test_two_people_are_two_people(house: House) -> None:
    address = f"/api/v1/gateways/{GATEWAY}/writes"
    duty, other = house.client("duty"), house.client()
    other.headers["Authorization"] = f"Bearer {SERVICE_KEY}"
    held = duty.post(address, json=ORDER | {"two_people": True}).json()
    assert held["state"] == "held"
    assert duty.post(f"{address}/confirm", json={"order": held["id"]}).json()["code"] == "same_person"
    confirmed = other.post(f"{address}/confirm", json={"order": held["id"]})
    assert confirmed.status_code == 200, confirmed.text
    assert (confirmed.json()["state"], bool(confirmed.json()["second"])) == ("pending", True)
    assert other.post(f"{address}/confirm", json={"order": held["id"]}).status_code == 409


def test_a_gateway_is_not_flooded_with_orders(house: House) -> None:
    duty = house.client("duty")
    answers = [duty.post(f"/api/v1/gateways/{GATEWAY}/writes", json=ORDER).status_code for _ in range(21)]
    assert answers == [202] * 20 + [409]
