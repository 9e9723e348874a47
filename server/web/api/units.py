"""Units of the asker's subtree."""

from collections import Counter
from collections.abc import Sequence

from fastapi import Request
from sqlalchemy.orm import Session

from server.store import units
from server.store.tables import Unit
from server.web.api.common import PROBLEMS, Cursor, Limit, Viewer, decode_cursor, page
from server.web.api.models import Page, UnitDetail, UnitView
from server.web.auth import ServicesOf, require_unit
from server.web.routers import api_router

router = api_router("units", refusals=PROBLEMS)


def _views(session: Session, rows: Sequence[Unit]) -> list[UnitView]:
    rooms = units.rooms_per_unit(session, [row.code for row in rows])
    return [_view(row, rooms.get(row.code, 0)) for row in rows]


def _view(row: Unit, rooms: int) -> UnitView:
    return UnitView(code=row.code, parent=row.parent, level=row.level, name=row.name, short_name=row.short_name, rooms=rooms)


@router.get("/units", operation_id="listUnits")
def listing(who: Viewer, request: Request, services: ServicesOf, limit: Limit = 100, cursor: Cursor = "") -> Page[UnitView]:
    """Units by code."""
    with services.db.read() as session:
        rows = units.page(session, who.unit, after=decode_cursor(cursor) if cursor else "", limit=limit + 1)
        views = _views(session, rows)
    return page(request, views, limit, views[limit - 1].code if len(views) > limit else "")


@router.get("/units/{code}", operation_id="getUnit")
def detail(code: str, who: Viewer, services: ServicesOf) -> UnitDetail:
    """A unit, what lies under it, and its rooms per state."""
    with services.db.read() as session:
        require_unit(session, who, code)
        row = session.get_one(Unit, code)
        own = _views(session, [row])[0]
        children = _views(session, units.children(session, code))
        path = list(units.path(session, code))
    states = Counter(tile.group for tile in services.board.overview(services.clock(), code))
    return UnitDetail(**own.model_dump(), path=path, children=children, states=dict(states))
