"""From settings to what papers are made from: the same for the server and for a command that opens the store itself."""

from collections.abc import Callable
from importlib.metadata import version

from server.live.board import Board
from server.reports import history_export
from server.reports.desk import Desk, Runner
from server.reports.sources import Bands, ReportSettings, Sources
from server.series import SeriesStore
from server.settings import Settings
from server.store.session import Database
from server.store.tables import Room


def open_desk(settings: Settings, db: Database, store: SeriesStore, bands: Callable[[Room], Bands], runner: Runner) -> Desk:
    """The desk of these settings; its files lie in the data folder."""
    return Desk(report_sources(settings, db, store, bands), runner, settings.data_dir / "papers", {"history": history_export.product})


def board_bands(board: Board) -> Callable[[Room], Bands]:
    """Limits of rooms as the live board knows them."""

    def bands(room: Room) -> Bands:
        fact = board.room_fact(room.code)
        return {} if fact is None else fact.band

    return bands


def report_sources(settings: Settings, db: Database, store: SeriesStore, bands: Callable[[Room], Bands]) -> Sources:
    """The sources; a point's silence is allowed as the watch allows it."""
    reports = settings.reports
    forms = reports.forms if reports.forms is not None else settings.data_dir / "forms"
    return Sources(
        db=db,
        store=store,
        bands=bands,
        generator=f"ArchiveWatch {version('archivewatch')}",
        settings=ReportSettings(
            times=(reports.morning, reports.afternoon),
            tolerance_ms=int(reports.tolerance_min * 60_000),
            forms=forms,
            deadline_ms=settings.watch.allowed_ms,
        ),
    )
