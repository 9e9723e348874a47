"""Papers and exports: order, look, fetch. Every order is in the audit log; a finished one keeps its hashes."""

from typing import Annotated
from urllib.parse import quote

from fastapi import Path, Query, Request
from pydantic import ConfigDict, Field
from sqlalchemy.orm import Session
from starlette.responses import FileResponse, Response

from server.reports.desk import ENDINGS, Wanted
from server.reports.kinds import KINDS, UnknownSubjectError, order
from server.reports.period import Period, PeriodError, month_of, parse_period
from server.reports.render import FORMATS
from server.reports.render.parts import FormError
from server.reports.scorecard import Part, Score
from server.store import exports, units
from server.store.tables import Unit
from server.store.tables_papers import ExportJob
from server.web.api.common import PROBLEMS, Cursor, Limit, Viewer, at, at_or_none, decode_cursor, decode_id, page
from server.web.api.models import Body, Page
from server.web.api.paper_models import ExportView, ScorePartView, ScoreView
from server.web.auth import Principal, ServicesOf, require_room, require_unit
from server.web.problems import ProblemError, invalid
from server.web.routers import api_router
from server.web.services import Services

router = api_router("reports", refusals=PROBLEMS)

MOST_AT_ONCE = 40
Ident = Annotated[int, Path(ge=1, lt=1 << 63)]
PeriodText = Annotated[str, Query(max_length=32, description="2026-10, 2026-Q3, 2026 or 2026-10-01..2026-10-15; left out: this month")]


class HistoryOptions(Body):
    """What of the history is wanted; left out: temperature and humidity over the whole period, every sample."""

    model_config = ConfigDict(populate_by_name=True)

    quantities: list[str] = Field(default=["temperature", "humidity"], max_length=12)
    rooms: list[str] = Field(default=[], max_length=20, description="further rooms")
    step: int = Field(0, ge=0, le=31_536_000, description="seconds; 0 is every sample")
    since: int | None = Field(None, alias="from", ge=0, lt=1 << 53, description="UTC ms")
    until: int | None = Field(None, alias="to", ge=0, lt=1 << 53, description="UTC ms")


class OrderBody(Body):
    """An order for a paper or a data export."""

    kind: str = Field(max_length=24, description="register, climate, inspection, scorecard, … or history")
    code: str = Field(max_length=16, description="room or unit code")
    period: str = Field("", max_length=64)
    format: str = Field("pdf", max_length=8)
    options: HistoryOptions | None = Field(None, description="of kind history")


def period_of(text: str, now: int) -> Period:
    """A period of a query. Raises ProblemError 422."""
    try:
        return parse_period(text or month_of(now))
    except PeriodError as error:
        raise invalid(str(error), "query.period", "not a period") from error


def allowed(session: Session, who: Principal, kind: str, code: str) -> str:
    """The unit that bounds an order for this room or unit. Raises ProblemError 404, 422 or 403."""
    try:
        unit = order(session, kind if kind in KINDS else "register", code).unit
    except UnknownSubjectError as error:
        raise ProblemError(404, str(error)) from error
    require_unit(session, who, unit)
    return unit


def checked(services: Services, who: Principal, body: OrderBody) -> Wanted:
    """An order of the asker. Raises ProblemError 422, 404 or 403."""
    if body.format not in ENDINGS:
        raise invalid("没有这种格式。", "body.format", f"one of {', '.join(ENDINGS)}")
    period = period_of(body.period, services.clock())
    with services.db.read() as session:
        allowed(session, who, body.kind, body.code)
    options = HistoryOptions() if body.options is None else body.options
    for room in options.rooms:
        require_room(services, who, room)
    kept = options.model_dump(by_alias=True, exclude_none=True) if body.kind == "history" else {}
    return Wanted(kind=body.kind, code=body.code, period=period.text, ending=body.format, by=who.name, options=kept)


def place_order(services: Services, who: Principal, body: OrderBody) -> int:
    """Check and queue an order; its id. Raises ProblemError."""
    wanted = checked(services, who, body)
    try:
        return services.desk.order(wanted, services.clock())
    except UnknownSubjectError as error:
        raise ProblemError(404, str(error)) from error
    except ValueError as error:
        raise invalid(str(error), "body.options", "not acceptable") from error


def fetch(services: Services, job: ExportJob) -> FileResponse:
    """The file of a finished order. Raises ProblemError 409 or 404."""
    if job.state != "done":
        raise ProblemError(409, job.error or "还没有做好，请稍后再取。", state=job.state)
    path = services.desk.path(job)
    if not path.exists():
        raise ProblemError(404, "文件已过保存期，请重新生成。")
    return FileResponse(path, media_type=ENDINGS[job.ending], headers=_headers(job.file_name, job.sha256, job.digest))


def _headers(name: str, sha256: str, digest: str) -> dict[str, str]:
    return {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}",
        "X-Content-SHA256": sha256,
        "X-Report-Digest": digest,
        "Cache-Control": "private, no-store",
    }


@router.get("/reports/{kind}", operation_id="getReport", response_class=Response)
def report(
    kind: Annotated[str, Path(max_length=24)],
    who: Viewer,
    services: ServicesOf,
    room: Annotated[str, Query(max_length=16, description="room code")] = "",
    unit: Annotated[str, Query(max_length=12, description="unit code")] = "",
    period: PeriodText = "",
    ending: Annotated[str, Query(alias="format", description="pdf, xlsx, docx, html, csv or json")] = "pdf",
) -> Response:
    """A paper, made at once. What would be long (more than 40 sheets) is to be ordered: POST /exports."""
    code = room or unit or who.unit or ""
    if kind not in KINDS:
        raise ProblemError(404, f"没有这种报表，可用的有 {'、'.join(KINDS)}。")
    with services.db.read() as session:
        for asked in filter(None, (room, unit)):
            allowed(session, who, kind if asked == code else "register", asked)
        if not code:
            raise invalid("请给出库房或单位的编号。", "query.unit", "room or unit is required")
        found = order(session, kind, code)
    wanted = period_of(period, services.clock())
    if len(found.rooms) * (len(list(wanted.months())) if kind == "register" else 1) > MOST_AT_ONCE:
        raise invalid("这份报表页数较多，请用后台任务生成。", "query.period", "use POST /exports")
    if ending not in FORMATS:
        raise invalid("没有这种格式。", "query.format", f"one of {', '.join(FORMATS)}")
    body = OrderBody(kind=kind, code=code, period=wanted.text, format=ending)
    try:
        made = services.desk.once(checked(services, who, body), services.clock())
    except FormError as error:
        raise ProblemError(409, str(error), code="form") from error
    return Response(made.content, media_type=FORMATS[ending][0], headers=_headers(made.name, made.sha256, made.digest))


@router.post("/exports", operation_id="orderExport", status_code=202)
def order_export(body: OrderBody, who: Viewer, services: ServicesOf) -> ExportView:
    """Order a paper or a data export; it is made in the background."""
    ident = place_order(services, who, body)
    with services.db.read() as session:
        return view(session.get_one(ExportJob, ident))


@router.get("/exports", operation_id="listExports")
def listing(who: Viewer, request: Request, services: ServicesOf, limit: Limit = 50, cursor: Cursor = "") -> Page[ExportView]:
    """Papers and exports of the subtree, newest first."""
    with services.db.read() as session:
        found = [view(row) for row in exports.page(session, who.unit, before=decode_id(cursor), limit=limit + 1)]
    return page(request, found, limit, found[limit - 1].id if len(found) > limit else "")


@router.get("/exports/{export}", operation_id="getExport")
def detail(export: Ident, who: Viewer, services: ServicesOf) -> ExportView:
    """One order with its progress."""
    return view(_job(services, who, export))


@router.get("/exports/{export}/file", operation_id="getExportFile", response_class=FileResponse)
def file(export: Ident, who: Viewer, services: ServicesOf) -> FileResponse:
    """The file of a finished order."""
    return fetch(services, _job(services, who, export))


@router.get("/scorecards", operation_id="listScorecards")
def scorecards(
    who: Viewer,
    request: Request,
    services: ServicesOf,
    period: PeriodText = "",
    unit: Annotated[str, Query(max_length=12, description="unit code: it and the units right below it")] = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Cursor = "",
) -> Page[ScoreView]:
    """Scores of units by code, each with everything below it; `measured_at` says as of when, at most two hours ago."""
    wanted = period_of(period, services.clock())
    with services.db.read() as session:
        if unit:
            require_unit(session, who, unit)
            after = decode_cursor(cursor) if cursor else ""
            rows: list[Unit] = sorted(([session.get_one(Unit, unit), *units.children(session, unit)]), key=lambda row: row.code)
            rows = [row for row in rows if row.code > after][: limit + 1]
        else:
            rows = list(units.page(session, who.unit, after=decode_cursor(cursor) if cursor else "", limit=limit + 1))
        named = [(row.code, row.name) for row in rows]
    results, measured_at = services.desk.scores.scores(named[:limit], wanted, services.clock())
    found = [_score(result, wanted, measured_at) for result in results]
    return page(request, [*found, *found[:1]] if len(named) > limit else found, limit, named[limit - 1][0] if len(named) > limit else "")


def view(job: ExportJob) -> ExportView:
    """An order as the interface shows it."""
    return ExportView(
        id=job.id,
        kind=job.kind,
        title=job.title,
        unit=job.unit,
        code=job.subject,
        period=job.period,
        format=job.ending,
        state=job.state,
        done=job.done,
        total=job.total,
        asked_by=job.asked_by,
        asked_at=at(job.asked_at),
        finished_at=at_or_none(job.finished_at),
        file_name=job.file_name,
        bytes=job.bytes,
        sha256=job.sha256,
        digest=job.digest,
        error=job.error,
    )


def _job(services: Services, who: Principal, ident: int) -> ExportJob:
    with services.db.read() as session:
        job = session.get(ExportJob, ident)
        if job is None:
            raise ProblemError(404, "没有这份报表。")
        require_unit(session, who, job.unit)
        session.expunge(job)
        return job


def _score(result: Score, period: Period, measured_at: int) -> ScoreView:
    return ScoreView(
        unit=result.unit,
        name=result.name,
        period=period.text,
        since=at(period.since),
        until=at(period.until),
        measured_at=at(measured_at),
        rooms=result.rooms,
        score=result.total,
        parts=[_part(part) for part in result.parts],
    )


def _part(part: Part) -> ScorePartView:
    return ScorePartView(name=part.name, percent=part.percent, numerator=part.part, denominator=part.whole)
