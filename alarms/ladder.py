"""Levels, rungs and scopes: what a rule's ladder is made of, and the two ways in which a rule file is refused.

Durations are ms, limits are in the quantity's canonical unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

Side = Literal["above", "below", "equals"]
CHANGE = "limit:"
"""Prefix of the origin of a limit that a person changed: `limit:ID`."""
# Readings are integers times a decimal step, so 60 %RH may arrive as 60.00000000000001; this much is not "beyond" a limit.
EPSILON = 1e-9
_UNIT_CODE_DIGITS = 12


class RuleError(ValueError):
    """A rule file was refused. `str` is "file:line: reason"."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(f"{file}:{line}: {reason}")
        self.file = file
        self.line = line
        self.reason = reason


class LayerError(ValueError):
    """Two rules of one name do not fit together; `index` is the place of the second one in its set."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index


class Level(IntEnum):
    """How bad; the Chinese words are in language.md 2.1 (提示 一般 紧急 特急)."""

    WARN = 1
    ALARM = 2
    URGENT = 3
    CRITICAL = 4

    @property
    def word(self) -> str:
        """The word used in files, tables and the API."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> "Level":
        """From its word. Raises ValueError."""
        try:
            return cls[word.upper()]
        except KeyError:
            raise ValueError(f"{word!r} is not a level (warn, alarm, urgent, critical)") from None


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of a ladder: beyond `limit` for `on_delay_ms` means `level`.

    For side "equals" `values` are all values that reach this level, those of the worse levels included; `limit` is the first. `origin` says who
    set the limit: the scope of the rule file's layer (everywhere, unit:CODE, room:CODE), or limit:ID for a change kept in the database.
    """

    level: Level
    side: Side
    limit: float
    on_delay_ms: int = 0
    values: tuple[float, ...] = ()
    origin: str = field(default="", compare=False)

    def breached(self, value: float) -> bool:
        """Strictly beyond the limit."""
        if self.side == "above":
            return value > self.limit + EPSILON
        if self.side == "below":
            return value < self.limit - EPSILON
        return value in self.values

    def cleared(self, value: float, deadband: float) -> bool:
        """At or inside limit - deadband (limit + deadband for "below")."""
        if self.side == "above":
            return value <= self.limit - deadband + EPSILON
        if self.side == "below":
            return value >= self.limit + deadband - EPSILON
        return value not in self.values


@dataclass(frozen=True, slots=True)
class AppliesTo:
    """Scope of a rule; empty means everywhere. `unit` is a unit code (its whole subtree) or the leading digits of codes."""

    unit: str = ""
    medium: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The scope as an origin of limits; at most 80 characters."""
        place = f"room:{','.join(self.rooms)}" if self.rooms else f"unit:{self.unit}" if self.unit else "everywhere"
        return place[:80]

    def covers(self, medium: str, unit_path: Sequence[str], room: str) -> bool:
        """Whether a room of that medium in that unit (path from the top, own code last) is meant."""
        return (not self.rooms or room in self.rooms) and (not self.medium or medium in self.medium) and self.depth(unit_path) is not None

    def depth(self, unit_path: Sequence[str]) -> int | None:
        """How far down the unit path the scope sits (0 = everywhere), None when the path does not pass through it."""
        if not self.unit:
            return 0
        for index, code in enumerate(unit_path, start=1):
            if code == self.unit or (len(self.unit) < _UNIT_CODE_DIGITS and code.startswith(self.unit)):
                return index
        return None


EVERYWHERE = AppliesTo()


def duration_text(ms: int) -> str:
    """Write a duration the way rule files do, exactly: 90000 -> "90s"."""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if ms and ms % size == 0:
            return f"{ms // size}{unit}"
    return f"{ms}ms" if ms else "0s"
