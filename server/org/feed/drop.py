"""A folder into which a personnel system drops lists. A file is taken once it has its final name (write it as *.part, then rename), in order of name.

`full*.csv` is a whole list of its units, any other file an increment. Taken files go to done/, others to refused/ with the reason beside them.
"""

import logging
from pathlib import Path

from server.org import feed
from server.org.imports import KINDS, tables
from server.store.session import Database

log = logging.getLogger("server.feed")

_COLUMNS = [*((column.name, column.title) for column in KINDS["people"].columns), ("state", "状态")]
_ENDINGS = (".csv", ".xlsx")


def run_once(db: Database, folder: Path, now: int) -> int:
    """Take every file that lies there; returns how many were taken. Raises OSError when the folder cannot be read or written."""
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _ENDINGS and path.is_file())
    return sum(_take(db, folder, path, now) for path in files)


def _take(db: Database, folder: Path, path: Path, now: int) -> bool:
    try:
        lines = tables.read(path.name, path.read_bytes(), _COLUMNS, ("code", "name", "phone", "unit"))
        taken = feed.absorb(db, path.name, [cells for _, cells in lines], whole=path.name.startswith("full"), now=now)
    except ValueError as error:
        log.warning("people feed %s was refused: %s", path.name, error)
        _away(path, folder / "refused", now).with_suffix(".txt").write_text(f"{error}\n", "utf-8")
        feed.failed(db, path.name, str(error), now)
        return False
    log.info("people feed %s: %s new, %s changed, %s left, %s back", path.name, taken.created, taken.updated, len(taken.left), len(taken.returned))
    _away(path, folder / "done", now)
    feed.taken(db, path.name, now)
    return True


def _away(path: Path, target: Path, now: int) -> Path:
    target.mkdir(exist_ok=True)
    return path.replace(target / f"{now}-{path.name}")
