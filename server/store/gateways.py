"""Questions about gateways."""

from collections.abc import Sequence

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from server.store.tables import Gateway, GatewayCommand, Point, Room, Watermark
from server.store.units import below


def page(session: Session, scope: str | None, *, unclaimed: bool, after: str, limit: int) -> Sequence[Gateway]:
    """Gateways of a subtree by code, those after `after`; `unclaimed` adds those that belong to nobody yet."""
    mine = Gateway.unit.in_(below(scope))
    query = select(Gateway).where(or_(mine, Gateway.unit.is_(None)) if unclaimed else mine, Gateway.code > after)
    return session.scalars(query.order_by(Gateway.code).limit(limit)).all()


def names(session: Session, codes: Sequence[str]) -> dict[str, str]:
    """Name per gateway code, for those that exist; the code where none was given."""
    return {code: name or code for code, name in session.execute(select(Gateway.code, Gateway.name).where(Gateway.code.in_(codes)))}


def points(session: Session, codes: Sequence[str]) -> dict[str, int]:
    """Number of points per gateway."""
    query = select(Point.gateway, func.count()).where(Point.gateway.in_(codes)).group_by(Point.gateway)
    return {code: int(count) for code, count in session.execute(query)}


def roomless(session: Session, codes: Sequence[str]) -> dict[str, list[str]]:
    """Per gateway the points (device/quantity) that stand in no room, and so are judged by no rule; those outdoors are meant to."""
    query = select(Point.gateway, Point.device, Point.quantity).where(Point.gateway.in_(codes), Point.room.is_(None))
    query = query.where(Point.device != "outdoor", Point.channel != "outdoor").order_by(Point.gateway, Point.device, Point.quantity)
    found: dict[str, list[str]] = {}
    for gateway, device, quantity in session.execute(query):
        found.setdefault(gateway, []).append(f"{device}/{quantity}")
    return found


def devices(session: Session, code: str) -> Sequence[str]:
    """Names of the devices that a gateway declared, in order."""
    return session.scalars(select(Point.device).where(Point.gateway == code).distinct().order_by(Point.device)).all()


def watermarks(session: Session, codes: Sequence[str]) -> dict[str, tuple[str, int, int]]:
    """(epoch, highest contiguous sequence, sequences lost for good) of each gateway's present spool."""
    query = select(Watermark).join(Gateway, (Gateway.code == Watermark.gateway) & (Gateway.epoch == Watermark.epoch)).where(Gateway.code.in_(codes))
    return {row.gateway: (row.epoch, row.upto, row.lost) for row in session.scalars(query)}


def own_watches(session: Session, kind: str, now: int) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Of each claimed gateway that is there and watches by itself: code, version of its rules, and its rooms with their units; without those that
    have a command of a kind that has not run out."""
    told = select(GatewayCommand.gateway).where(GatewayCommand.kind == kind, GatewayCommand.expires_at > now)
    query = select(Gateway.code, Gateway.rules_version).where(Gateway.unit.is_not(None), Gateway.online, Gateway.rules_version != "")
    found = session.execute(query.where(Gateway.code.not_in(told)).order_by(Gateway.code)).all()
    rooms: dict[str, list[tuple[str, str]]] = {}
    for gateway, room, unit in session.execute(select(Point.gateway, Room.code, Room.unit).join(Room, Room.code == Point.room).distinct()):
        rooms.setdefault(gateway, []).append((room, unit))
    return [(code, version, rooms.get(code, [])) for code, version in found]


def last_births(session: Session) -> Sequence[tuple[str, str, int | None, int | None]]:
    """Of each gateway: group, code, session number (bdSeq) and own time (UTC ms) of its last birth."""
    found = session.execute(select(Gateway.group_id, Gateway.code, Gateway.bd_seq, Gateway.born_stamp))
    return [(group, code, bd_seq, stamp) for group, code, bd_seq, stamp in found]
