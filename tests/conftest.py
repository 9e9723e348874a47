"""Fixtures that every package's tests share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from simulators.broker import Broker
from simulators.broker import free_port as pick_port

# A test never asserts the speed of the machine it runs on.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")


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
