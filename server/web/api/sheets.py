"""The room sheet 一室一卡: what somebody needs who stands before the door, what is kept inside, and the floor plan."""

import hashlib
from datetime import datetime
from io import BytesIO
from typing import Annotated

from fastapi import Depends, File, UploadFile
from PIL import Image, UnidentifiedImageError
from pydantic import BaseModel
from starlette.responses import Response

from server import stills, watermark
from server.store import audit, organisation
from server.store.tables import Room
from server.store.tables_org import RoomPlan
from server.web.api.common import PROBLEMS, Viewer, at
from server.web.auth import Principal, ServicesOf, require, require_room
from server.web.problems import ProblemError, invalid
from server.web.rights import Action
from server.web.routers import api_router
from server.web.services import Services

router = api_router("rooms", refusals=PROBLEMS)

PLANS = "plans"
_MOST_SIDE = 10_000


class HoldingView(BaseModel):
    """A fonds in a room; `rank` 1 is saved first."""

    fonds: str
    name: str
    volumes: int
    years: str
    rank: int
    place: str


class SheetView(BaseModel):
    """The room sheet with what is at stake."""

    room: str
    body: dict[str, str]
    updated_at: datetime | None
    by: str
    holdings: list[HoldingView]
    fonds: int
    volumes: int
    plan: str | None


@router.get("/rooms/{code}/sheet", operation_id="getRoomSheet")
def sheet(code: str, who: Viewer, services: ServicesOf) -> SheetView:
    """The room sheet."""
    require_room(services, who, code)
    with services.db.read() as session:
        row, held, plan = organisation.sheet(session, code), organisation.holdings(session, code), organisation.plan(session, code)
        fonds, volumes = organisation.at_stake(session, code)
    return SheetView(
        room=code, body=dict(row.body) if row else {}, updated_at=at(row.updated_at) if row else None, by=row.by if row else "", fonds=fonds,
        holdings=[HoldingView(fonds=h.fonds, name=h.name, volumes=h.volumes, years=h.years, rank=h.rank, place=h.place) for h in held],
        volumes=volumes, plan=plan.sha256 if plan else None,
    )  # fmt: skip


@router.get(
    "/rooms/{code}/plan",
    operation_id="getRoomPlan",
    response_class=Response,
    responses={200: {"description": "the floor plan", "content": {"image/jpeg": {}, "image/png": {}}}},
)
def plan(code: str, who: Viewer, services: ServicesOf) -> Response:
    """The floor plan of a room with the viewer's name and the time across it; `X-Sha256` is the original's."""
    require_room(services, who, code)
    with services.db.read() as session:
        row = organisation.plan(session, code)
    found = None if row is None else stills.find(services.settings.data_folder / PLANS, row.sha256)
    if found is None:
        raise ProblemError(404, "这间库房还没有平面图。")
    marked = watermark.still(found[0].read_bytes(), watermark.line(who.name, who.unit or "", services.clock()))
    return Response(marked, media_type="image/jpeg", headers={"Cache-Control": "private, no-store", "X-Sha256": row.sha256 if row else ""})


@router.put("/rooms/{code}/plan", operation_id="setRoomPlan")
def set_plan(
    code: str,
    who: Annotated[Principal, Depends(require(Action.ORGANISE))],
    services: ServicesOf,
    file: Annotated[UploadFile, File(description="JPEG or PNG")],
) -> SheetView:
    """Put a floor plan in the place of the one before; marks of points stay where they are."""
    require_room(services, who, code)
    store_plan(services, who, code, file.file.read(stills.MOST_BYTES + 1))
    return sheet(code, who, services)


def store_plan(services: Services, who: Principal, code: str, content: bytes) -> None:
    """Check and keep a floor plan. Raises ProblemError 422."""
    digest = hashlib.sha256(content).hexdigest()
    try:
        stills.check(content, digest)
        with Image.open(BytesIO(content)) as picture:
            width, height = picture.size
    except (stills.StillRefusedError, UnidentifiedImageError, OSError) as error:
        sentence = str(error) if isinstance(error, stills.StillRefusedError) else "图片打不开，请换一张。"
        raise invalid(sentence, "file", "not a picture") from error
    if max(width, height) > _MOST_SIDE:
        raise invalid("图片太大，请缩小后再传。", "file", "too many pixels")
    stills.save(services.settings.data_folder / PLANS, content, digest)
    now = services.clock()
    with services.db.write() as session:
        before = organisation.plan(session, code)
        old, unit = {"plan": before.sha256} if before else {}, session.get_one(Room, code).unit
        marks = before.marks if before else {}
        media = "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"
        session.merge(
            RoomPlan(
                room=code, sha256=digest, media_type=media, bytes=len(content), width=width, height=height, marks=marks, updated_at=now, by=who.name
            )
        )
        audit.append(session, who.name, "change_plan", f"rooms:{code}", {}, now, unit=unit, before=old, after={"plan": digest})
