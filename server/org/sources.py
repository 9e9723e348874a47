"""Where the history of a room comes from: its points of a quantity, pairs of temperature and humidity, and one reference outside."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from server.live.board import OUTDOOR
from server.store import rooms
from server.store.tables import Point


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A point whose history is shown; `name` says where an outdoor reference stands."""

    ident: int
    key: str
    outdoor: bool = False
    name: str = ""

    def named(self, quantity: str) -> str:
        """The key it would have if its device measured another quantity."""
        gateway, device, _, *channel = self.key.split("/")
        return "/".join((gateway, device, quantity, *channel))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Temperature and humidity of the same air: what dew point and the rest are derived from."""

    temperature: Source
    humidity: Source


def sources(session: Session, room: str, quantity: str) -> list[Source]:
    """The points of a quantity in a room, and one outdoor reference: the room's own probe, else the shared one of the nearest unit."""
    own = [_source(row, row.channel == OUTDOOR, row.device) for row in rooms.points(session, room, quantity)]
    here = rooms.get(session, room)
    if here is None or any(source.outdoor for source in own):
        return own
    shared = rooms.shared_outdoor(session, here.unit, quantity)
    return own if shared is None else [*own, _source(shared[0], True, shared[1])]


def pairs(session: Session, room: str) -> list[Pair]:
    """Each temperature with the humidity of the same device and channel; without such a one, with the only humidity of its side of the wall."""
    humid = sources(session, room, "humidity")
    found = []
    for warm in sources(session, room, "temperature"):
        same = [each for each in humid if each.key == warm.named("humidity")]
        side = [each for each in humid if each.outdoor == warm.outdoor]
        if same or len(side) == 1:
            found.append(Pair(temperature=warm, humidity=(same or side)[0]))
    return found


def _source(row: Point, outdoor: bool, name: str) -> Source:
    key = "/".join(part for part in (row.gateway, row.device, row.quantity, row.channel) if part)
    return Source(ident=row.id, key=key, outdoor=outdoor, name=name if outdoor else "")
