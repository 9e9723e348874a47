"""Rooms that a gateway names for its points otherwise than the server has them: kept in its logbook by the server, told on the page of gateways.

The first room that was accepted, or that a person has set since, stays: a file on a gateway moves no smoke detector out of a room. So that nobody
waits for a correction in the file to come about by itself, both are named until they agree.
"""

import uuid
from collections.abc import Mapping, Sequence

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from server.store.tables import Point
from server.store.tables_gateway import GatewayEvent

KIND = "rooms_differ"
_MOST = 200  # points of one entry


def told(session: Session, gateway: str) -> dict[str, str]:
    """The rooms by metric that the newest entry names."""
    query = select(GatewayEvent.detail).where(GatewayEvent.gateway == gateway, GatewayEvent.kind == KIND).order_by(GatewayEvent.id.desc()).limit(1)
    detail = session.scalar(query)
    return {} if detail is None else dict(detail)


def tell(session: Session, gateway: str, rooms: Mapping[str, str], now: int) -> None:
    """Keep what a birth names; nothing, when all agree again."""
    kept = dict(sorted(rooms.items())[:_MOST])
    row = {"gateway": gateway, "ident": f"{KIND}-{uuid.uuid4().hex[:12]}", "at": now, "received_at": now, "kind": KIND, "detail": kept}
    session.connection().execute(insert(GatewayEvent).values(**row))


def differing(session: Session, codes: Sequence[str]) -> dict[str, list[tuple[str, str, str]]]:
    """Per gateway the points of which its last birth names another room than they stand in: (metric, named there, here)."""
    newest = select(func.max(GatewayEvent.id)).where(GatewayEvent.kind == KIND, GatewayEvent.gateway.in_(codes)).group_by(GatewayEvent.gateway)
    named = {row.gateway: dict(row.detail) for row in session.scalars(select(GatewayEvent).where(GatewayEvent.id.in_(newest)))}
    found: dict[str, list[tuple[str, str, str]]] = {}
    points = select(Point).where(Point.gateway.in_([code for code, rooms in named.items() if rooms]), Point.room.is_not(None))
    for point in session.scalars(points.order_by(Point.gateway, Point.device, Point.quantity)):
        metric = "/".join(filter(None, (point.device, point.quantity, point.channel)))
        there = named[point.gateway].get(metric)
        if there is not None and there != point.room:
            found.setdefault(point.gateway, []).append((metric, there, point.room or ""))
    return found
