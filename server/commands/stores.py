"""The stores for commands that hold the lock of the data folder."""

from collections.abc import Iterator
from contextlib import contextmanager

from server.commands import database
from server.series import SeriesStore
from server.series.choose import open_store
from server.settings import SeriesSettings, Settings
from server.store.session import Database


def open_series(settings: Settings, series: SeriesSettings) -> SeriesStore:
    """A series store as described; an embedded one lies in the data folder."""
    token = series.token_file.read_text("utf-8").strip() if series.token_file is not None else ""
    return open_store(series.kind, settings.data_dir / "series", url=series.url, bucket=series.bucket, org=series.org, token=token)


@contextmanager
def opened(settings: Settings) -> Iterator[tuple[Database, SeriesStore]]:
    """Both stores, closed at the end."""
    db = database(settings)
    store = open_series(settings, settings.series)
    try:
        yield db, store
    finally:
        store.close()
        db.close()
