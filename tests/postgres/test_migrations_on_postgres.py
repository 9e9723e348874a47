"""Every revision in turn on a real PostgreSQL, with rows that were there before: as an installation that has been upgraded each time."""

import uuid
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select, text

from server import store
from server.store import audit, schema
from server.store.migrate import migrate
from server.store.session import Database
from server.store.tables import AuditEntry
from server.store.tables_org import ChainCheck
from simulators.postgres import Postgres

T0 = 1_790_000_000_000
REVISIONS = sorted(path.name[:4] for path in (Path(store.__file__).parent / "migrations" / "versions").glob("[0-9]*.py"))
OLD = (
    "INSERT INTO unit (code, level, name, short_name) VALUES ('350000000000', 1, '福建省厅', '省厅')",
    "INSERT INTO person (code, name, phone, unit, duty) VALUES ('P1', '林国建', '+8613900000001', '350000000000', 'duty_officer')",
    (
        "INSERT INTO account (login, password_hash, role, unit, person, display_name, disabled, failures) "
        "VALUES ('lin', 'x', 'security', '350000000000', 1, '林国建', false, 0)"
    ),
)
"""At revision 0001."""


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[Database]:
    name = f"upgraded_{uuid.uuid4().hex}"
    postgres.psql(f"CREATE DATABASE {name}")
    made = Database(postgres.url(name))
    yield made
    made.close()
    postgres.psql(f"DROP DATABASE {name} WITH (FORCE)")


def test_an_installation_of_the_first_day_is_brought_up_step_by_step(empty: Database) -> None:
    assert migrate(empty, "0001") == (None, "0001")
    with empty.write() as session:
        for statement in OLD:
            session.execute(text(statement))
    migrate(empty, "0013")
    with empty.write() as session:
        audit.append(session, "lin", "test", "x", {"a": 1}, T0)
        session.execute(text("INSERT INTO account_security (account, totp_secret, must_change, totp_required, totp_step, visitor) "
                             "VALUES (1, 'SECRET', false, true, 7, false)"))  # fmt: skip
    for before, after in pairwise(REVISIONS[REVISIONS.index("0013") :]):
        assert migrate(empty, after) == (before, after)
    assert migrate(empty) == (REVISIONS[-1], REVISIONS[-1])
    with empty.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.Base.metadata) == []
    with empty.write() as session:
        kept = session.execute(text("SELECT totp_secret, totp_waiting, totp_step FROM account_security")).one()
        assert tuple(kept) == ("SECRET", "", 7), "the authenticator in force goes on"
        session.execute(insert(ChainCheck).values(asked_by="系统", asked_at=T0, done=0, total=1))
        audit.append(session, "lin", "test", "y", {}, T0 + 1)
    with empty.read() as session:
        assert audit.walk(session).broken is None
        assert len(session.scalars(select(AuditEntry)).all()) == 2
        assert session.execute(text("SELECT search FROM unit")).scalar_one() is not None
