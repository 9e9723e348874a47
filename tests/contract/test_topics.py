import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.sparkplug import MalformedPayloadError
from contract.topics import Kind, MalformedTopicError, Topic, parse, read_state, state_payload, state_topic

IDS = st.text(st.characters(exclude_characters="+/#\x00", exclude_categories=["Cs"]), min_size=1)


@given(IDS, IDS, IDS, st.sampled_from(list(Kind)))
def test_topics_survive_text(group: str, node: str, device: str, kind: Kind) -> None:
    topic = Topic("" if kind is Kind.STATE else group, kind, node, device if kind.startswith("D") else None)
    assert parse(str(topic)) == topic


def test_the_parts_of_a_device_topic() -> None:
    assert parse("spBv1.0/350128/DDATA/gw-1/door") == Topic("350128", Kind.DDATA, "gw-1", "door")
    assert str(parse(state_topic("aw"))) == "spBv1.0/STATE/aw"


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "spAv1.0/g/NDATA/n",
        "spBv1.0/g/NDATA",
        "spBv1.0/g/XDATA/n",
        "spBv1.0/g/NDATA/n/d",
        "spBv1.0/g/DDATA/n",
        "spBv1.0/g/NDATA/",
        "spBv1.0//NDATA/n",
        "spBv1.0/g/NDATA/a+b",
        "spBv1.0/g/STATE/n",
        "spBv1.0/g/DDATA/n/d/e",
        "spBv1.0/STATE/",
    ],
)
def test_foreign_topics_are_refused(topic: str) -> None:
    with pytest.raises(MalformedTopicError):
        parse(topic)


@given(st.booleans(), st.integers(0, 253_402_300_799_999))
def test_state_survives_the_wire(online: bool, timestamp: int) -> None:
    assert read_state(state_payload(online, timestamp)) == (online, timestamp)


def test_state_is_the_json_of_the_specification() -> None:
    assert state_payload(True, 1_700_000_000_000) == b'{"online":true,"timestamp":1700000000000}'


@pytest.mark.parametrize(
    "payload",
    [b"", b"online", b"[]", b'{"online":1,"timestamp":1}', b'{"online":true}', b'{"online":true,"timestamp":true}', b"\xff", b"[" * 100_000],
)
def test_a_broken_state_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedPayloadError) as refused:
        read_state(payload)
    assert refused.value.reason == "state"
