"""The tree of units in memory: whether a unit lies below another is asked many times in every request, and units hardly ever change.

Whoever writes units through this process's database makes the next question read them again at once; what another process wrote is seen after
RELOAD_S. Inside the very transaction that changed units the tree is not used: see units.path.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine, event, text

RELOAD_S = 2.0
_WRITES = ("INSERT INTO unit ", "UPDATE unit ", "DELETE FROM unit ")


class UnitTree:
    """The tree of all units of one database. Safe to use from any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._state: tuple[int, float, _Tree] = (-1, 0.0, _Tree({}))
        self._version = 0
        self._mine = threading.local()
        event.listen(engine, "after_cursor_execute", self._seen)

    def _seen(self, _connection: Connection, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.startswith(_WRITES):
            self._mine.written = True

    @property
    def in_flux(self) -> bool:
        """Whether this thread's open transaction has changed units."""
        return getattr(self._mine, "written", False)

    def settle(self) -> None:
        """This thread's transaction is over, either way."""
        if self.in_flux:
            self._mine.written = False
            self._version += 1

    def path(self, code: str) -> tuple[str, ...]:
        """Codes from the top down to and including `code`; empty when there is no such unit."""
        parents = self._tree().parents
        line: list[str] = []
        current: str | None = code
        while current is not None and current in parents and current not in line:
            line.append(current)
            current = parents[current]
        return tuple(reversed(line))

    def is_whole(self, code: str) -> bool:
        """Whether every unit is this one or lies below it."""
        return self._tree().children[None] == [code]

    def below(self, code: str, most: int) -> list[str] | None:
        """Codes of this unit and all under it; None when there are more than `most`."""
        tree = self._tree()
        found = [code] if code in tree.parents else []
        for unit in found:
            found += tree.children.get(unit, ())
            if len(found) > most:
                return None
        return found

    def _tree(self) -> "_Tree":
        version, read_at, tree = self._state
        now, wanted = time.monotonic(), self._version
        if version == wanted and now - read_at < RELOAD_S:
            return tree
        # A connection of its own: the asker's may look at a snapshot from before the last change.
        with self._engine.connect() as connection:
            found = _Tree({row.code: row.parent for row in connection.execute(text("SELECT code, parent FROM unit"))})
        self._state = (wanted, now, found)
        return found


class _Tree:
    """The units as they were read: the parent of each, and those directly under each (under None: the tops)."""

    def __init__(self, parents: Mapping[str, str | None]) -> None:
        self.parents = parents
        self.children: defaultdict[str | None, list[str]] = defaultdict(list)
        for code, parent in parents.items():
            self.children[parent].append(code)
