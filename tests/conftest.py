"""Fixtures that every package's tests share."""

import gc
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from server.store.migrate import migrate
from server.store.session import Database
from simulators.broker import Broker
from simulators.broker import free_port as pick_port
from simulators.postgres import Postgres, PostgresError
from tests import shared_statements
from tests.fresh import fresh

# A test never asserts the speed of the machine it runs on.
settings.register_profile("any-machine", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("any-machine")
shared_statements.share()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first: a long test that begins last leaves every core but one with nothing to do."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None and item.get_closest_marker("faults") is None)


def pytest_collection_finish() -> None:
    """Libraries and thousands of tests stand: the garbage collector need not look at them again and again, a tenth of the time of the whole."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


@pytest.fixture
def free_port() -> int:
    """One TCP port on 127.0.0.1 that nobody listens on."""
    return pick_port()


@pytest.fixture
def port_factory() -> Callable[[], int]:
    """Call it for each further free port."""
    return pick_port


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A running MQTT broker of this test alone: `broker.host`, `.port`, `.address`; `.kill()`, `.start()`, `.pause()`, `.resume()`."""
    with Broker(tmp_path / "broker") as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of this worker alone, without fsync; skipped with the reason where it cannot run."""
    try:
        running = Postgres().__enter__()
    except PostgresError as error:
        pytest.skip(f"PostgreSQL does not run here: {error}")
    yield running
    running.remove()


@pytest.fixture(scope="session")
def _migrated(postgres: Postgres) -> str:
    """The name of a database at the newest schema, to make others of."""
    postgres.psql("CREATE DATABASE migrated")
    made = Database(postgres.url("migrated"))
    migrate(made)
    made.close()
    return "migrated"


@pytest.fixture
def postgres_url(postgres: Postgres, _migrated: str) -> Iterator[str]:
    """The URL of a PostgreSQL database of this test alone, at the newest schema."""
    name = f"test_{uuid.uuid4().hex}"
    postgres.psql(f"CREATE DATABASE {name} TEMPLATE {_migrated} STRATEGY FILE_COPY")
    yield postgres.url(name)
    postgres.psql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of this test alone at the newest schema, once in SQLite and once in PostgreSQL."""
    if request.param == "sqlite":
        return fresh(tmp_path / "aw.db")
    url: str = request.getfixturevalue("postgres_url")
    return url
