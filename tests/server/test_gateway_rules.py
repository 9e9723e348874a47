"""Who is sent the rules of his own watch, and who is not."""

import json

import pytest

from alarms.rules import default_rules, parse_rules
from server.org.gateway_rules import AGAIN_MS, AT_ONCE, PATIENCE_MS, GatewayRules, not_taken
from server.store import gateway_events
from server.store.holidays import NONE_GIVEN
from server.store.limits import effective_rules
from server.store.tables import Gateway, GatewayCommand
from server.store.tables_alarms import LimitChange

SHIPPED = default_rules().version


@pytest.fixture
def house(slice_):
    """A gateway of ours in the county, with the rules that the product ships with, and one of somebody else's."""
    slice_.birth(rules_version=SHIPPED)
    with slice_.db.write() as session:
        session.add(Gateway(code="FOREIGN", group_id="350100", unit="350102000000", changed_at=0, online=True))
    return slice_


def book(made):
    with made.db.read() as session:
        rules = effective_rules(session, default_rules(), made.now, NONE_GIVEN)
    return GatewayRules(made.db, lambda: rules)


def limit(made, unit, room=None):
    with made.db.write() as session:
        session.add(
            LimitChange(rule="humidity_high", unit=unit, room=room, level="alarm", limit=61.5, by="x", why="x", created_at=made.now, since=made.now)
        )


def orders(made):
    return made.rows(GatewayCommand, kind="rules")


def test_nobody_is_sent_what_he_has_from_the_product(house):
    assert book(house).run_once(house.now) == 0


def test_a_limit_elsewhere_changes_nothing_here(house):
    limit(house, "350200000000")
    limit(house, "350102000000", "350102000000-02")
    assert book(house).run_once(house.now) == 0


@pytest.mark.parametrize(("unit", "room"), [("350000000000", None), ("350102000000", None), ("350102000000", "350102000000-01")])
def test_who_has_a_room_under_the_limit_is_sent_its_rules_until_he_has_them(house, unit, room):
    limit(house, unit, room)
    sends = book(house)
    assert sends.run_once(house.now) == 1
    assert sends.run_once(house.now + AGAIN_MS - 1) == 0  # under way
    assert sends.run_once(house.now + AGAIN_MS + 1) == 1  # not taken
    [first] = orders(house)  # the same one again, as old as the wish
    assert (first.gateway, first.created_at, first.state) == (house.GATEWAY, house.now, "pending")
    version = parse_rules(first.body["rules"], "sent", tried=True).version
    assert first.body["version"] == version
    later = house.now + PATIENCE_MS + 1
    with house.db.read() as session:
        assert not_taken(session, [house.GATEWAY, "FOREIGN"], later - 2) == {}
        assert not_taken(session, [house.GATEWAY, "FOREIGN"], later) == {house.GATEWAY: (house.now, "")}
    entry = json.dumps({"id": "1", "at": house.now, "kind": "rules_refused", "reason": "读不懂"})
    with house.db.write() as session:
        gateway_events.take(session, house.GATEWAY, [entry], house.now)
        assert not_taken(session, [house.GATEWAY], later) == {house.GATEWAY: (house.now, "读不懂")}
    house.birth(rules_version=version, bd_seq=1)
    with house.db.read() as session:
        assert not_taken(session, [house.GATEWAY], later) == {}
    assert sends.run_once(house.now + 3 * AGAIN_MS) == 0
    assert {rule["kind"] for rule in json.loads(first.body["rules"])["rules"]} <= {"threshold", "state", "rate", "heat", "stale"}
    assert len(first.body["rules"].encode()) < 64 * 1024


def test_a_limit_that_has_ended_gives_the_rules_of_the_product_back(house):
    house.birth(rules_version="0" * 64, bd_seq=1)
    assert book(house).run_once(house.now) == 1


def test_a_province_is_not_born_anew_all_at_once(house):
    with house.db.write() as session:
        for number in range(AT_ONCE + 5):
            session.add(Gateway(code=f"G{number}", group_id="350100", unit="350102000000", changed_at=0, online=True, rules_version="0" * 64))
    sends = book(house)
    assert [sends.run_once(house.now), sends.run_once(house.now + 1), sends.run_once(house.now + 2)] == [AT_ONCE, 5, 0]


def test_other_rules_take_the_place_of_those_that_were_not_taken(house):
    limit(house, "350000000000")
    book(house).run_once(house.now)
    limit(house, "350102000000", "350102000000-01")
    assert book(house).run_once(house.now + AGAIN_MS) == 1
    [order] = orders(house)
    assert order.created_at == house.now + AGAIN_MS
