"""`python -m server` is the command `archivewatch`."""

import os
import sys

from server.cli import main as run

_CUT = 141
"""As a shell says it of a program that SIGPIPE ended."""


def main() -> None:
    """Console script. Who reads no further (`| head`) ends it without a word."""
    try:
        code = run()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains once more at its end
        code = _CUT
    sys.exit(code)


if __name__ == "__main__":
    main()
