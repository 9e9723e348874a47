"""Frames of a Modbus server: reading requests from a byte stream, building replies, and bending replies the way bad lines and bad devices do.

Two framings: RTU (unit, PDU, CRC-16 low byte first), also over TCP, and MBAP of Modbus TCP (transaction, 0, length, unit, PDU).
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from contract.frames import crc16
from simulators.faults import Fault, FaultError
from simulators.noise import key

GREETING = b"Thank you for using the Modbus modules of LCTECH\r\n"
Emission = tuple[int, bytes]  # ms after the request, bytes


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came: unit id, function code and data, transaction id (0 in RTU), and its raw bytes."""

    unit: int
    pdu: bytes
    transaction: int
    raw: bytes


class Framing(Protocol):
    """How requests and replies lie in a byte stream. One object per connection: it keeps the unread rest."""

    rtu: bool

    def feed(self, data: bytes, at: float = 0.0) -> list[Request]:
        """The complete requests that `data` finishes; `at` in seconds of any clock."""
        ...

    def frame(self, unit: int, pdu: bytes, transaction: int = 0) -> bytes:
        """A frame around a reply."""
        ...


class RtuFraming:
    """RTU: the length of a request follows from its function code; what has no good CRC is skipped byte by byte.

    Half a second of silence ends whatever was begun, or garbage that looks like the start of a long write would deafen the device.
    """

    rtu = True

    def __init__(self) -> None:
        self._rest = b""
        self._heard = 0.0

    def feed(self, data: bytes, at: float = 0.0) -> list[Request]:
        """See Framing."""
        self._rest = data if at - self._heard > 0.5 else self._rest + data
        self._heard = at
        found = []
        while len(self._rest) >= 4:
            length = _rtu_length(self._rest)
            if length > len(self._rest):
                break
            raw = self._rest[:length]
            if length and crc16(raw[:-2]) == int.from_bytes(raw[-2:], "little"):
                found.append(Request(raw[0], raw[1:-2], 0, raw))
                self._rest = self._rest[length:]
            else:
                self._rest = self._rest[1:]
        return found

    def frame(self, unit: int, pdu: bytes, transaction: int = 0) -> bytes:
        """See Framing; RTU has no transaction id."""
        del transaction
        body = bytes([unit]) + pdu
        return body + crc16(body).to_bytes(2, "little")


def _rtu_length(data: bytes) -> int:
    """Length of the request that begins here; 0 when no request begins like this; more than there is when the rest is awaited."""
    code = data[1]
    if 1 <= code <= 6:
        return 8
    if code in (15, 16):
        return 9 + data[6] if len(data) > 6 else len(data) + 1
    return 7 if code == 0x2B else 0


class MbapFraming:
    """Modbus TCP: six bytes of header tell transaction and length."""

    rtu = False

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes, at: float = 0.0) -> list[Request]:
        """See Framing; TCP needs no silence."""
        del at
        self._rest += data
        found = []
        while len(self._rest) >= 8:
            transaction, protocol, length = struct.unpack("!HHH", self._rest[:6])
            if protocol or not 2 <= length <= 254:
                self._rest = b""  # not Modbus: nothing after it can be trusted
                break
            if len(self._rest) < 6 + length:
                break
            raw, self._rest = self._rest[: 6 + length], self._rest[6 + length :]
            found.append(Request(raw[6], raw[7:], transaction, raw))
        return found

    def frame(self, unit: int, pdu: bytes, transaction: int = 0) -> bytes:
        """See Framing."""
        return struct.pack("!HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def exception(function: int, code: int) -> bytes:
    """The PDU of an exception reply."""
    return bytes([function | 0x80, code])


def check_carrier(fault: Fault, *, rtu: bool) -> None:
    """Raise FaultError when the fault does not exist on such a carrier."""
    if (fault.kind in _RTU_ONLY and not rtu) or (fault.kind == "wrong_transaction" and rtu):
        raise FaultError(f"the fault {fault.kind!r} does not exist on this carrier")


def emissions(framing: Framing, request: Request, unit: int, pdu: bytes, fault: Fault | None) -> list[Emission]:
    """What goes onto the line for a reply, and when. Raises FaultError when the fault does not exist on this carrier."""
    reply = framing.frame(unit, pdu, request.transaction)
    if fault is None or fault.kind not in _BENDS:
        return [(0, reply)]
    check_carrier(fault, rtu=framing.rtu)
    return _BENDS[fault.kind](_Bend(framing, request, unit, pdu, reply, fault))


@dataclass(frozen=True, slots=True)
class _Bend:
    """Everything a distortion may look at."""

    framing: Framing
    request: Request
    unit: int
    pdu: bytes
    reply: bytes
    fault: Fault

    def again(self, unit: int | None = None, pdu: bytes | None = None, transaction: int | None = None) -> bytes:
        """The reply with something else in it, well formed."""
        return self.framing.frame(
            self.unit if unit is None else unit,
            self.pdu if pdu is None else pdu,
            self.request.transaction if transaction is None else transaction,
        )


def _split(b: _Bend) -> list[Emission]:
    gap = 5 if b.fault.delay_ms is None else b.fault.delay_ms
    pieces: list[Emission] = []
    at = 0
    while at < len(b.reply):
        size = 1 + (at + b.reply[at]) % 3
        pieces.append((gap * len(pieces), b.reply[at : at + size]))
        at += size
    return pieces


def _wrong_count(b: _Bend) -> list[Emission]:
    if len(b.pdu) < 4 or b.pdu[0] & 0x80:
        return [(0, b.reply)]
    size = 2 if b.pdu[0] in (3, 4) else 1
    return [(0, b.again(pdu=bytes([b.pdu[0], b.pdu[1] - size]) + b.pdu[2:-size]))]


def _two_slaves(b: _Bend) -> list[Emission]:
    """Both drive the line: where they differ the dominant level wins, so the receiver sees the AND of the bits. Never a frame with a good CRC."""
    for shift in range(1, 256):
        other = b.again(pdu=b.pdu[:2] + bytes((v ^ shift) for v in b.pdu[2:]))
        mixed = bytes(x & y for x, y in zip(b.reply, other, strict=True))
        if crc16(mixed[:-2]) != int.from_bytes(mixed[-2:], "little"):
            return [(0, mixed)]
    return [(0, b.reply[:-1])]


def _garbage(b: _Bend) -> list[Emission]:
    """What a receiver at twice the baud rate makes of it: about twice the bytes, none of them right."""
    noise = key(int.from_bytes(b.reply[-2:], "big"), "garbage").to_bytes(8, "big")
    return [(0, bytes(noise[i % 8] ^ (0x80 | i & 0x7F) for i in range(2 * len(b.reply))))]


_OTHER = MappingProxyType({1: 2, 2: 1, 3: 4, 4: 3})  # the function codes that devices confuse
_RTU_ONLY = frozenset({"wrong_crc", "two_slaves"})
_BENDS: Mapping[str, Callable[[_Bend], list[Emission]]] = MappingProxyType(
    {
        "no_reply": lambda _: [],
        "dropout": lambda _: [],
        "late_reply": lambda b: [(1500 if b.fault.delay_ms is None else b.fault.delay_ms, b.reply)],
        "wrong_crc": lambda b: [(0, b.reply[:-1] + bytes([b.reply[-1] ^ 0x55]))],
        "wrong_unit": lambda b: [(0, b.again(unit=(b.unit % 247) + 1))],
        "wrong_function": lambda b: [(0, b.again(pdu=bytes([_OTHER.get(b.pdu[0], b.pdu[0])]) + b.pdu[1:]))],
        "wrong_count": _wrong_count,
        "wrong_transaction": lambda b: [(0, b.again(transaction=0))],
        "exception": lambda b: [(0, b.again(pdu=exception(b.request.pdu[0], b.fault.code)))],
        "truncated": lambda b: [(0, b.reply[:-3])],
        "echo": lambda b: [(0, b.request.raw + b.reply)],
        "greeting": lambda b: [(0, GREETING + b.reply)],
        "noise": lambda b: [(0, b"\xff\x00\xff" + b.reply + b"\x00\xff")],
        "glued": lambda b: [(0, b.reply + b.again(pdu=bytes([b.pdu[0], 2, 0, 0])))],
        "split": _split,
        "two_slaves": _two_slaves,
        "garbage": _garbage,
    }
)
