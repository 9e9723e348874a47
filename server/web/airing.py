"""Whether to open the windows of a room now: the advice of alarms/climate.py on fresh values of the room and of the air outside."""

from sqlalchemy.orm import Session

from alarms.climate import Ventilation, ventilation
from server.live.board import PointView, RoomTile
from server.store import rooms
from server.web.services import Services

_AIR = ("temperature", "humidity")


def airing(services: Services, session: Session, tile: RoomTile, now: int) -> Ventilation | None:
    """The advice; None unless temperature and humidity of both airs are fresh and good. Outside is the room's own probe, else the shared one."""
    inside = [_good(tile.headline(quantity)) for quantity in _AIR]
    outside = [_outside(services, session, tile, quantity, now) for quantity in _AIR]
    (t_in, rh_in), (t_out, rh_out) = inside, outside
    if t_in is None or rh_in is None or t_out is None or rh_out is None:
        return None
    return ventilation((t_in, rh_in), (t_out, rh_out))


def _outside(services: Services, session: Session, tile: RoomTile, quantity: str, now: int) -> float | None:
    own = _good(tile.outdoor(quantity))
    found = rooms.shared_outdoor(session, tile.fact.unit, quantity) if own is None else None
    return own if found is None else _good(services.board.view(found[0].id, now))


def _good(view: PointView | None) -> float | None:
    return view.value if view is not None and view.fresh else None
