"""Small files that are replaced whole: a reader sees the old content or the new, never half of it."""

import os
from pathlib import Path


def write_atomic(path: Path, text: str, *, durable: bool = False) -> None:
    """Replace `path`; `durable` also survives a power cut. Raises OSError, and then the old content is still there."""
    new = path.with_name(f".{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    new.replace(path)


class CountedFile:
    """The Sparkplug bdSeq, one higher (mod 256) at each CONNECT, over restarts too: a Will that the broker still holds must not look like ours.

    A disk that refuses the write costs only that, so it is not an error.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._value = int(path.read_text(encoding="utf-8")) % 256
        except (OSError, ValueError):
            self._value = -1

    def next(self) -> int:
        """The number for the next CONNECT; the first ever is 0."""
        self._value = (self._value + 1) % 256
        try:
            write_atomic(self._path, str(self._value))
        except OSError:
            return self._value
        return self._value
