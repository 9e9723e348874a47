"""画面与隐私: the cameras of a room, what is covered in their pictures, how long these are kept, and who has looked at them."""

from typing import Annotated

from fastapi import Form, Path, Request
from pydantic import ValidationError
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from server.org.still_keeping import LONGEST_DAYS, MOST_AREAS
from server.store import audit, units
from server.web.api import stills as api
from server.web.api.common import ms
from server.web.api.stills import Area, MaskBody, Original, OriginalBody, PolicyBody, Privacy
from server.web.auth import ServicesOf, require_room
from server.web.pages.common import ScreensOf
from server.web.problems import invalid
from server.web.routers import page_router

router = page_router()

_SHOWN = 50
_SIDES = ("left", "top", "width", "height")
Reason = Annotated[str, Form(max_length=200)]


@router.get("/rooms/{code}/stills")
def page(code: str, request: Request, screens: ScreensOf, services: ServicesOf, who: Privacy, said: str = "") -> Response:
    """Everything about the pictures of a room."""
    require_room(services, who, code)
    room = services.board.room_fact(code)
    with services.db.read() as session:
        policy = api.policy_of(session, services, code[:12])
        by = units.names(session, [policy.said_by]).get(policy.said_by, "") if policy.said_by is not None else ""
        cameras, stills = api.masks_of(session, code), api.stills(session, services, code, None, _SHOWN)
        looks = [api.look(row) for row in audit.about(session, f"room:{code}", api.LOOKS, limit=_SHOWN)]
    return screens.page(
        request, "stills.html", who=who, code=code, title=room.name if room is not None else code, said=said, ms=ms, longest=LONGEST_DAYS,
        most=MOST_AREAS, policy=policy, policy_unit=by, cameras=cameras, stills=stills, looks=looks,
    )  # fmt: skip


@router.post("/rooms/{code}/masks")
async def mask(code: str, request: Request, services: ServicesOf, who: Privacy) -> Response:
    """Cover areas: four numbers in percent for each, an empty row counts for nothing."""
    form = await request.form()
    try:
        body = MaskBody(gateway=_text(form, "gateway"), device=_text(form, "device"), areas=_areas(form), reason=_text(form, "reason"))
    except ValidationError as error:
        raise invalid("请填写原因；遮挡区用 0 至 100 的百分数。", "areas", "not valid") from error
    api.set_mask(code, body, who, services)
    return RedirectResponse(f"/rooms/{code}/stills?said=done", 303)


def _areas(form: FormData) -> list[Area]:
    columns = [[value.strip() for value in form.getlist(side) if isinstance(value, str)] for side in _SIDES]
    try:
        rows = [[float(value) / 100 for value in row] for row in zip(*columns, strict=True) if any(row)]
    except ValueError as error:
        raise invalid("遮挡区的四个数都要填写。", "areas", "four numbers each") from error
    return [Area(**dict(zip(_SIDES, row, strict=True))) for row in rows]


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


@router.post("/rooms/{code}/still-policy")
def policy(code: str, services: ServicesOf, who: Privacy, keep_days: Annotated[str, Form(max_length=4)] = "", reason: Reason = "") -> Response:
    """How long the unit of this room keeps stills; nothing means: as the unit above."""
    require_room(services, who, code)
    days = keep_days.strip()
    try:
        body = PolicyBody(keep_days=int(days) if days.isascii() and days.isdigit() else None, reason=reason)
    except ValidationError as error:
        raise invalid(f"请填写原因；天数为 1 至 {LONGEST_DAYS}，不填表示随上级。", "keep_days", "not valid") from error
    api.set_policy(code[:12], body, who, services)
    return RedirectResponse(f"/rooms/{code}/stills?said=done", 303)


@router.post("/rooms/{code}/snapshots/{snapshot}/original")
def original(code: str, snapshot: Annotated[int, Path(ge=1, lt=1 << 63)], services: ServicesOf, who: Original, reason: Reason = "") -> Response:
    """The original, for a reason that is audited."""
    try:
        body = OriginalBody(reason=reason)
    except ValidationError as error:
        raise invalid("请填写原因。", "reason", "required") from error
    return api.take_original(code, snapshot, body, who, services)
