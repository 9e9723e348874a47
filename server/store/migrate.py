"""Schema migrations: forward only, in one transaction, so that a killed upgrade leaves the old schema or the new one.

Alembic is loaded only where there is something to do: a server that comes back after a crash is not to wait for it.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from server.store.session import Database

_FOLDER = Path(__file__).parent / "migrations"


class SchemaTooNewError(RuntimeError):
    """The database was written by a newer version."""


def migrate(db: Database, to: str | None = None) -> tuple[str | None, str]:
    """Bring the schema to the newest revision (or to `to`, for tests of one step). Returns (before, after). Raises SchemaTooNewError."""
    known = revisions()
    newest = to or known[-1]
    with db.engine.execution_options(write=True).connect() as connection, connection.begin():
        before = _revision(connection)
        if before is not None and before not in known:
            raise SchemaTooNewError(f"数据库版本 {before} 比本程序新，请安装新版本后再启动。")
        if before != newest:
            _upgrade(connection, newest)
    return before, newest


def revisions() -> list[str]:
    """All revisions in order: each file of the folder is named after its own."""
    return sorted(file.stem.partition("_")[0] for file in (_FOLDER / "versions").glob("[0-9]*.py"))


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def _upgrade(connection: Connection, to: str) -> None:
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, to)
