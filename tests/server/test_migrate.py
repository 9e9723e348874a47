"""The schema at start: what is up to date is left alone without Alembic, what is newer is refused, and the order is Alembic's own."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

from server.store import migrate as module
from server.store.migrate import SchemaTooNewError, migrate, revisions
from server.store.session import Database
from tests.fresh import fresh


def test_the_files_stand_in_the_order_of_their_chain() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).parent / "migrations"))
    chain = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert revisions() == chain[::-1]


def test_each_step_leads_to_the_newest_and_then_there_is_nothing_to_do(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'aw.db'}")
    first, *_, newest = revisions()
    assert migrate(db, first) == (None, first)
    assert migrate(db) == (first, newest)
    assert migrate(db) == (newest, newest)
    db.close()


def test_a_database_of_a_later_version_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    db = Database(fresh(tmp_path / "aw.db"))
    with db.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaTooNewError, match="数据库版本 9999 比本程序新"):
        migrate(db)
    with db.read() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == "9999"
    db.close()


def test_a_server_that_comes_back_waits_for_no_library_that_only_some_requests_need() -> None:
    late = ("alembic", "authlib", "httpx", "docx", "xlsxwriter", "typst", "twilio", "ldap3", "bcrypt")
    code = f"import server.app, sys; print([name for name in {late!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
