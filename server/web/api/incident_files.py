"""Files of incidents: pictures taken on site where the room's sheet allows them, and the dossier that a closed incident has filed."""

import hashlib
import io
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Depends, File, Form, Path, Response, UploadFile
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import BaseModel
from sqlalchemy import select

from server import stills, watermark
from server.duty import incident_work as duty
from server.reports.filing import FOLDER, PHOTOS, path_of
from server.store import audit, incidents
from server.store.tables_incident import Dossier, IncidentPhoto
from server.web.api.common import PROBLEMS, Viewer, at
from server.web.api.incidents import Ident, change, require_incident
from server.web.auth import Principal, ServicesOf, require
from server.web.problems import ProblemError, invalid
from server.web.rights import Action
from server.web.routers import api_router
from server.web.services import Services

router = api_router("incidents", refusals=PROBLEMS)
Handling = Annotated[Principal, Depends(require(Action.HANDLE))]
Picturing = Annotated[Principal, Depends(require(Action.PICTURES))]
Telling = Annotated[Principal, Depends(require(Action.NOTIFICATIONS))]

_MOST_SIDE = 2048
_MEDIA = {"pdf": "application/pdf", "json": "application/json"}


class PhotoView(BaseModel):
    """A picture that somebody took on site."""

    id: int
    at: datetime
    by: str
    note: str
    sha256: str


class DossierView(BaseModel):
    """The papers of an incident as filed once; `superseded`: later ones hold."""

    filed_at: datetime
    pdf_sha256: str
    data_sha256: str
    keep_until: datetime
    superseded: bool


@router.post("/incidents/{ident}/photos", operation_id="addPhoto", status_code=201)
def add(
    ident: Ident, who: Handling, services: ServicesOf, file: Annotated[UploadFile, File(description="JPEG or PNG")],
    note: Annotated[str, Form(max_length=200)] = "",
) -> list[PhotoView]:  # fmt: skip
    """Add a picture. Place and make of the camera are taken out of it; what is kept is at most 2048 pixels wide."""
    store(services, who, ident, file.file.read(stills.MOST_BYTES + 1), note.strip())
    return listing(ident, who, services)


def store(services: Services, who: Principal, ident: int, content: bytes, note: str) -> None:
    """The same for page and API. Raises ProblemError 403, 404, 409 where no pictures may be taken, 422."""
    picture = cleaned(content)
    sha256 = hashlib.sha256(picture).hexdigest()
    change(services, who, ident, lambda session, row: duty.photograph(session, row, sha256, len(picture), note, who.name, services.clock()))
    stills.save(services.settings.data_folder / PHOTOS, picture, sha256)


def cleaned(content: bytes) -> bytes:
    """The picture as a JPEG of its own, turned upright, without what the camera wrote into it. Raises ProblemError 422."""
    try:
        stills.check(content, hashlib.sha256(content).hexdigest())
        with Image.open(io.BytesIO(content)) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    except (stills.StillRefusedError, UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        sentence = str(error) if isinstance(error, stills.StillRefusedError) else "图片打不开，请换一张。"
        raise invalid(sentence, "file", "not a picture") from error
    picture.thumbnail((_MOST_SIDE, _MOST_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


@router.get("/incidents/{ident}/photos", operation_id="listPhotos")
def listing(ident: Ident, who: Picturing, services: ServicesOf) -> list[PhotoView]:
    """Pictures of an incident, in order."""
    with services.db.read() as session:
        require_incident(session, who, ident)
        return [PhotoView(id=row.id, at=at(row.at), by=row.by, note=row.note, sha256=row.sha256) for row in incidents.photos(session, ident)]


@router.get(
    "/incidents/{ident}/photos/{number}",
    operation_id="getPhoto",
    response_class=Response,
    responses={200: {"description": "the picture with the viewer's name across it", "content": {"image/jpeg": {}}}},
)
def photo(ident: Ident, number: Annotated[int, Path(ge=1, lt=1 << 63)], who: Picturing, services: ServicesOf) -> Response:
    """One picture; who looked is on record."""
    now = services.clock()
    with services.db.read() as session:
        require_incident(session, who, ident)
        sha256 = session.scalar(select(IncidentPhoto.sha256).where(IncidentPhoto.id == number, IncidentPhoto.incident == ident))
    found = None if sha256 is None else stills.find(services.settings.data_folder / PHOTOS, sha256)
    if found is None:
        raise ProblemError(404, "没有这张照片。")
    with services.db.write() as session:
        audit.append(session, who.name, "photo_view", f"incident:{ident}", {"photo": number}, now)
    marked = watermark.still(found[0].read_bytes(), watermark.line(who.name, who.unit or "", now))
    return Response(marked, media_type="image/jpeg", headers={"Cache-Control": "private, no-store"})


@router.get("/incidents/{ident}/dossiers", operation_id="listDossiers")
def dossiers(ident: Ident, who: Viewer, services: ServicesOf) -> list[DossierView]:
    """What was filed for an incident, newest first; the newest holds."""
    with services.db.read() as session:
        require_incident(session, who, ident)
        rows = session.scalars(select(Dossier).where(Dossier.incident == ident).order_by(Dossier.id.desc())).all()
        return [
            DossierView(
                filed_at=at(row.filed_at), pdf_sha256=row.pdf_sha256, data_sha256=row.data_sha256, keep_until=at(row.keep_until),
                superseded=row.superseded,
            )
            for row in rows
        ]  # fmt: skip


@router.get(
    "/incidents/{ident}/dossiers/{sha256}.{ending}",
    operation_id="getDossier",
    response_class=Response,
    responses={200: {"description": "the file as it was filed", "content": {media: {} for media in _MEDIA.values()}}},
)
def dossier(
    ident: Ident, sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$")], ending: Literal["pdf", "json"], who: Telling, services: ServicesOf
) -> Response:
    """A filed paper, checked against its SHA-256 before it leaves. Names and numbers stand in it, so it is on record who took it."""
    with services.db.read() as session:
        require_incident(session, who, ident)
        column = Dossier.pdf_sha256 if ending == "pdf" else Dossier.data_sha256
        known = session.scalar(select(Dossier.id).where(Dossier.incident == ident, column == sha256).limit(1))
    path = path_of(services.settings.data_folder / FOLDER, sha256, ending)
    if known is None or not path.exists():
        raise ProblemError(404, "没有这份档案。")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ProblemError(409, "文件与归档时的校验值不符，请报告安全管理员。", code="damaged")
    with services.db.write() as session:
        audit.append(session, who.name, "dossier.read", f"incident:{ident}", {"sha256": sha256, "ending": ending}, services.clock())
    headers = {"Content-Disposition": f'attachment; filename="incident-{ident}.{ending}"', "Cache-Control": "private, no-store"}
    return Response(content, media_type=_MEDIA[ending], headers=headers)
