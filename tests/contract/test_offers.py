"""What a gateway offers to be written, from the profile through the birth to what somebody types."""

import pytest

from contract import sparkplug
from contract.batch import node_birth, read_birth
from contract.offers import Offer, dump, offers_of
from contract.profile import find
from contract.sparkplug import MalformedPayloadError

RELAY, DRYER = find("waveshare-relay-8ch"), find("dantherm-cdp")
OFFERS = offers_of([("relay", RELAY, ("relay1", "relay9")), ("dryer", DRYER, ("set_humidity",)), ("th1", find("xy-md02"), ())])


def birth(offers: str | None) -> sparkplug.Payload:
    return sparkplug.decode(sparkplug.encode(node_birth((), now=1, bd_seq=0, outbox=None, offers=offers)))


def test_only_what_is_allowed_is_offered_and_travels_in_the_birth() -> None:
    assert set(OFFERS) == {"relay", "dryer"}
    assert OFFERS["relay"].writes == (Offer("relay1", "duty", "medium", (True, False)),)
    assert OFFERS["dryer"].writes == (Offer("set_humidity", "in_charge", "medium", (), (40, 95)),)
    assert read_birth(birth(dump(OFFERS))).offers == OFFERS
    assert read_birth(birth("")).offers == {}
    assert read_birth(birth(None)).offers is None, "a gateway that does not tell is not one that allows nothing"


@pytest.mark.parametrize("text", ["[]", "{", '{"a": 1}', '{"": {"profile": "p", "title": "t", "writes": []}}', '{"a": {"profile": "p"}}'])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(MalformedPayloadError):
        read_birth(birth(text))


def test_what_is_typed_becomes_what_the_profile_knows() -> None:
    switch, number, word = OFFERS["relay"].writes[0], OFFERS["dryer"].writes[0], Offer("mode", "duty", "low", ("auto", 3))
    assert [switch.value_of(text) for text in ("开", " OFF ", "1", "half", "")] == [True, False, True, None, None]
    assert [number.value_of(text) for text in ("55", "39.9", "95", "nan", "开")] == [55.0, None, 95.0, None, None]
    assert [word.value_of(text) for text in ("AUTO", "3", "4")] == ["auto", 3, None]
