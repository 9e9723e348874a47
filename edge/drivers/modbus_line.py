"""Which bytes of a Modbus line are the answer to the question: the part of the driver that knows no library and does no I/O.

The library above sees only frames that passed here. It would take any well-formed RTU reply of the asked unit as the answer, and what lies in front
of a frame would cost it the frame.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from contract.frames import FrameError, Reply, Request, crc16, parse_body, parse_reply, reply_length

_NO_UNIT = (0, 255)


@dataclass(slots=True)
class Exchange:
    """One question and what came after it. `heard` counts bytes of this exchange, `trouble` is the most telling fault among them."""

    asked: Request
    transaction: int | None = None
    """MBAP transaction id; None on an RTU line."""
    fc04_reply: bool = False
    heard: int = 0
    trouble: str = ""
    reply: Reply | None = None
    exception: FrameError | None = None
    others: set[int] = field(default_factory=set)
    """Units that were heard although they were not asked: late answers of an earlier question."""

    @property
    def answered(self) -> bool:
        """Whether the answer is there."""
        return self.reply is not None or self.exception is not None

    def look(self, data: bytes) -> bytes:
        """Find the answer in everything received so far; returns its frame, or b"" to wait for more."""
        self.heard = len(data)
        return self._rtu(data) if self.transaction is None else self._mbap(data)

    def _rtu(self, data: bytes) -> bytes:
        """RTU has no beginning of a frame but the silence before it: try every position, and believe the CRC."""
        for at in range(len(data) - 4):
            length = reply_length(data[at:])
            if length is None or at + length > len(data):
                continue
            frame = data[at : at + length]
            if self._accept(parse_reply, frame):
                return frame
        if self.heard and not self.trouble:
            self.trouble = "short"
        return b""

    def _mbap(self, data: bytes) -> bytes:
        while len(data) >= 9:
            transaction, protocol, length = (int.from_bytes(data[at : at + 2], "big") for at in (0, 2, 4))
            if protocol or not 3 <= length <= 254:
                self.trouble = "garbled"
                return b""
            frame, data = data[: 6 + length], data[6 + length :]
            if len(frame) < 6 + length:
                break
            if frame[6] in _NO_UNIT:  # the transaction tells whose answer it is; such a device does not repeat the unit
                frame = frame[:6] + bytes((self.asked.unit,)) + frame[7:]
            if transaction != self.transaction:
                self.trouble = "mismatch"
            elif self._accept(parse_body, frame[6:]):
                return frame
        return b""

    def _accept(self, parse: Callable[..., Reply], frame: bytes) -> bool:
        """Whether a frame, or a body on TCP, is the answer; a good one of somebody else is noted."""
        try:
            self.reply = parse(self.asked, frame, fc04_reply=self.fc04_reply)
        except FrameError as error:
            if error.kind == "exception":
                self.exception = error
                return True
            if error.kind == "mismatch" and frame[0] != self.asked.unit:
                self.others.add(frame[0])
            if error.kind == "mismatch" or (error.kind == "crc" and frame[0] == self.asked.unit and not self.trouble):
                self.trouble = error.kind
            return False
        return True


def late_units(data: bytes) -> set[int]:
    """Units of which a whole, good reply frame lies in bytes that nobody waited for."""
    found = set()
    for at in range(len(data) - 4):
        length = reply_length(data[at:])
        if length is not None and at + length <= len(data) and crc16(data[at : at + length]) == 0:  # the CRC over a frame and its CRC is 0
            found.add(data[at])
    return found
