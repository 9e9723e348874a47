"""A SQLite database at the newest schema for each test, without running the migrations each time: they are run once a process and copied."""

import functools
import tempfile
from pathlib import Path

from server.store.migrate import migrate
from server.store.session import Database


@functools.cache
def _template() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "template.db"
        made = Database(f"sqlite:///{file}")
        migrate(made)
        made.close()
        return file.read_bytes()


def fresh(file: Path) -> str:
    """Lay a migrated database at a path, unless one lies there; returns its URL."""
    if not file.exists():
        file.write_bytes(_template())
    return f"sqlite:///{file}"
