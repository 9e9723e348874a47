"""Who may do what: one table. A role's actions reach the account's unit and everything below it, never sideways or up."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Action(StrEnum):
    """Something that a route or a button asks for."""

    VIEW = "view"
    PICTURES = "pictures"
    NOTIFICATIONS = "notifications"
    GATEWAYS = "gateways"
    AUDIT = "audit"
    HANDLE = "handle"
    SILENCE = "silence"
    RESET = "reset"
    OUT_OF_SERVICE = "out_of_service"
    UPLOAD = "upload"
    PHONES = "phones"
    CONTROL = "control"
    PEOPLE = "people"
    ORGANISE = "organise"
    PROPOSE = "propose"
    GRANT = "grant"
    REVIEW = "review"
    VIEW_AS = "view_as"
    EMERGENCY = "emergency"
    CLOSE_NOTICE = "close_notice"
    DRILL = "drill"
    WATCH_CHECK = "watch_check"
    BACKUP = "backup"
    LIMITS = "limits"
    PRIVACY = "privacy"
    ORIGINAL = "original"


_READ = frozenset({Action.VIEW, Action.PICTURES, Action.NOTIFICATIONS, Action.GATEWAYS, Action.PEOPLE})
_BOOKS = frozenset({Action.VIEW, Action.GATEWAYS, Action.PEOPLE})
_DUTY = _READ | {Action.HANDLE, Action.SILENCE, Action.RESET, Action.PHONES, Action.CONTROL, Action.CLOSE_NOTICE, Action.WATCH_CHECK}

ROLES: Mapping[str, frozenset[Action]] = MappingProxyType(
    {
        "duty": _DUTY,
        "in_charge": _DUTY | {Action.OUT_OF_SERVICE, Action.PROPOSE, Action.DRILL, Action.LIMITS, Action.PRIVACY, Action.ORIGINAL},
        "inspector": _READ | {Action.WATCH_CHECK},
        "keeper": _BOOKS | {Action.PHONES, Action.PROPOSE},
        "system": _BOOKS | {Action.PHONES, Action.ORGANISE, Action.VIEW_AS, Action.CLOSE_NOTICE, Action.EMERGENCY},
        "security": frozenset(
            {Action.VIEW, Action.AUDIT, Action.PEOPLE, Action.GRANT, Action.REVIEW, Action.VIEW_AS, Action.EMERGENCY, Action.PRIVACY}
        ),
        "audit": frozenset({Action.AUDIT}),
        "kiosk": frozenset({Action.VIEW}),
        "service": frozenset(Action) - {Action.UPLOAD},
        "gateway": frozenset({Action.UPLOAD}),
    }
)
"""The administrators hold no duty action beside their own; an inspector reads, asks desks (查岗) and never changes;
keys of gateways only deliver stills."""


SENSITIVE = frozenset({Action.PICTURES, Action.ORIGINAL, Action.NOTIFICATIONS, Action.AUDIT, Action.PHONES})
"""What looking around as another role never opens to somebody whose own role has it not."""
AT_TERMINAL = frozenset({Action.HANDLE, Action.SILENCE, Action.RESET})
"""What somebody can do at a terminal who proves on the spot who he is and may do it; everything else needs a sign-in."""
VIEWABLE = ("duty", "in_charge", "inspector", "keeper", "system", "security")
"""Roles as which somebody may look around."""


def as_role(own: str, role: str) -> frozenset[Action]:
    """What somebody of role `own` sees while he looks around as `role`; he changes nothing (server/web/auth.py)."""
    return ROLES.get(role, frozenset()) - (SENSITIVE - ROLES.get(own, frozenset()))


def allows(role: str, action: Action) -> bool:
    """Whether a role has an action; an unknown role has none."""
    return action in ROLES.get(role, frozenset())
