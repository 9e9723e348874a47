"""A file instead of a provider: one JSON line per message, for a bare install, an audit or a relay that reads files.

A line counts once it is on the disk (fsync). The notification's id is in it, so that after a crash the file itself answers whether it was sent.
"""

import json
import os
import threading
from pathlib import Path

from server.notify.channels import Abilities, ChannelError, ChannelSettings, Failure, Message, Receipt


class OutboxFile:
    """Appends to `path`; the folder is made when it is missing."""

    name = "outbox_file"
    abilities = Abilities(lookup=True, receipts=False)

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def send(self, message: Message) -> Receipt:
        """Append the message. Raises ChannelError: ambiguous when the disk failed in the middle of it."""
        line = {"id": message.id, "to": message.phone, "text": message.text, "number": message.number, "created_at": message.since}
        data = json.dumps(line, ensure_ascii=False).encode() + b"\n"
        try:
            with self._lock:
                self._append(data)
        except OSError as error:
            raise ChannelError(f"发件文件写不进去：{error.strerror}", Failure.AMBIGUOUS, error.errno) from error
        return Receipt(self._provider_id(message), "sent")

    def lookup(self, message: Message) -> Receipt | None:
        """Whether the file holds a whole line of this notification. Raises ChannelError when it cannot be read."""
        try:
            with self._lock:
                written = self._path.read_bytes() if self._path.exists() else b""
        except OSError as error:
            raise ChannelError(f"发件文件读不出来：{error.strerror}", Failure.RETRY, error.errno) from error
        found = any(_ident(line) == message.id for line in written.splitlines())
        return Receipt(self._provider_id(message), "sent") if found else None

    def fetch(self, provider_id: str) -> Receipt:
        """A line in a file stays "sent"."""
        return Receipt(provider_id, "sent")

    def close(self) -> None:
        """Nothing is held open between two messages."""

    def _append(self, data: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            if file.tell() and not self._ends_with_newline():
                data = b"\n" + data  # a power cut left half a line: it must not swallow this one
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def _ends_with_newline(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    @staticmethod
    def _provider_id(message: Message) -> str:
        return f"file-{message.id}"


def _ident(line: bytes) -> object:
    """The notification id of a line, None for half a line."""
    try:
        body = json.loads(line)
    except ValueError:
        return None
    return body.get("id") if isinstance(body, dict) else None


def make(settings: ChannelSettings) -> OutboxFile:
    """From the settings."""
    return OutboxFile(settings.outbox)
