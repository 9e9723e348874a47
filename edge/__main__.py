"""`archivewatch-edge`, and `python -m edge`."""

import sys

from edge import cli


def main() -> None:
    """Entry point of the console command."""
    sys.exit(cli.main())


if __name__ == "__main__":
    main()
