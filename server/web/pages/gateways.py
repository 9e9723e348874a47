"""网关: those of the subtree, boxes that wait to be claimed, and what becomes of their credentials."""

from typing import Annotated

from fastapi import Depends, Form, Query, Request
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from server.org import gateway_rules
from server.store import declared_rooms, gateways, organisation, units
from server.store import gateway_access as queries
from server.web.api import claims
from server.web.api.claims import ClaimBody, Claimer, Reasoned
from server.web.api.common import Cursor, decode_cursor, encode_cursor
from server.web.auth import Principal, ServicesOf, require
from server.web.pages.common import ScreensOf
from server.web.pages.organisation import PER_PAGE
from server.web.problems import ProblemError, invalid
from server.web.rights import Action
from server.web.routers import page_router
from server.web.screens import Screens
from server.web.services import Services

router = page_router()

Keeper = Annotated[Principal, Depends(require(Action.GATEWAYS))]
Why = Annotated[str, Form(max_length=200)]


def _page(request: Request, screens: Screens, services: Services, who: Principal, cursor: str = "", status: int = 200, **shown: object) -> Response:
    now = services.clock()
    with services.db.read() as session:
        top = who.unit is None or len(units.path(session, who.unit)) == 1
        found = gateways.page(session, who.unit, unclaimed=top, after=decode_cursor(cursor) if cursor else "", limit=PER_PAGE + 1)
        listed = found[:PER_PAGE]
        codes = [row.code for row in listed]
        context = {
            "points": gateways.points(session, codes), "roomless": gateways.roomless(session, [row.code for row in listed if row.unit]),
            "differing": declared_rooms.differing(session, codes),
            "untaken": gateway_rules.not_taken(session, codes, now),
            "access": queries.states(session, codes),
            "names": units.names(session, [row.unit for row in listed if row.unit]),
            "waiting": claims.seen(session, who, now) if who.may(Action.ORGANISE) else [],
        }  # fmt: skip
    more = encode_cursor(listed[-1].code) if len(found) > PER_PAGE else None
    blank: dict[str, object] = {"error": "", "claimed": None, "shown": None, "typed": {}}
    page = screens.page(request, "gateways.html", status, who=who, found=listed, more=more, **context, **blank | shown)
    if shown.get("shown"):
        page.headers["Cache-Control"] = "no-store"
    return page


def _unit(session: Session, who: Principal, text: str) -> str:
    """The unit that somebody typed: its code, or a name or pinyin initials that only one has. Raises ProblemError 422."""
    if text.isascii() and text.isdigit():
        return text
    named = units.named(session, who.unit, text) if text else []
    if len(named) != 1 and text:
        named = named or [hit.ident for hit in organisation.search(session, who.unit, text, people=False, limit=6) if hit.kind == "unit"]
    if len(named) != 1:
        raise invalid(
            f"有几个单位像“{text}”，请填 12 位编号：{'、'.join(named)}" if named else "请填写归属单位的 12 位编号或名称。", "unit", "not one"
        )
    return named[0]


@router.get("/gateways")
def boxes(
    request: Request, screens: ScreensOf, services: ServicesOf, who: Keeper, cursor: Cursor = "", unit: Annotated[str, Query(max_length=12)] = ""
) -> Response:
    """Gateways; boxes that nobody has claimed for whoever sees the whole province. `unit` fills the form."""
    return _page(request, screens, services, who, cursor, typed={"unit": unit})


@router.post("/gateways/claim")
def claim(
    request: Request,
    screens: ScreensOf,
    services: ServicesOf,
    who: Claimer,
    code: Annotated[str, Form(max_length=20)] = "",
    unit: Annotated[str, Form(max_length=120)] = "",
    gateway: Annotated[str, Form(max_length=40)] = "",
    name: Annotated[str, Form(max_length=120)] = "",
    replace: Annotated[str, Form(max_length=4)] = "",
) -> Response:
    """Give the box that shows this code to a unit. What was typed stays in the form when it is refused."""
    typed = {"code": code, "unit": unit, "gateway": gateway, "name": name}
    try:
        with services.db.read() as session:
            place = _unit(session, who, unit.strip())
        made = claims.claim(ClaimBody(code=code, unit=place, gateway=gateway.strip(), name=name, replace=bool(replace)), who, services)
    except ProblemError as refusal:
        return _page(request, screens, services, who, status=refusal.status, error=refusal.detail, typed=typed)
    return _page(request, screens, services, who, claimed=made)


@router.post("/gateways/{gateway}/renew")
def renew(gateway: str, request: Request, screens: ScreensOf, services: ServicesOf, who: Claimer, reason: Why = "") -> Response:
    """New credentials, shown this once."""
    if not reason.strip():
        raise invalid("请填写原因。", "reason", "required")
    return _page(request, screens, services, who, shown=claims.renew(gateway, Reasoned(reason=reason.strip()), who, services))


@router.post("/gateways/{gateway}/revoke")
def revoke(gateway: str, who: Claimer, services: ServicesOf, reason: Why = "") -> Response:
    """End the credentials of a gateway."""
    if not reason.strip():
        raise invalid("请填写原因。", "reason", "required")
    claims.end(services, who, gateway, reason.strip())
    return RedirectResponse("/gateways", 303)
