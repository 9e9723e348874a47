"""Schema migrations: forward only, in one transaction, so that a killed upgrade leaves the old schema or the new one."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from server.store.session import Database

_FOLDER = Path(__file__).parent / "migrations"


class SchemaTooNewError(RuntimeError):
    """The database was written by a newer version."""


def migrate(db: Database, to: str | None = None) -> tuple[str | None, str]:
    """Bring the schema to the newest revision (or to `to`, for tests of one step). Returns (before, after). Raises SchemaTooNewError."""
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    script = ScriptDirectory.from_config(config)
    newest = to or script.get_current_head()
    if newest is None:
        raise RuntimeError(f"no migrations in {_FOLDER}")
    with db.engine.execution_options(write=True).connect() as connection, connection.begin():
        before = MigrationContext.configure(connection).get_current_revision()
        if before is not None and before not in {revision.revision for revision in script.walk_revisions()}:
            raise SchemaTooNewError(f"数据库版本 {before} 比本程序新，请安装新版本后再启动。")
        if before != newest:
            config.attributes["connection"] = connection
            command.upgrade(config, newest)
    return before, newest
