"""A GSM modem on a pseudo-terminal: AT commands of TS 27.005 in PDU mode. It decodes what it is given and can refuse or fall silent."""

import contextlib
import itertools
import os
import pty
import threading
import tty
from dataclasses import dataclass
from types import TracebackType
from typing import Self

END = 0x1A


@dataclass(frozen=True, slots=True)
class Submitted:
    """A message as the network would get it."""

    phone: str
    text: str


class SimulatedModem:
    """`port` is the device to open; `sent` what was submitted; `errors` +CMS codes for the next submissions; `held` what has
    come in, by place; `deaf` = it no longer answers."""

    def __init__(self) -> None:
        self._master, slave = pty.openpty()
        tty.setraw(self._master)
        tty.setraw(slave)
        self.port, self._slave = os.ttyname(slave), slave
        self.sent: list[Submitted] = []
        self.commands: list[str] = []
        self.errors: list[int] = []
        self.deaf = False
        self.held: dict[int, str] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._slave)
        with contextlib.suppress(OSError):
            os.close(self._master)

    def _run(self) -> None:
        buffer = b""
        with contextlib.suppress(OSError):
            while data := os.read(self._master, 4096):
                buffer = self._take(buffer + data)

    def _take(self, buffer: bytes) -> bytes:
        """Act on whole commands and texts; returns what is left."""
        while True:
            if (end := buffer.find(b"\x1a")) >= 0:
                self._submit(buffer[:end].strip())
                buffer = buffer[end + 1 :]
            elif (end := buffer.find(b"\r")) >= 0:
                self._command(buffer[:end].decode("ascii", "replace").strip())
                buffer = buffer[end + 1 :]
            else:
                return buffer

    def receive(self, unit: str) -> None:
        """A message arrives from the network, as an SMS-DELIVER in hex."""
        self.held[next(place for place in itertools.count(1) if place not in self.held)] = unit

    def _command(self, command: str) -> None:
        self.commands.append(command)
        if not self.deaf and command == "AT+CMGL=4":
            self._say("".join(f"\r\n+CMGL: {place},0,,{len(unit) // 2 - 1}\r\n{unit}" for place, unit in self.held.items()) + "\r\n\r\nOK\r\n")
        elif not self.deaf:
            if command.startswith("AT+CMGD="):
                self.held.pop(int(command[8:]), None)
            self._say("\r\n> " if command.startswith("AT+CMGS=") else "\r\nOK\r\n")

    def _submit(self, unit: bytes) -> None:
        if self.deaf:
            return
        if self.errors:
            self._say(f"\r\n+CMS ERROR: {self.errors.pop(0)}\r\n")
            return
        self.sent.append(decode(unit.decode("ascii")))
        self._say(f"\r\n+CMGS: {len(self.sent)}\r\n\r\nOK\r\n")

    def _say(self, text: str) -> None:
        os.write(self._master, text.encode())


def decode(unit: str) -> Submitted:
    """An SMS-SUBMIT with UCS-2 text, as TS 23.040 lays it out."""
    data = unit[2 * (1 + int(unit[:2], 16)) :]
    digits = int(data[4:6], 16)
    international, swapped = data[6:8] == "91", data[8 : 8 + digits + digits % 2]
    phone = "".join(b + a for a, b in zip(swapped[::2], swapped[1::2], strict=True)).rstrip("F")
    rest = data[8 + len(swapped) :]
    length = int(rest[6:8], 16)  # pid, dcs, validity, length
    return Submitted(("+" if international else "") + phone, bytes.fromhex(rest[8 : 8 + 2 * length]).decode("utf-16-be"))


def deliver(phone: str, text: str, stamp: str, *, coding: int = 8) -> str:
    """An SMS-DELIVER in hex: from `phone` (+…), `stamp` yymmddhhmmsszz (zz quarters of an hour), coding 8 = UCS-2, 0 = GSM letters and digits."""
    digits = phone.removeprefix("+")
    body = text.encode("utf-16-be") if coding == 8 else _septets(text)
    length = len(body) if coding == 8 else len(text)
    return f"0004{len(digits):02X}91{_swap(digits)}00{coding:02X}{_swap(stamp)}{length:02X}{body.hex().upper()}"


def _swap(digits: str) -> str:
    even = digits + "F" * (len(digits) % 2)
    return "".join(b + a for a, b in zip(even[::2], even[1::2], strict=True))


def _septets(text: str) -> bytes:
    """Letters and digits stand in the default alphabet where they stand in ASCII."""
    bits = sum(ord(letter) << 7 * place for place, letter in enumerate(text))
    return bits.to_bytes((7 * len(text) + 7) // 8, "little")
