"""Messages as a GSM modem takes and gives them in PDU mode (3GPP TS 23.040 §9.2). Pure."""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from server.notify.channels import Incoming

_SINGLE = 70
# TS 23.038 §6.2.1: the default alphabet; what is left out (escapes, Greek capitals) becomes a question mark
_GSM = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ?ÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
_LISTED = re.compile(r"^\+CMGL: *(\d+),[^\r\n]*[\r\n]+([0-9A-Fa-f]+)", re.MULTILINE)


def submit(phone: str, text: str) -> tuple[str, int]:
    """An SMS-SUBMIT in hex with the default service centre, and the length that AT+CMGS wants. Raises ValueError for a text over 70 units."""
    body = text.encode("utf-16-be")
    if len(body) // 2 > _SINGLE:
        raise ValueError(f"{len(body) // 2} units do not fit into one message")
    digits = phone.removeprefix("+")
    swapped = "".join(b + a for a, b in zip(digits[::2], (digits + "F")[1::2], strict=False))
    kind = "91" if phone.startswith("+") else "81"
    # first octet 0x11: SUBMIT with a relative validity period; 0x00 our reference; DCS 08 = UCS-2; validity 0x2F = 4 hours
    unit = f"1100{len(digits):02X}{kind}{swapped}00082F{len(body):02X}{body.hex().upper()}"
    return "00" + unit, len(unit) // 2


def listed(answer: str) -> Sequence[tuple[int, Incoming]]:
    """(place in the memory, message) of an answer to AT+CMGL. What cannot be read is an empty text: it must be deleted like the others."""
    return [(int(found[1]), _deliver(bytes.fromhex(found[2]))) for found in _LISTED.finditer(answer) if len(found[2]) % 2 == 0]


def _deliver(unit: bytes) -> Incoming:
    """An SMS-DELIVER. Its id is over sender, stamp and content: the network gives none, and a place in the memory is used again."""
    ident = f"modem-{hashlib.sha256(unit).hexdigest()[:32]}"
    try:
        data = unit[1 + unit[0] :]
        digits, kind = data[1], data[2]
        end = 3 + (digits + 1) // 2
        phone = "" if kind & 0x70 == 0x50 else _swapped(data[3:end], digits)  # 0x50: letters, e.g. the carrier's own name
        coding, stamp, rest = data[end + 1], data[end + 2 : end + 9], data[end + 9 :]
        text = _text(rest[1:], rest[0], coding, header=bool(data[0] & 0x40))
        return Incoming(ident, f"+{phone}" if kind & 0x70 == 0x10 else phone, text, _instant(stamp))
    except (IndexError, ValueError):
        return Incoming(ident, "", "", 0)


def _swapped(octets: bytes, digits: int) -> str:
    return "".join(f"{octet & 15:X}{octet >> 4:X}" for octet in octets)[:digits]


def _text(body: bytes, length: int, coding: int, *, header: bool) -> str:
    skip = body[0] + 1 if header else 0
    if coding & 0x0C == 0x08:
        return body[skip:length].decode("utf-16-be", "replace")
    if coding & 0x0C == 0x04:
        return body[skip:length].decode("latin-1")
    bits = int.from_bytes(body, "little")
    septets = [bits >> 7 * place & 0x7F for place in range((skip * 8 + 6) // 7, length)]
    return "".join(_GSM[septet] for septet in septets)


def _instant(stamp: bytes) -> int:
    year, month, day, hour, minute, second = (int(_swapped(stamp[n : n + 1], 2)) for n in range(6))
    quarters = int(_swapped(bytes([stamp[6] & 0xF7]), 2)) * (-1 if stamp[6] & 0x08 else 1)
    zone = timezone(timedelta(minutes=15 * quarters))
    return int(datetime(2000 + year, month, day, hour, minute, second, tzinfo=zone).timestamp() * 1000)
