"""Roles of people at a unit, and which of them one person may hold at the same time: data, not code.

Duty roles combine: in a station the duty officer is often the person in charge as well. The three administrators never combine, neither with each
other nor with anything else, and there is no role above them (domain.md §4.2: system, security and audit are three people).
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

DUTY: Final = (
    "duty_officer", "duty_leader", "person_in_charge", "archivist", "archive_head", "leader_in_charge", "inspector", "data_keeper", "installer",
)  # fmt: skip
ADMINISTRATORS: Final = ("system", "security", "audit")
ROLES: Final = (*DUTY, *ADMINISTRATORS)

ADMINISTERED: Final = 2
"""Administrators sit at units down to this level, province and city; where the tree begins lower, at its top."""

ROUTED: Final = ("duty_officer", "person_in_charge", "archive_head", "inspector")
"""Roles that person.duty may repeat, in the order in which one of them is chosen."""

EXCLUDES: Final[Mapping[str, frozenset[str]]] = MappingProxyType({role: frozenset(ROLES) - {role} for role in ADMINISTRATORS})
"""Role -> roles that the same person must not hold beside it, at whatever unit. What is not listed here combines."""


def conflict(held: Iterable[str]) -> tuple[str, str] | None:
    """Two of these roles that one person must not hold together; None when all combine."""
    roles = sorted(set(held), key=lambda role: ROLES.index(role) if role in ROLES else -1)
    for role in roles:
        against = EXCLUDES.get(role, frozenset())
        for other in roles:
            if other in against:
                return other, role
    return None


def first_duty(held: Iterable[str]) -> str:
    """What person.duty repeats of these roles, '' when none is told anything."""
    roles = set(held)
    return next((role for role in ROUTED if role in roles), "")


def administrable(level: int, parent: str | None) -> bool:
    """Whether administrators may be appointed at a unit of this level; `parent` None: it is the top."""
    return level <= ADMINISTERED or parent is None
