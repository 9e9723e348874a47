"""`python -m server` is the command `archivewatch`."""

import sys

from server.cli import main as run


def main() -> None:
    """Console script."""
    sys.exit(run())


if __name__ == "__main__":
    main()
