"""What a check of a ledger found: counts and the first examples of each kind of fault."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

KINDS: Final = ("lost", "dup", "wrong", "ghost", "late")
_EXAMPLES: Final = 5


@dataclass(slots=True)
class Verdict:
    """Counts of what must not happen, and of what may (`notes`, by name).

    lost: was accepted, is not there. dup: is there more than once. wrong: is there with another content. ghost: is there, nobody accepted it.
    late: came later than allowed.
    """

    what: str
    checked: int = 0
    lost: int = 0
    dup: int = 0
    wrong: int = 0
    ghost: int = 0
    late: int = 0
    notes: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, and something was checked at all: an empty ledger proves nothing."""
        return self.checked > 0 and not any(getattr(self, kind) for kind in KINDS)

    @property
    def exit_code(self) -> int:
        """0 when ok, else 1."""
        return 0 if self.ok else 1

    def add(self, kind: str, example: str, count: int = 1) -> None:
        """Count a fault (one of KINDS) and remember the first few."""
        setattr(self, kind, getattr(self, kind) + count)
        if len(self.examples[kind]) < _EXAMPLES:
            self.examples[kind].append(example)

    def note(self, name: str, count: int = 1) -> None:
        """Count something that is allowed but worth telling."""
        self.notes[name] = self.notes.get(name, 0) + count

    def table(self) -> str:
        """Lines for a person: one per kind with its count and first examples."""
        lines = [f"{self.what}: {self.checked} checked, {'ok' if self.ok else 'FAILED'}"]
        lines += [f"  {kind.upper():<6}{getattr(self, kind):>9}  {'; '.join(self.examples[kind])}".rstrip() for kind in KINDS]
        lines += [f"  {name:<6}{count:>9}" for name, count in sorted(self.notes.items())]
        return "\n".join(lines)

    def report(self) -> dict[str, object]:
        """The same for a program."""
        counts = {kind: getattr(self, kind) for kind in KINDS}
        return {"what": self.what, "ok": self.ok, "checked": self.checked, **counts, "notes": self.notes, "examples": self.examples}


def worst(verdicts: Iterable[Verdict]) -> int:
    """Exit code of several verdicts."""
    return max((verdict.exit_code for verdict in verdicts), default=1)
