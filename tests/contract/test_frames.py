import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import frames
from contract.frames import FrameError, Request, build_exception, build_reply, crc16, parse_reply, parse_request, reply_length, request, write_request

# Vendor and hardware frames: request, reply, registers or bits of the reply.
EXCHANGES = [
    ("01 03 00 00 00 02 C4 0B", "01 03 04 02 92 FF 9B 5A 3D", (0x292, 0xFF9B)),  # Renke, JXCT
    ("01 04 00 01 00 01 60 0A", "01 04 02 01 31 79 74", (305,)),  # XY-MD02
    ("01 04 00 02 00 01 90 0A", "01 04 02 02 22 38 49", (546,)),
    ("01 04 00 01 00 02 20 0B", "01 04 04 01 31 02 22 2A CE", (305, 546)),
    ("01 04 00 01 00 01 60 0A", "01 04 02 0B EA 3F 8F", (3050,)),
    ("01 03 00 00 00 02 C4 0B", "01 03 04 00 7A 00 00 DB EA", (122, 0)),  # SM7820B
    ("01 03 00 67 00 01 35 D5", "01 03 02 00 03 F8 45", (3,)),
    ("01 04 00 00 00 02 71 CB", "01 04 04 00 00 6E 8C D6 41", (0, 28300)),  # SenseCAP ONE
    ("01 04 00 00 00 03 B0 0B", "01 04 06 08 90 0E 93 02 4E D2 57", (2192, 3731, 590)),
    ("01 03 00 06 00 01 64 0B", "01 03 02 00 BD 78 35", (189,)),  # JXCT gases
    ("01 03 00 06 00 01 64 0B", "01 03 02 00 D1 78 18", (209,)),
    ("01 03 00 04 00 01 C5 CB", "01 03 02 00 06 38 46", (6,)),
    ("01 03 00 09 00 01 54 08", "01 03 02 00 07 F9 86", (7,)),
    ("01 03 00 04 00 06 84 09", "01 03 0C 00 05 00 00 00 00 00 00 00 00 00 05 42 BF", (5, 0, 0, 0, 0, 5)),
    ("01 03 00 07 00 02 75 CA", "01 03 04 00 02 06 F6 D8 15", (2, 0x6F6)),
    ("01 03 00 08 00 01 05 C8", "01 03 02 02 A8 B8 9A", (680,)),
    ("01 03 01 F8 00 03 85 C6", "01 03 06 01 C3 00 F6 02 06 05 E5", (451, 246, 518)),  # SEN0658
    ("01 03 01 FB 00 03 75 C6", "01 03 06 00 05 00 0F 03 FB 9C 05", (5, 15, 1019)),
    ("01 03 01 F4 00 04 04 07", "01 03 08 00 0E 00 01 00 02 00 6E 67 FB", (14, 1, 2, 110)),
    ("01 03 00 10 00 01 85 CF", "01 03 02 00 00 B8 44", (0,)),  # smoke
    ("01 03 00 10 00 01 85 CF", "01 03 02 00 01 79 84", (1,)),
    ("41 03 0A F1 00 01 D8 E1", "41 03 02 00 00 B9 8B", (0,)),  # door
    ("FF 02 00 00 00 08 6C 12", "FF 02 01 01 51 A0", (1, 0, 0, 0, 0, 0, 0, 0)),  # novabo
    ("FF 02 00 00 00 08 6C 12", "FF 02 01 00 90 60", (0,) * 8),
    ("FE 01 00 00 00 04 29 C6", "FE 01 01 00 61 9C", (0,) * 4),  # JY-DAM
    ("FE 02 00 00 00 08 6D C3", "FE 02 01 00 91 9C", (0,) * 8),
    ("01 01 00 00 00 01 FD CA", "01 01 01 00 51 88", (0,)),  # Waveshare
    ("00 03 00 00 00 01 85 DB", "00 03 02 00 01 44 44", (1,)),
    ("FF 01 00 00 00 08 28 12", "FF 01 01 01 A1 A0", (1, 0, 0, 0, 0, 0, 0, 0)),  # LCTECH
    ("FF 03 03 E8 00 01 11 A4", "FF 03 02 00 04 90 53", (4,)),
    ("01 03 00 02 00 02 65 CB", "01 03 04 00 F6 01 1F 5A 59", (246, 287)),  # Huawei
    ("01 03 00 21 00 06 95 C2", "01 03 0C 00 E1 80 00 80 00 80 00 80 00 80 00 98 07", (225, *(0x8000,) * 5)),
    ("F0 03 00 00 00 02 D1 2A", "F0 03 04 7A E1 41 F4 62 05", (0x7AE1, 0x41F4)),  # Vaisala
    ("01 02 00 00 00 08 79 CC", "01 02 01 20 A0 50", (0, 0, 0, 0, 0, 1, 0, 0)),
]
# Requests without a documented reply.
REQUESTS = [
    ("FF 03 07 D0 00 01 91 59", Request(255, 3, 0x7D0, 1)),
    ("01 03 00 05 00 02 D4 0A", Request(1, 3, 5, 2)),
    ("02 03 00 00 00 02 C4 38", Request(2, 3, 0, 2)),
    ("F7 04 00 00 00 02 65 5D", Request(247, 4, 0, 2)),
    ("01 01 00 00 00 06 BC 08", Request(1, 1, 0, 6)),
    ("01 02 00 00 00 06 F8 08", Request(1, 2, 0, 6)),
    ("00 03 40 00 00 01 90 1B", Request(0, 3, 0x4000, 1)),
    ("01 03 00 02 00 02 65 CB", Request(1, 3, 2, 2)),
]
# Printed in manuals and pages with a wrong CRC; the right one beside it.
BROKEN = [
    ("01 04 00 02 00 01 C1 CA", "90 0A"),
    ("01 04 02 02 22 D1 BA", "38 49"),
    ("01 03 01 01 00 01 D4 0F", "D4 36"),
    ("01 03 02 00 01 30 18", "79 84"),
    ("01 06 01 01 00 08 D4 0F", "D8 30"),
    ("01 04 04 FF FF FC 18 D6 41", "BA AA"),
    ("F0 03 04 7A E1 41 F4 05 06", "62 05"),
    ("F0 10 03 00 00 02 04 6E 14 44 75 AB 4E", "4E AB"),
    ("01 03 02 01 C3 78 35", "F9 85"),
    ("01 03 0C 03 14 01 1B 00 00 00 00 00 00 01 C3 00 D1 50 3B", "E3 B8"),
    ("01 03 12 02 92 01 1C 00 00 00 00 00 00 00 00 00 00 00 00 02 A8 33 4B", "43 30"),
    ("01 03 0C 00 05 00 00 00 00 00 00 00 00 02 05 42 BF", "43 DF"),
    ("01 02 01 03 A1 90", "E1 89"),
    ("01 01 01 01 51 88", "90 48"),
    ("00 06 40 00 00 01 1C 1B", "5C 1B"),
    ("02 06 00 00 00 01 48 38", "48 39"),
    ("02 03 02 00 00 B8 44", "FC 44"),
    ("02 06 00 00 00 00 89 F8", "89 F9"),
    ("03 03 00 00 00 02 C4 29", "C5 E9"),
    ("01 03 04 01 F4 02 58 70 DC", "BA A7"),
    ("01 03 02 00 1F 38 4C", "F9 8C"),
    ("01 03 00 00 00 02 C4 0C", "C4 0B"),
]
ASKED = request(1, 3, 0, 2)


def refusal(asked: bytes | Request | None, reply: str) -> FrameError:
    with pytest.raises(FrameError) as refused:
        parse_reply(asked, bytes.fromhex(reply))
    return refused.value


@pytest.mark.parametrize(("asked", "reply", "words"), EXCHANGES)
def test_documented_exchanges_are_read(asked: str, reply: str, words: tuple[int, ...]) -> None:
    assert parse_reply(bytes.fromhex(asked), bytes.fromhex(reply)).words == words


@pytest.mark.parametrize(("asked", "reply", "words"), EXCHANGES)
def test_documented_exchanges_are_rebuilt_byte_for_byte(asked: str, reply: str, words: tuple[int, ...]) -> None:
    found = parse_request(bytes.fromhex(asked))
    assert request(found.unit, found.fc, found.address, found.count) == bytes.fromhex(asked)
    assert build_reply(found, words) == bytes.fromhex(reply)


@pytest.mark.parametrize(("frame", "expected"), REQUESTS)
def test_documented_requests(frame: str, expected: Request) -> None:
    assert parse_request(bytes.fromhex(frame)) == expected
    assert request(expected.unit, expected.fc, expected.address, expected.count) == bytes.fromhex(frame)


@pytest.mark.parametrize(("frame", "right"), BROKEN)
def test_frames_printed_with_a_wrong_crc_are_refused(frame: str, right: str) -> None:
    raw = bytes.fromhex(frame)
    assert crc16(raw[:-2]).to_bytes(2, "little") == bytes.fromhex(right)
    assert refusal(None, frame).kind == "crc"
    assert refusal(ASKED, frame).kind == "crc"


@pytest.mark.parametrize(
    "frame",
    ["FE 05 00 00 FF 00 98 35", "FE 05 00 00 00 00 D9 C5", "FE 05 00 01 FF 00 C9 F5", "01 06 10 00 00 01 4C CA", "11 05 00 00 00 00 CF 5A"],
)
def test_writes_are_built_and_their_echo_is_read(frame: str) -> None:
    raw = bytes.fromhex(frame)
    address, value = int.from_bytes(raw[2:4], "big"), int.from_bytes(raw[4:6], "big")
    assert write_request(raw[0], raw[1], address, value) == raw
    assert parse_reply(None, raw).words == (address, value)


@pytest.mark.parametrize(
    ("reply", "code", "name"),
    [
        ("01 83 02 C0 F1", 2, "illegal address"),
        ("01 83 03 01 31", 3, "illegal value"),
        ("01 83 04 40 F3", 4, "device failure"),
        ("01 83 06 C1 32", 6, "device busy"),
        ("01 83 0B 00 F7", 11, "gateway target failed to respond"),
    ],
)
def test_exceptions_are_named(reply: str, code: int, name: str) -> None:
    refused = refusal(ASKED, reply)
    assert (refused.kind, refused.code, refused.detail) == ("exception", code, name)
    assert build_exception(parse_request(ASKED), code) == bytes.fromhex(reply)


def test_an_exception_of_a_function_that_was_not_asked_is_a_mismatch() -> None:
    assert refusal(ASKED, "01 84 01 82 C0").kind == "mismatch"
    assert refusal(request(1, 4, 0, 2), "01 84 01 82 C0").detail == "illegal function"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("02 03 04 02 92 FF 9B 69 3D", "mismatch"),  # another slave
        ("01 03 02 02 92 38 89", "mismatch"),  # fewer registers than asked
        ("01 04 04 01 31 02 22 2A CE", "mismatch"),  # another function
        ("01 03 04 02 92", "short"),
        ("01 03", "short"),
        ("", "short"),
        (frames.sealed(bytes.fromhex("01 03 03 02 92 FF")).hex(), "mismatch"),  # half a register
        (frames.sealed(bytes.fromhex("01 2B 0E 03")).hex(), "mismatch"),
    ],
)
def test_replies_to_something_else_are_refused(reply: str, kind: str) -> None:
    assert refusal(ASKED, reply).kind == kind


def test_two_glued_frames_are_refused() -> None:
    assert refusal(ASKED, "01 03 04 02 92 FF 9B 5A 3D 01 03 04 02 92 FF 9B 5A 3D").kind == "crc"


def test_an_answer_from_another_address_only_where_it_is_allowed() -> None:
    asked, reply = bytes.fromhex("FA 03 00 64 00 01 D0 5E"), bytes.fromhex("01 03 02 07 12 3A 79")
    assert crc16(asked[:-2]).to_bytes(2, "little") == asked[-2:]
    with pytest.raises(FrameError, match="unit 1 answered"):
        parse_reply(asked, reply)
    assert parse_reply(asked, reply, any_address=True).words == (1810,)


def test_a_door_contact_that_answers_function_4_with_more_registers() -> None:
    asked = bytes.fromhex("41 03 0A F1 00 01 D8 E1")
    reply = frames.sealed(bytes.fromhex("41 04 04 00 01 00 41"))
    with pytest.raises(FrameError, match="function 4 answered"):
        parse_reply(asked, reply)
    assert parse_reply(asked, reply, fc04_reply=True).words == (1,)
    assert parse_reply(asked, bytes.fromhex("41 03 02 00 00 B9 8B"), fc04_reply=True).words == (0,)


@pytest.mark.parametrize(
    ("unit", "fc", "address", "count"),
    [(1, 3, 0, 126), (1, 4, 0, 126), (1, 1, 0, 2001), (1, 3, 0, 0), (1, 3, 0xFFFF, 9), (1, 3, -1, 1), (256, 3, 0, 1), (1, 6, 0, 1)],
)
def test_requests_beyond_the_limits_are_refused_by_our_own_encoder(unit: int, fc: int, address: int, count: int) -> None:
    with pytest.raises(FrameError) as refused:
        request(unit, fc, address, count)
    assert refused.value.kind == "range"


@pytest.mark.parametrize("frame", ["01 03 00 00 00 7E C5 EA", "01 03 FF FF 00 09 85 E8"])
def test_requests_beyond_the_limits_are_refused_when_read(frame: str) -> None:
    with pytest.raises(FrameError) as refused:
        parse_request(bytes.fromhex(frame))
    assert refused.value.kind == "range"


@pytest.mark.parametrize(("fc", "address", "value"), [(3, 0, 1), (5, 0, 1), (6, 0, 0x10000), (6, -1, 0)])
def test_impossible_writes_are_refused(fc: int, address: int, value: int) -> None:
    with pytest.raises(FrameError, match="range"):
        write_request(1, fc, address, value)


@given(st.integers(0, 255), st.sampled_from([3, 4]), st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=125))
def test_any_registers_survive_a_frame(unit: int, fc: int, words: list[int]) -> None:
    asked = Request(unit, fc, 0, len(words))
    frame = build_reply(asked, words)
    assert parse_reply(asked, frame).words == tuple(words)
    assert reply_length(frame[:3]) == len(frame)


@given(st.sampled_from([1, 2]), st.lists(st.integers(0, 1), min_size=1, max_size=2000))
def test_any_bits_survive_a_frame(fc: int, bits: list[int]) -> None:
    asked = Request(1, fc, 0, len(bits))
    assert parse_reply(asked, build_reply(asked, bits)).words == tuple(bits)


def outcome(asked: bytes | None, frame: bytes) -> str:
    try:
        parse_reply(asked, frame)
    except FrameError as refused:
        return refused.kind
    return "read"


@given(st.binary(max_size=40), st.booleans())
def test_random_bytes_are_a_reply_or_a_frame_error(frame: bytes, closed: bool) -> None:
    frame = frames.sealed(frame) if closed else frame
    for asked in (None, ASKED):
        assert outcome(asked, frame) in {"read", "short", "crc", "mismatch", "exception"}


@given(st.sampled_from(EXCHANGES), st.integers(0, 400), st.integers(1, 255))
def test_one_damaged_byte_is_never_accepted(exchange: tuple[str, str, tuple[int, ...]], at: int, flip: int) -> None:
    asked, reply = bytes.fromhex(exchange[0]), bytearray.fromhex(exchange[1])
    reply[at % len(reply)] ^= flip
    with pytest.raises(FrameError):
        parse_reply(asked, bytes(reply))


def test_a_reply_that_does_not_fit_its_request_cannot_be_built() -> None:
    for values in ([1], [1, 2, 3], [1, 0x10000]):
        with pytest.raises(FrameError, match="range"):
            build_reply(Request(1, 3, 0, 2), values)
