"""MQTT messages: JSON paths, text and binary payloads, time, availability, and everything a device may send by mistake."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.decoding import decode_message, encode_message, subscription
from contract.frames import FrameError
from contract.json_path import MISSING, look_up, parse_path, place
from contract.profile import Profile, find
from contract.profile_transport import Codec
from contract.sample import Quality
from contract.tlv import decode_tlv, encode_tlv

CLIMATE = find("aqara-wsdcgq11lm")
DOOR = find("aqara-mccgq11lm")
LEAK = find("milesight-em300-sld")
MOTION = {"class": "state", "quantity": "motion"}


def refused(profile: Profile, topic: str, payload: bytes) -> str:
    with pytest.raises(FrameError) as error:
        decode_message(profile, topic, payload)
    return error.value.kind


def text_profile(payload: str = "text", **point: Any) -> Profile:
    return Profile.model_validate(
        {
            "schema": 1,
            "id": "esphome-x",
            "vendor": "x",
            "model": "x",
            "title": {"zh": "甲", "en": "A"},
            "category": "climate",
            "evidence": "assumed",
            "sources": ("test",),
            "connection": {"kind": "mqtt"},
            "mqtt": {"topic": "{device}/sensor/t/state", "payload": payload, "expected_interval_s": 60},
            "points": ({"id": "p", "class": "measure", "quantity": "temperature", "type": "f64", **point},),
        }
    )


PLAIN = text_profile()

# ------------------------------------------------------------------------------------------------------------------------------------ JSON


def test_a_message_gives_its_device_and_readings() -> None:
    message = decode_message(CLIMATE, "zigbee2mqtt/store 1/north", b'{"temperature":22.41,"last_seen":"2026-01-05T16:00:00.250+08:00"}')
    assert message.device == "store 1/north"
    assert message.time_ms == 1_767_600_000_250
    assert message.available is None
    ((one),) = message.readings
    assert (one.point_id, one.value, one.unit, one.quality) == ("temperature", 22.41, "°C", Quality.GOOD)


def test_a_missing_path_gives_nothing_and_a_null_a_bad_reading() -> None:
    message = decode_message(CLIMATE, "zigbee2mqtt/s", b'{"temperature":null,"other":1}')
    ((one),) = message.readings
    assert (one.value, one.quality, one.reason) == (None, Quality.BAD, "null_value")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('"22.4"', "wrong_type"),
        ("true", "wrong_type"),
        ("{}", "wrong_type"),
        ("[1]", "wrong_type"),
        ("1e999", "not_finite"),
        ("1e999999999", "not_finite"),
        ("-1e999999999", "not_finite"),
        ("9" * 4000, "not_finite"),
        ("99999", "out_of_range"),
    ],
)
def test_values_that_are_no_measurement_are_bad(value: str, reason: str) -> None:
    ((one),) = decode_message(CLIMATE, "zigbee2mqtt/s", b'{"temperature":%s}' % value.encode()).readings
    assert (one.value, one.quality, one.reason) == (None, Quality.BAD, reason)


@pytest.mark.parametrize(
    ("contact", "value", "reason"), [("true", 0, ""), ("false", 1, ""), ('"open"', None, "unknown_state"), ("1", None, "unknown_state")]
)
def test_a_door_contact_is_open_when_there_is_no_contact(contact: str, value: int | None, reason: str) -> None:
    ((one),) = decode_message(DOOR, "zigbee2mqtt/d", b'{"contact":%s}' % contact.encode()).readings
    assert (one.value, one.reason) == (value, reason)


@pytest.mark.parametrize("payload", [b"", b"hello", b"{", b'{"temperature":NaN}', b"\xff\xfe\x00", b"[" * 100_000])
def test_what_is_no_json_is_refused(payload: bytes) -> None:
    assert refused(CLIMATE, "zigbee2mqtt/s", payload) == "payload"


def test_json_that_is_no_object_gives_nothing() -> None:
    for payload in (b"[]", b"1", b'"x"', b"null"):
        assert decode_message(CLIMATE, "zigbee2mqtt/s", payload).readings == ()


def test_another_topic_is_a_mismatch() -> None:
    assert refused(CLIMATE, "zigbee2mqtt", b"{}") == "mismatch"
    assert refused(LEAK, "application/1/device/x/event/join", b"{}") == "mismatch"
    assert refused(find("renke-rs-ws-n01"), "a", b"{}") == "mismatch"


def test_a_message_beyond_reason_is_refused() -> None:
    assert refused(CLIMATE, "zigbee2mqtt/s", b" " * (256 * 1024) + b"{}") == "payload"


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ('"2026-01-05T08:00:00Z"', 1_767_600_000_000),
        ('"2026-01-05T08:00:00"', None),  # local time without a zone
        ('"yesterday"', None),
        ("null", None),
        ("12", None),
        ("{}", None),
    ],
)
def test_a_time_counts_only_when_it_is_an_instant(seen: str, expected: int | None) -> None:
    assert decode_message(CLIMATE, "zigbee2mqtt/s", b'{"last_seen":%s}' % seen.encode()).time_ms == expected


@pytest.mark.parametrize(
    ("ts", "expected"), [("1767600000.25", 1_767_600_000_250), ("null", None), ("true", None), ("-5", None), ("1e30", None), ('"1"', None)]
)
def test_a_shelly_tells_seconds(ts: str, expected: int | None) -> None:
    assert decode_message(find("shelly-ht-gen3"), "s1/events/rpc", b'{"params":{"ts":%s}}' % ts.encode()).time_ms == expected


@pytest.mark.parametrize(("payload", "available"), [(b'{"state":"online"}', True), (b"offline", False), (b" online \n", True)])
def test_availability_in_both_spellings(payload: bytes, available: bool) -> None:
    message = decode_message(CLIMATE, "zigbee2mqtt/s/availability", payload)
    assert (message.device, message.readings, message.available) == ("s", (), available)


def test_an_availability_that_says_neither_is_refused() -> None:
    for payload in (b"", b'{"state":"asleep"}', b'{"other":1}', b"{", b'{"state":null}'):
        assert refused(CLIMATE, "zigbee2mqtt/s/availability", payload) == "payload"


# ------------------------------------------------------------------------------------------------------------------------- text and bytes


@pytest.mark.parametrize(
    ("point", "payload", "value", "reason"),
    [
        ({}, b" 22.5 ", 22.5, ""),
        ({}, b"unknown", None, "wrong_type"),
        ({}, b"nan", None, "not_finite"),
        ({}, b"snan", None, "not_finite"),
        ({}, b"1e400000000", None, "not_finite"),
        ({}, b"\xff", None, "wrong_type"),
        ({"class": "state", "quantity": "motion", "type": "string", "map": {"ON": "there", "OFF": "away"}, "active": "there"}, b"ON", 1, ""),
        (
            {"class": "state", "quantity": "motion", "type": "string", "map": {"ON": "there", "OFF": "away"}, "active": "there"},
            b"??",
            None,
            "unknown_state",
        ),
        ({"class": "state", "quantity": "motion", "type": "bool"}, b"True", 1, ""),
        ({"class": "state", "quantity": "motion", "type": "bool"}, b"maybe", None, "unknown_state"),
        ({"class": "state", "quantity": "motion", "type": "u8", "map": {0: "away", 1: "there"}, "active": "there"}, b"1", 1, ""),
        ({"class": "state", "quantity": "motion", "type": "u8", "map": {0: "away", 1: "there"}, "active": "there"}, b"1.5", None, "unknown_state"),
    ],
)
def test_a_text_payload_is_the_value(point: dict[str, Any], payload: bytes, value: float | None, reason: str) -> None:
    ((one),) = decode_message(text_profile(**point), "esp/sensor/t/state", payload).readings
    assert (one.value, one.reason) == (value, reason)


def test_a_text_payload_is_encoded() -> None:
    assert encode_message(text_profile(), "esp", {"p": 22.5}) == [("esp/sensor/t/state", b"22.5")]


def test_a_milesight_gateway_wraps_the_bytes() -> None:
    topic = "application/7/device/24e124136b502080/event/up"
    message = decode_message(LEAK, topic, b'{"time":"2026-01-05T08:00:00Z","data":"A2fqAARoTwUAAA=="}')
    assert (message.device, message.time_ms) == ("24e124136b502080", 1_767_600_000_000)
    assert {one.point_id: one.value for one in message.readings} == {"temperature": 23.4, "humidity": 39.5, "leak": 0}
    for broken in (b"{}", b'{"data":5}', b'{"data":"***"}', b"[]"):
        assert refused(LEAK, topic, broken) == "payload"
    assert refused(LEAK, topic, b'{"data":"A2fq"}') == "short"


def test_an_unknown_field_ends_the_decoding_and_lowers_the_trust() -> None:
    codec = LEAK.codec
    assert codec is not None
    assert decode_tlv(codec, bytes.fromhex("03 67 EA 00 FE 01 02 05 00 01")) == ({"temperature": 234}, False)
    assert decode_tlv(codec, bytes.fromhex("03 67 EA 00 05")) == ({"temperature": 234}, False)
    message = decode_message(LEAK, "application/7/device/x/event/up", json.dumps({"data": "A2fqAP4BAgUAAQ=="}).encode())
    assert [(one.point_id, one.quality, one.reason) for one in message.readings] == [("temperature", Quality.UNCERTAIN, "unknown_field")]


@given(st.integers(-32768, 32767), st.integers(0, 255), st.integers(0, 1))
def test_a_tlv_payload_survives(temperature: int, humidity: int, leak: int) -> None:
    codec = LEAK.codec
    assert codec is not None
    values = {"temperature": temperature, "humidity": humidity, "leakage": leak}
    assert decode_tlv(codec, encode_tlv(codec, values)) == (values, True)


def test_a_value_too_large_for_its_field_is_refused() -> None:
    codec = Codec.model_validate({"name": "milesight_tlv", "tlv": ({"id": "a", "channel": 1, "type": 1, "size": 1, "value": "u8"},)})
    with pytest.raises(ValueError, match="does not fit"):
        encode_tlv(codec, {"a": 256})


@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_a_bare_binary_payload(encoding: str) -> None:
    codec = {"name": "milesight_tlv", "tlv": ({"id": "t", "channel": 3, "type": 0x67, "size": 2, "value": "i16"},)}
    bare = Profile.model_validate(
        text_profile(encoding, tlv="t", type="i16", scale="1/10").model_dump(by_alias=True, exclude_unset=True) | {"codec": codec}
    )
    ((topic, payload),) = encode_message(bare, "esp", {"p": -10.1})
    assert decode_message(bare, topic, payload).readings[0].value == -10.1
    assert refused(bare, topic, b"xyz\xff") == "payload"


def test_subscriptions() -> None:
    assert subscription("zigbee2mqtt/{device}", "d1") == "zigbee2mqtt/d1"
    assert subscription("application/+/device/{device}/event/up") == "application/+/device/+/event/up"


@given(st.binary(max_size=100))
def test_random_payloads_are_read_or_refused(payload: bytes) -> None:
    for profile, topic in (
        (CLIMATE, "zigbee2mqtt/s"),
        (DOOR, "zigbee2mqtt/s/availability"),
        (text_profile(), "x/sensor/t/state"),
        (LEAK, "application/1/device/d/event/up"),
    ):
        with suppress(FrameError):
            decode_message(profile, topic, payload)


KEYS = st.sampled_from(["temperature", "humidity", "last_seen", "x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


@given(JSON)
def test_random_json_is_read_or_refused(content: Any) -> None:
    with suppress(FrameError):
        for one in decode_message(CLIMATE, "zigbee2mqtt/s", json.dumps(content).encode()).readings:
            assert (one.value is None) == (one.quality is Quality.BAD)


# ------------------------------------------------------------------------------------------------------------------------------ JSON paths

SHELLY = {"params": {"temperature:0": {"tC": 19.8}, "list": [1, {"a.b": 2}]}, "AHT1X-0x38": {"Temperature": 24.7}, "none": None}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ('params."temperature:0".tC', 19.8),
        ("params.list[0]", 1),
        ('params.list[1]."a.b"', 2),
        ("*.Temperature", 24.7),
        ("none", None),
        ("params.list[2]", MISSING),
        ("params[0]", MISSING),
        ("none.x", MISSING),
        ("*.Humidity", MISSING),
        ('"AHT1X-0x38".Temperature', 24.7),
        ("AHT1X-0x38.Temperature", 24.7),
    ],
)
def test_json_paths(path: str, expected: Any) -> None:
    assert look_up(SHELLY, parse_path(path)) == expected


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b", 'a"b', "a b", "a:b", "a[", "a[x]", 'a."b', "a]"])
def test_malformed_json_paths_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is not a JSON path"):
        parse_path(path)


@pytest.mark.parametrize("path", ["a", "a.b.c", "a[0]", 'a[2]."x:y".z', "*.Temperature", "a[0][1]"])
def test_what_is_placed_is_found(path: str) -> None:
    content: dict[str, Any] = {"a": {"kept": 1}} if path == "a.b.c" else {}
    place(content, parse_path(path), 5)
    assert look_up(content, parse_path(path)) == 5
    assert path != "a.b.c" or content["a"]["kept"] == 1
