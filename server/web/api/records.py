"""Messages sent, gateways: lists for those who look after them."""

from typing import Annotated

from fastapi import Depends, Query, Request
from sqlalchemy.orm import Session

from server.store import gateways, notifications, units
from server.store.tables import Gateway
from server.web.api import views
from server.web.api.alarm_models import NotificationView
from server.web.api.common import PROBLEMS, Cursor, Limit, at_or_none, decode_cursor, decode_id, page
from server.web.api.models import GatewayView, Page
from server.web.auth import Principal, ServicesOf, require
from server.web.rights import Action
from server.web.routers import api_router

router = api_router(refusals=PROBLEMS)


def _top(session: Session, who: Principal) -> bool:
    """Whether the asker's rights reach everything."""
    return who.unit is None or len(units.path(session, who.unit)) == 1


@router.get("/notifications", operation_id="listNotifications", tags=["notifications"])
def messages(
    who: Annotated[Principal, Depends(require(Action.NOTIFICATIONS))],
    request: Request,
    services: ServicesOf,
    state: Annotated[str, Query(pattern="^[a-z]{0,12}$")] = "",
    alarm: Annotated[int | None, Query(ge=1, lt=1 << 63)] = None,
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Page[NotificationView]:
    """Messages to people, newest first."""
    with services.db.read() as session:
        rows = notifications.page(session, who.unit, state=state, alarm=alarm, before=decode_id(cursor), limit=limit + 1)
        found = [views.notification(row, who) for row in rows]
    return page(request, found, limit, found[limit - 1].id if len(found) > limit else "")


@router.get("/gateways", operation_id="listGateways", tags=["gateways"])
def boxes(
    who: Annotated[Principal, Depends(require(Action.GATEWAYS))], request: Request, services: ServicesOf, limit: Limit = 100, cursor: Cursor = ""
) -> Page[GatewayView]:
    """Gateways by code; those that nobody has claimed are shown to whoever sees the whole province."""
    with services.db.read() as session:
        after = decode_cursor(cursor) if cursor else ""
        rows = gateways.page(session, who.unit, unclaimed=_top(session, who), after=after, limit=limit + 1)
        codes = [row.code for row in rows]
        points, marks = gateways.points(session, codes), gateways.watermarks(session, codes)
        found = [_gateway(row, points.get(row.code, 0), marks.get(row.code)) for row in rows]
    return page(request, found, limit, found[limit - 1].code if len(found) > limit else "")


def _gateway(row: Gateway, points: int, mark: tuple[str, int, int] | None) -> GatewayView:
    return GatewayView(
        code=row.code,
        group=row.group_id,
        unit=row.unit,
        name=row.name,
        online=row.online,
        changed_at=at_or_none(row.changed_at),
        last_seen_at=at_or_none(row.last_seen_at),
        acknowledges=row.acknowledges,
        clock_offset_ms=row.clock_offset_ms,
        rules_version=row.rules_version,
        points=points,
        epoch=row.epoch,
        watermark=None if mark is None else mark[1],
        lost=0 if mark is None else mark[2],
    )
