"""Frames of the reference that belong to no profile's readings: questions to universal addresses, settings, many relays at once, identification."""

import pytest

from contract.frames import FrameError, Request, crc16, parse_reply, parse_request, write_many_request, write_request


def frame(text: str) -> bytes:
    return bytes.fromhex(text)


def test_a_question_to_the_universal_address_is_answered_by_the_real_one() -> None:
    """SONBEST asks two registers at 0xFA, and gets one from address 1: legal while finding out, never while polling."""
    assert parse_request(frame("FA 03 00 64 00 02 90 5F")) == Request(0xFA, 3, 0x64, 2)
    reply = frame("01 03 02 07 12 3A 79")
    assert parse_reply(None, reply).words == (1810,)
    with pytest.raises(FrameError, match="mismatch"):
        parse_reply(Request(0xFA, 3, 0x64, 2), reply)


def test_a_new_address_is_echoed_from_the_new_address() -> None:
    assert write_request(1, 6, 0x66, 2) == frame("01 06 00 66 00 02 E8 14")
    echo, asked = frame("02 06 00 66 00 02 E8 27"), Request(1, 6, 0x66, 2)
    assert parse_reply(asked, echo, any_address=True).words == (0x66, 2)
    with pytest.raises(FrameError, match="mismatch"):
        parse_reply(asked, echo)
    assert write_request(1, 6, 0x67, 5) == frame("01 06 00 67 00 05 F8 16")


@pytest.mark.parametrize(
    ("unit", "fc", "address", "values", "text"),
    [
        (0xF0, 16, 0x0300, (0x6E14, 0x4475), "F0 10 03 00 00 02 04 6E 14 44 75 4E AB"),
        (0xFE, 15, 0, (1,) * 8, "FE 0F 00 00 00 08 01 FF F1 D1"),
        (0xFE, 15, 0, (0,) * 8, "FE 0F 00 00 00 08 01 00 B1 91"),
        (0xFE, 16, 3, (4, 10), "FE 10 00 03 00 02 04 00 04 00 0A 41 6B"),
        (0xFE, 16, 3, (2, 20), "FE 10 00 03 00 02 04 00 02 00 14 21 62"),
        (0xFF, 15, 0, (1,) * 8, "FF 0F 00 00 00 08 01 FF 30 1D"),
    ],
)
def test_several_values_at_once(unit: int, fc: int, address: int, values: tuple[int, ...], text: str) -> None:
    assert write_many_request(unit, fc, address, values) == frame(text)


@pytest.mark.parametrize(
    ("asked", "text", "words"),
    [
        (Request(0xF0, 16, 0x0300, 2), "F0 10 03 00 00 02 54 AD", (0x0300, 2)),
        (Request(0xFF, 15, 0, 8), "FF 0F 00 00 00 08 41 D3", (0, 8)),
        (Request(1, 3, 0, 2), "01 03 04 00 64 00 C8 BA 7A", (100, 200)),
    ],
)
def test_answers_without_a_profile(asked: Request, text: str, words: tuple[int, ...]) -> None:
    assert parse_reply(asked, frame(text)).words == words


def test_the_remaining_questions() -> None:
    assert parse_request(frame("01 04 31 00 00 02 7F 37")) == Request(1, 4, 0x3100, 2)
    assert crc16(frame("01 2B 0E 03 87 31 75")) == 0, "identification by function 0x2B, which we only recognise"
