"""Health checks of our containers; exit code 0 or 1. Standard library only.

`url URL` answers below 400, `port HOST:PORT` accepts a connection, `fresh FOLDER SECONDS` has a file written that recently.
"""

import socket
import sys
import time
import urllib.request
from pathlib import Path

TIMEOUT_S = 3


def healthy(kind: str, target: str, seconds: str = "0") -> bool:
    """Whether the part is well. Raises OSError when it does not answer."""
    if kind == "url":
        with urllib.request.urlopen(target, timeout=TIMEOUT_S):  # noqa: S310 - the address stands in docker-compose.yml
            return True
    if kind == "port":
        host, _, port = target.rpartition(":")
        socket.create_connection((host, int(port)), TIMEOUT_S).close()
        return True
    newest = max((path.stat().st_mtime for path in Path(target).rglob("*") if path.is_file()), default=0)
    return time.time() - newest < float(seconds)


if __name__ == "__main__":
    try:
        sys.exit(0 if healthy(*sys.argv[1:]) else 1)
    except OSError as error:
        sys.exit(str(error))
