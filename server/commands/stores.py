"""The stores for commands that hold the lock of the data folder."""

from collections.abc import Iterator
from contextlib import contextmanager

from server.commands import database, series_store
from server.series import SeriesStore
from server.settings import Settings
from server.store.session import Database


@contextmanager
def opened(settings: Settings) -> Iterator[tuple[Database, SeriesStore]]:
    """Both stores, closed at the end."""
    db = database(settings)
    store = series_store(settings)
    try:
        yield db, store
    finally:
        store.close()
        db.close()
