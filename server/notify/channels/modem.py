"""SMS through a GSM modem on a serial line: AT commands of 3GPP TS 27.005 in PDU mode with UCS-2 text, one message at a time.

The modem answers +CMGS with a reference only; it tells nothing more, so the channel has neither look-up nor receipts. What people
reply lies in its memory: it is listed (AT+CMGL) and deleted (AT+CMGD) once it is on record.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import serial

from server.notify.channels import Abilities, ChannelError, ChannelSettings, Failure, Incoming, Message, OneWay, Receipt, sms_pdu

END, ESCAPE = b"\x1a", b"\x1b"
# TS 27.005 §3.2.5 and TS 23.040 §9.2.3.22: what will never work for this number; all else may work later.
_PERMANENT = frozenset({1, 8, 10, 21, 28, 29, 30, 50, 69, 81, 96, 304, 305, 330})


class Line(Protocol):
    """A serial port as this driver uses it."""

    def write(self, data: bytes, /) -> int | None:
        """Send."""

    def read_until(self, expected: bytes = b"\n", size: int | None = None, /) -> bytes:
        """Receive up to and including `expected`, or what has come when the time is over."""

    def reset_input_buffer(self) -> None:
        """Forget what has come."""

    def close(self) -> None:
        """Let go."""


class Modem(OneWay):
    """The channel. Option `port` is the device, `baud` its speed (115200), `pin` the card's PIN."""

    name = "modem"
    last_word = "sent"
    abilities = Abilities(lookup=False, receipts=False)
    holds_replies = True

    def __init__(self, settings: ChannelSettings) -> None:
        self._port = settings.options.get("port", "/dev/ttyUSB0")
        self._baud, self._pin = int(settings.options.get("baud", "115200")), settings.options.get("pin", "")
        self._timeout = max(settings.timeout_s, 1.0)
        self._line: Line | None = None
        self._places: dict[str, int] = {}
        self._lock = threading.Lock()

    def send(self, message: Message) -> Receipt:
        """Send through the modem. Raises ChannelError: ambiguous once the text itself was handed over."""
        with self._lock, self._connected() as line:
            return self._submit(line, message)

    def incoming(self, _since: int) -> Sequence[Incoming]:
        """All that the modem holds, of whatever age. Raises ChannelError."""
        with self._lock, self._connected() as line:
            listed = sms_pdu.listed(self._command(line, "AT+CMGL=4"))
        self._places |= {one.id: place for place, one in listed}
        return [one for _, one in listed]

    def forget(self, ids: Sequence[str]) -> None:
        """Delete them, or the memory is full one day and nothing comes in any more. What fails is listed and deleted again."""
        with self._lock, self._connected() as line:
            for ident in ids:
                self._command(line, f"AT+CMGD={self._places.pop(ident)}")

    def close(self) -> None:
        """Let go of the port."""
        with self._lock:
            self._drop()

    _handed = False

    def _ready(self) -> Line:
        if self._line is None:
            self._line = serial.Serial(self._port, self._baud, timeout=0.2, write_timeout=self._timeout)
            for command in ("ATE0", "AT+CMEE=1", *([f'AT+CPIN="{self._pin}"'] if self._pin else []), "AT+CMGF=0"):
                self._command(self._line, command)
        return self._line

    @contextmanager
    def _connected(self) -> Iterator[Line]:
        """The line, let go of when it breaks. Raises ChannelError."""
        self._handed = False
        try:
            yield self._ready()
        except (serial.SerialException, OSError) as error:
            self._drop()
            raise ChannelError("短信猫断开", Failure.AMBIGUOUS if self._handed else Failure.RETRY) from error

    def _submit(self, line: Line, message: Message) -> Receipt:
        unit, length = sms_pdu.submit(message.phone, message.text)
        line.reset_input_buffer()
        line.write(f"AT+CMGS={length}\r".encode())
        self._until(line, b">")
        line.write(unit.encode() + END)
        self._handed = True
        answer = self._until(line, b"OK")
        reference = next((word.partition(":")[2].strip() for word in answer.splitlines() if word.startswith("+CMGS")), "")
        return Receipt(f"modem-{message.id}-{reference or '0'}", "sent")

    def _command(self, line: Line, command: str) -> str:
        line.reset_input_buffer()
        line.write(command.encode() + b"\r")
        return self._until(line, b"OK")

    def _until(self, line: Line, expected: bytes) -> str:
        """Read until the expected word. Raises ChannelError for an error of the modem or the network, or when the time is over."""
        got, until = b"", time.monotonic() + self._timeout
        while time.monotonic() < until:
            got += line.read_until(expected)
            if expected in got:
                return got.decode("ascii", "replace")
            if b"ERROR" in got:
                raise self._refused(got.decode("ascii", "replace"))
        line.write(ESCAPE)
        self._drop()
        raise ChannelError("短信猫没有按时答复", Failure.AMBIGUOUS if self._handed else Failure.RETRY)

    @staticmethod
    def _refused(text: str) -> ChannelError:
        code = next((word.rpartition(":")[2].strip() for word in text.splitlines() if "ERROR:" in word), "")
        number = int(code) if code.isdigit() else None
        return ChannelError("短信猫拒发", Failure.PERMANENT if number in _PERMANENT else Failure.RETRY, number)

    def _drop(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


def make(settings: ChannelSettings) -> Modem:
    """From the settings; the port is opened with the first message."""
    return Modem(settings)
