"""交接班: the sheet of a shift and the two signatures under it."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Path
from pydantic import BaseModel, StringConstraints
from sqlalchemy import select

from server.duty import handover
from server.store.tables_duty import HandOver
from server.web.api.common import PROBLEMS, at, at_or_none
from server.web.api.models import Body
from server.web.auth import Principal, ServicesOf, require, require_unit
from server.web.problems import ProblemError
from server.web.rights import Action
from server.web.routers import api_router

router = api_router("duty", refusals=PROBLEMS)
UnitCode = Annotated[str, Path(max_length=12)]
Handling = Annotated[Principal, Depends(require(Action.HANDLE))]
Telling = Annotated[Principal, Depends(require(Action.NOTIFICATIONS))]


class SignBody(Body):
    """A signature under the sheet."""

    remark: Annotated[str, StringConstraints(max_length=500, strip_whitespace=True)] = ""


class HandOverView(BaseModel):
    """A sheet; `intact`: it is still what was signed."""

    id: int
    unit: str
    since: datetime
    until: datetime
    body: dict[str, Any]
    sha256: str
    remark: str
    given_by: str
    given_at: datetime | None
    taken_by: str
    taken_at: datetime | None
    intact: bool


@router.get("/units/{code}/hand-overs", operation_id="listHandOvers")
def hand_overs(code: UnitCode, asker: Telling, services: ServicesOf) -> list[HandOverView]:
    """The last thirty sheets of a unit, newest first."""
    with services.db.read() as session:
        require_unit(session, asker, code)
        return [_sheet(row) for row in handover.sheets(session, code)]


@router.post("/units/{code}/hand-overs", operation_id="giveHandOver")
def give(code: UnitCode, asker: Handling, services: ServicesOf, body: SignBody | None = None) -> HandOverView:
    """交班: make the sheet of the shift that ends and sign it."""
    with services.db.write() as session:
        require_unit(session, asker, code)
        try:
            row = handover.give(session, code, asker.name, asker.account, "" if body is None else body.remark, services.clock(), services.workdays)
        except handover.SignError as error:
            raise ProblemError(409, str(error)) from error
        return _sheet(row)


@router.post("/units/{code}/hand-overs/take", operation_id="takeHandOver")
def take(code: UnitCode, asker: Handling, services: ServicesOf) -> HandOverView:
    """接班: the second signature, by somebody else."""
    with services.db.write() as session:
        require_unit(session, asker, code)
        row = session.scalar(select(HandOver).where(HandOver.unit == code, HandOver.taken_at.is_(None)))
        if row is None:
            raise ProblemError(404, "没有等待接班签名的记录。")
        try:
            handover.take(session, row, asker.name, asker.account, services.clock())
        except handover.SignError as error:
            raise ProblemError(409, str(error)) from error
        return _sheet(row)


def _sheet(row: HandOver) -> HandOverView:
    return HandOverView(
        id=row.id, unit=row.unit, since=at(row.since), until=at(row.until), body=row.body, sha256=row.sha256, remark=row.remark,
        given_by=row.given_by,
        given_at=at_or_none(row.given_at), taken_by=row.taken_by, taken_at=at_or_none(row.taken_at), intact=handover.intact(row),
    )  # fmt: skip
