"""Fixtures of the tests of the screens."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.house import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A server with one connected gateway and two calm rooms."""
    made = House(tmp_path)
    made.birth()
    made.calm()
    made.calm("350102000000-02")
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The same, shared by the tests of a module that change nothing another one looks at."""
    made = House(tmp_path_factory.mktemp("house"))
    made.birth()
    made.calm()
    made.calm("350102000000-02")
    yield made
    made.close()
