"""Statements are compiled once a process and not once a test: each test has an engine of its own, the server has one for its whole life.

SQLAlchemy keeps what it compiled by engine and dialect. Here engines of one kind count as one, so that a test runs with warm caches, as a server does
after its first minute, and does not spend a third of its time on compiling what the test before it compiled.
"""

from typing import Any

from sqlalchemy import Engine
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import LRUCache

_STATEMENTS: LRUCache[Any, Any] = LRUCache(4_000)


def _init(self: Engine, *given: Any, **named: Any) -> None:
    _made(self, *given, **named)
    self._compiled_cache = _STATEMENTS


def _equal(self: DefaultDialect, other: object) -> bool:
    return type(self) is type(other)


def _hash(self: DefaultDialect) -> int:
    return hash(type(self))


_made = Engine.__init__


def share() -> None:
    """From now on."""
    Engine.__init__ = _init
    DefaultDialect.__eq__ = _equal
    DefaultDialect.__hash__ = _hash
