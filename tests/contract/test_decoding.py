"""Registers and bits against the schema: types, orders, scales, special values, states, partial exchanges."""

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.block_decoder import decoded
from contract.decoding import decode_block, decode_exchange, encode_block
from contract.engineering import engineering, raw_of
from contract.frames import FrameError, Request, build_exception, build_reply, request
from contract.profile import Point, Profile, find
from contract.sample import Quality

BASE: dict[str, Any] = {
    "schema": 1,
    "id": "acme-x1",
    "vendor": "Acme",
    "model": "X1",
    "title": {"zh": "甲", "en": "A"},
    "category": "multi",
    "evidence": "assumed",
    "sources": ("test",),
    "connection": {"kind": "modbus"},
}


def profile(*points: dict[str, Any], count: int = 4, fc: int = 3) -> Profile:
    named = tuple(
        {"id": f"p{at}", "class": "measure", "quantity": "temperature", "channel": str(at), "block": "b"} | point for at, point in enumerate(points)
    )
    return Profile.model_validate({**BASE, "blocks": ({"id": "b", "fc": fc, "address": 100, "count": count},), "points": named})


def state(**fields: Any) -> dict[str, Any]:
    return {"class": "state", "quantity": "smoke", **fields}


def one(fields: dict[str, Any], *words: int) -> tuple[float | None, Quality, str]:
    (found,) = decode_block(profile(fields, count=len(words)), "b", words)
    return found.value, found.quality, found.reason


def words_of(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


WIDE = {"quantity": "illuminance"}
GOOD = (Quality.GOOD, "")


@pytest.mark.parametrize(
    ("fields", "words", "expected"),
    [
        ({"type": "u16"}, [25], 25),
        ({"type": "i16"}, [0xFFE7], -25),
        ({"type": "u8"}, [0x5519], 25),
        ({"type": "i8"}, [0x55E7], -25),
        ({"type": "u32", **WIDE}, [2, 0x06F6], 132854),
        ({"type": "i32", "scale": "1/1000"}, [0xFFFF, 0x9E58], -25),
        ({"type": "u64", **WIDE}, [0, 0, 2, 0x06F6], 132854),
        ({"type": "i64"}, [0xFFFF, 0xFFFF, 0xFFFF, 0xFFE7], -25),
        ({"type": "bcd"}, [0x0025], 25),
        ({"type": "f64"}, words_of(struct.pack(">d", 24.6)), 24.6),
        ({"type": "f32"}, words_of(struct.pack(">f", 24.6)), 24.6),
        ({"type": "f32", "order": "CDAB", "quantity": "humidity"}, [0x7AE1, 0x41F4], 30.56),
        ({"type": "f32", "order": "CDAB"}, [0x0418, 0x3F9E], 1.2344999),
        ({"type": "u32", "order": "CDAB", **WIDE}, [0x86A0, 0x0001], 100000),
        ({"type": "u32", "order": "BADC", **WIDE}, [0x0100, 0xA086], 100000),
        ({"type": "u32", "order": "DCBA", **WIDE}, [0xA086, 0x0100], 100000),
        ({"type": "u16", "order": "DCBA"}, [0x1900], 25),
        ({"type": "u16", "scale": "1/512", "quantity": "load"}, [51200], 100),
        ({"type": "u16", "decode": "sign_10000", "scale": "1/10"}, [0x2775], -10.1),
        ({"type": "u16", "decode": "sign_10000", "scale": "1/10"}, [246], 24.6),
        ({"type": "u16", "decode": "offset_20"}, [15], -5),
        ({"type": "i16", "scale": "1/18", "offset": "-160/9"}, [770], 25),
        ({"type": "u16", "bit": 4, "width": 5}, [0x0190], 25),
        ({"type": "u16", "scale": "0.1"}, [246], 24.6),
    ],
)
def test_measures_are_decoded_and_encoded(fields: dict[str, Any], words: list[int], expected: float) -> None:
    assert one(fields, *words) == (expected, *GOOD)
    written = encode_block(profile(fields, count=len(words)), "b", {"p0": expected})
    assert one(fields, *written) == (expected, *GOOD)


@pytest.mark.parametrize(
    ("fields", "words", "expected"),
    [
        ({"type": "i16", "special": {0x8000: "not_connected"}}, [0x8000], (None, Quality.BAD, "not_connected")),
        ({"type": "u16", "special": {0xFFFF: "invalid"}}, [0xFFFF], (None, Quality.BAD, "invalid")),
        ({"type": "f32", "nan_is": "unavailable"}, [0x7FC0, 0], (None, Quality.BAD, "unavailable")),
        ({"type": "f32"}, [0x7F80, 0], (None, Quality.BAD, "not_finite")),
        ({"type": "u16", "range": (-40, 30)}, [31], (None, Quality.BAD, "out_of_range")),
        ({"type": "u16"}, [86], (None, Quality.BAD, "out_of_range")),  # beyond the vocabulary's plausible range
        ({"type": "i16", "suspect": (-5, 50)}, [0xFFFA], (-6, Quality.UNCERTAIN, "suspect")),
        ({"type": "i16", "suspect": (-5, 50)}, [50], (50, *GOOD)),
        ({"type": "bcd"}, [0x002A], (None, Quality.BAD, "wrong_type")),
        (state(type="u16"), [1], (1, *GOOD)),
        (state(type="u16", invert=True), [1], (0, *GOOD)),
        (state(type="u16"), [2], (None, Quality.BAD, "unknown_state")),
        (state(type="u16", map={0: "off", 170: "on"}, active="on"), [170], (1, *GOOD)),
        (state(type="u16", map={0: "off", 170: "on"}, active="on", invert=True), [170], (0, *GOOD)),
        (state(type="u16", map={0: "off", 170: "on"}, active="on"), [85], (None, Quality.BAD, "unknown_state")),
        (state(type="bool", bit=6), [0x0040], (1, *GOOD)),
        (state(type="bool", bit=6, map={True: "low", False: "fine"}, active="low"), [0xFFBF], (0, *GOOD)),
        (state(type="string", width=4, map={"FIRE": "fire", "OK": "fine"}, active="fire"), [0x4649, 0x5245], (1, *GOOD)),
        (state(type="string", width=4, map={"FIRE": "fire", "OK": "fine"}, active="fire"), [0x4F4B, 0x2020], (0, *GOOD)),
        ({"class": "health", "quantity": "camera", "type": "u16"}, [6], (6, *GOOD)),
    ],
)
def test_doubtful_values_and_states(fields: dict[str, Any], words: list[int], expected: tuple[float | None, Quality, str]) -> None:
    assert one(fields, *words) == expected


def test_a_reading_says_what_it_is_and_keeps_its_registers() -> None:
    found = decode_block(profile(state(at=1, map={0: "normal", 1: "alarm"}, active="alarm")), "b", [9, 1, 9, 9])[0]
    assert (found.point_id, found.quantity, found.channel, found.unit, found.text, found.raw) == ("p0", "smoke", "0", "", "alarm", (1,))
    assert isinstance(found.value, int)


def test_fields_of_one_register_do_not_disturb_each_other() -> None:
    both = profile({"type": "u16", "bit": 0, "width": 6}, state(type="bool", bit=15), count=1)
    words = encode_block(both, "b", {"p0": 25, "p1": 1})
    assert words == [0x8019]
    assert [found.value for found in decode_block(both, "b", words)] == [25, 1]


@pytest.mark.parametrize(
    ("fields", "value", "said"),
    [
        ({"type": "u8"}, 256, "cannot be shown as u8"),
        ({"type": "u16"}, -1, "cannot be shown as u16"),
        ({"type": "u16", "bit": 0, "width": 4}, 16, "not within 0 to 15"),
        ({"type": "u16"}, None, "no way to say that nothing was read"),
        (state(type="u16", map={1: "alarm"}, active="alarm"), 0, "no raw value for state 0"),
    ],
)
def test_what_a_device_cannot_show_is_refused(fields: dict[str, Any], value: float | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        encode_block(profile(fields, count=1), "b", {"p0": value})


def test_nothing_read_is_nan_for_a_float() -> None:
    assert one({"type": "f32"}, *encode_block(profile({"type": "f32"}, count=2), "b", {"p0": None})) == (None, Quality.BAD, "not_finite")


def test_a_block_takes_exactly_its_registers() -> None:
    for words in ([], [1], [1] * 5):
        with pytest.raises(FrameError, match="has 4 items"):
            decode_block(profile({}), "b", words)
    with pytest.raises(KeyError):
        decode_block(profile({}), "c", [0])


POINT = Point.model_validate({"id": "p", "class": "measure", "quantity": "temperature", "type": "i16", "scale": "1/10"})


@given(st.integers(-400, 850))
def test_tenths_are_exact(raw: int) -> None:
    judged = engineering(POINT, raw)
    assert judged.value == float(f"{raw / 10:.1f}")
    assert judged.value is not None
    assert raw_of(POINT, judged.value) == raw


@given(st.floats(allow_nan=True) | st.integers() | st.booleans() | st.text() | st.none())
def test_any_raw_value_is_judged(raw: float | str | None) -> None:
    judged = engineering(POINT, raw)
    assert (judged.value is None) == (judged.quality is Quality.BAD)
    assert judged.value is None or math.isfinite(judged.value)


# ------------------------------------------------------------------------------------------------------------------------------- exchanges

TWO = profile({"at": 1}, {"at": 2, "type": "i32", "scale": "1/1000"})


def test_a_part_of_a_block_gives_the_points_that_lie_in_it_whole() -> None:
    for start, count, expected in [(100, 4, ["p0", "p1"]), (101, 1, ["p0"]), (102, 2, ["p1"]), (101, 2, ["p0"]), (90, 20, ["p0", "p1"])]:
        asked = Request(1, 3, start, count)
        found = decode_exchange(TWO, request(1, 3, start, count), build_reply(asked, [0] * count))
        assert [reading.point_id for reading in found] == expected


def test_a_read_of_other_registers_or_by_another_function_is_refused() -> None:
    for fc, start in ((3, 200), (4, 100)):
        with pytest.raises(FrameError, match="has no point"):
            decode_exchange(TWO, request(1, fc, start, 2), build_reply(Request(1, fc, start, 2), [0, 0]))


def test_without_a_request_the_size_must_tell_the_block() -> None:
    assert len(decode_exchange(TWO, None, build_reply(Request(1, 3, 0, 4), [0] * 4))) == 2
    with pytest.raises(FrameError, match="no block of profile acme-x1 fit function 3 with 2 items; give the request"):
        decode_exchange(TWO, None, build_reply(Request(1, 3, 0, 2), [0] * 2))
    with pytest.raises(FrameError, match="several blocks"):
        decode_exchange(find("wirenboard-wb-msw-v3"), None, build_reply(Request(1, 4, 0, 1), [0]))


def test_an_exception_is_an_exception_with_and_without_a_request() -> None:
    asked = Request(1, 3, 100, 4)
    for given_request in (None, request(1, 3, 100, 4)):
        with pytest.raises(FrameError) as refused:
            decode_exchange(TWO, given_request, build_exception(asked, 2))
        assert (refused.value.kind, refused.value.code) == ("exception", 2)


def test_the_echo_of_a_write_gives_no_reading() -> None:
    with pytest.raises(FrameError) as refused:
        decode_exchange(TWO, None, bytes.fromhex("01 06 00 02 03 E8 28 B4"))
    assert refused.value.kind == "mismatch"


def test_a_universal_address_is_answered_by_another_one() -> None:
    sensor = find("sonbest-sm7820b")
    asked = request(250, 3, 0, 2)
    reply = bytes.fromhex("01 03 04 00 7A 00 00 DB EA")
    assert decode_exchange(sensor, asked, reply)[0].value == 1.22
    with pytest.raises(FrameError, match="unit 1 answered"):
        decode_exchange(sensor, request(2, 3, 0, 2), reply)
    with pytest.raises(FrameError, match="unit 1 answered"):
        decode_exchange(find("vaisala-hmp"), asked, reply)


def test_the_same_bytes_mean_what_the_profile_says() -> None:
    asked, reply = bytes.fromhex("01 03 00 06 00 01 64 0B"), bytes.fromhex("01 03 02 00 BD 78 35")
    found = {name: decode_exchange(find(name), asked, reply)[0] for name in ("jxct-jxbs-3001-o3", "jxct-jxbs-3001-co", "jxct-jxbs-3001-tvoc")}
    assert [(one.quantity, one.value, one.unit) for one in found.values()] == [("o3", 1.89, "ppm"), ("co", 18.9, "ppm"), ("tvoc", 189, "ppb")]


PLAIN = [
    {"type": kind, "order": order, "scale": scale, "offset": offset, "special": {0x8000: "probe", 0xFFFF: "open"}, "suspect": (-5, 50), **wide}
    for kind, order in (("u16", "ABCD"), ("i16", "ABCD"), ("u32", "ABCD"), ("i32", "CDAB"), ("i32", "BADC"), ("u8", "ABCD"))
    for scale, offset, wide in (("1/10", "0", {}), ("5/9", "-160/9", {}), ("3", "1/7", WIDE))
]


@given(st.sampled_from(PLAIN), st.lists(st.integers(0, 0xFFFF), min_size=4, max_size=4))
def test_the_short_way_and_the_long_way_agree(fields: dict[str, Any], words: list[int]) -> None:
    """A plain number is decoded by one division; it must be the very float, quality and reason of exact arithmetic."""
    two = fields["type"][1:] == "32"
    sensor = profile(*({**fields, "at": at} for at in ((0, 2) if two else (0, 1, 2, 3))))
    expected = [decoded(point, words, point.at, 1 + two) for point in sensor.points]
    assert decode_block(sensor, "b", words) == expected
