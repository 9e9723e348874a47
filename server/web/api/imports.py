"""Imports: upload a table, follow its progress, read what is wrong with it, take it back."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, File, Form, Path, Request, Response, UploadFile
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from server.org import imports
from server.org.imports.template import template
from server.store import organisation, units
from server.store.tables_org import ImportRun
from server.web import edits, problems
from server.web.api.common import PROBLEMS, Cursor, Limit, at, at_or_none, decode_id, page
from server.web.api.models import Body, Page
from server.web.auth import Principal, ServicesOf, require
from server.web.problems import ProblemError, invalid
from server.web.rights import Action
from server.web.routers import api_router
from server.web.services import Services

router = api_router("imports", refusals=PROBLEMS)

Organiser = Annotated[Principal, Depends(require(Action.ORGANISE))]
MOST_BYTES = 7 * 1024 * 1024
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


class RunView(BaseModel):
    """An import. `done` of `rows` are written; `errors` name line, column and what is wrong; of one that was taken back, what stays."""

    id: int
    kind: str
    file: str
    by: str
    state: str = Field(description="running, checked, done, refused, failed, undone")
    dry_run: bool
    rows: int
    done: int
    created: int
    updated: int
    unchanged: int
    errors: list[dict[str, Any]]
    sentence: str
    started_at: datetime
    finished_at: datetime | None


class Undo(Body):
    """Why an import is taken back."""

    reason: str = Field(min_length=1, max_length=200)


class UndoResult(BaseModel):
    """How many changes were taken back, and a sentence for each that was not."""

    undone: int
    kept: list[str]


def begin(services: Services, who: Principal, kind: str, name: str, content: bytes, *, dry_run: bool) -> int:
    """Start an import in the background; returns its id. Raises ProblemError 422."""
    if kind not in imports.KINDS:
        raise invalid("请选择要导入什么。", "kind", "unknown kind")
    if not content or len(content) > MOST_BYTES:
        raise invalid(f"文件为空或超过 {MOST_BYTES // 1024 // 1024} MB。", "file", "empty or too large")
    run = imports.begin(services.db, kind, name, content, by=who.name, unit=who.unit, now=services.clock(), dry_run=dry_run)
    services.imports.start(
        services.db, run, content, services.clock, lambda summary: edits.reload(services, who.name, summary.changed), grants=who.may(Action.GRANT)
    )
    return run


def undo(services: Services, who: Principal, ident: int, reason: str) -> tuple[int, list[str]]:
    """Take an import back. Raises ProblemError 403, 404, 409."""
    with services.db.read() as session:
        visible(services, who, session.get(ImportRun, ident) if ident < 1 << 63 else None)
    try:
        done, kept, touched = imports.undo(services.db, ident, by=who.name, reason=reason, now=services.clock())
    except imports.ImportRefusedError as error:
        raise ProblemError(409, str(error), code="conflict") from error
    edits.reload(services, who.name, touched)
    return done, kept


def seen_by(session: Session, who: Principal) -> str | None:
    """The scope of import records: an import without a unit (by a command or feed) is seen by whoever sees everything."""
    return None if who.unit is None or len(units.path(session, who.unit)) == 1 else who.unit


def visible(services: Services, who: Principal, row: ImportRun | None) -> ImportRun:
    """An import that the asker may see: one of his subtree. Raises ProblemError 403, 404."""
    if row is None:
        raise ProblemError(404, "没有这次导入。")
    with services.db.read() as session:
        scope = seen_by(session, who)
        if scope is not None and (row.unit is None or not units.within(session, row.unit, scope)):
            raise ProblemError(403, problems.NO_RIGHT)
    return row


@router.post("/imports", operation_id="startImport", status_code=202)
def start(
    who: Organiser,
    services: ServicesOf,
    file: Annotated[UploadFile, File(description=".xlsx or CSV")],
    kind: Annotated[str, Form(max_length=16, description="units, people, rooms, devices, holdings, calibrations")],
    dry_run: Annotated[bool, Form(description="check only")] = False,
) -> RunView:
    """Check and load a table in the background; ask for its record to follow it."""
    run = begin(services, who, kind, file.filename or kind, file.file.read(MOST_BYTES + 1), dry_run=dry_run)
    with services.db.read() as session:
        return view(session.get_one(ImportRun, run))


@router.get("/imports", operation_id="listImports")
def listing(who: Organiser, request: Request, services: ServicesOf, limit: Limit = 50, cursor: Cursor = "") -> Page[RunView]:
    """Imports of the subtree, newest first."""
    with services.db.read() as session:
        rows = organisation.runs(session, seen_by(session, who), before=decode_id(cursor), limit=limit + 1)
        found = [view(row) for row in rows]
    return page(request, found, limit, found[limit - 1].id if len(found) > limit else "")


@router.get(
    "/imports/templates/{name}",
    operation_id="getImportTemplate",
    response_class=Response,
    responses={200: {"description": "a workbook to fill in", "content": {XLSX: {}}}},
)
def blank(name: Annotated[str, Path(max_length=16)], who: Organiser) -> Response:  # noqa: ARG001 - asked for its right
    """The table to fill in, for one kind."""
    kind = imports.KINDS.get(name)
    if kind is None:
        raise ProblemError(404, "没有这种模板。")
    headers = {"Content-Disposition": f'attachment; filename="{name}.xlsx"'}
    return Response(template(kind), media_type=XLSX, headers=headers)


@router.get("/imports/{ident}", operation_id="getImport")
def detail(ident: int, who: Organiser, services: ServicesOf) -> RunView:
    """One import with its progress and its errors."""
    with services.db.read() as session:
        return view(visible(services, who, session.get(ImportRun, ident) if ident < 1 << 63 else None))


@router.post("/imports/{ident}/undo", operation_id="undoImport")
def take_back(ident: int, body: Undo, who: Organiser, services: ServicesOf) -> UndoResult:
    """Take a finished import back; what was changed since or is in use stays and is named."""
    done, kept = undo(services, who, ident, body.reason)
    return UndoResult(undone=done, kept=kept)


def view(row: ImportRun) -> RunView:
    """The record of an import."""
    return RunView(
        id=row.id, kind=row.kind, file=row.file, by=row.by, state=row.state, dry_run=row.dry_run, rows=row.rows, done=row.done, created=row.created,
        updated=row.updated, unchanged=row.unchanged, errors=row.errors, sentence=row.sentence, started_at=at(row.started_at),
        finished_at=at_or_none(row.finished_at),
    )  # fmt: skip
