"""One rule as a frozen value. Durations are ms, limits are in the unit that the rule judges."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from alarms.conditions import Option
from alarms.kinds import Subject
from alarms.ladder import CHANGE, EVERYWHERE, AppliesTo, Level, Rung

SHELVE_MAX_MS = 8 * 3_600_000
ANY = "any"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `ladder` is least severe first, one side, monotonic. `quantity` "any" means every quantity (stale only).

    `subject` says what carries the alarm; a room rule names its `inputs`. `by_medium` holds ready variants, None = not for that medium.
    `re_alarm_ms`: an acknowledged alarm still active after it asks again. `shelve_max_ms` 0 = may not be shelved. `source`: whose numbers.
    `two_persons`: it may be suppressed or taken out of service only by two different people together.
    """

    name: str
    kind: str
    quantity: str
    ladder: tuple[Rung, ...]
    deadband: float = 0.0
    off_delay_ms: int = 0
    latch: bool = False
    re_alarm_ms: int | None = None
    shelve_max_ms: int = SHELVE_MAX_MS
    applies_to: AppliesTo = EVERYWHERE
    subject: Subject = "point"
    inputs: tuple[str, ...] = ()
    options: tuple[tuple[str, Option], ...] = ()
    by_medium: "tuple[tuple[str, Rule | None], ...]" = ()
    source: str = ""
    two_persons: bool = False
    settings: Mapping[str, Option] = field(init=False, compare=False, repr=False)
    """The options by name: made once, as every sample that reaches the core needs them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", MappingProxyType(dict(self.options)))

    @property
    def changed(self) -> bool:
        """Whether this layer is a change kept in the database, and not of a file."""
        return self.ladder[0].origin.startswith(CHANGE)

    def variant(self, medium: str) -> "Rule | None":
        """This rule as it holds for a medium; None when it does not."""
        for name, rule in self.by_medium:
            if name == medium:
                return rule
        return self

    def rung(self, level: Level) -> Rung | None:
        """The rung of a level, if the ladder has it."""
        return next((rung for rung in self.ladder if rung.level == level), None)

    def wants(self, quantity: str) -> bool:
        """Whether samples of this quantity feed the rule."""
        return quantity in self.inputs if self.inputs else self.quantity in (quantity, ANY)
