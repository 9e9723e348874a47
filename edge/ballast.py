"""A file of reserved space: given up when the disk is full, so that the spool can free rows and still write alarms."""

import os
from pathlib import Path
from typing import Final

SIZE: Final = 512 * 1024  # bytes
_COMFORT: Final = 4 * SIZE  # free bytes from which the reserve is taken again


class Ballast:
    """The reserve of one folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def restore(self) -> bool:
        """Take the reserve if it is missing and the disk has room; True when it is there afterwards."""
        if self._path.exists():
            return True
        space = os.statvfs(self._path.parent)
        if space.f_bavail * space.f_frsize < _COMFORT:
            return False
        try:
            self._path.write_bytes(os.urandom(SIZE))  # random: no file system may compress it away
        except OSError:
            self._path.unlink(missing_ok=True)
            return False
        return True

    def release(self) -> bool:
        """Give the space up; False when it was not there."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
