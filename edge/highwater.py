"""The spool's high-water mark, kept outside the database: how far it was written, and in which epoch.

SQLite ignores a WAL that was cut, without an error, and the rows in it are gone; only a record beside the database can tell. Two slots in separate
sectors are written in turn and synced, each with a counter and a CRC-32: a torn write damages at most the newer one.
"""

import os
import struct
import zlib
from pathlib import Path
from typing import Final, NamedTuple

_SLOT: Final = struct.Struct("<4sQQqqI")  # magic, counter, epoch, last, acknowledged, crc32 of the rest
_MAGIC: Final = b"AWhw"
_SECTOR: Final = 4096
_SIZE: Final = 2 * _SECTOR


class Mark(NamedTuple):
    """`last` is the highest sequence committed, `acknowledged` the server's watermark as known then."""

    epoch: int
    last: int
    acknowledged: int


def _read(slot: bytes) -> tuple[int, Mark] | None:
    if len(slot) < _SLOT.size:
        return None
    magic, counter, epoch, last, acknowledged, crc = _SLOT.unpack_from(slot)
    if magic != _MAGIC or crc != zlib.crc32(slot[: _SLOT.size - 4]):
        return None
    return counter, Mark(epoch, last, acknowledged)


class HighWater:
    """The mark file. `durable` False leaves out the sync: only for tests that prove its worth. Raises OSError."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self._durable = durable
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        content = os.pread(self._file, _SIZE, 0)
        if len(content) < _SIZE:  # allocate once: later writes need no space on a full disk
            os.pwrite(self._file, content.ljust(_SIZE, b"\x00"), 0)
            os.fsync(self._file)
        slots = [_read(content[at : at + _SECTOR]) for at in (0, _SECTOR)]
        newest = max((slot for slot in slots if slot is not None), default=None)
        self._counter = newest[0] if newest else 0
        self.mark: Mark | None = newest[1] if newest else None

    def write(self, mark: Mark) -> None:
        """Replace the mark; on return it survives a power cut."""
        self._counter += 1
        body = _SLOT.pack(_MAGIC, self._counter, *mark, 0)[:-4]
        os.pwrite(self._file, body + struct.pack("<I", zlib.crc32(body)), (self._counter % 2) * _SECTOR)
        if self._durable:
            os.fdatasync(self._file)
        self.mark = mark

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)
