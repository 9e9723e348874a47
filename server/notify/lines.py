"""How steps are sent: which channel carries texts and which calls, and the groups that are told beside the persons."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcast:
    """A group that is told of everything at these levels in a unit and below, beside the persons: a chat, a webhook, a mailing list, a siren.

    `unit` None = all units; `news`: also of take-overs and recoveries; `sounds_s`: how long it makes noise, 0 = none.
    """

    channel: str
    address: str
    name: str
    unit: str | None = None
    levels: tuple[str, ...] = ("critical", "urgent")
    news: bool = True
    sounds_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The channels for texts, calls and letters ('' = none), groups, and whether texts invite replies."""

    channel: str
    voice: str = ""
    email: str = ""
    broadcasts: tuple[Broadcast, ...] = ()
    reply_hint: bool = False
