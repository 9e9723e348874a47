"""Modbus RTU frames as plain bytes: what a master asks, what a reply says, and why a broken one must be refused. No port, no clock.

Limits and CRC follow the Modbus application and serial line specifications. A frame with a wrong CRC is refused, never repaired.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MAX_REGISTERS: Final = 125
MAX_BITS: Final = 2000
BIT_READS: Final = (1, 2)
WORD_READS: Final = (3, 4)
READS: Final = BIT_READS + WORD_READS

EXCEPTIONS: Final = {
    1: "illegal function",
    2: "illegal address",
    3: "illegal value",
    4: "device failure",
    5: "acknowledge",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target failed to respond",
}


class FrameError(ValueError):
    """A frame or message that cannot be used. `kind` is crc, exception, mismatch, short, range or payload; `detail` one phrase.

    `code` is the Modbus exception code when the kind is exception: 1, 2, 3 are configuration errors and not worth a retry, 5 and 6 are.
    """

    def __init__(self, kind: str, detail: str, code: int | None = None) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.code = code


@dataclass(frozen=True, slots=True)
class Request:
    """A read: `address` is the 0-based PDU address, `count` registers or bits; of a write what the device echoes behind the address."""

    unit: int
    fc: int
    address: int
    count: int


@dataclass(frozen=True, slots=True)
class Reply:
    """The registers (0..65535) or bits of a good reply, in order; for writes the two registers that the device echoes after address and function."""

    unit: int
    fc: int
    words: tuple[int, ...]


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC: Final = _crc_table()


def crc16(data: bytes) -> int:
    """CRC-16/Modbus: polynomial 0xA001 reflected, start 0xFFFF. On the line the low byte comes first."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC[(crc ^ byte) & 0xFF]
    return crc


def sealed(body: bytes) -> bytes:
    """The body with its CRC behind it."""
    return body + crc16(body).to_bytes(2, "little")


def check_read(fc: int, address: int, count: int) -> None:
    """Raise FrameError("range") for a read that the specification forbids."""
    if fc not in READS:
        raise FrameError("range", f"function {fc} does not read; reads are 1, 2, 3 and 4")
    limit = MAX_BITS if fc in BIT_READS else MAX_REGISTERS
    if not 1 <= count <= limit:
        raise FrameError("range", f"{count} {'bits' if fc in BIT_READS else 'registers'} asked, allowed are 1 to {limit}")
    if address < 0 or address + count > 0x10000:
        raise FrameError("range", f"address {address} with {count} items leaves the space 0 to 65535")


def request(unit: int, fc: int, address: int, count: int) -> bytes:
    """The RTU frame of a read. Raises FrameError("range") beyond 125 registers, 2000 bits, address 65535 or unit 255."""
    check_read(fc, address, count)
    if not 0 <= unit <= 255:
        raise FrameError("range", f"unit {unit} is not 0 to 255")
    return sealed(bytes((unit, fc)) + address.to_bytes(2, "big") + count.to_bytes(2, "big"))


def write_request(unit: int, fc: int, address: int, value: int) -> bytes:
    """The RTU frame that writes one coil (function 5, value 0xFF00 or 0) or one register (function 6). Raises FrameError("range")."""
    if fc not in (5, 6):
        raise FrameError("range", f"function {fc} does not write one value; those are 5 and 6")
    if not (0 <= unit <= 255 and 0 <= address <= 0xFFFF and 0 <= value <= 0xFFFF) or (fc == 5 and value not in (0, 0xFF00)):
        raise FrameError("range", f"unit {unit}, address {address} or value {value} does not fit the frame")
    return sealed(bytes((unit, fc)) + address.to_bytes(2, "big") + value.to_bytes(2, "big"))


def write_many_request(unit: int, fc: int, address: int, values: Sequence[int]) -> bytes:
    """The RTU frame that writes several coils (function 15) or registers (16). Raises FrameError("range")."""
    top, most = (1, 1968) if fc == 15 else (0xFFFF, 123)
    if fc not in (15, 16):
        raise FrameError("range", f"function {fc} does not write several values; those are 15 and 16")
    fits = 0 <= unit <= 255 and 1 <= len(values) <= most and address >= 0 and address + len(values) <= 0x10000
    if not fits or not all(0 <= value <= top for value in values):
        raise FrameError("range", f"{len(values)} values at address {address} do not fit a write by function {fc}")
    if fc == 15:
        data = bytes(sum(bit << at for at, bit in enumerate(values[start : start + 8])) for start in range(0, len(values), 8))
    else:
        data = b"".join(value.to_bytes(2, "big") for value in values)
    return sealed(bytes((unit, fc)) + address.to_bytes(2, "big") + len(values).to_bytes(2, "big") + bytes((len(data),)) + data)


def parse_request(frame: bytes) -> Request:
    """Read a request back. Raises FrameError: short, crc, mismatch (not a read of eight bytes) or range."""
    if len(frame) < 8:
        raise FrameError("short", f"a request has 8 bytes, not {len(frame)}")
    _check_crc(frame, "request")
    if len(frame) > 8:
        raise FrameError("mismatch", f"a read request has 8 bytes, not {len(frame)}")
    found = Request(frame[0], frame[1], int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[4:6], "big"))
    check_read(found.fc, found.address, found.count)
    return found


def _check_crc(frame: bytes, what: str) -> None:
    expected, received = crc16(frame[:-2]), int.from_bytes(frame[-2:], "little")
    if expected != received:
        raise FrameError("crc", f"the {what} carries CRC {received:04X}, computed is {expected:04X}")


def reply_length(head: bytes) -> int | None:
    """How long the reply frame that starts with `head` is, in bytes; None when the first bytes do not tell."""
    if len(head) < 3:
        return None
    fc = head[1]
    if fc & 0x80:
        return 5
    if fc in READS:
        return 5 + head[2]
    return 8 if fc in (5, 6, 15, 16) else None


def parse_reply(asked: bytes | Request | None, frame: bytes, *, any_address: bool = False, fc04_reply: bool = False) -> Reply:
    """Check a reply and take out its registers or bits.

    `asked` None checks the frame alone; bits are then a multiple of eight. `any_address` allows an answer from another unit (a query to a universal
    address), `fc04_reply` a device that answers function 3 with function 4 and more registers than asked: the first ones count.
    Raises FrameError: short, crc, exception (with its name and `code`) or mismatch.
    """
    if isinstance(asked, bytes):
        asked = parse_request(asked)
    _check_frame(frame)
    return parse_body(asked, frame[:-2], any_address=any_address, fc04_reply=fc04_reply)


def parse_body(asked: Request | None, body: bytes, *, any_address: bool = False, fc04_reply: bool = False) -> Reply:
    """As `parse_reply`, for a reply without its CRC: Modbus TCP has none. Raises FrameError: short, exception or mismatch."""
    if len(body) < 3:
        raise FrameError("short", f"{len(body)} bytes are no reply")
    unit, fc = body[0], body[1]
    if asked is not None and unit != asked.unit and not any_address:
        raise FrameError("mismatch", f"unit {unit} answered, unit {asked.unit} was asked")
    swapped = asked is not None and fc04_reply and (fc & 0x7F, asked.fc) == (4, 3)
    if asked is not None and fc & 0x7F != asked.fc and not swapped:
        raise FrameError("mismatch", f"function {fc & 0x7F} answered, function {asked.fc} was asked")
    if fc & 0x80:
        raise FrameError("exception", EXCEPTIONS.get(body[2], f"exception code {body[2]}"), body[2])
    if fc not in READS:
        echo = _registers(body[2:6])
        if asked is not None and echo != (asked.address, asked.count):
            raise FrameError("mismatch", f"{echo} was echoed, {(asked.address, asked.count)} was written")
        return Reply(unit, fc, echo)
    if len(body) != 3 + body[2]:
        raise FrameError("mismatch", f"{body[2]} data bytes were announced, {len(body) - 3} came")
    return Reply(unit, fc, _content(body[3:], fc, asked, swapped))


def _check_frame(frame: bytes) -> None:
    """The frame is whole, its CRC right, and nothing follows it. A cut frame is short rather than broken."""
    if len(frame) < 5:
        raise FrameError("short", f"{len(frame)} bytes are no reply")
    length = reply_length(frame)
    if length is not None and len(frame) < length:
        raise FrameError("short", f"{len(frame)} of {length} bytes received")
    _check_crc(frame, "reply")
    if len(frame) != length:
        raise FrameError("mismatch", f"{len(frame)} bytes are no reply to a request of ours")


def _content(data: bytes, fc: int, asked: Request | None, longer: bool) -> tuple[int, ...]:
    """Registers or bits after the byte count, checked against what was asked."""
    if fc in BIT_READS:
        wanted = None if asked is None else (asked.count + 7) // 8
        bits = tuple(byte >> at & 1 for byte in data for at in range(8))
        found = bits if asked is None else bits[: asked.count]
    else:
        wanted = None if asked is None else 2 * asked.count
        found = _registers(data) if asked is None else _registers(data)[: asked.count]
    if wanted is not None and (len(data) < wanted or (len(data) > wanted and not longer)):
        raise FrameError("mismatch", f"{len(data)} data bytes answered, {wanted} were asked")
    return found


def _registers(data: bytes) -> tuple[int, ...]:
    if len(data) % 2:
        raise FrameError("mismatch", f"{len(data)} data bytes are no whole registers")
    return struct.unpack(f">{len(data) // 2}H", data)


def build_reply(asked: Request, values: Sequence[int]) -> bytes:
    """The frame with which a device answers a read, for simulators and tests. Raises FrameError("range") when the values do not fit the request."""
    check_read(asked.fc, asked.address, asked.count)
    top = 1 if asked.fc in BIT_READS else 0xFFFF
    if len(values) != asked.count or not all(0 <= value <= top for value in values):
        raise FrameError("range", f"{len(values)} values do not answer a read of {asked.count}")
    if asked.fc in BIT_READS:
        data = bytes(sum(bit << at for at, bit in enumerate(values[start : start + 8])) for start in range(0, asked.count, 8))
    else:
        data = b"".join(value.to_bytes(2, "big") for value in values)
    return sealed(bytes((asked.unit, asked.fc, len(data))) + data)


def build_exception(asked: Request, code: int) -> bytes:
    """The exception frame of a device, for simulators and tests."""
    return sealed(bytes((asked.unit, asked.fc | 0x80, code)))
